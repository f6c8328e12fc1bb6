//! These tests on an older kernel with control groups of version 2, and nothing else. Where it is not installed the test
//! passes without a look.

use std::fs;
use std::path::Path;
use std::process::Command;

use libtest_mimic::Trial;

use crate::support::{BUSYBOX, root_test};
use crate::user_mode::{boot, module};

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
    let text = boot(
        folder.path(),
        &[
            "root=/dev/root".into(),
            "rootfstype=hostfs".into(),
            "rootflags=/".into(),
            "ro".into(),
            format!("ubda={}", disk.display()),
            "init=/bin/sh".into(),
            "--".into(),
            init.display().to_string(),
        ],
    );
    let runs = GROUPS.len() + 2;
    assert_eq!(text.matches("test result: ").count(), runs, "{text}");
    assert_eq!(text.matches(" 0 failed; 0 ignored;").count(), runs, "{text}");
    assert!(
        text.contains("groups left: 0\n") || text.contains("groups left: 0\r\n"),
        "{text}"
    );
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
