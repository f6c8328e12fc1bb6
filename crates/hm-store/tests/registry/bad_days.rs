//! Servers that fail.

use hm_store::image::RegistryError;

use crate::fake::{Fake, Reply};
use crate::made::{Layer, Made, noise};
use crate::world::{World, read, registry_error, settings, whole};

fn one_layer() -> (Made, Layer) {
    let layer = Layer::plain(&[("big", &noise(3, 400 << 10))]).gzip();
    (Made::tagged(std::slice::from_ref(&layer)), layer)
}

#[tokio::test(flavor = "multi_thread")]
async fn passing_failures_are_tried_again() {
    let (made, _) = one_layer();
    let fake = Fake::start(made, |request| match request.earlier {
        0 => Reply::Other(429, vec![("Retry-After", "0".into())], String::new()),
        1 => Reply::Other(500, Vec::new(), "<html>".into()),
        2 if request.is_blob() => Reply::Cut(10),
        _ => Reply::Serve,
    });
    let (host, world) = (fake.host(), World::new());
    let image = world.pull(&format!("{host}/o/i:t"), settings(&[&host])).await.unwrap();
    assert_eq!(read(&image, 0, "big"), noise(3, 400 << 10));
    assert_eq!(world.told("retry").len(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn lasting_failures_are_told_and_leave_nothing() {
    let cases: [(u16, &str, &str, &str); 3] = [
        (429, "3600", "registry_rate_limited", "asks to wait 3600 s"),
        (500, "0", "registry_failed", "answered 500"),
        (403, "0", "registry_unauthorized", "no such luck"),
    ];
    for (status, wait, code, said) in cases {
        let (made, _) = one_layer();
        let fake = Fake::start(made, move |_| {
            let body = r#"{"errors":[{"code":"X","message":"no such luck"}]}"#;
            Reply::Other(status, vec![("Retry-After", wait.into())], body.into())
        });
        let (host, world) = (fake.host(), World::new());
        let error = registry_error(world.pull(&format!("{host}/o/i:t"), settings(&[&host])).await);
        assert_eq!(error.code(), code);
        assert!(whole(&error).contains(said), "{}", whole(&error));
        assert!(error.fix().is_some());
        let requests = if status == 500 { 4 } else { 1 };
        assert_eq!(fake.requests().len(), requests);
        assert_eq!((world.layers(), world.partial_bytes()), (0, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_tls_that_is_spoken_to_without() {
    let said = "Client sent an HTTP request to an HTTPS server.\n";
    let fake = Fake::start(Made::default(), |_| Reply::Other(400, Vec::new(), said.into()));
    let host = fake.host();
    let error = registry_error(World::new().pull(&format!("{host}/o/i:t"), settings(&[&host])).await);
    assert!(whole(&error).contains(said.trim()), "{}", whole(&error));
    assert!(error.fix().unwrap().contains("sandbox.insecure_registries"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_gone() {
    let host = Fake::good(Made::default()).host();
    let world = World::new();
    let error = registry_error(world.pull(&format!("{host}/o/i:t"), settings(&[&host])).await);
    assert_eq!(error.code(), "registry_unreachable");
    assert!(error.to_string().contains(&host), "{error}");
    assert!(error.fix().unwrap().contains("--offline"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_that_is_always_cut_is_gone_on_with_by_the_next_pull() {
    let (made, layer) = one_layer();
    let world = World::new();
    let bad = Fake::start(made.clone(), |request| {
        if request.is_blob() && request.header("range").is_some() {
            Reply::Cut(0)
        } else {
            Reply::Cut(100_000)
        }
    });
    let host = bad.host();
    let error = registry_error(world.pull(&format!("{host}/o/i:t"), settings(&[&host])).await);
    let RegistryError::Cut { got, size, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!((*got, *size), (100_000, layer.bytes.len() as u64));
    assert_eq!((world.layers(), world.partial_bytes()), (0, 100_000));

    let good = Fake::good(made);
    let host = good.host();
    let image = world.pull(&format!("{host}/o/i:t"), settings(&[&host])).await.unwrap();
    assert_eq!(read(&image, 0, "big"), noise(3, 400 << 10));
    assert_eq!(world.told("start").last().unwrap(), "start 0 at 100000");
    let ranges: Vec<_> = good
        .requests()
        .iter()
        .filter_map(|request| request.header("range").map(str::to_owned))
        .collect();
    assert_eq!(ranges, ["bytes=100000-"]);
    assert_eq!(world.partial_bytes(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_ranges_begins_anew() {
    let (made, _) = one_layer();
    let fake = Fake::start(made, |request| match (request.is_blob(), request.earlier) {
        (true, 0) => Reply::Cut(300),
        _ => Reply::Whole,
    });
    let (host, world) = (fake.host(), World::new());
    let image = world.pull(&format!("{host}/o/i:t"), settings(&[&host])).await.unwrap();
    assert_eq!(read(&image, 0, "big"), noise(3, 400 << 10));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_refuses_ranges_is_asked_for_the_whole() {
    let (made, _) = one_layer();
    let fake = Fake::start(made, |request| match request.header("range") {
        Some(_) => Reply::Other(416, Vec::new(), String::new()),
        None if request.is_blob() && request.earlier == 0 => Reply::Cut(300),
        None => Reply::Whole,
    });
    let (host, world) = (fake.host(), World::new());
    let image = world.pull(&format!("{host}/o/i:t"), settings(&[&host])).await.unwrap();
    assert_eq!(read(&image, 0, "big"), noise(3, 400 << 10));

    // The same where an earlier pull left what has to be gone on with.
    let (made, _) = one_layer();
    let world = World::new();
    let cutting = Fake::start(made.clone(), |request| match request.header("range") {
        Some(_) => Reply::Cut(0),
        None => Reply::Cut(5000),
    });
    let host = cutting.host();
    let reference = format!("{host}/o/i:t");
    world.pull(&reference, settings(&[&host])).await.unwrap_err();
    assert!(world.partial_bytes() > 0);
    let refusing = Fake::start(made, |request| match request.header("range") {
        Some(_) => Reply::Other(416, Vec::new(), String::new()),
        None => Reply::Serve,
    });
    let host = refusing.host();
    let image = world.pull(&format!("{host}/o/i:t"), settings(&[&host])).await.unwrap();
    assert_eq!(read(&image, 0, "big"), noise(3, 400 << 10));
}

/// A pull from a registry with a mirror that does as it likes; what the mirror was told to have done wrong, and how often
/// the registry was asked for the layer.
async fn with_mirror(rule: impl Fn(&crate::fake::Request) -> Reply + Send + Sync + 'static) -> (Vec<String>, usize) {
    let (made, layer) = one_layer();
    let (mirror, registry) = (Fake::start(made.clone(), rule), Fake::good(made));
    let (host, world) = (registry.host(), World::new());
    let mut settings = settings(&[&host]);
    settings.registry.mirrors = [(host.clone(), vec![format!("http://{}", mirror.host())])].into();
    let image = world.pull(&format!("{host}/o/i:t"), settings.clone()).await.unwrap();
    assert_eq!(read(&image, 0, "big"), noise(3, 400 << 10));
    let fetching = World::new();
    fetching.fetch(&format!("{host}/o/i:t"), settings).await.unwrap();
    assert_eq!(fetching.kept().len(), 1);
    assert_eq!(fetching.told("mirror"), world.told("mirror"));
    let requests = registry.requests();
    let times = requests
        .iter()
        .filter(|request| request.path.ends_with(&layer.digest()));
    (world.told("mirror"), times.count())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_that_sends_no_manifest_is_passed_over() {
    for body in ["{}", "<html>log in</html>", r#"{"schemaVersion":2}"#] {
        let rule = move |request: &crate::fake::Request| {
            if request.path.contains("/manifests/") {
                Reply::Other(200, Vec::new(), body.to_owned())
            } else {
                Reply::Serve
            }
        };
        let (told, _) = with_mirror(rule).await;
        assert_eq!(told.len(), 1, "{body}");
    }
    let (told, _) = with_mirror(|request| {
        if request.is_blob() {
            Reply::Serve
        } else {
            Reply::Corrupt
        }
    })
    .await;
    assert_eq!(told.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_that_sends_a_wrong_layer_is_passed_over() {
    let (_, layer) = one_layer();
    let wanted = layer.digest();
    let is_layer = move |request: &crate::fake::Request| request.path.ends_with(&wanted);
    let wrong = is_layer.clone();
    let (told, times) = with_mirror(move |request| if wrong(request) { Reply::Corrupt } else { Reply::Serve }).await;
    assert_eq!((told.len(), times), (1, 2));
    // What unpacks to nothing, too long, and wrong from the start.
    let wrong = is_layer.clone();
    let garbage = move |request: &crate::fake::Request| {
        if wrong(request) {
            Reply::Other(200, Vec::new(), "x".repeat(layer.bytes.len()))
        } else {
            Reply::Serve
        }
    };
    let (told, times) = with_mirror(garbage).await;
    assert_eq!((told.len(), times), (1, 2));
    let wrong = is_layer.clone();
    let too_long = move |request: &crate::fake::Request| {
        if wrong(request) {
            Reply::Other(200, Vec::new(), "x".repeat(1 << 20))
        } else {
            Reply::Serve
        }
    };
    let (told, _) = with_mirror(too_long).await;
    assert_eq!(told.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_earlier_pull_left_damaged_is_loaded_anew() {
    let (made, layer) = one_layer();
    let world = World::new();
    let bad = Fake::start(made.clone(), |request| {
        if request.header("range").is_some() {
            Reply::Cut(0)
        } else {
            Reply::Cut(5000)
        }
    });
    let host = bad.host();
    world
        .pull(&format!("{host}/o/i:t"), settings(&[&host]))
        .await
        .unwrap_err();
    let left = std::fs::read_dir(world.base.path().join("store/p"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    std::fs::write(left, vec![0; 6000]).unwrap();
    let good = Fake::good(made);
    let host = good.host();
    world.pull(&format!("{host}/o/i:t"), settings(&[&host])).await.unwrap();
    let blobs = good
        .requests()
        .into_iter()
        .filter(|request| request.path.ends_with(&layer.digest()));
    let ranges: Vec<_> = blobs
        .map(|request| request.header("range").map(str::to_owned))
        .collect();
    assert_eq!(ranges, [Some("bytes=6000-".to_owned()), None]);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_digests_name_both() {
    let (made, layer) = one_layer();
    let wanted = layer.digest();
    let fake = Fake::start(made.clone(), {
        let wanted = wanted.clone();
        move |request| {
            if request.path.ends_with(&wanted) {
                Reply::Corrupt
            } else {
                Reply::Serve
            }
        }
    });
    let (host, world) = (fake.host(), World::new());
    let error = registry_error(world.pull(&format!("{host}/o/i:t"), settings(&[&host])).await);
    let RegistryError::DigestMismatch {
        what: "layer",
        expected,
        found,
        ..
    } = &error
    else {
        panic!("{error}")
    };
    let mut corrupt = layer.bytes.clone();
    *corrupt.last_mut().unwrap() ^= 1;
    assert_eq!((expected, found), (&wanted, &crate::made::digest(&corrupt)));
    assert!(error.to_string().contains(expected) && error.to_string().contains(found));
    assert_eq!((world.layers(), world.partial_bytes()), (0, 0));

    let image = made
        .manifests
        .keys()
        .find(|name| name.starts_with("sha256:"))
        .unwrap()
        .clone();
    let fake = Fake::start(made, |_| Reply::Corrupt);
    let host = fake.host();
    for name in [format!("{host}/o/i:t"), format!("{host}/o/i@{image}")] {
        let error = registry_error(world.pull(&name, settings(&[&host])).await);
        assert!(
            matches!(&error, RegistryError::DigestMismatch { what: "manifest", expected, .. } if *expected == image)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_bytes_than_there_are() {
    let (made, layer) = one_layer();
    let digest = layer.digest();
    let fake = Fake::start(made, move |request| {
        if request.path.ends_with(&digest) {
            Reply::Other(200, Vec::new(), "x".repeat(1 << 20))
        } else {
            Reply::Serve
        }
    });
    let (host, world) = (fake.host(), World::new());
    let error = registry_error(world.pull(&format!("{host}/o/i:t"), settings(&[&host])).await);
    assert_eq!(error.code(), "registry_protocol");
    assert_eq!(world.layers(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_that_unpacks_to_too_much() {
    let layer = Layer::plain(&[("zeros", &vec![0; 1 << 20])]).gzip();
    let fake = Fake::good(Made::tagged(&[layer]));
    let (host, world) = (fake.host(), World::new());
    let mut settings = settings(&[&host]);
    settings.limits.layer_bytes = 100_000;
    let error = world.pull(&format!("{host}/o/i:t"), settings).await.unwrap_err();
    assert!(whole(&error).contains("more than 100000 bytes"), "{}", whole(&error));
    assert_eq!(world.layers(), 0);
}
