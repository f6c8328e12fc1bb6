//! Layers that are unpacked at once.

use std::os::unix::fs::PermissionsExt;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};

use hm_store::image::{PullEvent, PullObserver};
use hm_store::{ImageError, ImageRef};

use crate::fake::{Fake, Reply};
use crate::made::{Layer, Made, noise};
use crate::world::{World, settings};

/// A server that holds this layer back until the other end of the channel gets word or goes.
fn holding_back(layer: &Layer, made: Made) -> (Fake, Sender<()>) {
    let (go_on, held) = channel();
    let (digest, held) = (layer.digest(), Mutex::new(held));
    let fake = Fake::start(made, move |request| {
        if request.path.ends_with(&digest) {
            // Both are the word to go on.
            held.lock().unwrap().recv().ok();
        }
        Reply::Serve
    });
    (fake, go_on)
}

/// Lets the lowest layer go when the one above it has come, and notes the order in which layers become visible.
#[derive(Debug)]
struct Releasing {
    go_on: Sender<()>,
    unpacked: Mutex<Vec<usize>>,
}

impl PullObserver for Releasing {
    fn event(&self, _: &str, event: PullEvent<'_>) {
        if let PullEvent::LayerDownloaded { layer: 1 } = event {
            self.go_on.send(()).unwrap();
        } else if let PullEvent::LayerUnpacked { layer } = event {
            self.unpacked.lock().unwrap().push(layer);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_that_comes_late_is_still_below() {
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Directory);
    header.set_size(0);
    header.set_mode(0o1777);
    header.set_uid(0);
    header.set_gid(0);
    archive.append_data(&mut header, "tmp", &[][..]).unwrap();
    let lower = Layer::of_tar(archive.into_inner().unwrap());
    let upper = Layer::plain(&[("tmp/file", b"1")]);
    let (fake, go_on) = holding_back(&lower, Made::tagged(&[lower.clone(), upper]));
    let (host, world) = (fake.host(), World::new());
    let observer = Arc::new(Releasing {
        go_on,
        unpacked: Mutex::default(),
    });
    let reference = ImageRef::parse(&format!("{host}/o/i:t")).unwrap();
    let told: Arc<dyn PullObserver> = observer.clone();
    let image = world
        .images(settings(&[&host]))
        .resolve(&reference, told)
        .await
        .unwrap();
    // The upper archive has no entry for the folder.
    let mode = image.layers[1].join("tmp").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o1777);
    assert_eq!(*observer.unpacked.lock().unwrap(), [0, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_that_fails_is_told_before_those_below_have_come() {
    let (lower, upper) = (Layer::plain(&[("a", b"1")]), Layer::plain(&[("b", &noise(1, 100_000))]));
    let (fake, go_on) = holding_back(&lower, Made::tagged(&[lower.clone(), upper]));
    let (host, world) = (fake.host(), World::new());
    let mut limited = settings(&[&host]);
    limited.limits.layer_bytes = 50_000;
    let error = world.pull(&format!("{host}/o/i:t"), limited).await.unwrap_err();
    assert!(matches!(error, ImageError::Unpack { .. }), "{error}");
    assert_eq!(world.layers(), 0);
    drop(go_on);
}
