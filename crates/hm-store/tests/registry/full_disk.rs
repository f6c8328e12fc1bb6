//! What becomes of pulls when the store's disk is full.

use std::path::PathBuf;
use std::process::Command;

use crate::fake::Fake;
use crate::made::{Layer, Made, noise};
use crate::world::{World, settings, whole};

/// Where the small disk is, in the process that has one.
const SMALL: &str = "HM_TEST_SMALL_DISK";

/// The folder of a disk of 8 MiB. Where this process has none the test is run again in one that has, in a mount namespace
/// of its own; needs root.
fn small_disk(test: &str) -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os(SMALL) {
        return Some(folder.into());
    }
    let folder = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=8m small \"$0\" && exec \"$@\"";
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", script])
        .arg(folder.path())
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test])
        .env(SMALL, folder.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_gives_its_space_back() {
    let Some(disk) = small_disk("full_disk::a_download_gives_its_space_back") else {
        return;
    };
    let fake = Fake::good(Made::tagged(&[Layer::plain(&[("f", &noise(1, 16 << 20))])]));
    let (host, world) = (fake.host(), World::on(&disk));
    let error = world
        .fetch(&format!("{host}/o/i:t"), settings(&[&host]))
        .await
        .unwrap_err();
    assert!(whole(&error).contains("No space left"), "{}", whole(&error));
    assert!(error.fix().unwrap().contains("hm image rm"));
    assert_eq!(world.partial_bytes(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_that_came_whole_is_kept_where_it_can_not_be_unpacked() {
    let name = "full_disk::a_layer_that_came_whole_is_kept_where_it_can_not_be_unpacked";
    let Some(disk) = small_disk(name) else { return };
    let layer = Layer::plain(&[("noise", &noise(1, 1 << 20)), ("zeros", &vec![0; 16 << 20])]).gzip();
    let size = layer.bytes.len() as u64;
    let fake = Fake::good(Made::tagged(&[layer]));
    let (host, world) = (fake.host(), World::on(&disk));
    let error = world
        .pull(&format!("{host}/o/i:t"), settings(&[&host]))
        .await
        .unwrap_err();
    assert!(whole(&error).contains("No space left"), "{}", whole(&error));
    assert!(error.fix().unwrap().contains("hm image rm"));
    assert_eq!((world.layers(), world.partial_bytes()), (0, size));
}
