//! What only machines of the sandbox have.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hm_plugin_protocol::RunId;
use hm_sandbox::{IdMap, LimitedBy};
use hm_store::{Store, StoreSettings, SystemClock};
use hm_vm::{
    BootImage, HmVm, HmVmSettings, KeySpec, Lookup, MachineRequest, Network, ParentState, SandboxBackend,
    SandboxSettings, StepBase, StepSpec, StepState, StopToken, Vm, VmBackend,
};
use serde_json::json;
use uuid::Uuid;

use crate::ground::{Ground, Kept, left, limited, request, run, run_request, says};
use crate::small_image::{Small, small_image, small_image_with};

async fn resolve(ground: &Ground, reference: &str) -> BootImage {
    ground.backend.resolve_image(reference).await.unwrap()
}

async fn boot(ground: &Ground, image: &BootImage, network: Network) -> Box<dyn Vm> {
    let request = MachineRequest {
        workspace: None,
        network,
        ..MachineRequest::default()
    };
    ground.backend.create(image, &request).await.unwrap()
}

pub(super) async fn an_image_without_a_shell_is_an_error(ground: &Ground) {
    let folder = ground.folder.path().join("empty");
    fs::create_dir(&folder).unwrap();
    let image = resolve(ground, &format!("dir:{}", folder.display())).await;
    let mut machine = boot(ground, &image, Network::Host).await;
    let error = run_request(&mut *machine, request("true")).await.unwrap_err();
    assert_eq!(error.code(), "no-shell", "{error}");
    assert!(error.to_string().contains("/usr/bin"), "{error}");
    machine.close().await.unwrap();
}

pub(super) async fn limits_are_held(ground: &Ground) {
    let means = hm_sandbox::limit_means();
    let mut machine = ground.backend.create(&ground.image, &limited()).await.unwrap();
    let much = machine
        .exec(request("head -c 200000000 /dev/zero | sort > /dev/null"))
        .await
        .unwrap();
    assert_ne!(much.exit, 0, "{much:?}");
    assert_eq!(much.out_of_memory, means.memory != LimitedBy::Process, "{much:?}");
    let many = run(&mut *machine, "for n in $(seq 40); do sleep 5 & done; kill $(jobs -p)").await;
    if means.pids != LimitedBy::Nothing {
        assert!(many.exit != 0 && many.err_text().contains("fork"), "{many:?}");
    }
    let few = machine.exec(request("(:); (:)")).await.unwrap();
    assert!(!few.out_of_pids, "{few:?}");
    let more = machine
        .exec(request("for n in $(seq 40); do sleep 5 & done"))
        .await
        .unwrap();
    let told = matches!(means.pids, LimitedBy::ControlGroup1 | LimitedBy::ControlGroup2);
    assert_eq!(more.out_of_pids, told, "{more:?}");
    let little = machine.exec(request("exit 137")).await.unwrap();
    assert!(!little.out_of_memory, "{little:?}");
    let snapshot = machine.snapshot().await.unwrap();
    machine.close().await.unwrap();
    // One without limits doesn't go on where these hold.
    let mut machine = ground.restore(&snapshot).await;
    run(&mut *machine, "for n in $(seq 40); do sleep 5 & done; kill $(jobs -p)")
        .await
        .out_text();
    machine.close().await.unwrap();
}

pub(super) async fn name_service_files_are_never_in_a_snapshot(ground: &Ground) {
    let image = resolve(ground, &small_image(ground.folder.path(), "image.tar", "")).await;
    let mut machine = boot(ground, &image, Network::Host).await;
    let of_host = fs::read_to_string("/etc/hosts").unwrap();
    let all = "while IFS= read -r line; do echo \"$line\"; done < /etc/hosts; echo $FROM_IMAGE $HOME";
    let out = run(&mut *machine, all).await.out_text();
    let own = out.strip_prefix(&of_host).unwrap_or_else(|| panic!("{out}"));
    assert_eq!(own, "127.0.1.1\thm\nyes /root\n");
    let kept = left(&mut *machine, "echo x > f").await;
    machine.close().await.unwrap();
    let layer = ground.store.layout().layers().join(&kept.0);
    assert!(layer.join("workspace/f").exists() && !layer.join("etc").exists());
    let mut machine = ground.restore(&kept).await;
    says(&mut *machine, "echo $FROM_IMAGE; [ -s /etc/hosts ]", "yes\n").await;
    machine.close().await.unwrap();
}

