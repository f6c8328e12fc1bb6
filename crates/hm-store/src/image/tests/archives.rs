//! Layouts and archives: what is chosen, checked and remembered.

use std::fs;
use std::path::Path;
use std::thread;

use serde_json::{Value, json};
use tar::EntryType;

use super::super::{ImageConfig, ImageError, ImageRef};
use super::make::{Bench, INDEX, Layout, Tar, amd64, digest, gzip, platform, whole, with, zstd};

fn layer(name: &str) -> Vec<u8> {
    Tar::default().file(name, name).end()
}

fn stored(name: &str) -> Vec<(Vec<u8>, String)> {
    vec![(layer(name), digest(&layer(name)))]
}

/// The files of a folder as an archive.
fn archive_of(folder: &Path) -> Vec<u8> {
    fn add(folder: &Path, prefix: &str, mut tar: Tar) -> Tar {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
            tar = if entry.path().is_dir() {
                add(&entry.path(), &format!("{name}/"), tar.dir(&name, 0o755))
            } else {
                tar.entry(&name, EntryType::Regular, &fs::read(entry.path()).unwrap(), |_| {})
            };
        }
        tar
    }
    add(folder, "./", Tar::default()).end()
}

fn tagged(descriptor: Value, tag: &str) -> Value {
    with(
        descriptor,
        "annotations",
        json!({ "org.opencontainers.image.ref.name": tag }),
    )
}

fn on(descriptor: Value, architecture: &str) -> Value {
    with(
        descriptor,
        "platform",
        json!({ "os": "linux", "architecture": architecture }),
    )
}

#[test]
fn plain_gzip_and_zstd_layers_are_one_image() {
    let bench = Bench::new();
    let (one, two, three) = (layer("one"), layer("two"), layer("three"));
    let config = json!({ "Env": ["PATH=/bin", "A=b=c", "EMPTY=", "BARE", "=x"], "User": "me:us", "WorkingDir": "/work", "Entrypoint": ["x"] });
    let layout = bench.layout("mixed");
    let layers = [
        (one.clone(), digest(&one)),
        (gzip(&two), digest(&two)),
        (zstd(&three), digest(&three)),
    ];
    let manifest = layout.stored_image(&layers, "amd64", &config);
    layout.index(std::slice::from_ref(&manifest));
    let image = bench.resolve(&layout.reference()).unwrap();
    assert_eq!(image.digest.to_string(), manifest["digest"]);
    assert!(!image.host);
    for (folder, name) in image.layers.iter().zip(["one", "two", "three"]) {
        assert_eq!(fs::read_to_string(folder.join(name)).unwrap(), name);
    }
    let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        image.config,
        ImageConfig {
            env: vec![variable("PATH", "/bin"), variable("A", "b=c"), variable("EMPTY", "")],
            user: Some("me:us".into()),
            working_dir: Some("/work".into()),
        }
    );
    // The same layers stored otherwise are unpacked already.
    assert_eq!(bench.unpacked(), 3);
    let plain = bench.image(&[one, two, three]).unwrap();
    assert_eq!(plain.layers, image.layers);
    assert_ne!(plain.digest, image.digest);
}

#[test]
fn a_known_image_is_not_read_again() {
    let bench = Bench::new();
    let layout = bench.layout("layout");
    layout.index(&[layout.image(&[layer("one")], &json!({}))]);
    let image = bench.resolve(&layout.reference()).unwrap();
    fs::remove_dir_all(layout.root.join("blobs")).unwrap();
    assert_eq!(bench.resolve(&layout.reference()).unwrap(), image);
    assert_eq!(
        bench
            .another_store()
            .resolve_image(&ImageRef::parse(&layout.reference()).unwrap(), &amd64())
            .unwrap(),
        image
    );

    // A lost layer is noticed, and so is a change of the source.
    fs::remove_dir_all(&image.layers[0]).unwrap();
    assert!(matches!(
        bench.resolve(&layout.reference()),
        Err(ImageError::MissingBlob { .. })
    ));
    let layout = bench.layout("layout");
    layout.index(&[layout.image(&[layer("two")], &json!({}))]);
    let other = bench.resolve(&layout.reference()).unwrap();
    assert_ne!(other.digest, image.digest);
}

