use std::time::{Duration, UNIX_EPOCH};

use crate::ground::{Ground, says};

pub(super) async fn is_exact(ground: &Ground) {
    let tree = &ground.tree;
    tree.write("a/b/file", "content")
        .write("empty", "")
        .folder("nothing/in/here")
        .link("dangling", "no/where");
    tree.link("to-a", "a")
        .write("run", "#!/bin/sh\necho ran\n")
        .mode("run", 0o755)
        .mode("empty", 0o640)
        .mode("a", 0o700);
    tree.write(" odd 'name' \"here\"", "odd").write("ünï", "u");
    let mut machine = ground.boot_with(Some(ground.capture())).await;
    says(
        &mut *machine,
        "cat a/b/file to-a/b/file; ./run; readlink dangling to-a",
        "contentcontentran\nno/where\na\n",
    )
    .await;
    says(
        &mut *machine,
        "stat -c '%a %s %u' empty a/b/file; stat -c %a a run",
        "640 0 0\n644 7 0\n700\n755\n",
    )
    .await;
    says(
        &mut *machine,
        "[ -d nothing/in/here ] && ls nothing/in/here && cat \" odd 'name' \\\"here\\\"\" ünï",
        "oddu",
    )
    .await;
    says(&mut *machine, "find . | sort | wc -l", "13\n").await;
    machine.close().await.unwrap();
}

pub(super) async fn is_writable_and_nobody_elses(ground: &Ground) {
    ground.tree.write("f", "user").write("d/g", "user");
    let workspace = ground.capture();
    let mut one = ground.boot_with(Some(workspace.clone())).await;
    let mut two = ground.boot_with(Some(workspace)).await;
    says(&mut *one, "echo step > f; rm -r d; echo new > new; ls", "f\nnew\n").await;
    says(&mut *two, "cat f d/g; ls", "useruserd\nf\n").await;
    one.close().await.unwrap();
    two.close().await.unwrap();
    assert_eq!(std::fs::read_to_string(ground.tree.root.join("f")).unwrap(), "user");
    assert!(ground.tree.root.join("d/g").exists());
}

pub(super) async fn has_the_captured_times(ground: &Ground) {
    ground.tree.write("f", "x");
    let path = ground.tree.root.join("f");
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.set_modified(UNIX_EPOCH + Duration::from_secs(1_234_567_890))
        .unwrap();
    let mut machine = ground.boot_with(Some(ground.capture())).await;
    says(&mut *machine, "stat -c %Y f", "1234567890\n").await;
    machine.close().await.unwrap();
}

pub(super) async fn none_is_an_empty_folder(ground: &Ground) {
    let mut machine = ground.boot().await;
    says(&mut *machine, "pwd; ls -A; echo x > f; cat f", "/workspace\nx\n").await;
    machine.close().await.unwrap();
}
