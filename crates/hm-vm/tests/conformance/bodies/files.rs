use crate::ground::{Ground, run, says};

pub(super) async fn stay_between_commands(ground: &Ground) {
    let mut machine = ground.boot().await;
    says(
        &mut *machine,
        "mkdir -p /workspace/a /tmp/t && echo one > a/f && echo two > /tmp/t/f",
        "",
    )
    .await;
    says(
        &mut *machine,
        "echo three >> a/f; cat a/f /tmp/t/f",
        "one\nthree\ntwo\n",
    )
    .await;
    says(
        &mut *machine,
        "cat < a/f > /root/copy; cat /root/copy; ls a",
        "one\nthree\nf\n",
    )
    .await;
    machine.close().await.unwrap();
}

pub(super) async fn have_modes(ground: &Ground) {
    let mut machine = ground.boot().await;
    says(
        &mut *machine,
        "echo a > f; chmod 640 f; stat -c '%a %u %g %s' f",
        "640 0 0 2\n",
    )
    .await;
    says(
        &mut *machine,
        "chmod u+x f; stat -c %a f; mkdir d; chmod 700 d; stat -c %a d",
        "740\n700\n",
    )
    .await;
    says(&mut *machine, "chown 7:8 f; stat -c '%u:%g' f", "7:8\n").await;
    machine.close().await.unwrap();
}

pub(super) async fn can_be_links(ground: &Ground) {
    let mut machine = ground.boot().await;
    says(
        &mut *machine,
        "ln -s nowhere dangling; readlink dangling; [ -L dangling ] && [ ! -e dangling ]",
        "nowhere\n",
    )
    .await;
    says(&mut *machine, "mkdir d; ln -s d to-d; echo x > to-d/f; cat d/f", "x\n").await;
    says(
        &mut *machine,
        "ln -s /workspace/d/f abs; echo y > abs; cat d/f; rm abs; cat d/f",
        "y\ny\n",
    )
    .await;
    machine.close().await.unwrap();
}

pub(super) async fn can_be_renamed_and_removed(ground: &Ground) {
    let mut machine = ground.boot().await;
    says(
        &mut *machine,
        "mkdir -p a/b; echo x > a/b/f; mv a c; cat c/b/f; [ ! -e a ]",
        "x\n",
    )
    .await;
    says(&mut *machine, "echo y > g; mv g c/b/f; cat c/b/f; rm -r c; ls", "y\n").await;
    let ran = run(&mut *machine, "rm none 2> err; echo $?; rm -f none; echo $?").await;
    assert_eq!(ran.out_text(), "1\n0\n");
    machine.close().await.unwrap();
}

pub(super) async fn run_when_executable(ground: &Ground) {
    let mut machine = ground.boot().await;
    says(&mut *machine, "printf '#!/bin/sh\\necho ran\\n' > s", "").await;
    assert_eq!(run(&mut *machine, "./s 2> err").await.exit, 126);
    says(&mut *machine, "chmod +x s; ./s", "ran\n").await;
    machine.close().await.unwrap();
}