#[test]
fn layers_are_shared_between_images_and_processes() {
    let bench = Bench::new();
    let base = layer("base");
    let a = bench.image(&[base.clone(), layer("a")]).unwrap();
    let b = bench.image(&[base, layer("b")]).unwrap();
    assert_eq!(a.layers[0], b.layers[0]);
    assert_eq!(bench.unpacked(), 3);

    let bench = Bench::new();
    let layout = bench.layout("many");
    let many = (0..200)
        .fold(Tar::default(), |tar, n| tar.file(&format!("d{}/f{n}", n % 5), "x"))
        .end();
    layout.index(&[layout.image(&[many], &json!({}))]);
    let reference = ImageRef::parse(&layout.reference()).unwrap();
    thread::scope(|scope| {
        let resolve = || bench.another_store().resolve_image(&reference, &amd64()).unwrap();
        let workers: Vec<_> = (0..4).map(|_| scope.spawn(resolve)).collect();
        let images: Vec<_> = workers.into_iter().map(|worker| worker.join().unwrap()).collect();
        assert!(images.iter().all(|image| *image == images[0]));
        assert!(images[0].layers[0].join("d4/f199").is_file());
    });
    assert_eq!(bench.unpacked(), 1);
}

#[test]
fn the_image_for_the_platform_is_chosen() {
    let bench = Bench::new();
    let layout = bench.layout("multi");
    let image = |architecture| {
        on(
            layout.stored_image(&stored(architecture), architecture, &json!({})),
            architecture,
        )
    };
    let attestation = with(
        on(layout.image(&[layer("x")], &json!({})), "amd64"),
        "annotations",
        json!({ "vnd.docker.reference.type": "attestation-manifest" }),
    );
    let index = layout.json(
        INDEX,
        &json!({ "manifests": [attestation, image("arm64"), image("amd64")] }),
    );
    layout.index(&[index]);
    let reference = ImageRef::parse(&layout.reference()).unwrap();
    for architecture in ["amd64", "arm64"] {
        let image = bench.store.resolve_image(&reference, &platform(architecture)).unwrap();
        assert!(image.layers[0].join(architecture).is_file());
    }
    let error = bench.store.resolve_image(&reference, &platform("riscv64")).unwrap_err();
    let path = layout.root.display();
    assert_eq!(
        error.to_string(),
        format!("{path}: no image for linux/riscv64; it holds linux/arm64, linux/amd64")
    );

    // A lone image says only in its configuration what it is for.
    let layout = bench.layout("lone");
    layout.index(&[layout.stored_image(&stored("a"), "arm64", &json!({}))]);
    let error = bench.resolve(&layout.reference()).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("no image for linux/amd64; it holds linux/arm64"),
        "{error}"
    );
}

#[test]
fn lists_that_turn_out_to_be_for_others_are_given_up() {
    let bench = Bench::new();
    let layout = bench.layout("lists");
    let image = |architecture: &str| layout.stored_image(&stored(architecture), architecture, &json!({}));
    let list = |images: &[Value]| layout.json(INDEX, &json!({ "manifests": images }));
    layout.index(&[list(&[
        list(&[on(image("riscv64"), "riscv64")]),
        image("arm64"),
        list(&[image("s390x"), list(&[image("amd64")])]),
    ])]);
    let found = bench.resolve(&layout.reference()).unwrap();
    assert!(found.layers[0].join("amd64").is_file());
    let reference = ImageRef::parse(&layout.reference()).unwrap();
    let error = bench.store.resolve_image(&reference, &platform("loong64")).unwrap_err();
    let text = error.to_string();
    assert!(
        text.ends_with("no image for linux/loong64; it holds linux/riscv64, linux/arm64, linux/s390x, linux/amd64"),
        "{text}"
    );
}

