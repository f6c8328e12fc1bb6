//! What only machines of an engine have.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use hm_store::{Store, StoreSettings, SystemClock};
use hm_vm::{EngineAddress, MachineRequest, Network, VmBackend};

use serde_json::json;

use crate::engine::{self, left_of};
use crate::ground::{Ground, left, limited, request, run, run_request, says};

/// An engine refuses an image of more than 127 layers.
pub(super) async fn deep_chains_are_flattened(ground: &Ground) {
    ground.tree.write("f", "user 1");
    let mut machine = ground.boot_with(Some(ground.capture())).await;
    let mut last = left(&mut *machine, "echo 0 > log; echo old > removed").await;
    machine.close().await.unwrap();
    for number in 1..160 {
        let mut machine = ground.restore(&last).await;
        let cmd = format!("echo {number} >> log; rm -f removed; echo x > f{number}");
        let next = left(&mut *machine, &cmd).await;
        machine.close().await.unwrap();
        ground.backend.release(&last).await.unwrap();
        last = next;
    }
    ground.tree.write("f", "user 2");
    let mut machine = ground.restore_with(&last, Some(ground.capture())).await;
    let cmd = "wc -l < log; ls | wc -l; [ ! -e removed ] && cat f; echo $HOME";
    says(&mut *machine, cmd, "160\n161\nuser 2/root\n").await;
    machine.close().await.unwrap();
}

pub(super) async fn nothing_is_left_behind(ground: &Ground) {
    ground.tree.write("f", "1");
    let mut machine = ground.boot_with(Some(ground.capture())).await;
    let kept = left(&mut *machine, "echo x > g").await;
    says(&mut *machine, "echo y > h", "").await;
    machine.close().await.unwrap();
    ground.tree.write("f", "2");
    let mut machine = ground.restore_with(&kept, Some(ground.capture())).await;
    run(&mut *machine, "mkdir d; echo y > d/y; exit 1").await;
    assert!(left_of(&ground.store).await.1 > 0, "images");
    // This one is dropped while its command runs.
    let mut dropped = ground.boot().await;
    let running = dropped.exec(request("sleep 1000"));
    assert!(tokio::time::timeout(Duration::from_secs(1), running).await.is_err());
    drop(dropped);
    machine.close().await.unwrap();
    ground.backend.close().await.unwrap();
    // The image with the tree, for the next process.
    assert_eq!(left_of(&ground.store).await, (0, 1));
}

/// What a process on the store of this folder finds in its workspace, and how many images there are at its end.
async fn found_by_a_process(ground: &Ground, root: &Path) -> (String, usize) {
    let settings = StoreSettings {
        root: root.to_owned(),
        clock: Arc::new(SystemClock),
    };
    let store = Store::open(settings).unwrap();
    let backend = engine::backend(&store).await;
    let image = backend.resolve_image(engine::image().await).await.unwrap();
    let request = hm_store::CaptureRequest::new(&ground.tree.root);
    let asked = MachineRequest {
        workspace: Some(Arc::new(store.capture(&request).unwrap())),
        ..MachineRequest::default()
    };
    let mut machine = backend.create(&image, &asked).await.unwrap();
    let listing = "find . -exec stat -c '%n %a %u %g %F %s %Y' {} + | sort; find . -type f -exec cat {} +";
    let found = run(&mut *machine, listing).await.out_text();
    machine.close().await.unwrap();
    backend.close().await.unwrap();
    let (containers, images) = left_of(&store).await;
    assert_eq!(containers, 0);
    drop(backend);
    store.close().unwrap();
    (found, images)
}