pub(super) async fn no_network_means_loopback_only(ground: &Ground) {
    let image = resolve(ground, &small_image(ground.folder.path(), "image.tar", "")).await;
    let mut machine = boot(ground, &image, Network::None).await;
    let names = "while read address names; do echo $address $names; done < /etc/hosts";
    let cmd = format!("[ ! -e /etc/resolv.conf ] && {names}; cd /sys/class/net; echo *");
    let only_own = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\nfe00:: ip6-localnet\n\
                    ff00:: ip6-mcastprefix\nff02::1 ip6-allnodes\nff02::2 ip6-allrouters\n127.0.1.1 hm\n";
    says(&mut *machine, &cmd, &format!("{only_own}lo\n")).await;
    machine.close().await.unwrap();
    let mut machine = boot(ground, &ground.image, Network::None).await;
    says(&mut *machine, names, only_own).await;
    machine.close().await.unwrap();
}

pub(super) async fn the_images_user_owns_the_workspace(ground: &Ground) {
    let image = resolve(ground, &small_image(ground.folder.path(), "image.tar", "build")).await;
    ground
        .tree
        .write("d/f", "user 1")
        .write("run", "#!/bin/sh\necho ran")
        .mode("run", 0o700)
        .mode("d", 0o700);
    let request = MachineRequest {
        workspace: Some(ground.capture()),
        network: Network::Host,
        ..MachineRequest::default()
    };
    if let IdMap::Single(_) = hm_sandbox::subordinate_ids() {
        let error = ground.backend.create(&image, &request).await.unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(
            cause.contains("user 1000") && cause.contains("subordinate ids"),
            "{cause}"
        );
        return;
    }
    let mut machine = ground.backend.create(&image, &request).await.unwrap();
    says(
        &mut *machine,
        "echo $HOME; ./run; [ -O d/f ] && [ -O . ] && echo mine",
        "/home/build\nran\nmine\n",
    )
    .await;
    let kept = left(&mut *machine, "echo step >> d/f; echo new > d/new; echo top > top").await;
    machine.close().await.unwrap();
    ground.tree.write("d/g", "user 2");
    let mut machine = ground.restore_with(&kept, Some(ground.capture())).await;
    let cmd = "read line < d/f; echo \"$line\"; read line < top; echo $line; [ -O d/g ] && echo x >> d/g && echo mine";
    says(&mut *machine, cmd, "user 1step\ntop\nmine\n").await;
    machine.close().await.unwrap();
}

/// The name service files are put behind it.
pub(super) async fn an_etc_that_is_a_link_stays_one(ground: &Ground) {
    let file = "nix/store/etc/keep";
    for (name, etc) in [("absolute", "/nix/store/etc"), ("relative", "nix/store/etc")] {
        let small = Small {
            files: &[file],
            etc: Some(etc),
            ..Small::default()
        };
        let image = small_image_with(ground.folder.path(), &format!("{name}.tar"), small);
        let image = resolve(ground, &image).await;
        let mut machine = boot(ground, &image, Network::None).await;
        let cmd = "[ -L /etc ] && read line < /etc/keep; echo $line; read _ name < /etc/hosts; echo $name; \
                   echo /nix/store/etc/*";
        let said = "x\nlocalhost\n/nix/store/etc/hosts /nix/store/etc/keep /nix/store/etc/passwd\n";
        says(&mut *machine, cmd, said).await;
        machine.close().await.unwrap();
    }
    // One that leads nowhere is left as it is.
    let small = Small {
        etc: Some("/none"),
        ..Small::default()
    };
    let image = small_image_with(ground.folder.path(), "none.tar", small);
    let image = resolve(ground, &image).await;
    let mut machine = boot(ground, &image, Network::None).await;
    says(&mut *machine, "[ -L /etc ] && echo link", "link\n").await;
    machine.close().await.unwrap();
}

pub(super) async fn users_are_found_behind_an_etc_that_is_a_link(ground: &Ground) {
    let small = Small {
        user: "build",
        etc: Some("/nix/store/etc"),
        ..Small::default()
    };
    let image = small_image_with(ground.folder.path(), "image.tar", small);
    let image = resolve(ground, &image).await;
    let mut machine = boot(ground, &image, Network::None).await;
    says(&mut *machine, "echo $HOME", "/home/build\n").await;
    machine.close().await.unwrap();
}

