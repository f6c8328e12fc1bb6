use futures::future::join_all;
use hm_plugin_protocol::SnapshotRef;

use crate::ground::{Ground, left, says};

pub(super) async fn holds_what_was_written(ground: &Ground) {
    let kept = ground
        .left_by("echo one > f; mkdir -p d/e; ln -s f l; chmod 600 f; echo x > /etc/hm-test")
        .await;
    assert!(ground.backend.exists(&kept).await);
    let mut machine = ground.restore(&kept).await;
    says(
        &mut *machine,
        "cat f l; stat -c %a f; [ -d d/e ] && cat /etc/hm-test",
        "one\none\n600\nx\n",
    )
    .await;
    machine.close().await.unwrap();
}

pub(super) async fn is_not_changed_later(ground: &Ground) {
    let mut machine = ground.boot().await;
    let kept = left(&mut *machine, "echo one > f; echo one > g").await;
    says(
        &mut *machine,
        "echo two >> f; rm g; echo h > h; cat f; ls",
        "one\ntwo\nf\nh\n",
    )
    .await;
    let mut other = ground.restore(&kept).await;
    says(&mut *other, "cat f g; ls", "one\none\nf\ng\n").await;
    says(&mut *other, "echo three > f", "").await;
    says(&mut *machine, "cat f", "one\ntwo\n").await;
    machine.close().await.unwrap();
    other.close().await.unwrap();
    let mut again = ground.restore(&kept).await;
    says(&mut *again, "cat f", "one\n").await;
    again.close().await.unwrap();
}

pub(super) async fn fifty_deep(ground: &Ground) {
    let mut last = ground.left_by("echo 0 > log; echo 0 > f0").await;
    let mut lineage = vec![last.clone()];
    for number in 1..50 {
        let mut machine = ground.restore(&last).await;
        last = left(
            &mut *machine,
            &format!("echo {number} >> log; echo {number} > f{number}"),
        )
        .await;
        machine.close().await.unwrap();
        lineage.push(last.clone());
    }
    for depth in [0, 24, 49] {
        let mut machine = ground.restore(&lineage[depth]).await;
        let log: String = (0..=depth).map(|number| number.to_string() + "\n").collect();
        says(&mut *machine, "cat log", &log).await;
        says(&mut *machine, "ls | wc -l", &format!("{}\n", depth + 2)).await;
        machine.close().await.unwrap();
    }
}

pub(super) async fn fifty_wide(ground: &Ground) {
    let root = ground.left_by("echo root > f").await;
    let mut children = Vec::new();
    for number in 0..50 {
        let mut machine = ground.restore(&root).await;
        children.push(left(&mut *machine, &format!("echo {number} >> f")).await);
        machine.close().await.unwrap();
    }
    for (number, child) in children.iter().enumerate().step_by(7) {
        let mut machine = ground.restore(child).await;
        says(&mut *machine, "cat f", &format!("root\n{number}\n")).await;
        machine.close().await.unwrap();
    }
}

pub(super) async fn restored_many_times_at_once(ground: &Ground) {
    let root = ground.left_by("seq 1000 > f").await;
    let root = &root;
    let all = (0..12).map(|number| async move {
        let mut machine = ground.restore(root).await;
        let snapshot = left(&mut *machine, &format!("echo {number} >> f; echo {number} > mine")).await;
        machine.close().await.unwrap();
        snapshot
    });
    let children: Vec<SnapshotRef> = join_all(all).await;
    for (number, child) in children.iter().enumerate() {
        let mut machine = ground.restore(child).await;
        says(&mut *machine, "wc -l < f; cat mine", &format!("1001\n{number}\n")).await;
        machine.close().await.unwrap();
    }
}

pub(super) async fn several_of_one_machine(ground: &Ground) {
    let mut machine = ground.boot().await;
    let mut kept = Vec::new();
    for number in 0..4 {
        kept.push(
            left(
                &mut *machine,
                &format!("echo {number} > f; rm -f f{number}; echo x > g{number}"),
            )
            .await,
        );
    }
    machine.close().await.unwrap();
    for (number, snapshot) in kept.iter().enumerate() {
        let mut machine = ground.restore(snapshot).await;
        says(
            &mut *machine,
            "cat f; ls | wc -l",
            &format!("{number}\n{}\n", number + 2),
        )
        .await;
        machine.close().await.unwrap();
    }
}

