use hm_vm::VmError;

use crate::ground::{Ground, left, request, run_request, says};

/// What comes of it is a snapshot like any other, of which many machines can be made.
pub(super) async fn is_a_snapshot(ground: &Ground) {
    let mut machine = ground.boot().await;
    says(&mut *machine, "echo one > f", "").await;
    let kept = machine.hand_over().await.unwrap();
    machine.close().await.unwrap();
    assert!(ground.backend.exists(&kept).await);
    let mut first = ground.restore(&kept).await;
    let mut second = ground.restore(&kept).await;
    says(&mut *first, "cat f; echo first > f", "one\n").await;
    says(&mut *second, "cat f; echo second >> f; cat f", "one\none\nsecond\n").await;
    first.close().await.unwrap();
    let refused = ground.backend.release(&kept).await.unwrap_err();
    assert!(matches!(refused, VmError::InUse { .. }), "{refused:?}");
    second.close().await.unwrap();
    ground.backend.release(&kept).await.unwrap();
    assert!(!ground.backend.exists(&kept).await);
    let gone = ground.try_restore(&kept).await.unwrap_err();
    assert!(matches!(gone, VmError::SnapshotMissing { .. }), "{gone:?}");
}

/// The last machine has what the one before left, and nothing of how that one ran.
pub(super) async fn the_last_machine_goes_on(ground: &Ground) {
    ground.tree.write("f", "user");
    let workspace = ground.capture();
    let mut machine = ground.boot_with(Some(workspace.clone())).await;
    let mut first = request("echo one > log; mkdir d; sleep 1000 & true");
    first.env.insert("OF_THE_FIRST".into(), "1".into());
    assert_eq!(run_request(&mut *machine, first).await.unwrap().exit, 0);
    let mut kept = machine.hand_over().await.unwrap();
    machine.close().await.unwrap();
    for number in 2..6 {
        let mut machine = ground.restore_last(&kept, Some(workspace.clone())).await;
        let mut next = request("echo $NUMBER \"<$OF_THE_FIRST>\" >> ../log; pwd; cat ../f; exit 3");
        next.env.insert("NUMBER".into(), number.to_string());
        next.workdir = Some("/workspace/d".into());
        let ran = run_request(&mut *machine, next).await.unwrap();
        assert_eq!(
            (ran.exit, ran.out_text()),
            (3, "/workspace/d\nuser".into()),
            "{}",
            ran.err_text()
        );
        let next = machine.hand_over().await.unwrap();
        machine.close().await.unwrap();
        ground.backend.release(&kept).await.unwrap();
        kept = next;
    }
    let mut machine = ground.restore_last(&kept, Some(workspace)).await;
    says(&mut *machine, "cat log; rm log", "one\n2 <>\n3 <>\n4 <>\n5 <>\n").await;
    says(&mut *machine, "ls", "d\nf\n").await;
    machine.close().await.unwrap();
    ground.backend.release(&kept).await.unwrap();
}

/// The delta rule holds for what is handed over, too.
pub(super) async fn a_newer_tree_is_put_on_it(ground: &Ground) {
    ground.tree.write("f", "user 1").write("gone", "x");
    let mut machine = ground.boot_with(Some(ground.capture())).await;
    says(&mut *machine, "echo made > g", "").await;
    let kept = machine.hand_over().await.unwrap();
    machine.close().await.unwrap();
    ground.tree.write("f", "user 2").remove("gone");
    let mut machine = ground.restore_last(&kept, Some(ground.capture())).await;
    says(&mut *machine, "cat f g; ls", "user 2made\nf\ng\n").await;
    machine.close().await.unwrap();
}

pub(super) async fn what_it_stands_on_may_be_released(ground: &Ground) {
    let root = ground.left_by("echo root > f").await;
    let mut handed = Vec::new();
    for number in 0..2 {
        let mut machine = ground.restore(&root).await;
        says(&mut *machine, &format!("echo {number} >> f"), "").await;
        handed.push(machine.hand_over().await.unwrap());
        machine.close().await.unwrap();
    }
    ground.backend.release(&root).await.unwrap();
    let mut machine = ground.restore(&handed[0]).await;
    says(&mut *machine, "cat f", "root\n0\n").await;
    machine.close().await.unwrap();
    let mut machine = ground.restore_last(&handed[1], None).await;
    says(&mut *machine, "cat f", "root\n1\n").await;
    machine.close().await.unwrap();
    for kept in handed {
        ground.backend.release(&kept).await.unwrap();
    }
}

pub(super) async fn has_the_content_hash_of_a_snapshot(ground: &Ground) {
    let mut hashes = Vec::new();
    for is_handed_over in [false, true] {
        let mut machine = ground.boot().await;
        let kept = if is_handed_over {
            says(&mut *machine, "echo one > f", "").await;
            machine.hand_over().await.unwrap()
        } else {
            left(&mut *machine, "echo one > f").await
        };
        machine.close().await.unwrap();
        hashes.push(ground.backend.content_hash(&kept).await.unwrap());
    }
    assert_eq!(hashes[0], hashes[1]);
}

/// A machine that was asked too early can go on all the same.
pub(super) async fn the_machine_itself_can_go_on(ground: &Ground) {
    let mut machine = ground.boot().await;
    says(&mut *machine, "echo one > f", "").await;
    let kept = machine.hand_over().await.unwrap();
    says(&mut *machine, "echo two >> f; cat f", "one\ntwo\n").await;
    machine.close().await.unwrap();
    let mut machine = ground.restore(&kept).await;
    says(&mut *machine, "cat f", "one\n").await;
    machine.close().await.unwrap();
}
