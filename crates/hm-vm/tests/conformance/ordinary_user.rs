//! The bodies once more, as a user that nobody knows: with subordinate ids, and without; and on roots that are copies.
//!
//! The user exists in a mount namespace only, where another layer lies over `/etc`, so the machine stays as it is.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use libtest_mimic::{Failed, Trial};

const USER: u32 = 64_321;

/// What takes other users than root, and what only takes long.
const SKIPPED_WITH_ONE_ID: &[&str] = &[
    "have_modes",
    "content_hash_sees_every_change",
    "files_of_other_users_are_kept_and_removed",
    "another_users_workspace",
    "users_are_found_behind",
    "fifty_",
    "deep_chains",
];

/// What takes long, and what says nothing of roots.
const SKIPPED_ON_COPIES: &[&str] = &["fifty_", "stop::", "output::"];

pub(crate) fn tests() -> Vec<Trial> {
    let is_root = rustix::process::geteuid().is_root();
    let range = format!("{USER}:3000000:65536\n");
    let on_copies = {
        let range = range.clone();
        move || run_all(&range, "copies::", SKIPPED_ON_COPIES)
    };
    let with_ids = move || run_all(&range, "sandbox::", &[]);
    let with_one = || run_all("", "sandbox::", SKIPPED_WITH_ONE_ID);
    vec![
        Trial::test("ordinary_user::passes_with_subordinate_ids", with_ids).with_ignored_flag(!is_root),
        Trial::test("ordinary_user::passes_with_one_id", with_one).with_ignored_flag(!is_root),
        Trial::test("ordinary_user::passes_on_copies", on_copies).with_ignored_flag(!is_root),
    ]
}

fn run_all(table: &str, bodies: &str, skipped: &[&str]) -> Result<(), Failed> {
    let folder = tempfile::Builder::new().prefix("hm-user-").tempdir()?;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777))?;
    let program = folder.path().join("conformance");
    fs::copy(std::env::current_exe()?, &program)?;
    let etc = folder.path().join("etc");
    fs::create_dir(&etc)?;
    let passwd = fs::read_to_string("/etc/passwd")?;
    fs::write(
        etc.join("passwd"),
        format!("{passwd}fresh:x:{USER}:{USER}::/:/bin/sh\n"),
    )?;
    for name in ["subuid", "subgid"] {
        fs::write(etc.join(name), table)?;
    }
    let script = "mount -t overlay -o \"lowerdir=$1:/etc\" etc /etc && shift && exec setpriv \"$@\"";
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", script, "sh"])
        .arg(&etc)
        .args([&format!("--reuid={USER}"), &format!("--regid={USER}"), "--clear-groups"])
        .arg(&program)
        .arg(bodies)
        .args(skipped.iter().flat_map(|name| ["--skip", name]))
        .env_clear()
        .env("TMPDIR", folder.path())
        .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
        .current_dir("/")
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() || text.contains(" 0 passed") {
        return Err(format!("{text}{}", String::from_utf8_lossy(&output.stderr)).into());
    }
    // Nothing but what was put there is left, whoever it belonged to.
    let left = fs::read_dir(folder.path())?.count();
    if left == 2 {
        Ok(())
    } else {
        Err(format!("{left} entries are left").into())
    }
}
