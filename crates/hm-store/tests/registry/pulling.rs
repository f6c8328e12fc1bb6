//! Pulls from a real registry.

use crate::made::{DOCKER_LIST, DOCKER_MANIFEST, Layer, Made, OCI_INDEX, OCI_MANIFEST, noise};
use crate::real::{Cutter, Real};
use crate::world::{World, platform, read, registry_error, settings, whole};

#[tokio::test(flavor = "multi_thread")]
async fn layers_of_all_compressions() {
    let real = Real::start();
    let layers = [
        Layer::plain(&[("a", b"one"), ("both", b"below")]),
        Layer::plain(&[("b", b"two"), ("both", b"above")]).gzip(),
        Layer::plain(&[("c", b"three"), (".wh.a", b"")]).zstd(),
    ];
    real.push("o/i", &Made::tagged(&layers));
    let host = real.host();
    let world = World::new();
    let images = world.images(settings(&[&host]));
    let image = world.pull_with(&images, &format!("{host}/o/i:t")).await.unwrap();
    assert_eq!(image.layers.len(), 3);
    assert_eq!(read(&image, 0, "a"), b"one");
    assert_eq!(read(&image, 1, "both"), b"above");
    assert_eq!(read(&image, 2, "c"), b"three");
    assert_eq!(image.config.env, [("ARCH".to_owned(), "amd64".to_owned())]);
    assert_eq!(image.config.working_dir.as_deref(), Some("/w"));
    assert_eq!(world.told("start").len(), 3);
    assert_eq!(world.told("unpacked"), ["unpacked 0", "unpacked 1", "unpacked 2"]);
    assert_eq!(world.partial_bytes(), 0);

    let again = world.pull_with(&images, &format!("{host}/o/i:t")).await.unwrap();
    assert_eq!(again, image);
    assert_eq!(world.told("resolved").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_by_platform() {
    let real = Real::start();
    for (repository, manifest, list) in [
        ("oci", OCI_MANIFEST, OCI_INDEX),
        ("docker", DOCKER_MANIFEST, DOCKER_LIST),
    ] {
        let mut made = Made::default();
        let layer = |name: &str| {
            let layer = Layer::plain(&[("name", name.as_bytes())]);
            if manifest == DOCKER_MANIFEST {
                layer.docker()
            } else {
                layer.gzip()
            }
        };
        let amd = made.image("amd64", &[layer("amd")], manifest);
        let arm = made.image("arm64", &[layer("arm")], manifest);
        let top = made.list(&[("arm64", &arm), ("amd64", &amd)], list);
        made.tag("t", &top);
        real.push(repository, &made);
        let (host, world) = (real.host(), World::new());
        for (architecture, name, digest) in [("amd64", "amd", &amd), ("arm64", "arm", &arm)] {
            let mut settings = settings(&[&host]);
            settings.platform = platform(architecture);
            let images = world.images(settings);
            let image = world
                .pull_with(&images, &format!("{host}/{repository}:t"))
                .await
                .unwrap();
            assert_eq!(image.digest.to_string(), *digest);
            assert_eq!(read(&image, 0, "name"), name.as_bytes());
            // The digest of the list stands for the same.
            let pinned = world
                .pull_with(&images, &format!("{host}/{repository}@{top}"))
                .await
                .unwrap();
            assert_eq!(pinned, image);
        }
        let mut other = settings(&[&host]);
        other.platform = platform("riscv64");
        let error = world.pull(&format!("{host}/{repository}:t"), other).await.unwrap_err();
        assert!(whole(&error).contains("no image for linux/riscv64"), "{error}");
        assert!(error.fix().is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_that_is_cut_goes_on_where_it_was() {
    let real = Real::start();
    let content = noise(7, 3 << 20);
    real.push("o/i", &Made::tagged(&[Layer::plain(&[("big", &content)]).gzip()]));
    let cutter = Cutter::before(&real, 3, 700 << 10);
    let host = cutter.host();
    let world = World::new();
    let image = world.pull(&format!("{host}/o/i:t"), settings(&[&host])).await.unwrap();
    assert_eq!(read(&image, 0, "big"), content);
    assert_eq!(cutter.cuts_left(), 0);
    assert_eq!(world.told("retry").len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there() {
    let real = Real::start();
    real.push("o/i", &Made::tagged(&[Layer::plain(&[("a", b"1")])]));
    let (host, world) = (real.host(), World::new());
    for name in ["o/none:t", "o/i:none"] {
        let error = registry_error(world.pull(&format!("{host}/{name}"), settings(&[&host])).await);
        assert_eq!(error.code(), "image_not_found");
        assert!(error.to_string().contains(name), "{error}");
    }
    assert_eq!(world.layers(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_of_docker_s_configuration() {
    let real = Real::with_password();
    real.push("o/i", &Made::tagged(&[Layer::plain(&[("a", b"1")])]));
    let (host, world) = (real.host(), World::new());
    let reference = format!("{host}/o/i:t");
    let error = registry_error(world.pull(&reference, settings(&[&host])).await);
    assert_eq!(error.code(), "registry_unauthorized");
    assert!(error.fix().unwrap().contains(&format!("docker login {host}")));
    let with = |auth: &str| {
        let mut settings = settings(&[&host]);
        let text = format!(r#"{{"auths":{{"{host}":{{"auth":"{auth}"}}}}}}"#);
        settings.registry.credentials = hm_store::image::DockerConfig::parse(text.as_bytes()).unwrap();
        settings
    };
    let error = registry_error(world.pull(&reference, with("dXNlcjp3cm9uZw==")).await);
    assert!(error.to_string().contains("this user"), "{error}");
    world.pull(&reference, with("dXNlcjpzZWNyZXQ=")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_tls_is_told_from_one_that_is_gone() {
    let real = Real::start();
    let error = registry_error(
        World::new()
            .pull(&format!("{}/o/i:t", real.host()), settings(&[]))
            .await,
    );
    assert!(
        error.fix().unwrap().contains("insecure_registries"),
        "{}",
        whole(&error)
    );
}
