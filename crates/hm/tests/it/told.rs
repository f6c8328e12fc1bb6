//! Errors of machines say what is the matter and what helps.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::ordinary_user::USER;
use crate::support::{Ir, Lab};

/// What a build of one step says, all of it.
#[track_caller]
fn assert_told(lab: &Lab, ir: &Ir, told: &[&str]) {
    let run = lab.run(ir);
    assert_ne!(run.code, Some(0), "{run:#?}");
    let all = format!("{}{}", serde_json::to_string(&run.events).unwrap(), run.stderr);
    for part in told {
        assert!(all.contains(part), "{part:?} in {run:#?}");
    }
}

#[test]
fn a_folder_with_the_store_is_no_image() {
    let lab = Lab::new();
    let of = |folder: &str| {
        Ir::new()
            .step("a", "true")
            .with("image", format!("dir:{folder}").into())
    };
    assert_told(
        &lab,
        &of("/"),
        &["/ can't be an image: it holds the store", "this machine's own system"],
    );
    let above = lab.path("");
    assert_told(
        &lab,
        &of(&above.display().to_string()),
        &["it holds the store", "HM_STORE__DIR="],
    );
    let below = lab.store().join("l");
    assert_told(
        &lab,
        &of(&below.display().to_string()),
        &["it lies in the store", "HM_STORE__DIR="],
    );
}

#[test]
fn what_is_too_large_is_named() {
    let lab = Lab::new();
    let much = "x".repeat(200 << 10);
    let ir = Ir::new().step("a", &format!(": {much}"));
    assert_told(
        &lab,
        &ir,
        &[
            "the command has 201 KiB",
            "no more than 128 KiB",
            "a script of the repository",
        ],
    );
    let ir = Ir::new().step("a", "true").env("BIG", &much);
    assert_told(
        &lab,
        &ir,
        &["the variable BIG has 200 KiB", "write its value to a file"],
    );
    let mut ir = Ir::new().step("a", "true");
    for n in 0..100 {
        ir = ir.env(&format!("V{n}"), &much[..100 << 10]);
    }
    assert_told(
        &lab,
        &ir,
        &[
            "variables have 10",
            "a quarter of the stack's limit",
            "write large values to files",
        ],
    );
}

#[test]
fn an_image_without_a_usable_shell_is_told_with_what_helps() {
    let lab = Lab::new();
    let shell = lab.root().join("bin/sh");
    fs::remove_file(&shell).unwrap();
    let ir = Ir::new().step("a", "true");
    assert_told(&lab, &ir, &["holds no `sh` on its PATH", "use an image with a shell"]);
    fs::write(&shell, "").unwrap();
    fs::set_permissions(&shell, Permissions::from_mode(0o644)).unwrap();
    assert_told(&lab, &ir, &["can't be executed: sh", "make it executable in the image"]);
}

#[test]
fn a_low_limit_of_processes_is_told_before_anything_starts() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let lab = Lab::new();
    let program = lab.path("hm");
    fs::copy(env!("CARGO_BIN_EXE_hm"), &program).unwrap();
    let file = lab.path("pipeline.json");
    fs::write(&file, Ir::new().step("a", "true").render("host")).unwrap();
    let owner = format!("{USER}:{USER}");
    let mine = Command::new("chown").args(["-R", &owner]).arg(lab.path("")).status();
    assert!(mine.unwrap().success());
    let output = Command::new("setpriv")
        .args([&format!("--reuid={USER}"), &format!("--regid={USER}"), "--clear-groups"])
        .args(["prlimit", "--nproc=10"])
        .arg(program)
        .args(["run", "--ir"])
        .arg(file)
        .env("HOME", lab.path("home"))
        .env("HM_STORE__DIR", lab.store())
        .current_dir(lab.tree())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("the limit is 10"), "{text}");
    assert!(text.contains("fix: raise the limit: ulimit -u unlimited"), "{text}");
    assert!(!text.contains("panicked") && !text.contains("readable"), "{text}");
}