#[test]
fn zstd_layers_may_begin_with_a_frame_to_be_skipped() {
    let bench = Bench::new();
    let layout = bench.layout("skippable");
    let frame = [
        &[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0],
        b"abcd".as_slice(),
        &zstd(&layer("one")),
    ]
    .concat();
    layout.index(&[layout.stored_image(&[(frame, digest(&layer("one")))], "amd64", &json!({}))]);
    let image = bench.resolve(&layout.reference()).unwrap();
    assert!(image.layers[0].join("one").is_file());
}

#[test]
fn more_layers_than_can_be_stacked_are_refused_before_they_are_unpacked() {
    let bench = Bench::new();
    let layout = bench.layout("many");
    let layers: Vec<Vec<u8>> = (0..451).map(|number| layer(&format!("f{number}"))).collect();
    layout.index(&[layout.image(&layers, &json!({}))]);
    let error = bench.resolve(&layout.reference()).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("the image has 451 layers; at most 450 can be stacked"),
        "{error}"
    );
    assert!(error.fix().is_some());
    assert_eq!(bench.unpacked(), 0);
}

#[test]
fn unknown_compression_is_named() {
    for (start, name) in [(b"\xfd7zXZ\0".as_slice(), "xz"), (b"BZh91AY&SY", "bzip2")] {
        let bench = Bench::new();
        let layout = bench.layout("compressed");
        let bytes = [start, &[7; 2000]].concat();
        layout.index(&[layout.stored_image(&[(bytes, digest(b""))], "amd64", &json!({}))]);
        let error = bench.resolve(&layout.reference()).unwrap_err();
        let text = whole(&error);
        assert!(
            text.ends_with(&format!("it is compressed with {name}; hm reads gzip and zstd")),
            "{text}"
        );
        assert!(error.fix().is_some());
    }
}

#[test]
fn the_image_with_the_tag_is_chosen() {
    let bench = Bench::new();
    let layout = bench.layout("tags");
    let image = |name: &str| tagged(layout.image(&[layer(name)], &json!({})), name);
    layout.index(&[image("1.0"), image("2.0")]);
    let image = bench.resolve(&format!("{}:2.0", layout.reference())).unwrap();
    assert!(image.layers[0].join("2.0").is_file());
    let error = bench.resolve(&layout.reference()).unwrap_err();
    let path = layout.root.display();
    assert_eq!(
        error.to_string(),
        format!("{path}: several images are there and none is named; it holds 1.0, 2.0")
    );
    assert_eq!(
        error.fix().unwrap(),
        format!("name one of them after the path: {path}:1.0")
    );
    let error = bench.resolve(&format!("{}:3", layout.reference())).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("{path}: no image is named \"3\"; it holds 1.0, 2.0")
    );
}

/// A layout with one image of one layer, damaged in some way.
fn damaged(damage: impl FnOnce(&Layout, &Path)) -> String {
    let bench = Bench::new();
    let layout = bench.layout("damaged");
    let bytes = layer("one");
    layout.index(&[layout.image(std::slice::from_ref(&bytes), &json!({}))]);
    damage(&layout, &layout.blob_path(&digest(&bytes)));
    let error = bench.resolve(&layout.reference()).unwrap_err();
    assert_eq!(bench.unpacked(), 0);
    assert_eq!(
        fs::read_dir(bench.store.temporary().parent().unwrap()).unwrap().count(),
        0
    );
    whole(&error).replace(&layout.root.display().to_string(), "LAYOUT")
}

