//! Tokens and credential helpers.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hm_store::ImageSettings;
use hm_store::image::{DockerConfig, RegistryError};

use crate::fake::{Fake, Reply, Request};
use crate::made::{Layer, Made, noise};
use crate::world::{World, read, registry_error, settings};

/// A registry that wants tokens, which it gives itself to whoever `lets_in` lets. A token is good for `uses` requests.
fn token_server(uses: usize, lets_in: impl Fn(&Request) -> bool + Send + Sync + 'static) -> Fake {
    let layers: Vec<Layer> = (0..3)
        .map(|seed| Layer::plain(&[("f", &noise(seed, 50_000))]))
        .collect();
    let (given, used) = (AtomicUsize::new(0), AtomicUsize::new(0));
    Fake::start(Made::tagged(&layers), move |request| {
        let host = request.header("host").unwrap();
        if request.path.starts_with("/token") {
            if !lets_in(request) {
                return Reply::Other(401, Vec::new(), r#"{"details":"wrong password"}"#.into());
            }
            used.store(0, Ordering::SeqCst);
            let number = given.fetch_add(1, Ordering::SeqCst) + 1;
            return Reply::Other(200, Vec::new(), format!(r#"{{"token":"T{number}","expires_in":60}}"#));
        }
        let good = format!("Bearer T{}", given.load(Ordering::SeqCst));
        if request.header("authorization") == Some(&good) && used.fetch_add(1, Ordering::SeqCst) < uses {
            return Reply::Serve;
        }
        let challenge = format!(r#"Bearer realm="http://{host}/token?x=1",service="s v",scope="repository:o/i:pull""#);
        Reply::Other(401, vec![("WWW-Authenticate", challenge)], String::new())
    })
}

fn with_config(host: &str, config: &str) -> ImageSettings {
    let mut settings = settings(&[host]);
    settings.registry.credentials = DockerConfig::parse(config.replace("HOST", host).as_bytes()).unwrap();
    settings
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_for_anyone() {
    let fake = token_server(100, |request| request.header("authorization").is_none());
    let (host, world) = (fake.host(), World::new());
    let image = world.pull(&format!("{host}/o/i:t"), settings(&[&host])).await.unwrap();
    assert_eq!(read(&image, 2, "f"), noise(2, 50_000));
    let tokens: Vec<Request> = fake
        .requests()
        .into_iter()
        .filter(|request| request.path.starts_with("/token"))
        .collect();
    assert_eq!(tokens.len(), 1);
    assert!(tokens[0].path.contains("x=1"), "{}", tokens[0].path);
    assert!(tokens[0].path.contains("service=s+v"), "{}", tokens[0].path);
    assert!(
        tokens[0].path.contains("scope=repository%3Ao%2Fi%3Apull"),
        "{}",
        tokens[0].path
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_for_a_password_that_end_early() {
    let fake = token_server(2, |request| request.header("authorization") == Some("Basic dTpw"));
    let (host, world) = (fake.host(), World::new());
    let mut settings = with_config(&host, r#"{"auths":{"HOST":{"auth":"dTpw"}}}"#);
    settings.registry.parallel_downloads = std::num::NonZeroUsize::new(1);
    world.pull(&format!("{host}/o/i:t"), settings).await.unwrap();
    let tokens = fake
        .requests()
        .into_iter()
        .filter(|request| request.path.starts_with("/token"))
        .count();
    assert!(tokens > 1, "{tokens}");

    let wrong = with_config(&host, r#"{"auths":{"HOST":{"auth":"dTpx"}}}"#);
    let error = registry_error(World::new().pull(&format!("{host}/o/i:t"), wrong).await);
    assert_eq!(error.code(), "registry_unauthorized");
    assert!(crate::world::whole(&error).contains("wrong password"));
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_for_a_refresh_token() {
    let fake = token_server(100, |request| {
        request.method == "POST"
            && request.body.contains("grant_type=refresh_token")
            && request.body.contains("refresh_token=r+1")
            && request.body.contains("service=s+v")
    });
    let (host, world) = (fake.host(), World::new());
    let settings = with_config(&host, r#"{"auths":{"HOST":{"auth":"dTpw","identitytoken":"r 1"}}}"#);
    world.pull(&format!("{host}/o/i:t"), settings).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn helpers_are_asked() {
    let fake = token_server(100, |request| request.header("authorization") == Some("Basic dTpw"));
    let (host, world) = (fake.host(), World::new());
    let folder = world.base.path().join("bin");
    fs::create_dir(&folder).unwrap();
    let path = folder.join("docker-credential-test");
    let write = |script: &str| {
        fs::write(&path, format!("#!/bin/sh\nread server\n{script}\n")).unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    };
    let settings = |program: &str| {
        let config = format!(r#"{{"credHelpers":{{"HOST":"{program}"}}}}"#);
        let mut settings = with_config(&host, &config);
        settings.registry.helper_path = Some(folder.clone().into());
        settings
    };
    let reference = format!("{host}/o/i:t");
    write("echo kaputt; exit 1");
    let error = registry_error(world.pull(&reference, settings("test")).await);
    assert_eq!(error.code(), "registry_credentials");
    assert!(crate::world::whole(&error).contains("kaputt"));

    write("echo credentials not found in native keychain; exit 1");
    let error = registry_error(world.pull(&reference, settings("test")).await);
    assert_eq!(error.code(), "registry_unauthorized");

    write(r#"printf '{"ServerURL":"%s","Username":"u","Secret":"p"}' "$server""#);
    world.pull(&reference, settings("test")).await.unwrap();

    let error = registry_error(world.pull(&format!("{host}/o/other:t"), settings("missing")).await);
    assert!(crate::world::whole(&error).contains("docker-credential-missing"));
}

/// What a pull says whose credential helper is this script, which has so long to answer.
async fn helped(script: &str, limit: Duration) -> Result<(), RegistryError> {
    let fake = token_server(100, |request| request.header("authorization") == Some("Basic dTpw"));
    let (host, world) = (fake.host(), World::new());
    let folder = world.base.path().to_owned();
    let path = folder.join("docker-credential-test");
    let script = script.replace("FOLDER", folder.to_str().unwrap());
    fs::write(&path, format!("#!/bin/sh\nread server\n{script}\n")).unwrap();
    fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    let mut settings = with_config(&host, r#"{"credHelpers":{"HOST":"test"}}"#);
    settings.registry.helper_path = Some(folder.into());
    settings.registry.timeouts.helper = limit;
    match world.pull(&format!("{host}/o/i:t"), settings).await {
        Ok(_) => Ok(()),
        failed @ Err(_) => Err(registry_error(failed)),
    }
}

const LONG: Duration = Duration::from_mins(10);

#[tokio::test(flavor = "multi_thread")]
async fn helpers_without_end_are_ended() {
    for stream in ["", " >&2"] {
        let error = helped(&format!("exec cat /dev/zero{stream}"), LONG).await.unwrap_err();
        let text = crate::world::whole(&error);
        assert!(text.contains("more than 1 MiB"), "{text}");
        assert_eq!(error.code(), "registry_credentials");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_children_of_a_silent_helper_end_with_it() {
    // The other end of the pipe is open as long as one of them lives.
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || fs::read_to_string(pipe).unwrap()
    });
    let script = format!("exec 9>{}; echo alive >&9; sleep 600; echo", pipe.display());
    let error = helped(&script, Duration::from_millis(300)).await.unwrap_err();
    assert!(crate::world::whole(&error).contains("did not answer"));
    assert_eq!(reader.join().unwrap(), "alive\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_outlives_its_helper_is_not_waited_for() {
    let answer = r#"printf '{"ServerURL":"s","Username":"u","Secret":"p"}'"#;
    let script = format!("sleep 600 & echo $! > FOLDER/pid; {answer}");
    let world = tempfile::tempdir().unwrap();
    let script = script.replace("FOLDER", world.path().to_str().unwrap());
    let begun = Instant::now();
    helped(&script, LONG).await.unwrap();
    assert!(begun.elapsed() < Duration::from_mins(5));
    let pid: i32 = fs::read_to_string(world.path().join("pid"))
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it lives on");
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_stay_with_their_server() {
    let layer = Layer::plain(&[("a", b"1")]);
    let made = Made::tagged(std::slice::from_ref(&layer));
    let elsewhere = Arc::new(Fake::good(made.clone()));
    let target = format!("http://localhost:{}", elsewhere.port());
    let fake = Fake::start(made, move |request| {
        if request.header("authorization") != Some("Basic dTpw") {
            return Reply::Other(401, vec![("WWW-Authenticate", "Basic realm=x".into())], String::new());
        }
        if request.is_blob() {
            return Reply::Other(
                307,
                vec![("Location", format!("{target}{}", request.path))],
                String::new(),
            );
        }
        Reply::Serve
    });
    let (host, world) = (fake.host(), World::new());
    let settings = with_config(&host, r#"{"auths":{"HOST":{"auth":"dTpw"}}}"#);
    world.pull(&format!("{host}/o/i:t"), settings).await.unwrap();
    assert_eq!(elsewhere.blob_requests(), 2);
    assert!(
        elsewhere
            .requests()
            .iter()
            .all(|request| request.header("authorization").is_none())
    );
}