/// An unchanged tree is not sent again, of a changed one only what differs, and there is a limit to how many are kept.
pub(super) async fn trees_are_kept_between_processes(ground: &Ground) {
    let (root, other) = (ground.folder.path().join("kept"), ground.folder.path().join("other"));
    let tree = &ground.tree;
    for name in [
        "a/1", "a/2", "a/3", "b/gone", "b/dir", "c/1", "c/2", "c/3", "c/deep/4", "c/deep/5",
    ] {
        tree.write(name, name);
    }
    tree.link("link", "a/1").folder("empty").mode("c/2", 0o755);
    let (first, images) = found_by_a_process(ground, &root).await;
    assert_eq!(images, 1);
    assert_eq!(found_by_a_process(ground, &root).await, (first.clone(), 1));

    tree.write("a/2", "changed").remove("b/gone").write("c/deep/new", "new");
    tree.remove("b/dir").write("b/dir/it's", "in a folder");
    for (name, seconds) in [("a/1", 1_000_000_000), ("a", 1_100_000_000)] {
        let time = UNIX_EPOCH + Duration::from_secs(seconds);
        let entry = std::fs::File::open(tree.root.join(name)).unwrap();
        entry.set_modified(time).unwrap();
    }
    let (changed, images) = found_by_a_process(ground, &root).await;
    assert_ne!(changed, first);
    assert_eq!(images, 2, "the older one is below the newer one");
    let (anew, images) = found_by_a_process(ground, &other).await;
    assert_eq!((anew, images), (changed.clone(), 1));
    assert_eq!(found_by_a_process(ground, &root).await, (changed, 2));

    for number in 0..6 {
        for name in ["a", "b", "c", "empty", "link", "0", "1", "2", "3", "4"] {
            if tree.root.join(name).symlink_metadata().is_ok() {
                tree.remove(name);
            }
        }
        tree.write(&format!("{number}/only"), "one");
        found_by_a_process(ground, &root).await;
    }
    assert_eq!(found_by_a_process(ground, &root).await.1, 4);
    for root in [&root, &other] {
        engine::forget(root).await;
    }
}

/// A lease that has ended without its backend's end is that of a process that was killed.
pub(super) async fn what_a_dead_process_left_is_swept(ground: &Ground) {
    let root = ground.folder.path().join("other-store");
    let open = || {
        let settings = StoreSettings {
            root: root.clone(),
            clock: Arc::new(SystemClock),
        };
        Store::open(settings).unwrap()
    };
    let dead = open();
    let backend = engine::backend(&dead).await;
    let image = backend.resolve_image(engine::image().await).await.unwrap();
    let mut machine = backend.create(&image, &MachineRequest::default()).await.unwrap();
    let first = left(&mut *machine, "echo 1 > f").await;
    let second = left(&mut *machine, "echo 2 > f").await;
    let mut running = backend.restore(&second, &MachineRequest::default()).await.unwrap();
    let command = running.exec(request("sleep 1000"));
    assert!(tokio::time::timeout(Duration::from_secs(1), command).await.is_err());
    assert!(backend.exists(&first).await);
    let (containers, images) = left_of(&dead).await;
    assert!(containers > 0 && images >= 3, "{containers} {images}");
    // Neither their end nor that of the backend is seen to.
    std::mem::forget(running);
    drop(machine);
    drop(backend);
    dead.close().unwrap();
    let living = open();
    let backend = engine::backend(&living).await;
    assert_eq!(left_of(&living).await, (0, 0));
    backend.close().await.unwrap();
    living.close().unwrap();
}