pub(super) async fn release_is_refused_while_in_use(ground: &Ground) {
    let kept = ground.left_by("echo one > f").await;
    let mut machine = ground.restore(&kept).await;
    let error = ground.backend.release(&kept).await.unwrap_err();
    assert_eq!(error.code(), "snapshot-in-use", "{error}");
    says(&mut *machine, "cat f", "one\n").await;
    machine.close().await.unwrap();
    ground.backend.release(&kept).await.unwrap();
    assert!(!ground.backend.exists(&kept).await);
}

pub(super) async fn released_parents_leave_children_whole(ground: &Ground) {
    let parent = ground.left_by("echo parent > f").await;
    let mut machine = ground.restore(&parent).await;
    let child = left(&mut *machine, "echo child > g").await;
    machine.close().await.unwrap();
    ground.backend.release(&parent).await.unwrap();
    let mut machine = ground.restore(&child).await;
    says(&mut *machine, "cat f g", "parent\nchild\n").await;
    machine.close().await.unwrap();
}

pub(super) async fn missing_is_an_error(ground: &Ground) {
    let released = ground.left_by("true").await;
    ground.backend.release(&released).await.unwrap();
    for missing in [
        released,
        SnapshotRef("aaaaaaaa-0".into()),
        SnapshotRef("../etc".into()),
        SnapshotRef(String::new()),
    ] {
        assert!(!ground.backend.exists(&missing).await, "{missing:?}");
        let error = ground
            .backend
            .restore(&missing, &hm_vm::MachineRequest::default())
            .await
            .unwrap_err();
        assert_eq!(error.code(), "snapshot-missing", "{error}");
        let error = ground.backend.content_hash(&missing).await.unwrap_err();
        assert_eq!(error.code(), "snapshot-missing", "{error}");
    }
}

pub(super) async fn content_hash_is_of_the_content(ground: &Ground) {
    let one = ground.left_by("mkdir d; echo one > d/f; ln -s d l").await;
    // The same files by another way, at another time.
    let other = ground
        .left_by("echo junk > j; ln -s d l; mkdir d; echo on > d/f; echo one > d/f; rm j")
        .await;
    let hash = ground.backend.content_hash(&one).await.unwrap();
    assert_eq!(ground.backend.content_hash(&one).await.unwrap(), hash);
    assert_eq!(ground.backend.content_hash(&other).await.unwrap(), hash);
}

pub(super) async fn content_hash_sees_every_change(ground: &Ground) {
    let base = ground.left_by("mkdir d; echo one > f; ln -s f l; echo gone > g").await;
    let mut hashes = Vec::new();
    for cmd in [
        "true",
        "echo two > f",
        "chmod 600 f",
        "chmod 700 d",
        "chown 1:0 f",
        "chown 0:1 f",
        "mv f e",
        "rm g",
        "mkdir d/e",
        "touch new",
        "ln -s f new",
        "rm l; ln -s g l",
        "rm -r d; echo d > d",
        "rm g; mkdir g",
        "touch /etc/hm-new",
    ] {
        let mut machine = ground.restore(&base).await;
        let kept = left(&mut *machine, cmd).await;
        machine.close().await.unwrap();
        hashes.push((ground.backend.content_hash(&kept).await.unwrap(), cmd));
    }
    hashes.sort_unstable();
    let same: Vec<_> = hashes.windows(2).filter(|pair| pair[0].0 == pair[1].0).collect();
    assert!(same.is_empty(), "{same:?}");
}

pub(super) async fn removals_stay_removed(ground: &Ground) {
    let base = ground
        .left_by("mkdir -p d/e; echo a > d/a; echo b > d/e/b; echo c > c")
        .await;
    let mut machine = ground.restore(&base).await;
    let emptied = left(&mut *machine, "rm -r d; rm c; mkdir d; echo new > d/new").await;
    machine.close().await.unwrap();
    let mut machine = ground.restore(&emptied).await;
    says(&mut *machine, "find . | sort", ".\n./d\n./d/new\n").await;
    let again = left(&mut *machine, "mkdir d/e; echo c2 > c").await;
    machine.close().await.unwrap();
    let mut machine = ground.restore(&again).await;
    says(
        &mut *machine,
        "find . | sort; cat c",
        ".\n./c\n./d\n./d/e\n./d/new\nc2\n",
    )
    .await;
    machine.close().await.unwrap();
}