/// Where it is one of the workspace, or there is none; a folder that isn't there is no reason not to run.
pub(super) async fn the_images_working_folder_is_used(ground: &Ground) {
    ground.tree.write("inner/f", "");
    let workspace = Some(ground.capture());
    let network = Network::Host;
    for (workdir, with, without) in [
        ("/workspace/inner", "/workspace/inner", "/workspace"),
        ("/workspace/none", "/workspace", "/workspace"),
        ("/workspace/../bin", "/workspace", "/bin"),
        ("/workspace/../workspace/./inner/", "/workspace/inner", "/workspace"),
        ("/bin", "/workspace", "/bin"),
        ("/bin/sh", "/workspace", "/workspace"),
        ("bin", "/workspace", "/workspace"),
    ] {
        let small = Small {
            workdir,
            ..Small::default()
        };
        let image = small_image_with(ground.folder.path(), "image.tar", small);
        let image = resolve(ground, &image).await;
        for (workspace, expected) in [(workspace.clone(), with), (None, without)] {
            let request = MachineRequest {
                workspace,
                network,
                ..MachineRequest::default()
            };
            let mut machine = ground.backend.create(&image, &request).await.unwrap();
            says(&mut *machine, "pwd", &format!("{expected}\n")).await;
            let kept = machine.snapshot().await.unwrap();
            machine.close().await.unwrap();
            let mut machine = ground.backend.restore(&kept, &MachineRequest::default()).await.unwrap();
            says(&mut *machine, "pwd", &format!("{expected}\n")).await;
            machine.close().await.unwrap();
        }
    }
}

pub(super) async fn files_of_other_users_are_kept_and_removed(ground: &Ground) {
    let closed = "mkdir -p d/e && echo secret > d/e/f && chown -R 1000:1001 d && chmod 700 d d/e && chmod 400 d/e/f";
    let first = ground.left_by(closed).await;
    let mut machine = ground.restore(&first).await;
    let second = left(&mut *machine, "echo more > d/g; chown 7:8 d/g").await;
    machine.close().await.unwrap();
    assert_ne!(
        ground.backend.content_hash(&first).await.unwrap(),
        ground.backend.content_hash(&second).await.unwrap()
    );
    ground.store.snapshots().flatten(&second, u64::MAX).unwrap();
    ground.tree.write("new", "1");
    let mut machine = ground.restore_with(&second, Some(ground.capture())).await;
    let cmd = "stat -c %u:%g:%a d d/e/f d/g; cat d/e/f new; rm -r d/e";
    says(&mut *machine, cmd, "1000:1001:700\n1000:1001:400\n7:8:644\nsecret\n1").await;
    machine.close().await.unwrap();
    for gone in [first, second] {
        ground.backend.release(&gone).await.unwrap();
    }
    ground.store.settle().unwrap();

    // A process that died leaves its machines to the next one.
    let root = ground.folder.path().join("left-store");
    let open = || {
        let clock = Arc::new(SystemClock);
        Store::open(StoreSettings {
            root: root.clone(),
            clock,
        })
        .unwrap()
    };
    let store = open();
    let settings = SandboxSettings::new(store.clone());
    let backend = SandboxBackend::new(settings);
    let image = backend.resolve_image("host").await.unwrap();
    let mut machine = backend.create(&image, &MachineRequest::default()).await.unwrap();
    says(&mut *machine, closed, "").await;
    drop((machine, backend, store));
    let store = open();
    assert_eq!(store.swept().dead_leases.len(), 1);
    assert!(store.swept().problems.is_empty(), "{:?}", store.swept().problems);
    store.close().unwrap();
}

pub(super) async fn an_unknown_user_is_an_error(ground: &Ground) {
    let reference = small_image(ground.folder.path(), "image.tar", "nobody-here");
    let error = ground.backend.resolve_image(&reference).await.unwrap_err();
    assert_eq!(error.code(), "unknown-user", "{error}");
    assert!(error.to_string().contains("nobody-here"));
}