pub(super) async fn the_images_user_owns_the_workspace(ground: &Ground) {
    let config =
        json!({ "User": "build", "Env": ["FROM_IMAGE=yes"], "Entrypoint": ["/bin/false"], "WorkingDir": "/etc" });
    engine::load("hm-conformance-user:1", engine::archive(), config, None).await;
    let image = ground.backend.resolve_image("hm-conformance-user:1").await.unwrap();
    assert_eq!(image.config().user.as_deref(), Some("build"));
    ground
        .tree
        .write("d/f", "user 1")
        .write("run", "#!/bin/sh\necho ran")
        .mode("run", 0o700)
        .mode("d", 0o700);
    let asked = MachineRequest {
        workspace: Some(ground.capture()),
        network: Network::Host,
        ..MachineRequest::default()
    };
    let mut machine = ground.backend.create(&image, &asked).await.unwrap();
    let cmd = "pwd; echo $HOME $FROM_IMAGE; ./run; [ -O d/f ] && [ -O . ] && echo mine";
    says(&mut *machine, cmd, "/workspace\n/home/build yes\nran\nmine\n").await;
    let mut with_env = request("echo step >> d/f; echo $SECRET > top");
    with_env.env.insert("SECRET".into(), "top".into());
    assert_eq!(run_request(&mut *machine, with_env).await.unwrap().exit, 0);
    let kept = machine.snapshot().await.unwrap();
    machine.close().await.unwrap();
    ground.tree.write("d/g", "user 2");
    let mut machine = ground.restore_with(&kept, Some(ground.capture())).await;
    // What the first step was given is not the second one's.
    let cmd = "cat d/f top; [ -O d/g ] && echo x >> d/g && echo mine; echo $FROM_IMAGE ${SECRET-unset}";
    says(&mut *machine, cmd, "user 1step\ntop\nmine\nyes unset\n").await;
    machine.close().await.unwrap();
}

pub(super) async fn images_are_the_engines_own(ground: &Ground) {
    for image in ["host", "oci:/some/folder", "docker-archive:/x.tar"] {
        let error = ground.backend.resolve_image(image).await.unwrap_err();
        assert_eq!(error.code(), "image", "{error}");
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("debian:12"), "{cause}");
    }
    let digest = ground.image.digest().to_string();
    let by_digest = ground.backend.resolve_image(&digest).await.unwrap();
    assert_eq!(by_digest.digest(), ground.image.digest());
}

pub(super) async fn no_network_means_loopback_only(ground: &Ground) {
    let asked = MachineRequest {
        workspace: None,
        network: Network::None,
        ..MachineRequest::default()
    };
    let mut machine = ground.backend.create(&ground.image, &asked).await.unwrap();
    says(&mut *machine, "ls /sys/class/net", "lo\n").await;
    machine.close().await.unwrap();
}

pub(super) async fn an_image_without_a_shell_is_an_error(ground: &Ground) {
    let mut empty = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Directory);
    header.set_mode(0o755);
    header.set_size(0);
    empty.append_data(&mut header, "etc", &[][..]).unwrap();
    engine::import("hm-conformance-empty", "1", || empty.into_inner().unwrap()).await;
    let image = ground.backend.resolve_image("hm-conformance-empty:1").await.unwrap();
    let mut machine = ground.backend.create(&image, &MachineRequest::default()).await.unwrap();
    let error = run_request(&mut *machine, request("true")).await.unwrap_err();
    assert_eq!(error.code(), "no-shell", "{error}");
    machine.close().await.unwrap();
}

/// Steps in a chain on one tree share the image that it was put into.
pub(super) async fn an_unchanged_tree_is_sent_once(ground: &Ground) {
    ground.tree.write("f", "user");
    let workspace = ground.capture();
    let mut machine = ground.boot_with(Some(workspace.clone())).await;
    let kept = left(&mut *machine, "echo 1 > g").await;
    machine.close().await.unwrap();
    let (_, before) = left_of(&ground.store).await;
    let machine = ground.boot_with(Some(workspace.clone())).await;
    machine.close().await.unwrap();
    let machine = ground.restore_with(&kept, Some(workspace)).await;
    machine.close().await.unwrap();
    assert_eq!(left_of(&ground.store).await.1, before);
}

