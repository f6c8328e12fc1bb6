//! What machines with a kernel have and those in memory have not.

use std::pin::pin;
use std::task::Poll;

use hm_vm::{MachineRequest, Network};
use serde_json::json;

use crate::engine;
use crate::ground::{Ground, left, request, run, says};
use crate::small_image::{Small, small_image_with};

pub(super) async fn a_hundred_megabytes_arrive_whole(ground: &Ground) {
    let mut machine = ground.boot().await;
    let ran = run(&mut *machine, "head -c 104857601 /dev/zero; printf end").await;
    assert_eq!((ran.exit, ran.out.len()), (0, 104_857_604));
    let (zeros, end) = ran.out.split_at(104_857_601);
    assert!(zeros.iter().all(|byte| *byte == 0) && end == b"end");
    machine.close().await.unwrap();
}

/// A device that is full fails the command, and nothing but it.
pub(super) async fn a_full_disk_is_the_commands_failure(ground: &Ground) {
    let mut machine = ground.boot().await;
    let ran = run(&mut *machine, "echo kept > f; cat f > /dev/full").await;
    assert!(
        ran.exit != 0 && ran.err_text().contains("No space left on device"),
        "{ran:?}"
    );
    says(&mut *machine, "cat f", "kept\n").await;
    let kept = machine.snapshot().await.unwrap();
    machine.close().await.unwrap();
    let mut machine = ground.restore(&kept).await;
    says(&mut *machine, "cat f", "kept\n").await;
    machine.close().await.unwrap();
}

/// Polls a future so many times at most, and drops it.
async fn polled<F: Future>(future: F, times: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = times;
    std::future::poll_fn(|context| {
        let Some(less) = left.checked_sub(1) else {
            return Poll::Ready(None);
        };
        left = less;
        future.as_mut().poll(context).map(Some)
    })
    .await
}

/// Whatever is dropped, wherever it is: nothing goes on, and what was there before is whole.
pub(super) async fn can_be_dropped_at_any_point(ground: &Ground) {
    ground.tree.write("f", "user 1");
    let asked = MachineRequest {
        workspace: Some(ground.capture()),
        ..MachineRequest::default()
    };
    let mut machine = ground.boot_with(asked.workspace.clone()).await;
    says(&mut *machine, "echo kept > g", "").await;
    let kept = machine.snapshot().await.unwrap();
    machine.close().await.unwrap();
    ground.tree.write("f", "user 2");
    let newer = MachineRequest {
        workspace: Some(ground.capture()),
        ..MachineRequest::default()
    };
    for times in [0, 1, 2, 3, 4, 5, 7, 9, 12, 16, 22, 30] {
        drop(polled(ground.backend.create(&ground.image, &asked), times).await);
        drop(polled(ground.backend.restore(&kept, &newer), times).await);
        let mut machine = ground.backend.restore(&kept, &asked).await.unwrap();
        drop(
            polled(
                machine.exec(request("echo more >> g; echo said; echo x > h; rm g")),
                times,
            )
            .await,
        );
        drop(polled(machine.snapshot(), times).await);
        let ran = run(&mut *machine, "cat f; ls").await;
        assert_eq!(ran.exit, 0, "{times}: {}", ran.err_text());
        assert!(ran.out_text().starts_with("user 1"), "{times}: {ran:?}");
        machine.close().await.unwrap();
        let mut machine = ground.backend.restore(&kept, &newer).await.unwrap();
        says(&mut *machine, "cat f g; ls", "user 2kept\nf\ng\n").await;
        machine.close().await.unwrap();
    }
}

/// The name leads to an address on every network, and is part of no snapshot.
pub(super) async fn knows_its_own_name(ground: &Ground) {
    let known = "read name < /proc/sys/kernel/hostname; grep -c \"[[:space:]]$name\\$\" /etc/hosts; grep -q localhost /etc/hosts; \
                 ! command -v getent > /dev/null || getent hosts $name > /dev/null";
    for network in [Network::Host, Network::None] {
        let asked = MachineRequest {
            network,
            ..MachineRequest::default()
        };
        let mut machine = ground.backend.create(&ground.image, &asked).await.unwrap();
        for _command in 0..2 {
            says(&mut *machine, known, "1\n").await;
        }
        let kept = machine.snapshot().await.unwrap();
        machine.close().await.unwrap();
        let mut machine = ground.backend.restore(&kept, &asked).await.unwrap();
        says(&mut *machine, known, "1\n").await;
        machine.close().await.unwrap();
    }
}

pub(super) async fn the_workspace_hides_the_images(ground: &Ground) {
    hides(ground, "").await;
}

pub(super) async fn another_users_workspace_hides_the_images(ground: &Ground) {
    hides(ground, "build").await;
}

/// What the image has in its place shows where there is no workspace.
async fn hides(ground: &Ground, user: &str) {
    let files = ["workspace/Makefile", "workspace/tests/old", "workspace/tests/same"];
    let name = if ground.backend.name() == "docker" {
        let name = &format!("hm-conformance-workspace:1{user}");
        let config = json!({ "User": user, "WorkingDir": "/workspace" });
        engine::load(name, engine::archive_with(&files), config, None).await;
        name.clone()
    } else {
        let small = Small {
            user,
            files: &files,
            ..Small::default()
        };
        small_image_with(ground.folder.path(), "image.tar", small)
    };
    let image = ground.backend.resolve_image(&name).await.unwrap();
    let all = "echo /workspace/* /workspace/tests/*";
    let asked = |workspace| MachineRequest {
        workspace,
        network: Network::Host,
        ..MachineRequest::default()
    };
    let mut machine = ground.backend.create(&image, &asked(None)).await.unwrap();
    let shown = "/workspace/Makefile /workspace/tests /workspace/tests/old /workspace/tests/same\n";
    says(&mut *machine, all, shown).await;
    machine.close().await.unwrap();

    ground.tree.write("tests/new", "mine").write("tests/same", "mine");
    let mut machine = ground
        .backend
        .create(&image, &asked(Some(ground.capture())))
        .await
        .unwrap();
    let shown = "/workspace/tests /workspace/tests/new /workspace/tests/same\n";
    says(&mut *machine, all, shown).await;
    assert_eq!(machine.take_notes(), Vec::<String>::new());
    let kept = left(&mut *machine, "echo x > /workspace/tests/made").await;
    machine.close().await.unwrap();
    ground.tree.write("tests/newer", "mine");
    for (workspace, newer) in [(None, ""), (Some(ground.capture()), " /workspace/tests/newer")] {
        let mut machine = ground.backend.restore(&kept, &asked(workspace)).await.unwrap();
        let steps = "/workspace/tests /workspace/tests/made /workspace/tests/new";
        let shown = format!("{steps}{newer} /workspace/tests/same\n");
        says(&mut *machine, all, &shown).await;
        machine.close().await.unwrap();
    }
}
