//! A socket in front of the engine's that stops at one request.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

/// Where the stop is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Moment {
    /// The engine has not heard of the request.
    Before,
    /// The engine has done it, and the client has not heard of that.
    After,
}

pub(crate) struct Proxy {
    shared: Arc<Shared>,
    reached: Receiver<()>,
}

struct Shared {
    requests: AtomicUsize,
    /// The number of the request, from 1 on.
    stop: Option<(usize, Moment)>,
    reached: Sender<()>,
    closed: Mutex<bool>,
    on_close: Condvar,
}

impl Proxy {
    /// Listens at `path` for an engine at `engine`.
    pub(crate) fn start(path: &Path, engine: &Path, stop: Option<(usize, Moment)>) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let (send, reached) = channel();
        let shared = Arc::new(Shared {
            requests: AtomicUsize::new(0),
            stop,
            reached: send,
            closed: Mutex::new(false),
            on_close: Condvar::new(),
        });
        let accepting = Arc::clone(&shared);
        let engine = engine.to_owned();
        thread::spawn(move || {
            for client in listener.incoming() {
                if *accepting.closed.lock().unwrap() {
                    break;
                }
                accepting.serve(client.unwrap(), UnixStream::connect(&engine).unwrap());
            }
        });
        Self { shared, reached }
    }

    /// Told when the request is reached.
    pub(crate) fn reached(&self) -> &Receiver<()> {
        &self.reached
    }

    /// How many requests there were.
    pub(crate) fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// Lets go of what is held back.
    pub(crate) fn close(&self, path: &Path) {
        *self.shared.closed.lock().unwrap() = true;
        self.shared.on_close.notify_all();
        drop(UnixStream::connect(path));
    }
}

impl Shared {
    fn serve(self: &Arc<Self>, client: UnixStream, engine: UnixStream) {
        // The number of the request that the client waits for on this connection.
        let current = Arc::new(AtomicUsize::new(0));
        let (up, down) = (Arc::clone(self), Arc::clone(self));
        let (asked, answered) = (Arc::clone(&current), current);
        let (from, to) = (client.try_clone().unwrap(), engine.try_clone().unwrap());
        thread::spawn(move || {
            pump(from, to, |piece| {
                if is_head(piece) {
                    let number = up.requests.fetch_add(1, Ordering::SeqCst) + 1;
                    asked.store(number, Ordering::SeqCst);
                    up.pass(number, Moment::Before);
                }
            });
        });
        thread::spawn(move || {
            pump(engine, client, |_| {
                down.pass(answered.load(Ordering::SeqCst), Moment::After);
            });
        });
    }

    /// Goes on at once, or where this is the stop, when the proxy is closed.
    fn pass(&self, number: usize, moment: Moment) {
        if self.stop != Some((number, moment)) {
            return;
        }
        self.reached.send(()).ok();
        let mut closed = self.closed.lock().unwrap();
        while !*closed {
            closed = self.on_close.wait(closed).unwrap();
        }
    }
}

/// Hands on what comes, each piece once it was looked at. The client sends a request only when the one before it on the
/// connection was answered, so each begins a piece.
fn pump(mut from: UnixStream, mut to: UnixStream, mut look: impl FnMut(&[u8])) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        let piece = &buffer[..length];
        look(piece);
        if to.write_all(piece).is_err() {
            break;
        }
    }
    to.shutdown(Shutdown::Write).ok();
}

fn is_head(piece: &[u8]) -> bool {
    ["GET /", "HEAD /", "POST /", "PUT /", "DELETE /"]
        .iter()
        .any(|start| piece.starts_with(start.as_bytes()))
}
