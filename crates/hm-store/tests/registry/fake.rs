//! A registry that misbehaves as it is told. Each request has its own connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::made::{Made, digest};

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// With the query.
    pub(crate) path: String,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
    /// How many with this method and path came before.
    pub(crate) earlier: usize,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn is_blob(&self) -> bool {
        self.path.contains("/blobs/")
    }
}

/// What to do with a request.
pub(crate) enum Reply {
    /// What a registry does.
    Serve,
    /// The same, but the connection ends after so many bytes of the body.
    Cut(usize),
    /// The same, but the last byte of the body is another.
    Corrupt,
    /// The same, as if there was no `Range`.
    Whole,
    /// Something else.
    Other(u16, Vec<(&'static str, String)>, String),
}

type Rule = dyn Fn(&Request) -> Reply + Send + Sync;

pub(crate) struct Fake {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    ended: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl Fake {
    /// One that does as registries do.
    pub(crate) fn good(made: Made) -> Self {
        Self::start(made, |_| Reply::Serve)
    }

    pub(crate) fn start(made: Made, rule: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::with_tls(made, None, rule)
    }

    pub(crate) fn with_tls(
        made: Made,
        tls: Option<Arc<ServerConfig>>,
        rule: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (requests, ended) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let served = Arc::new((made, Box::new(rule) as Box<Rule>));
        let accepting = std::thread::spawn({
            let (requests, ended) = (Arc::clone(&requests), Arc::clone(&ended));
            move || {
                for stream in listener.incoming() {
                    if ended.load(Ordering::SeqCst) {
                        return;
                    }
                    let (stream, served) = (stream.unwrap(), Arc::clone(&served));
                    let (requests, tls) = (Arc::clone(&requests), tls.clone());
                    // It ends with its connection.
                    drop(std::thread::spawn(move || {
                        let (made, rule) = &*served;
                        match tls {
                            None => {
                                answer(&stream, &stream, &requests, made, rule);
                                drop(stream.shutdown(Shutdown::Both));
                            }
                            Some(config) => {
                                let connection = ServerConnection::new(config).unwrap();
                                let stream = Mutex::new(StreamOwned::new(connection, stream));
                                answer(Shared(&stream), Shared(&stream), &requests, made, rule);
                                let mut stream = stream.into_inner().unwrap();
                                stream.conn.send_close_notify();
                                drop(stream.flush());
                            }
                        }
                    }));
                }
            }
        });
        Self {
            address,
            requests,
            ended,
            accepting: Some(accepting),
        }
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// All requests until here.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// How many requests for layers and configurations there were.
    pub(crate) fn blob_requests(&self) -> usize {
        self.requests().iter().filter(|request| request.is_blob()).count()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        if let Some(accepting) = self.accepting.take() {
            accepting.join().unwrap();
        }
    }
}

/// Both ends of a stream that has one.
struct Shared<'a, T>(&'a Mutex<T>);

impl<T: Read> Read for Shared<'_, T> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().read(buffer)
    }
}

impl<T: Write> Write for Shared<'_, T> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.lock().unwrap().flush()
    }
}

fn answer(input: impl Read, mut output: impl Write, requests: &Mutex<Vec<Request>>, made: &Made, rule: &Rule) {
    let Some(mut request) = read_request(input) else { return };
    {
        let mut requests = requests.lock().unwrap();
        let same = |other: &&Request| other.method == request.method && other.path == request.path;
        request.earlier = requests.iter().filter(same).count();
        requests.push(request.clone());
    }
    let reply = rule(&request);
    let (mut status, mut headers, mut body) = match &reply {
        Reply::Other(status, headers, body) => (*status, headers.clone(), body.clone().into_bytes()),
        Reply::Serve | Reply::Cut(_) | Reply::Corrupt | Reply::Whole => serve(&request, made),
    };
    if let Reply::Corrupt = reply
        && let Some(last) = body.last_mut()
    {
        *last ^= 1;
    }
    let from = request
        .header("range")
        .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    if let (Some(from), 200, false) = (from, status, matches!(reply, Reply::Whole)) {
        let from: usize = from;
        let total = body.len();
        body = body.split_off(from.min(total));
        status = 206;
        headers.push(("Content-Range", format!("bytes {from}-{}/{total}", total - 1)));
    }
    let length = body.len();
    if let Reply::Cut(after) = reply {
        body.truncate(after);
    }
    if request.method == "HEAD" {
        body.clear();
    }
    let mut head = format!("HTTP/1.1 {status} Said\r\nContent-Length: {length}\r\nConnection: close\r\n");
    for (name, value) in headers {
        for part in [name, ": ", &value, "\r\n"] {
            head.push_str(part);
        }
    }
    head.push_str("\r\n");
    // A client may go away when it has seen enough.
    drop(
        output
            .write_all(head.as_bytes())
            .and_then(|()| output.write_all(&body))
            .and_then(|()| output.flush()),
    );
}

fn serve(request: &Request, made: &Made) -> (u16, Vec<(&'static str, String)>, Vec<u8>) {
    let last = request.path.rsplit('/').next().unwrap();
    let missing = || {
        (
            404,
            Vec::new(),
            br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#.to_vec(),
        )
    };
    if request.is_blob() {
        return made
            .blobs
            .get(last)
            .map_or_else(missing, |bytes| (200, Vec::new(), bytes.clone()));
    }
    made.manifests.get(last).map_or_else(missing, |(media_type, bytes)| {
        let headers = vec![
            ("Content-Type", media_type.clone()),
            ("Docker-Content-Digest", digest(bytes)),
        ];
        (200, headers, bytes.clone())
    })
}

fn read_request(input: impl Read) -> Option<Request> {
    let mut lines = BufReader::new(input);
    let mut line = || {
        let mut text = String::new();
        lines.read_line(&mut text).ok().filter(|got| *got > 0)?;
        Some(text.trim_end().to_owned())
    };
    let first = line()?;
    let mut words = first.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?);
    // A proxy is asked with the whole address.
    let path = target
        .strip_prefix("http://")
        .map_or(target, |rest| &rest[rest.find('/').unwrap_or(0)..])
        .to_owned();
    let mut headers = Vec::new();
    while let Some(text) = line().filter(|text| !text.is_empty()) {
        let (name, value) = text.split_once(':')?;
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let mut request = Request {
        method,
        path,
        headers,
        body: String::new(),
        earlier: 0,
    };
    let length = request
        .header("content-length")
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    lines.read_exact(&mut body).ok()?;
    request.body = String::from_utf8(body).ok()?;
    Some(request)
}
