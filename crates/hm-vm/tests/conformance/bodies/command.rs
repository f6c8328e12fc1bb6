use futures::future::join_all;

use crate::ground::{Ground, left, request, run, run_request, says};

pub(super) async fn exit_codes_are_exact(ground: &Ground) {
    let mut machine = ground.boot().await;
    for (cmd, exit) in [
        ("true", 0),
        ("false", 1),
        ("exit 3", 3),
        ("exit 255", 255),
        ("(exit 9) || exit 4", 4),
        ("no-such-command-here 2> /dev/null", 127),
        ("./none 2> /dev/null", 127),
    ] {
        let ran = run(&mut *machine, cmd).await;
        assert_eq!((ran.exit, ran.stopped), (exit, false), "{cmd}");
    }
    machine.close().await.unwrap();
}

pub(super) async fn signals_are_128_and_more(ground: &Ground) {
    let mut machine = ground.boot().await;
    for (cmd, exit) in [
        ("kill -9 $$", 137),
        ("kill -TERM $$", 143),
        ("sh -c 'kill -9 $$'; exit $?", 137),
    ] {
        // The shell tells of the death of its child on the error stream.
        assert_eq!(run(&mut *machine, cmd).await.exit, exit, "{cmd}");
    }
    machine.close().await.unwrap();
}

pub(super) async fn env_is_what_was_given(ground: &Ground) {
    let mut machine = ground.boot().await;
    let values = [
        "plain",
        "two  words",
        "a=b",
        "",
        "line\nbreak",
        "quote's \"double\" $HOME `x` \\",
        "ünïcode",
    ];
    for value in values {
        let mut asked = request("printf '<%s>' \"$VALUE\"; sh -c 'printf \"<%s>\" \"$VALUE\"'");
        asked.env.insert("VALUE".into(), value.into());
        let ran = run_request(&mut *machine, asked).await.unwrap();
        assert_eq!(ran.out_text(), format!("<{value}><{value}>"));
    }
    machine.close().await.unwrap();
}

pub(super) async fn baseline_of_the_environment(ground: &Ground) {
    let mut machine = ground.boot().await;
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    says(&mut *machine, "echo $HOME; echo $PATH", &format!("/root\n{path}\n")).await;
    let mut asked = request("echo $HOME");
    asked.env.insert("HOME".into(), "/tmp".into());
    assert_eq!(run_request(&mut *machine, asked).await.unwrap().out_text(), "/tmp\n");
    // What `cargo` sets for this very program must not be seen; the shell itself sets a few.
    let seen = run(&mut *machine, "env").await.out_text();
    let names: Vec<&str> = seen.lines().filter_map(|line| line.split('=').next()).collect();
    let known = ["HOME", "PATH", "PWD", "OLDPWD", "SHLVL", "_"];
    assert!(names.iter().all(|name| known.contains(name)), "{names:?}");
    machine.close().await.unwrap();
}

pub(super) async fn runs_in_the_working_folder(ground: &Ground) {
    let mut machine = ground.boot().await;
    says(&mut *machine, "pwd; mkdir -p /srv-here/in", "/workspace\n").await;
    let mut asked = request("pwd; echo x > f; cat /srv-here/in/f");
    asked.workdir = Some("/srv-here/in".into());
    assert_eq!(
        run_request(&mut *machine, asked).await.unwrap().out_text(),
        "/srv-here/in\nx\n"
    );
    machine.close().await.unwrap();
}

pub(super) async fn missing_working_folder_is_an_error(ground: &Ground) {
    let mut machine = ground.boot().await;
    let mut asked = request("true");
    asked.workdir = Some("/none/of/these".into());
    let error = run_request(&mut *machine, asked).await.unwrap_err();
    assert_eq!(error.code(), "workdir", "{error}");
    assert!(error.to_string().contains("/none/of/these"));
    says(&mut *machine, "echo fine", "fine\n").await;
    machine.close().await.unwrap();
}

pub(super) async fn standard_input_is_empty(ground: &Ground) {
    let mut machine = ground.boot().await;
    says(&mut *machine, "cat; echo end", "end\n").await;
    machine.close().await.unwrap();
}

pub(super) async fn many_machines_at_once(ground: &Ground) {
    let all = (0..12).map(|number| async move {
        let mut machine = ground.boot().await;
        let snapshot = left(&mut *machine, &format!("echo {number} > f")).await;
        says(&mut *machine, "cat f; ls", &format!("{number}\nf\n")).await;
        machine.close().await.unwrap();
        ground.backend.release(&snapshot).await.unwrap();
    });
    join_all(all).await;
}
