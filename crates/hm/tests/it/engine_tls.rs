//! An engine of a test's own that speaks TLS, and asks who speaks with it.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType, date_time_ymd};
use serde_json::json;

use crate::bad_input::assert_error;
use crate::docker::Engine;
use crate::own_engine::{Ending, engine, is_possible, ready};
use crate::support::{Ir, Lab, Run};

const ADDRESS: &str = "tcp://127.0.0.1:2376";

/// Who signs, and the certificates that it signs.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Writes a certificate and its key.
    fn sign(&self, folder: &Path, names: [&str; 2], change: impl FnOnce(&mut CertificateParams)) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        let loopback: IpAddr = "127.0.0.1".parse().unwrap();
        params.subject_alt_names.push(SanType::IpAddress(loopback));
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        for (name, text) in names.iter().zip([certificate.pem(), key.serialize_pem()]) {
            fs::write(folder.join(name), text).unwrap();
        }
    }
}

const CLIENT: [&str; 2] = ["cert.pem", "key.pem"];

/// A folder with what a client needs, of this authority and signed by another.
fn client(lab: &Lab, name: &str, trusted: &Authority, signs: &Authority) -> PathBuf {
    let folder = lab.path(name);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("ca.pem"), trusted.0.pem()).unwrap();
    signs.sign(&folder, CLIENT, |_| {});
    folder
}

struct Bench {
    lab: Lab,
    running: Ending,
    engine: Engine,
    authority: Authority,
}

impl Bench {
    fn new() -> Self {
        let lab = Lab::new();
        let authority = Authority::new();
        let folder = lab.path("server");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("ca.pem"), authority.0.pem()).unwrap();
        authority.sign(&folder, ["server.pem", "server-key.pem"], |_| {});
        let (running, engine) = engine(&lab, "ip link set lo up", &["--tls", folder.to_str().unwrap()]);
        Self {
            lab,
            running,
            engine,
            authority,
        }
    }

    /// `hm` in the engine's network, with these variables in place of the socket's.
    fn run(&self, variables: &[(&str, &str)]) -> Run {
        let ir = Ir::new().step("s", "cat f; seq 3000").step("t", "cat f").builds_in("s");
        self.lab.write("f", "sent\n");
        let mut command = self.engine.command(&self.lab, &ir, &self.engine.image);
        command.env_remove("DOCKER_HOST").envs(variables.iter().copied());
        Run::of(&self.running.beside(&command).output().unwrap())
    }

    fn with_certificates(&self, address: &str, folder: &Path) -> Run {
        self.run(&[
            ("DOCKER_HOST", address),
            ("DOCKER_TLS_VERIFY", "1"),
            ("DOCKER_CERT_PATH", folder.to_str().unwrap()),
        ])
    }

    #[track_caller]
    fn refused(&self, run: &Run, words: &[&str]) {
        let error = assert_error(run, 4, "engine_tls");
        for word in words {
            assert!(error.to_string().contains(word), "{word}: {error:#}");
        }
        for key in fs::read_dir(self.lab.path(""))
            .unwrap()
            .filter_map(|folder| fs::read_to_string(folder.unwrap().path().join("key.pem")).ok())
        {
            let secret = key.lines().nth(1).unwrap();
            assert!(!format!("{run:?}").contains(secret), "{run:#?}");
        }
    }
}

#[test]
fn an_engine_that_speaks_tls() {
    if !is_possible() {
        return;
    }
    let bench = Bench::new();
    let Bench { lab, authority, .. } = &bench;
    let right = client(lab, "right", authority, authority);
    let run = bench.with_certificates(ADDRESS, &right).passed();
    assert_eq!((run.stdout("t"), run.stdout("s").len()), (vec!["sent"], 3001));

    // A context has the same files elsewhere.
    let docker = lab.path("home/.docker");
    fs::create_dir_all(docker.join("contexts/tls/0a")).unwrap();
    fs::create_dir_all(docker.join("contexts/meta/0a")).unwrap();
    fs::rename(&right, docker.join("contexts/tls/0a/docker")).unwrap();
    let meta = json!({ "Name": "far", "Endpoints": { "docker": { "Host": ADDRESS } } });
    fs::write(docker.join("contexts/meta/0a/meta.json"), meta.to_string()).unwrap();
    bench.run(&[("DOCKER_CONTEXT", "far")]).passed();
}

#[test]
fn a_failure_of_tls_says_what_is_wrong_and_what_helps() {
    if !is_possible() {
        return;
    }
    let bench = Bench::new();
    let Bench { lab, authority, .. } = &bench;
    let other = Authority::new();
    let by = |folder: &Path| bench.with_certificates(ADDRESS, folder);

    let folder = client(lab, "wrong-ca", &other, authority);
    bench.refused(&by(&folder), &["is not of the authority in", "the engine's ca.pem"]);
    let folder = client(lab, "wrong-client", authority, &other);
    bench.refused(&by(&folder), &["cert.pem and key.pem that the engine accepts"]);
    let folder = client(lab, "expired", authority, authority);
    authority.sign(&folder, CLIENT, |params| params.not_after = date_time_ymd(2020, 1, 1));
    bench.refused(&by(&folder), &["cert.pem and key.pem that the engine accepts"]);
    for name in CLIENT {
        fs::remove_file(folder.join(name)).unwrap();
    }
    bench.refused(&by(&folder), &["cert.pem and key.pem that the engine accepts"]);

    let folder = client(lab, "incomplete", authority, authority);
    bench.refused(
        &bench.with_certificates("tcp://localhost:2376", &folder),
        &["is for another name", "DOCKER_HOST"],
    );
    bench.refused(
        &bench.run(&[("DOCKER_HOST", ADDRESS)]),
        &["wants TLS", "DOCKER_TLS_VERIFY=1"],
    );
    fs::remove_file(folder.join("key.pem")).unwrap();
    bench.refused(&by(&folder), &["key.pem can't be read", "DOCKER_CERT_PATH"]);
    fs::write(folder.join("ca.pem"), "nothing").unwrap();
    bench.refused(&by(&folder), &["ca.pem holds no certificate", "DOCKER_CERT_PATH"]);
    fs::remove_file(folder.join("ca.pem")).unwrap();
    bench.refused(&by(&folder), &["ca.pem can't be read", "DOCKER_CERT_PATH"]);

    // One that speaks no TLS.
    let folder = client(lab, "plain", authority, authority);
    let mut server = Command::new("/usr/bin/python3");
    server.args(["-u", "-m", "http.server", "--bind", "127.0.0.1", "8000"]);
    let (plain, _) = ready(&mut bench.running.beside(&server));
    bench.refused(
        &bench.with_certificates("tcp://127.0.0.1:8000", &folder),
        &["speak TLS", "unset DOCKER_TLS_VERIFY"],
    );
    plain.end();
}