#[test]
fn damage_is_found_and_named() {
    let right = digest(&layer("one"));
    let mut other = layer("one");
    *other.last_mut().unwrap() = 1;
    let wrong = digest(&other);
    let error = damaged(|_, blob| fs::write(blob, &other).unwrap());
    assert_eq!(
        error,
        format!("LAYOUT: layer {right} is damaged: its bytes have the digest {wrong}")
    );

    let error = damaged(|_, blob| fs::write(blob, b"short").unwrap());
    assert_eq!(
        error,
        format!("LAYOUT: layer {right} is 5 bytes long, not {}", other.len())
    );

    let error = damaged(|_, blob| fs::remove_file(blob).unwrap());
    assert_eq!(error, format!("LAYOUT: layer {right} is missing"));

    let error = damaged(|layout, _| {
        let lie = [(gzip(&layer("one")), digest(b"something else"))];
        layout.index(&[layout.stored_image(&lie, "amd64", &json!({}))]);
    });
    let said = digest(b"something else");
    assert_eq!(
        error,
        format!("LAYOUT: uncompressed layer {said} is damaged: its bytes have the digest {right}")
    );

    let error = damaged(|layout, _| fs::write(layout.root.join("index.json"), "{").unwrap());
    assert!(error.starts_with("LAYOUT: index.json can't be read: EOF"), "{error}");

    let error = damaged(|layout, _| {
        let manifest = layout.image(&[layer("one")], &json!({}));
        let path = layout.blob_path(manifest["digest"].as_str().unwrap());
        let text = fs::read_to_string(&path)
            .unwrap()
            .replace("schemaVersion", "SchemaVersion");
        fs::write(path, text).unwrap();
        layout.index(&[manifest]);
    });
    assert!(
        error.starts_with("LAYOUT: manifest sha256:") && error.contains("is damaged"),
        "{error}"
    );

    let error = damaged(|layout, _| layout.index(&[json!({ "digest": "md5:12", "size": 1 })]));
    assert!(error.contains("\"md5:12\" is not a digest that hm knows"), "{error}");

    let error = damaged(|layout, _| {
        let node = layout.json("application/x", &json!({ "schemaVersion": 1 }));
        layout.index(&[node]);
    });
    assert_eq!(
        error,
        "LAYOUT: the manifest has the unknown media type \"application/x\""
    );
}

#[test]
fn what_is_no_image_is_named() {
    let bench = Bench::new();
    fs::write(bench.path("file"), "x").unwrap();
    fs::create_dir(bench.path("folder")).unwrap();
    let error = |form: &str, name: &str| {
        let path = bench.path(name);
        let error = bench.resolve(&format!("{form}:{}", path.display())).unwrap_err();
        whole(&error).replace(&path.display().to_string(), "PATH")
    };
    assert!(error("oci", "none").starts_with("there is no image at PATH: No such file"));
    assert!(error("dir", "none").starts_with("there is no image at PATH: No such file"));
    assert_eq!(
        error("oci", "folder"),
        "PATH is not an OCI image layout (it has no index.json)"
    );
    assert_eq!(
        error("oci", "file"),
        "PATH is not an OCI image layout (it has no index.json)"
    );
    assert_eq!(
        error("oci-archive", "folder"),
        "PATH is not an archive with an OCI image layout"
    );
    assert!(error("oci-archive", "file").starts_with("PATH can't be read"));
    assert_eq!(
        error("docker-archive", "folder"),
        "PATH is not an archive of docker save"
    );
}

#[test]
fn registries_and_engines_are_refused_with_a_way_out() {
    let bench = Bench::new();
    let error = bench.resolve("ubuntu:24.04").unwrap_err();
    assert_eq!(
        error.to_string(),
        "docker.io/library/ubuntu:24.04 is an image of a registry, and no registry is asked here"
    );
    assert!(
        error
            .fix()
            .unwrap()
            .contains("hm image pull docker.io/library/ubuntu:24.04")
    );
    let error = bench.resolve("docker-daemon:x").unwrap_err();
    assert!(error.fix().unwrap().contains("docker save x"));
}

#[test]
fn an_oci_archive_is_a_layout_in_a_tar() {
    let bench = Bench::new();
    let layout = bench.layout("layout");
    layout.index(&[tagged(layout.image(&[layer("one")], &json!({})), "t")]);
    let plain = archive_of(&layout.root);
    let from_folder = bench.resolve(&layout.reference()).unwrap();
    for (name, bytes) in [
        ("plain.tar", plain.clone()),
        ("a.tar.gz", gzip(&plain)),
        ("a.tar.zst", zstd(&plain)),
    ] {
        fs::write(bench.path(name), bytes).unwrap();
        let image = bench
            .resolve(&format!("oci-archive:{}:t", bench.path(name).display()))
            .unwrap();
        assert_eq!(image, from_folder);
    }
    assert_eq!(
        fs::read_dir(bench.store.temporary().parent().unwrap()).unwrap().count(),
        0
    );
}