/// Steps of which each has one child run in one container.
pub(super) async fn a_chain_that_is_handed_over_makes_no_image(ground: &Ground) {
    ground.tree.write("f", "user");
    let mut machine = ground.boot_with(Some(ground.capture())).await;
    let before = left_of(&ground.store).await;
    says(&mut *machine, "echo 0 > log", "").await;
    let mut kept = machine.hand_over().await.unwrap();
    machine.close().await.unwrap();
    for number in 1..4 {
        let mut machine = ground.restore_last(&kept, Some(ground.capture())).await;
        says(&mut *machine, &format!("echo {number} >> log"), "").await;
        kept = machine.hand_over().await.unwrap();
        machine.close().await.unwrap();
    }
    let after = left_of(&ground.store).await;
    // The container that the workspace was put into may still be on its way out.
    assert!(after.0 <= 2, "{after:?}");
    assert_eq!(after.1, before.1);
    // Only one that isn't the last needs an image.
    let mut machine = ground.restore(&kept).await;
    says(&mut *machine, "cat log", "0\n1\n2\n3\n").await;
    assert_eq!(left_of(&ground.store).await.1, before.1 + 1);
    machine.close().await.unwrap();
}

/// Nor does the next command see them, which may run in the same container.
pub(super) async fn volumes_are_in_no_snapshot(ground: &Ground) {
    let config = json!({ "Volumes": { "/data": {} } });
    engine::load("hm-conformance-volume:1", engine::archive(), config, None).await;
    let image = ground.backend.resolve_image("hm-conformance-volume:1").await.unwrap();
    let mut machine = ground.backend.create(&image, &MachineRequest::default()).await.unwrap();
    let notes = machine.take_notes().join("\n");
    assert!(notes.contains("/data"), "{notes}");
    says(&mut *machine, "echo x > /data/f; echo y > g", "").await;
    says(&mut *machine, "ls /data; cat g", "y\n").await;
    let kept = machine.hand_over().await.unwrap();
    machine.close().await.unwrap();
    let mut machine = ground.restore_last(&kept, None).await;
    says(&mut *machine, "ls /data; cat g", "y\n").await;
    machine.close().await.unwrap();
}

/// The image is one of this machine's own files, said to be for another.
pub(super) async fn an_image_for_another_platform_is_told(ground: &Ground) {
    let other = if std::env::consts::ARCH == "aarch64" {
        "s390x"
    } else {
        "arm64"
    };
    engine::load("hm-conformance-other:1", engine::archive(), json!({}), Some(other)).await;
    let image = ground.backend.resolve_image("hm-conformance-other:1").await.unwrap();
    let mut machine = ground.backend.create(&image, &MachineRequest::default()).await.unwrap();
    let notes = machine.take_notes().join("\n");
    let version = engine::client().version().await.unwrap();
    let own = format!("{}/{}", version.os.unwrap(), version.arch.unwrap());
    assert!(
        notes.contains(&format!("linux/{other}")) && notes.contains(&own),
        "{notes}"
    );
    machine.close().await.unwrap();
}

/// Needs more memory than the limit.
const TOO_MUCH: &str = "head -c 200000000 /dev/zero | sort > /dev/null";

pub(super) async fn out_of_memory_is_told(ground: &Ground) {
    let mut machine = ground.backend.create(&ground.image, &limited()).await.unwrap();
    let much = machine.exec(request(TOO_MUCH)).await.unwrap();
    assert!(much.exit == 137 && much.out_of_memory, "{much:?}");
    let little = machine.exec(request("exit 137")).await.unwrap();
    assert!(!little.out_of_memory, "{little:?}");
    machine.close().await.unwrap();
}

pub(super) async fn limits_are_the_engines(ground: &Ground) {
    let mut machine = ground.backend.create(&ground.image, &limited()).await.unwrap();
    let places = "/sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu.max";
    let quota = run(&mut *machine, &format!("cat {places} 2> /dev/null"))
        .await
        .out_text();
    assert_eq!(quota.split_whitespace().next(), Some("50000"));
    let many = run(&mut *machine, "for n in $(seq 40); do sleep 5 & done; kill $(jobs -p)").await;
    assert!(many.exit != 0 && many.err_text().contains("fork"), "{many:?}");
    let much = machine.exec(request(TOO_MUCH)).await.unwrap();
    assert_eq!(much.exit, 137, "{much:?}");
    let kept = machine.hand_over().await.unwrap();
    machine.close().await.unwrap();
    // One without limits doesn't go on where these hold.
    let mut machine = ground.restore_last(&kept, None).await;
    let quota = run(&mut *machine, &format!("cat {places} 2> /dev/null"))
        .await
        .out_text();
    assert_ne!(quota.split_whitespace().next(), Some("50000"));
    machine.close().await.unwrap();
}

