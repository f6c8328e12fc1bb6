//! These tests on an older kernel with control groups of version 2: Linux as a process (Debian's package user-mode-linux,
//! 6.1 in Debian 12). Where it is not installed the test passes without a look.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use libtest_mimic::Trial;

use crate::support::{BUSYBOX, root_test};

const LINUX: &str = "/usr/bin/linux.uml";
const MODULES: &str = "/usr/lib/uml/modules";
/// The tests that say most about the kernel.
const GROUPS: [&str; 3] = ["limits::", "life::", "rootless::an_ordinary_user"];

pub(crate) fn tests() -> Vec<Trial> {
    vec![root_test("old_kernel::steps_and_their_limits", on_old_kernel)]
}

async fn on_old_kernel() {
    let Some(overlay) = module("kernel/fs/overlayfs/overlay.ko") else {
        return;
    };
    let folder = tempfile::Builder::new().prefix("hms-").tempdir().unwrap();
    let disk = folder.path().join("disk");
    fs::File::create_new(&disk).unwrap().set_len(1 << 29).unwrap();
    let made = Command::new("mkfs.ext4").arg("-qF").arg(&disk).status().unwrap();
    assert!(made.success());
    let init = folder.path().join("init");
    fs::write(&init, script(&overlay, &std::env::current_exe().unwrap())).unwrap();
    // Without a limit of time a kernel that stops would stop the test.
    let output = Command::new("timeout")
        .args([
            "500",
            LINUX,
            "mem=1000M",
            "root=/dev/root",
            "rootfstype=hostfs",
            "rootflags=/",
            "ro",
            "quiet",
        ])
        .args([
            format!("ubda={}", disk.display()),
            "con=null".into(),
            "con0=fd:0,fd:1".into(),
        ])
        .args(["init=/bin/sh", "--"])
        .arg(&init)
        .env_clear()
        .env("HOME", folder.path())
        .env("TMPDIR", folder.path())
        .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let runs = GROUPS.len() + 2;
    assert_eq!(text.matches("test result: ").count(), runs, "{text}");
    assert_eq!(text.matches(" 0 failed;").count(), runs, "{text}");
    assert_eq!(text.matches("1 passed; 0 failed; 0 ignored").count(), 2, "{text}");
    assert!(
        text.contains("groups left: 0\n") || text.contains("groups left: 0\r\n"),
        "{text}"
    );
}

fn module(path: &str) -> Option<PathBuf> {
    let versions = fs::read_dir(MODULES).into_iter().flatten().flatten();
    let found = versions
        .map(|version| version.path().join(path))
        .find(|module| module.exists());
    found.filter(|_| Path::new(LINUX).exists())
}

/// What the first process of that kernel does, on the read-only root of this one. It has no overlays at first.
fn script(overlay: &Path, program: &Path) -> String {
    let refused = format!("{} refused:: --color never", program.display());
    let runs: String = GROUPS
        .map(|group| format!("{} {group} --color never\n", program.display()))
        .concat();
    format!(
        "mount -t proc proc /proc; mount -t sysfs sys /sys
         mount -t tmpfs none /run; mkdir -p /dev/pts /dev/shm; mount -t devpts none /dev/pts; mount -t tmpfs none /dev/shm
         mount -t cgroup2 none /sys/fs/cgroup; mount -t ext4 /dev/ubda /mnt; chmod 755 /mnt
         for one in cpu memory pids io; do echo +$one > /sys/fs/cgroup/cgroup.subtree_control; done
         mkdir -p /mnt/tmp; chmod 1777 /mnt/tmp; export TMPDIR=/mnt/tmp; cd /
         {refused}
         setpriv --reuid 65534 --regid 65534 --clear-groups {refused}
         {BUSYBOX} insmod {}
         {runs}
         echo groups left: $(ls -d /sys/fs/cgroup/hm* 2>/dev/null | wc -l)
         echo o > /proc/sysrq-trigger; sleep 60",
        overlay.display()
    )
}
