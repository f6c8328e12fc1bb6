//! A user who is not root, with subordinate ids and without.
//!
//! The user exists in a mount namespace only, where another layer lies over `/etc`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::support::{Ir, Lab, Run};

pub(crate) const USER: u32 = 64_322;

/// `hm run` as the user, whose ranges are in `table`.
pub(crate) fn run_as_user(lab: &Lab, ir: &Ir, table: &str) -> Run {
    let etc = lab.path("etc");
    fs::create_dir(&etc).unwrap();
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    fs::write(
        etc.join("passwd"),
        format!("{passwd}fresh:x:{USER}:{USER}::/:/bin/sh\n"),
    )
    .unwrap();
    for name in ["subuid", "subgid"] {
        fs::write(etc.join(name), table).unwrap();
    }
    let program = lab.path("hm");
    fs::copy(env!("CARGO_BIN_EXE_hm"), &program).unwrap();
    let everything = lab.path("");
    fs::set_permissions(&everything, fs::Permissions::from_mode(0o755)).unwrap();
    let file = lab.path("pipeline.json");
    fs::write(&file, ir.render(&format!("dir:{}", lab.root().display()))).unwrap();
    let script = format!(
        "chown -R {USER}:{USER} \"$1\" && mount -t overlay -o \"lowerdir=$2:/etc\" etc /etc && shift 2 &&
         exec setpriv --reuid={USER} --regid={USER} --clear-groups \"$@\""
    );
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", &script, "sh"])
        .args([&everything, &etc, &program])
        .args(["run", "--format", "json", "--ir"])
        .arg(file)
        .env_clear()
        .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
        .env("HOME", lab.path("home"))
        .env("USER", "fresh")
        .env("HM_STORE__DIR", lab.store())
        .current_dir(lab.tree());
    Run::of(&command.output().unwrap())
}

fn other_users() -> Ir {
    let passwd = "echo 'build:x:1000:1001::/:/bin/sh' >> /etc/passwd; echo 'build:x:1001:' >> /etc/group";
    let make = "mkdir d; echo made > d/f; chown -R build:build d; chmod 700 d; su build -c 'id -u; id -g; cat d/f'";
    Ir::new()
        .step("make", &format!("{passwd}; {make}"))
        .step("use", "stat -c %u:%g:%a d d/f; cat d/f; rm d/f")
        .builds_in("make")
}

#[test]
fn steps_have_other_users_where_there_are_subordinate_ids() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let lab = Lab::new();
    let run = run_as_user(&lab, &other_users(), &format!("{USER}:3000000:65536\n")).passed();
    assert_eq!(run.stdout("make"), ["1000", "1001", "made"]);
    assert_eq!(run.stdout("use"), ["1000:1001:700", "1000:1001:644", "made"]);
    assert!(!run.stderr.contains("note: steps have no user"), "{}", run.stderr);
    let layers: Vec<_> = fs::read_dir(lab.store().join("l")).unwrap().collect();
    assert!(layers.is_empty(), "{layers:?}");
}

#[test]
fn without_subordinate_ids_a_note_tells_what_fails_and_how_to_mend_it() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let lab = Lab::new();
    let run = run_as_user(&lab, &other_users(), "ann:100000:65536\n");
    assert_eq!((run.code, run.status("make")), (Some(1), "failed"), "{run:#?}");
    let notes: Vec<&str> = run
        .stderr
        .lines()
        .filter(|line| line.contains("no user but root"))
        .collect();
    assert_eq!(notes.len(), 1, "{}", run.stderr);
    assert!(notes[0].contains("chown"), "{}", notes[0]);
    let fix = "sudo usermod --add-subuids 165536-231071 --add-subgids 165536-231071 fresh";
    assert!(notes[0].ends_with(fix), "{}", notes[0]);
}