/// One process makes a snapshot that a cache entry refers to, another one boots from it.
pub(super) async fn a_snapshot_of_another_process_can_be_used(ground: &Ground) {
    let root = ground.folder.path().join("shared-store");
    let mut kept = None;
    for second in [false, true] {
        let settings = StoreSettings {
            root: root.clone(),
            clock: Arc::new(SystemClock),
        };
        let store = Store::open(settings).unwrap();
        let backend = engine::backend(&store).await;
        ground.tree.write("f", if second { "user 2" } else { "user 1" });
        let request = hm_store::CaptureRequest::new(&ground.tree.root);
        let asked = MachineRequest {
            workspace: Some(Arc::new(store.capture(&request).unwrap())),
            network: Network::Host,
            ..MachineRequest::default()
        };
        if let Some(kept) = &kept {
            assert!(backend.exists(kept).await);
            let mut machine = backend.restore(kept, &asked).await.unwrap();
            assert_eq!(machine.take_notes().len(), 1);
            says(&mut *machine, "cat f g", "user 2made\n").await;
            machine.close().await.unwrap();
        } else {
            let image = backend.resolve_image(engine::image().await).await.unwrap();
            let mut machine = backend.create(&image, &asked).await.unwrap();
            let snapshot = left(&mut *machine, "echo made > g; echo step > f").await;
            machine.close().await.unwrap();
            let entry = hm_store::NewCacheEntry {
                key: hm_vm::CacheKey::new([7; 32]),
                snapshot: Some(snapshot.clone()),
                state: None,
                log: None,
                duration: Duration::from_secs(1),
                run_id: hm_plugin_protocol::RunId(uuid::Uuid::nil()),
                step_key: "k".into(),
                parts: serde_json::Value::Null,
            };
            store.cache().commit(&entry).unwrap();
            backend.release(&snapshot).await.unwrap();
            assert!(backend.exists(&snapshot).await);
            kept = Some(snapshot);
        }
        backend.close().await.unwrap();
        drop(backend);
        // The image of the kept snapshot and the one below it are all that stays.
        assert_eq!(left_of(&store).await, (0, 2));
        store.close().unwrap();
    }
    std::fs::remove_dir_all(root.join("l")).unwrap();
    std::fs::create_dir(root.join("l")).unwrap();
    let settings = StoreSettings {
        root,
        clock: Arc::new(SystemClock),
    };
    let store = Store::open(settings).unwrap();
    let backend = engine::backend(&store).await;
    assert_eq!(left_of(&store).await, (0, 0));
    backend.close().await.unwrap();
    store.close().unwrap();
}

/// What a chain of steps leaves: how each ended, what it wrote, and the files at the end.
type Left = Vec<(i32, Vec<u8>, Vec<u8>)>;

