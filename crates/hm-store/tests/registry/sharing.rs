//! Nothing is loaded twice, and nothing where nothing may be.

use std::sync::Arc;
use std::time::Duration;

use hm_store::image::{ImageLock, KeptBecause, PullEvent, PullObserver, RegistryRef, RemovedImage};
use hm_store::{ImageError, ImageRef, ImageSettings, Images};

use crate::fake::{Fake, Reply};
use crate::made::{Layer, Made, OCI_MANIFEST, noise};
use crate::world::{World, read, registry_error, settings};

#[tokio::test(flavor = "multi_thread")]
async fn images_share_their_base() {
    let base = Layer::plain(&[("base", b"1")]).gzip();
    let fake = Fake::good(Made::on_a_base(&base, &["one", "two"]));
    let (host, world) = (fake.host(), World::new());
    let images = world.images(settings(&[&host]));
    for tag in ["one", "two"] {
        world.pull_with(&images, &format!("{host}/o/i:{tag}")).await.unwrap();
    }
    assert_eq!(world.layers(), 3);
    let of_base = fake
        .requests()
        .into_iter()
        .filter(|request| request.path.ends_with(&base.digest()));
    assert_eq!(of_base.count(), 1);
    assert_eq!(world.told("present"), ["present 0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_load_a_layer_once() {
    let layers: Vec<Layer> = (0..3)
        .map(|seed| Layer::plain(&[("f", &noise(seed, 200 << 10))]).gzip())
        .collect();
    let fake = Fake::good(Made::tagged(&layers));
    let (host, world) = (fake.host(), World::new());
    let reference = format!("{host}/o/i:t");
    let pulls = (0..4).map(|_| world.pull(&reference, settings(&[&host])));
    let images = futures::future::try_join_all(pulls).await.unwrap();
    assert!(images.iter().all(|image| *image == images[0]));
    for layer in &layers {
        let times = fake
            .requests()
            .into_iter()
            .filter(|request| request.path.ends_with(&layer.digest()))
            .count();
        assert_eq!(times, 1);
    }
    assert_eq!((world.layers(), world.partial_bytes()), (3, 0));
}

/// Tells when something is tried again.
#[derive(Debug)]
struct Waiting(tokio::sync::mpsc::UnboundedSender<()>);

impl PullObserver for Waiting {
    fn event(&self, _: &str, event: PullEvent<'_>) {
        if let PullEvent::Retry { .. } = event {
            self.0.send(()).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_that_is_given_up_leaves_the_store_usable() {
    let layer = Layer::plain(&[("f", &noise(1, 200 << 10))]).gzip();
    let made = Made::tagged(std::slice::from_ref(&layer));
    let world = World::new();
    let digest = layer.digest();
    let stuck = Fake::start(made.clone(), move |request| {
        if request.path.ends_with(&digest) {
            Reply::Cut(1000)
        } else {
            Reply::Serve
        }
    });
    let host = stuck.host();
    let mut patient = settings(&[&host]);
    patient.registry.retry.first_delay = Duration::from_hours(1);
    patient.registry.retry.longest_delay = Duration::from_hours(1);
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let images = world.images(patient);
    let reference = ImageRef::parse(&format!("{host}/o/i:t")).unwrap();
    tokio::select! {
        done = images.resolve(&reference, Arc::new(Waiting(told))) => panic!("{done:?}"),
        _ = heard.recv() => {}
    }
    let good = Fake::good(made);
    let host = good.host();
    world.pull(&format!("{host}/o/i:t"), settings(&[&host])).await.unwrap();
    assert_eq!((world.layers(), world.partial_bytes()), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn images_are_listed_and_removed() {
    let base = Layer::plain(&[("base", b"1")]).gzip();
    let mut made = Made::on_a_base(&base, &["one", "two"]);
    let one = made.manifests["one"].clone();
    made.manifests.insert("one-again".to_owned(), one);
    let fake = Fake::good(made);
    let (host, world) = (fake.host(), World::new());
    let store = world.store();
    let images = Images::new(store.clone(), settings(&[&host]));
    for tag in ["one", "two", "one-again"] {
        world.pull_with(&images, &format!("{host}/o/i:{tag}")).await.unwrap();
    }
    let listed = store.pulled_images().unwrap();
    let digest = |number: usize| listed[number].digest;
    let names = |tags: &[&str], number: usize| {
        let tags = tags.iter().map(|tag| format!("{host}/o/i:{tag}"));
        tags.chain([format!("{host}/o/i@{}", digest(number))])
            .collect::<Vec<_>>()
    };
    assert_eq!(listed.len(), 2);
    assert_eq!(listed[0].names, names(&["one", "one-again"], 0));
    assert_eq!(listed[1].names, names(&["two"], 1));
    assert_eq!((listed[0].layers, listed[0].platform.as_str()), (2, "linux/amd64"));

    let remove = |tag: &str| {
        let ImageRef::Registry(reference) = ImageRef::parse(&format!("{host}/o/i:{tag}")).unwrap() else {
            panic!()
        };
        store.remove_image(&reference)
    };
    let removed = |number: usize, kept| {
        vec![RemovedImage {
            digest: digest(number),
            kept,
        }]
    };
    let again = KeptBecause::Names(vec![format!("{host}/o/i:one-again")]);
    assert_eq!(remove("one").unwrap(), removed(0, Some(again)));
    assert!(matches!(remove("one").unwrap_err(), ImageError::NotPulled { .. }));
    assert_eq!(remove("one-again").unwrap(), removed(0, None));
    assert_eq!(world.layers(), 2);
    let other = world.store();
    assert_eq!(remove("two").unwrap(), removed(1, Some(KeptBecause::OtherProcesses)));
    assert_eq!(world.layers(), 2);
    drop(other);
    let partial = world.base.path().join("store/p/i-left-by-somebody");
    std::fs::write(&partial, [0; 100]).unwrap();
    assert_eq!(remove("two").unwrap(), removed(1, None));
    assert_eq!((world.layers(), world.partial_bytes()), (0, 0));
    assert!(!partial.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn offline_is_offline() {
    let fake = Fake::good(Made::tagged(&[Layer::plain(&[("a", b"1")])]));
    let (host, world) = (fake.host(), World::new());
    let offline = || ImageSettings {
        offline: true,
        ..settings(&[&host])
    };
    let reference = format!("{host}/o/i:t");
    let error = registry_error(world.pull(&reference, offline()).await);
    assert_eq!(error.code(), "image_offline");
    assert!(error.fix().unwrap().contains(&format!("hm image pull {reference}")));
    assert_eq!(fake.requests().len(), 0);

    let image = world.pull(&reference, settings(&[&host])).await.unwrap();
    let asked = fake.requests().len();
    assert_eq!(world.pull(&reference, offline()).await.unwrap(), image);
    assert_eq!(fake.requests().len(), asked);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_holds_a_tag_where_it_was() {
    let mut made = Made::default();
    let old = made.image("amd64", &[Layer::plain(&[("v", b"old")])], OCI_MANIFEST);
    let new = made.image("amd64", &[Layer::plain(&[("v", b"new")])], OCI_MANIFEST);
    made.tag("t", &new);
    let fake = Fake::good(made);
    let (host, world) = (fake.host(), World::new());
    let text = format!("{host}/o/i:t");
    let ImageRef::Registry(reference) = ImageRef::parse(&text).unwrap() else {
        panic!()
    };
    let mut lock = ImageLock::default();
    lock.set(&reference, old.parse().unwrap());
    let locked = || ImageSettings {
        lock: Some(lock.clone()),
        ..settings(&[&host])
    };
    let image = world.pull(&text, locked()).await.unwrap();
    assert_eq!(read(&image, 0, "v"), b"old");
    // What is pinned and there needs no registry.
    let asked = fake.requests().len();
    assert_eq!(world.pull(&text, locked()).await.unwrap(), image);
    assert_eq!(fake.requests().len(), asked);

    let free = world.pull(&text, settings(&[&host])).await.unwrap();
    assert_eq!(read(&free, 0, "v"), b"new");
    let images = world.images(settings(&[&host]));
    let digest = images.digest(&reference, world.seen.clone()).await.unwrap();
    assert_eq!(digest.to_string(), new);
    // One that is gone.
    let mut lock = ImageLock::default();
    lock.set(&reference, format!("sha256:{}", "a".repeat(64)).parse().unwrap());
    let gone = || ImageSettings {
        lock: Some(lock.clone()),
        ..settings(&[&host])
    };
    let errors = [
        world.pull(&text, gone()).await.unwrap_err(),
        world.fetch(&text, gone()).await.unwrap_err(),
    ];
    for error in errors {
        assert!(error.to_string().starts_with(".hm/images.lock asks for"), "{error}");
        assert!(error.fix().unwrap().ends_with(&format!("hm image lock {text}")));
    }
    let unknown = RegistryRef {
        tag: Some("none".into()),
        ..reference
    };
    images.digest(&unknown, world.seen.clone()).await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn mirrors_are_asked_first() {
    let made = Made::tagged(&[Layer::plain(&[("a", &noise(9, 100_000))])]);
    let (mirror, origin) = (Fake::good(made.clone()), Fake::good(made.clone()));
    let world = World::new();
    let with = |mirrors: &[String]| {
        let mut settings = settings(&[&origin.host()]);
        let mirrors = mirrors.iter().map(|host| format!("http://{host}")).collect();
        settings.registry.mirrors = [(origin.host(), mirrors)].into();
        settings
    };
    let reference = format!("{}/o/i:t", origin.host());
    world.pull(&reference, with(&[mirror.host()])).await.unwrap();
    assert_eq!(origin.requests().len(), 0);
    assert_eq!(mirror.blob_requests(), 2);

    // One that is gone, one without the image, one that breaks in the middle of a layer.
    let gone = Fake::good(Made::default()).host();
    let empty = Fake::good(Made::default());
    let breaking = Fake::start(made, |request| match (request.is_blob(), request.header("range")) {
        (true, Some(_)) => Reply::Cut(0),
        (true, None) => Reply::Cut(50_000),
        (false, _) => Reply::Serve,
    });
    let world = World::new();
    let image = world
        .pull(&reference, with(&[gone.clone(), empty.host(), breaking.host()]))
        .await
        .unwrap();
    assert_eq!(read(&image, 0, "a"), noise(9, 100_000));
    for mirror in [gone, empty.host(), breaking.host()] {
        assert!(world.told("mirror").contains(&format!("mirror {mirror}")), "{mirror}");
    }
}