/// An archive as `docker save` writes it, with a layer that two images share by a link.
fn docker_archive(config_name: Option<&str>) -> (Vec<u8>, String) {
    let (base, top) = (layer("base"), layer("top"));
    let config = |diffs: Value| {
        json!({ "architecture": "amd64", "os": "linux", "config": { "Env": ["A=1"], "User": "", "WorkingDir": "" },
            "rootfs": { "type": "layers", "diff_ids": diffs } })
        .to_string()
    };
    let one = config(json!([digest(&base), digest(&top)]));
    let two = config(json!([digest(&base)]));
    let name = |config: &str| format!("{}.json", digest(config.as_bytes()).strip_prefix("sha256:").unwrap());
    let one_name = config_name.map_or_else(|| name(&one), str::to_owned);
    let manifest = json!([
        { "Config": one_name, "RepoTags": ["example:latest", "example:1"], "Layers": ["a/layer.tar", "b/layer.tar"] },
        { "Config": name(&two), "RepoTags": null, "Layers": ["c/layer.tar"] },
    ]);
    let tar = Tar::default()
        .entry("a/layer.tar", EntryType::Regular, &base, |_| {})
        .entry("b/layer.tar", EntryType::Regular, &top, |_| {})
        .link(EntryType::Symlink, "c/layer.tar", "../a/layer.tar");
    let long = format!("{one_name}\0");
    let tar = tar
        .entry("././@LongLink", EntryType::GNULongName, long.as_bytes(), |_| {})
        .file("cut", &one);
    let tar = tar.file(&name(&two), &two).file("manifest.json", &manifest.to_string());
    (tar.end(), digest(one.as_bytes()))
}

#[test]
fn docker_archives() {
    let bench = Bench::new();
    let (bytes, id) = docker_archive(None);
    fs::write(bench.path("saved.tar"), &bytes).unwrap();
    let reference = format!("docker-archive:{}", bench.path("saved.tar").display());
    for tag in ["example:1", "example", "docker.io/library/example:latest"] {
        let image = bench.resolve(&format!("{reference}:{tag}")).unwrap();
        assert_eq!(image.digest.to_string(), id);
        assert!(image.layers[0].join("base").is_file() && image.layers[1].join("top").is_file());
        assert_eq!(image.config.env, [("A".to_owned(), "1".to_owned())]);
        assert_eq!((image.config.user, image.config.working_dir), (None, None));
    }
    let error = bench.resolve(&reference).unwrap_err();
    assert!(
        error.to_string().ends_with("it holds example:latest, example:1"),
        "{error}"
    );

    fs::write(bench.path("saved.tar.gz"), gzip(&bytes)).unwrap();
    let reference = format!("docker-archive:{}:example", bench.path("saved.tar.gz").display());
    assert_eq!(bench.resolve(&reference).unwrap().digest.to_string(), id);

    let wrong = format!("{}.json", "a".repeat(64));
    let (bytes, id) = docker_archive(Some(&wrong));
    fs::write(bench.path("wrong.tar"), bytes).unwrap();
    let error = bench
        .resolve(&format!("docker-archive:{}:example", bench.path("wrong.tar").display()))
        .unwrap_err();
    let text = error.to_string();
    assert!(text.ends_with(&format!(
        "configuration sha256:{} is damaged: its bytes have the digest {id}",
        "a".repeat(64)
    )));
}

#[test]
fn a_changed_archive_is_read_again() {
    let bench = Bench::new();
    let save = |name: &str| {
        let layout = bench.layout(name);
        layout.index(&[layout.image(&[layer(name)], &json!({}))]);
        let new = bench.path("new");
        fs::write(&new, archive_of(&layout.root)).unwrap();
        fs::rename(new, bench.path("image.tar")).unwrap();
    };
    let reference = format!("oci-archive:{}", bench.path("image.tar").display());
    save("one");
    let one = bench.resolve(&reference).unwrap();
    assert_eq!(bench.resolve(&reference).unwrap(), one);
    save("two");
    let two = bench.resolve(&reference).unwrap();
    assert!(two.layers[0].join("two").is_file());
    assert_ne!(two.digest, one.digest);
}
