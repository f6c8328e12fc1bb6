//! Debian's docker-registry, filled by hand.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;

use tempfile::TempDir;

use crate::made::Made;

/// A running registry.
pub(crate) struct Real {
    child: Child,
    address: SocketAddr,
    log: Option<JoinHandle<()>>,
    _folder: TempDir,
}

/// `user` with the password `secret`, as htpasswd(1) writes it with bcrypt.
pub(crate) const USER: &str = "user:$2b$04$3NUDRiBF0ZJLO1h.mNUkcuAK4FhSGDadiqXOt5sQYKKmMO3.3uk56";

impl Real {
    pub(crate) fn start() -> Self {
        Self::with("")
    }

    /// One that lets only `user` in, with the password `secret`.
    pub(crate) fn with_password() -> Self {
        Self::with("auth:\n  htpasswd:\n    realm: test\n    path: FOLDER/users\n")
    }

    fn with(more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("users"), format!("{USER}\n")).unwrap();
        let (child, address, log) = spawn(folder.path(), more);
        Self {
            child,
            address,
            log: Some(log),
            _folder: folder,
        }
    }

    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    /// Uploads all blobs and manifests (distribution specification, "Push").
    pub(crate) fn push(&self, repository: &str, made: &Made) {
        for (digest, bytes) in &made.blobs {
            let started = self.request("POST", &format!("/v2/{repository}/blobs/uploads/"), "", &[]);
            assert!(started.starts_with("HTTP/1.1 202"), "{started}");
            let location = started
                .lines()
                .find_map(|line| line.strip_prefix("Location: "))
                .unwrap();
            let path = &location[location.find("/v2/").unwrap()..];
            let joint = if path.contains('?') { '&' } else { '?' };
            let path = format!("{path}{joint}digest={digest}");
            let done = self.request("PUT", &path, "application/octet-stream", bytes);
            assert!(done.starts_with("HTTP/1.1 201"), "{done}");
        }
        // Lists come after what they list.
        let mut manifests: Vec<_> = made.manifests.iter().collect();
        manifests.sort_by_key(|(_, (kind, _))| kind.contains("list") || kind.contains("index"));
        for (name, (media_type, bytes)) in manifests {
            let done = self.request("PUT", &format!("/v2/{repository}/manifests/{name}"), media_type, bytes);
            assert!(done.starts_with("HTTP/1.1 201"), "{done}");
        }
    }

    /// The head of the answer.
    fn request(&self, method: &str, path: &str, media_type: &str, body: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let (host, length) = (self.address, body.len());
        // `user:secret`.
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {media_type}\r\nContent-Length: {length}\r\n\
             Authorization: Basic dXNlcjpzZWNyZXQ=\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).replace("\r\n", "\n")
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if let Some(log) = self.log.take() {
            log.join().unwrap();
        }
    }
}

fn spawn(folder: &Path, more: &str) -> (Child, SocketAddr, JoinHandle<()>) {
    let more = more.replace("FOLDER", &folder.display().to_string());
    let storage = folder.join("storage");
    let config = format!(
        "version: 0.1\nlog:\n  level: info\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:0\n{more}",
        storage.display()
    );
    let path = folder.join("config.yml");
    fs::write(&path, config).unwrap();
    let mut child = Command::new("docker-registry")
        .arg("serve")
        .arg(&path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("docker-registry is installed (Debian package docker-registry)");
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    let address = log.find_map(|line| {
        let line = line.unwrap();
        let at = line.split_once("listening on ")?.1;
        at.split('"').next()?.parse().ok()
    });
    // A log that nobody reads would stop it.
    let rest = std::thread::spawn(move || log.for_each(drop));
    (child, address.expect("docker-registry tells where it listens"), rest)
}

/// Stands before a server and cuts the first long answers.
pub(crate) struct Cutter {
    address: SocketAddr,
    cuts: Arc<AtomicU32>,
    ended: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl Cutter {
    /// Cuts `cuts` connections after `bytes` bytes of the server.
    pub(crate) fn before(server: &Real, cuts: u32, bytes: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (cuts, ended) = (Arc::new(AtomicU32::new(cuts)), Arc::new(AtomicBool::new(false)));
        let target = server.address;
        let accepting = std::thread::spawn({
            let (cuts, ended) = (Arc::clone(&cuts), Arc::clone(&ended));
            move || {
                for stream in listener.incoming() {
                    if ended.load(Ordering::SeqCst) {
                        return;
                    }
                    let cuts = Arc::clone(&cuts);
                    // It ends with its connection.
                    drop(std::thread::spawn(move || {
                        forward(&stream.unwrap(), target, bytes, &cuts);
                    }));
                }
            }
        });
        Self {
            address,
            cuts,
            ended,
            accepting: Some(accepting),
        }
    }

    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn cuts_left(&self) -> u32 {
        self.cuts.load(Ordering::SeqCst)
    }
}

impl Drop for Cutter {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        if let Some(accepting) = self.accepting.take() {
            accepting.join().unwrap();
        }
    }
}

fn forward(client: &TcpStream, target: SocketAddr, bytes: usize, cuts: &AtomicU32) {
    let server = TcpStream::connect(target).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            drop(std::io::copy(&mut &*client, &mut &server));
            drop(server.shutdown(Shutdown::Both));
        });
        let mut passed = 0;
        let mut buffer = vec![0; 16 << 10];
        while let Ok(got @ 1..) = (&server).read(&mut buffer) {
            passed += got;
            let one_less = |left: u32| left.checked_sub(1);
            if passed > bytes && cuts.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok() {
                break;
            }
            if (&*client).write_all(&buffer[..got]).is_err() {
                break;
            }
        }
        drop(client.shutdown(Shutdown::Both));
        drop(server.shutdown(Shutdown::Both));
    });
}
