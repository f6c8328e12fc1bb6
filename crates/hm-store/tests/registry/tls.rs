//! TLS with an authority of one's own, and proxies.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;

use crate::fake::{Fake, Reply};
use crate::made::{Layer, Made};
use crate::world::{World, registry_error, settings, whole};

/// A server's settings for these names, and its authority's certificate as PEM.
fn authority(names: &[&str]) -> (Arc<ServerConfig>, String) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    (Arc::new(config), issuer.pem())
}

fn made() -> Made {
    Made::tagged(&[Layer::plain(&[("a", b"1")]).gzip()])
}

fn pem_file(world: &World, text: &str) -> PathBuf {
    let path = world.base.path().join("ca.pem");
    fs::write(&path, text).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn authorities_of_one_s_own() {
    let (config, pem) = authority(&["localhost"]);
    let fake = Fake::with_tls(made(), Some(config), |_| Reply::Serve);
    let world = World::new();
    let reference = format!("localhost:{}/o/i:t", fake.port());
    let error = registry_error(world.pull(&reference, settings(&[])).await);
    assert_eq!(error.code(), "registry_unreachable");
    assert!(whole(&error).contains("certificate"), "{}", whole(&error));
    assert_eq!(world.told("retry").len(), 0);
    assert!(error.fix().unwrap().contains("sandbox.ca_files"));

    let mut trusting = settings(&[]);
    trusting.registry.authorities.extra = vec![pem_file(&world, &pem)];
    world.pull(&reference, trusting).await.unwrap();
    let mut instead = settings(&[]);
    instead.registry.authorities.instead = Some(pem_file(&world, &pem));
    world.pull(&reference, instead).await.unwrap();

    let mut empty = settings(&[]);
    empty.registry.authorities.extra = vec![pem_file(&world, "nothing")];
    let error = registry_error(world.pull(&reference, empty).await);
    assert_eq!(error.code(), "registry_settings");
}

/// Leads every `CONNECT` to one server; ends with the first connection after `connections`.
fn proxy(target: u16, connections: usize) -> (u16, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let running = std::thread::spawn(move || {
        let mut asked = Vec::new();
        for _ in 0..connections {
            let (mut client, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(client.try_clone().unwrap()).lines();
            asked.push(lines.next().unwrap().unwrap());
            while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
            client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
            let server = TcpStream::connect(("127.0.0.1", target)).unwrap();
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    drop(std::io::copy(&mut &client, &mut &server));
                    drop(server.shutdown(Shutdown::Both));
                });
                drop(std::io::copy(&mut &server, &mut &client));
                drop(client.shutdown(Shutdown::Both));
            });
        }
        asked
    });
    (port, running)
}

#[tokio::test(flavor = "multi_thread")]
async fn proxies_for_servers_with_tls() {
    let (config, pem) = authority(&["registry.test"]);
    let fake = Fake::with_tls(made(), Some(config), |_| Reply::Serve);
    let (port, running) = proxy(fake.port(), 3);
    let world = World::new();
    let mut settings = settings(&[]);
    settings.registry.authorities.extra = vec![pem_file(&world, &pem)];
    settings.registry.proxies.https = Some(format!("http://127.0.0.1:{port}"));
    // A manifest, a configuration, a layer.
    world.pull("registry.test/o/i:t", settings).await.unwrap();
    assert_eq!(running.join().unwrap(), ["CONNECT registry.test:443 HTTP/1.1"; 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_is_gone_is_named() {
    let gone = Fake::good(Made::default()).host();
    let mut settings = settings(&[]);
    settings.registry.proxies.https = Some(format!("http://me:secret@{gone}"));
    let error = registry_error(World::new().pull("registry.test/o/i:t", settings).await);
    let expected = format!("registry.test can't be reached by way of the proxy http://{gone}");
    assert_eq!(error.to_string(), expected);
    assert!(error.fix().unwrap().contains("NO_PROXY"));
}

#[tokio::test(flavor = "multi_thread")]
async fn proxies_for_servers_without_tls_and_exceptions() {
    let fake = Fake::good(made());
    let world = World::new();
    let mut through = settings(&["plain.test"]);
    through.registry.proxies.http = Some(format!("http://{}", fake.host()));
    world.pull("plain.test/o/i:t", through).await.unwrap();
    assert_eq!(fake.requests()[0].header("host"), Some("plain.test"));

    let gone = Fake::good(Made::default()).host();
    let mut direct = settings(&[&fake.host()]);
    direct.registry.proxies.http = Some(format!("http://{gone}"));
    direct.registry.proxies.none = Some("example.com,127.0.0.1".to_owned());
    world.pull(&format!("{}/o/i:t", fake.host()), direct).await.unwrap();
}