pub(super) async fn deep_chains_are_flattened(ground: &Ground) {
    let mut last = ground.left_by("echo 0 > log; echo old > removed").await;
    for number in 1..140 {
        let mut machine = ground.restore(&last).await;
        last = left(
            &mut *machine,
            &format!("echo {number} >> log; rm -f removed; echo x > f{number}"),
        )
        .await;
        machine.close().await.unwrap();
    }
    let mut machine = ground.restore(&last).await;
    says(&mut *machine, "wc -l < log; ls | wc -l; [ ! -e removed ]", "140\n140\n").await;
    machine.close().await.unwrap();
    // The backend's end waits for the merging that goes on beside builds.
    ground.backend.close().await.unwrap();
    let depth = ground.store.snapshots().stack(&last).unwrap().depth;
    assert!(depth <= 140 - 64 + 1, "{depth} layers");
}

pub(super) async fn nothing_is_left_behind(ground: &Ground) {
    let kept = ground.left_by("echo x > f").await;
    ground.tree.write("f", "1");
    let mut machine = ground.restore_with(&kept, Some(ground.capture())).await;
    run(&mut *machine, "mkdir d; echo y > d/y; exit 1").await;
    machine.close().await.unwrap();
    ground.backend.release(&kept).await.unwrap();
    ground.store.settle().unwrap();
    let layout = ground.store.layout();
    let entries = |folder: &Path| {
        fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect::<Vec<_>>()
    };
    let machines: Vec<_> = entries(&layout.lease(ground.store.lease()))
        .into_iter()
        .filter(|path| path.join("u").exists())
        .collect();
    assert!(machines.is_empty(), "{machines:?}");
    assert_eq!(entries(&layout.layers()), Vec::<std::path::PathBuf>::new());
}

/// One process makes a cached step, another one uses it and boots from it.
pub(super) async fn cached_steps_outlive_the_process(ground: &Ground) {
    let root = ground.folder.path().join("shared-store");
    let step = serde_json::from_value(json!({
        "key": "k", "cmd": "echo made > f; ln -s f l", "cache": { "policy": "forever" },
    }));
    let step = step.unwrap();
    for hit in [false, true] {
        let settings = StoreSettings {
            root: root.clone(),
            clock: Arc::new(SystemClock),
        };
        let store = Store::open(settings).unwrap();
        let backend = SandboxBackend::new(SandboxSettings::new(store.clone()));
        let hmvm = HmVm::new(HmVmSettings {
            backend: Arc::new(backend),
            cache: Arc::new(store.clone()),
            clock: Arc::new(SystemClock),
            default_network: Network::Host,
            platform: "linux/amd64".into(),
        });
        let image = hmvm.backend().resolve_image("host").await.unwrap();
        let env = BTreeMap::new();
        let spec = StepSpec {
            keyed: KeySpec {
                step: &step,
                runner: "vm",
                env: &env,
                workdir: "/workspace",
                workspace: None,
                machine_env: &env,
            },
            run_id: RunId(Uuid::nil()),
            base: StepBase::Image(&image),
            is_last_child: false,
            keep_snapshot: false,
            keep_failed: false,
            grace: Duration::from_secs(10),
        };
        let answer = hmvm.lookup(&spec, &StopToken::new()).await.unwrap();
        let parent = match answer.lookup {
            Lookup::Hit(entry) => {
                assert!(hit);
                ParentState {
                    snapshot: entry.snapshot.unwrap(),
                    state: StepState::Key(entry.key),
                }
            }
            Lookup::MissBuildAs(reservation) => {
                assert!(!hit);
                let running = hmvm.run(&spec, Some(reservation), Arc::new(Kept::default()), StopToken::new());
                let mut run = running.await.unwrap();
                hmvm.commit(run.pending.take().unwrap(), None).unwrap();
                run.parent_state().unwrap()
            }
            Lookup::MissNoCommit => panic!("the step is cached for ever"),
        };
        let mut child = hmvm
            .backend()
            .restore(&parent.snapshot, &MachineRequest::default())
            .await
            .unwrap();
        says(&mut *child, "cat f l", "made\nmade\n").await;
        child.close().await.unwrap();
        hmvm.release(&parent.snapshot).await.unwrap();
        hmvm.backend().close().await.unwrap();
        drop(hmvm);
        store.close().unwrap();
    }
}