async fn chain(ground: &Ground, backend: &dyn VmBackend, image: &str) -> Left {
    let image = backend.resolve_image(image).await.unwrap();
    let tree = &ground.tree;
    tree.write("src/a", "one")
        .write("src/b", "b")
        .write("run", "#!/bin/sh\necho ran $1")
        .mode("run", 0o755);
    tree.link("to-a", "src/a").folder("empty").write("gone", "x");
    let steps = [
        "./run 1; cat to-a; printf 'no newline\\377'; echo err >&2; exit 3",
        "mkdir -p out/deep; echo made > out/deep/o; chmod 640 src/b; ln -s out l; seq 20000",
        "echo step > src/a; rm src/b; env | sort | grep -v ^_= || true; pwd; kill -9 $$",
        "cat src/a src/b gone l/deep/o; no-such-command",
        "chown 7:8 out/deep/o; echo built > /tmp/built; rm -r empty; mkdir empty; touch empty/new",
        "find /workspace /tmp -exec stat -c '%n %a %u %g %F' {} + | sort; cat src/a l/deep/o /tmp/built",
    ];
    let mut left = Left::new();
    let mut last = None;
    for (number, step) in steps.iter().enumerate() {
        if number == 3 {
            tree.write("src/a", "two").remove("gone").write("later", "l");
        }
        let asked = MachineRequest {
            workspace: Some(ground.capture()),
            network: Network::Host,
            ..MachineRequest::default()
        };
        let mut machine = match &last {
            None => backend.create(&image, &asked).await.unwrap(),
            Some(parent) => backend.restore(parent, &asked).await.unwrap(),
        };
        let notes = machine.take_notes().join("\n");
        let ran = run(&mut *machine, step).await;
        last = Some(machine.snapshot().await.unwrap());
        machine.close().await.unwrap();
        left.push((ran.exit, ran.out, ran.err));
        left.push((0, notes.into_bytes(), Vec::new()));
    }
    for path in ["src", "run", "to-a", "empty", "later"] {
        tree.remove(path);
    }
    left
}

pub(super) async fn gives_what_the_sandbox_gives(ground: &Ground) {
    let folder = ground.folder.path().join("image");
    let archive = engine::archive();
    let mut archive = tar::Archive::new(&archive[..]);
    archive.set_preserve_permissions(true);
    archive.unpack(&folder).unwrap();
    let sandbox = hm_vm::SandboxBackend::new(hm_vm::SandboxSettings::new(ground.store.clone()));
    let by_sandbox = chain(ground, &sandbox, &format!("dir:{}", folder.display())).await;
    sandbox.close().await.unwrap();
    let by_docker = chain(ground, &*ground.backend, engine::image().await).await;
    for (number, (one, other)) in by_sandbox.iter().zip(&by_docker).enumerate() {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert_eq!(
            (one.0, text(&one.1), text(&one.2)),
            (other.0, text(&other.1), text(&other.2)),
            "number {number}"
        );
        assert_eq!(one, other);
    }
}

pub(super) async fn its_images_boot_in_the_sandbox(ground: &Ground) {
    let sandbox = || {
        let settings = hm_vm::SandboxSettings::new(ground.store.clone());
        hm_vm::SandboxBackend::new(settings)
    };
    let name = format!("docker-daemon:{}", engine::image().await);
    let backend = sandbox().with_engine(engine::address());
    let image = backend.resolve_image(&name).await.unwrap();
    let asked = MachineRequest::default();
    let mut machine = backend.create(&image, &asked).await.unwrap();
    says(
        &mut *machine,
        "cat /etc/passwd | head -n 1",
        "root:x:0:0:root:/root:/bin/sh\n",
    )
    .await;
    machine.close().await.unwrap();
    // From the store, where the engine still calls it so.
    let again = backend.resolve_image(&name).await.unwrap();
    assert_eq!(again.digest(), image.digest());

    let missing = backend.resolve_image("docker-daemon:no-such:1").await.unwrap_err();
    assert_eq!(missing.fix().unwrap(), "fetch it once: docker pull no-such:1");
    let unnamed = sandbox().resolve_image(&name).await.unwrap_err();
    assert!(unnamed.fix().unwrap().contains("docker save"), "{unnamed:?}");
    let gone = sandbox().with_engine(EngineAddress::Socket("/none".into()));
    let gone = gone.resolve_image(&name).await.unwrap_err();
    assert!(
        gone.fix().unwrap().starts_with("check that the engine runs"),
        "{gone:?}"
    );
    backend.close().await.unwrap();
}
