//! Images that are kept as their registry stores them until they are used.

use std::fs;

use hm_store::image::RegistryRef;
use hm_store::{ImageError, ImageRef, ImageSettings};

use crate::fake::{Fake, Reply};
use crate::made::{Layer, Made, noise};
use crate::world::{World, read, settings};

fn three_layers() -> Vec<Layer> {
    let layer = |seed: u64| Layer::plain(&[("f", &noise(seed, 200 << 10)), (&format!("f{seed}"), b"1")]);
    vec![layer(0), layer(1).gzip(), layer(2).zstd()]
}

fn offline() -> ImageSettings {
    ImageSettings {
        offline: true,
        ..settings(&[])
    }
}

fn registry_ref(text: &str) -> RegistryRef {
    let ImageRef::Registry(reference) = ImageRef::parse(text).unwrap() else {
        panic!("{text} is of no registry")
    };
    reference
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_fetched_is_unpacked_without_the_registry() {
    let layers = three_layers();
    let fake = Fake::good(Made::tagged(&layers));
    let (host, world) = (fake.host(), World::new());
    let reference = format!("{host}/o/i:t");
    let digest = world.fetch(&reference, settings(&[&host])).await.unwrap();
    assert_eq!((world.layers(), world.partial_bytes()), (0, 0));
    let mut digests: Vec<String> = layers.iter().map(Layer::digest).collect();
    digests.sort();
    assert_eq!(world.kept().into_keys().collect::<Vec<_>>(), digests);
    assert_eq!(world.told("kept").len(), 3);

    let listed = world.store().pulled_images().unwrap();
    assert_eq!((listed[0].digest, listed[0].layers, listed.len()), (digest, 3, 1));

    // One look for the tag's digest, and no more.
    let asked = fake.requests().len();
    assert_eq!(world.fetch(&reference, settings(&[&host])).await.unwrap(), digest);
    assert_eq!(fake.requests().len(), asked + 1);

    drop(fake);
    let image = world.pull(&reference, offline()).await.unwrap();
    assert_eq!(image.digest, digest);
    assert_eq!(read(&image, 2, "f2"), b"1");
    assert_eq!(world.told("unpacking"), ["unpacking 3"]);
    assert_eq!(world.told("unpacked"), ["unpacked 0", "unpacked 1", "unpacked 2"]);
    assert_eq!(world.pull(&reference, offline()).await.unwrap(), image);
    assert_eq!(world.told("unpacking").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn blobs_go_once_their_layers_are_on_the_disk() {
    let fake = Fake::good(Made::tagged(&three_layers()));
    let (host, world) = (fake.host(), World::new());
    let reference = format!("{host}/o/i:t");
    world.fetch(&reference, settings(&[&host])).await.unwrap();
    world.store().make_durable().unwrap();
    assert_eq!(world.kept().len(), 3);
    let image = world.pull(&reference, offline()).await.unwrap();
    assert_eq!(world.kept().len(), 3);
    world.store().make_durable().unwrap();
    assert_eq!(world.kept().len(), 0);
    assert_eq!(world.pull(&reference, offline()).await.unwrap(), image);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_stays_for_the_other_image_that_has_it() {
    let base = Layer::plain(&[("base", &noise(4, 9000))]).gzip();
    let fake = Fake::good(Made::on_a_base(&base, &["one", "two", "three"]));
    let (host, world) = (fake.host(), World::new());
    let of = |tag: &str| format!("{host}/o/i:{tag}");
    for tag in ["one", "two", "three"] {
        world.fetch(&of(tag), settings(&[&host])).await.unwrap();
    }
    let loads = |layer: &Layer| {
        let all = fake.requests();
        all.iter()
            .filter(|request| request.path.ends_with(&layer.digest()))
            .count()
    };
    assert_eq!((loads(&base), world.kept().len()), (1, 4));

    world.store().remove_image(&registry_ref(&of("one"))).unwrap();
    assert_eq!(world.kept().len(), 3);
    world.pull(&of("two"), offline()).await.unwrap();
    world.store().make_durable().unwrap();
    assert_eq!(world.kept().len(), 2);
    assert!(world.kept().contains_key(&base.digest()));
    let image = world.pull(&of("three"), offline()).await.unwrap();
    assert_eq!(read(&image, 1, "top"), b"three");
    let all = world.store().pulled_images().unwrap();
    assert_eq!(all.len(), 2);
    for tag in ["two", "three"] {
        world.store().remove_image(&registry_ref(&of(tag))).unwrap();
    }
    assert_eq!((world.kept().len(), world.layers()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_or_missing_blob_is_told_offline_and_loaded_again_online() {
    type Damage = fn(&std::path::Path);
    let flip: Damage = |path| {
        let mut bytes = fs::read(path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    let cut: Damage = |path| fs::write(path, &fs::read(path).unwrap()[..5000]).unwrap();
    let remove: Damage = |path| fs::remove_file(path).unwrap();
    for (damage, is_seen_late) in [(flip, true), (cut, false), (remove, false), (put_a_folder, false)] {
        for number in 0..3 {
            let layers = three_layers();
            let fake = Fake::good(Made::tagged(&layers));
            let (host, world) = (fake.host(), World::new());
            let reference = format!("{host}/o/i:t");
            world.fetch(&reference, settings(&[&host])).await.unwrap();
            damage(&world.kept()[&layers[number].digest()]);

            let error = world.pull(&reference, offline()).await.unwrap_err();
            assert!(
                error.fix().unwrap().contains(&format!("hm image pull {reference}")),
                "{error}"
            );
            assert_eq!(matches!(error, ImageError::Lost { .. }), is_seen_late, "{error}");
            assert!(!world.store().pulled_images().unwrap()[0].is_whole);

            let before = fake.blob_requests();
            world.fetch(&reference, settings(&[&host])).await.unwrap();
            // The configuration and the layer.
            assert_eq!(fake.blob_requests(), before + 2);
            damage(&world.kept()[&layers[number].digest()]);
            let image = world.pull(&reference, settings(&[&host])).await.unwrap();
            for (number, layer) in ["f0", "f1", "f2"].iter().enumerate() {
                assert_eq!(read(&image, number, layer), b"1");
            }
            assert_eq!(fake.blob_requests(), before + 4);
            assert!(world.store().pulled_images().unwrap()[0].is_whole);
        }
    }
}

fn put_a_folder(path: &std::path::Path) {
    fs::remove_file(path).unwrap();
    fs::create_dir_all(path.join("folder")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_in_the_place_of_a_blob_goes_with_the_image() {
    let layers = three_layers();
    let fake = Fake::good(Made::tagged(&layers));
    let (host, world) = (fake.host(), World::new());
    let reference = format!("{host}/o/i:t");
    world.fetch(&reference, settings(&[&host])).await.unwrap();
    put_a_folder(&world.kept()[&layers[1].digest()]);
    world.store().remove_image(&registry_ref(&reference)).unwrap();
    assert_eq!(world.kept().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_in_the_place_of_an_unpacked_layer_is_replaced() {
    let layers = three_layers();
    let fake = Fake::good(Made::tagged(&layers));
    let (host, world) = (fake.host(), World::new());
    let reference = format!("{host}/o/i:t");
    let image = world.pull(&reference, settings(&[&host])).await.unwrap();
    fs::remove_dir_all(&image.layers[1]).unwrap();
    fs::write(&image.layers[1], "no folder").unwrap();
    let image = world.pull(&reference, settings(&[&host])).await.unwrap();
    assert_eq!(read(&image, 1, "f1"), b"1");
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_fetch_and_use_an_image_at_once_load_and_unpack_it_once() {
    let layers = three_layers();
    let fake = Fake::good(Made::tagged(&layers));
    let (host, world) = (fake.host(), World::new());
    let reference = format!("{host}/o/i:t");
    let fetches = (0..3).map(|_| world.fetch(&reference, settings(&[&host])));
    let pulls = (0..3).map(|_| world.pull(&reference, settings(&[&host])));
    let (fetched, pulled) = tokio::join!(
        futures::future::try_join_all(fetches),
        futures::future::try_join_all(pulls)
    );
    let (fetched, pulled) = (fetched.unwrap(), pulled.unwrap());
    assert!(fetched.iter().all(|digest| *digest == pulled[0].digest));
    for layer in &layers {
        let all = fake.requests();
        let loads = all.iter().filter(|request| request.path.ends_with(&layer.digest()));
        assert_eq!(loads.count(), 1);
    }
    assert_eq!((world.layers(), world.partial_bytes()), (3, 0));

    let world = World::new();
    world.fetch(&reference, settings(&[&host])).await.unwrap();
    let uses = (0..4).map(|_| world.pull(&reference, offline()));
    futures::future::try_join_all(uses).await.unwrap();
    let mut unpacked = world.told("unpacked");
    unpacked.sort();
    assert_eq!(unpacked, ["unpacked 0", "unpacked 1", "unpacked 2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_whole_and_right_blobs_are_kept() {
    let layer = Layer::plain(&[("f", &noise(1, 200 << 10))]);
    let made = Made::tagged(std::slice::from_ref(&layer));
    let digest = layer.digest();
    let world = World::new();
    let cutting = Fake::start(made.clone(), move |request| {
        match (request.path.ends_with(&digest), request.header("range")) {
            (true, None) => Reply::Cut(50_000),
            (true, Some(_)) => Reply::Cut(0),
            (false, _) => Reply::Serve,
        }
    });
    let host = cutting.host();
    world
        .fetch(&format!("{host}/o/i:t"), settings(&[&host]))
        .await
        .unwrap_err();
    assert_eq!(world.kept().len(), 0);
    let left = world.partial_bytes();
    assert!(left >= 50_000, "{left}");

    let mut wrong = made.clone();
    let bytes = wrong.blobs.get_mut(&layer.digest()).unwrap();
    bytes[100_000] ^= 1;
    let lying = Fake::good(wrong);
    let host = lying.host();
    let error = world
        .fetch(&format!("{host}/o/i:t"), settings(&[&host]))
        .await
        .unwrap_err();
    assert!(error.to_string().contains(&layer.digest()), "{error}");
    assert_eq!((world.kept().len(), world.partial_bytes()), (0, 0));

    // What a process left that was killed before it had all, or before it noted the image.
    let good = Fake::good(made);
    let host = good.host();
    let reference = format!("{host}/o/i:t");
    let again = World::new();
    again.fetch(&reference, settings(&[&host])).await.unwrap();
    let from = again.kept().remove(&layer.digest()).unwrap();
    drop(world.store());
    fs::copy(
        from,
        world
            .base
            .path()
            .join("store/z")
            .join(&layer.digest()["sha256:".len()..]),
    )
    .unwrap();
    let before = good.blob_requests();
    world.fetch(&reference, settings(&[&host])).await.unwrap();
    assert_eq!(good.blob_requests(), before + 1);
    world.pull(&reference, offline()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_may_have_a_layer_twice() {
    let layer = Layer::plain(&[("f", b"1")]).gzip();
    let fake = Fake::good(Made::tagged(&[layer.clone(), layer]));
    let (host, world) = (fake.host(), World::new());
    let reference = format!("{host}/o/i:t");
    world.fetch(&reference, settings(&[&host])).await.unwrap();
    assert_eq!((world.kept().len(), fake.blob_requests()), (1, 2));
    let image = world.pull(&reference, offline()).await.unwrap();
    assert_eq!(
        (read(&image, 0, "f"), read(&image, 1, "f")),
        (b"1".to_vec(), b"1".to_vec())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_layer_serves_an_image_that_streams_the_others() {
    let base = Layer::plain(&[("base", &noise(4, 9000))]).gzip();
    let fake = Fake::good(Made::on_a_base(&base, &["one", "two"]));
    let (host, world) = (fake.host(), World::new());
    world
        .fetch(&format!("{host}/o/i:one"), settings(&[&host]))
        .await
        .unwrap();
    let image = world
        .pull(&format!("{host}/o/i:two"), settings(&[&host]))
        .await
        .unwrap();
    assert_eq!(read(&image, 0, "base"), noise(4, 9000));
    let all = fake.requests();
    assert_eq!(
        all.iter()
            .filter(|request| request.path.ends_with(&base.digest()))
            .count(),
        1
    );
}
