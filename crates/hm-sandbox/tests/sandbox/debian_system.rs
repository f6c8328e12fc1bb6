//! A Debian system with systemd as its first process, on the kernel of `user_mode`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::user_mode::{boot, module};

/// The one user there. They have subordinate ids, and `sudo` without a password.
const USER: &str = "ann";
/// What it is made of. A new number makes a new one.
const IMAGE: &str = "debian-system-1.ext4";
const PACKAGES: &str = "systemd-sysv,dbus-user-session,libpam-systemd,uidmap,sudo,busybox-static";
/// What nobody waits for there.
const MASKED: [&str; 8] = [
    "getty.target",
    "e2scrub_reap.service",
    "systemd-random-seed.service",
    "systemd-update-utmp.service",
    "systemd-update-utmp-runlevel.service",
    "modprobe@.service",
    "systemd-timesyncd.service",
    "timers.target",
];
/// Runs the script as a service of the system's, and ends the system.
const SERVICE: &str = "\
[Unit]
After=multi-user.target
SuccessAction=poweroff-force
FailureAction=poweroff-force
[Service]
Type=oneshot
Environment=HOME=/root
ExecStartPre=mount -t hostfs -o ro none /host
ExecStartPre=mount -t hostfs -o ${FOLDER} none /out
ExecStart=sh -c 'exec sh /out/script > /out/console 2>&1'
";

/// A system that may be booted any number of times, each time as new.
pub(crate) struct DebianSystem {
    image: PathBuf,
    overlay: PathBuf,
}

impl DebianSystem {
    /// Makes one in a folder that is kept; `None` where the kernel is not installed, or as an ordinary user.
    pub(crate) fn new(cache: &Path) -> Option<Self> {
        let overlay = module("kernel/fs/overlayfs/overlay.ko")?;
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        fs::create_dir_all(cache).unwrap();
        let image = cache.join(IMAGE);
        // Each test may be a process of its own: the first one makes it.
        let lock = fs::File::create(cache.join("debian-system.lock")).unwrap();
        lock.lock().unwrap();
        if !image.exists() {
            make(&image);
        }
        Some(Self { image, overlay })
    }

    /// Runs a script as root, as a service of systemd's that is not delegated. It has this machine's files, read only, in
    /// `/host`, and `folder` in `/out`. What it prints is given back, or what came on the console if it did not end.
    pub(crate) fn run(&self, folder: &Path, script: &str) -> String {
        let overlay = self.overlay.display();
        let script = format!("/bin/busybox insmod /host{overlay}\n{script}\necho all done\n");
        fs::write(folder.join("script"), script).unwrap();
        let disk = format!("{},{}", folder.join("changes").display(), self.image.display());
        let console = boot(
            folder,
            &[
                format!("ubda={disk}"),
                "root=/dev/ubda".into(),
                "rw".into(),
                "init=/lib/systemd/systemd".into(),
                "systemd.unified_cgroup_hierarchy=1".into(),
                "systemd.show_status=0".into(),
                format!("systemd.setenv=FOLDER={}", folder.display()),
            ],
        );
        let said = fs::read_to_string(folder.join("console")).unwrap_or_default();
        assert!(said.ends_with("all done\n"), "{console}\n{said}");
        said
    }
}

fn make(image: &Path) {
    let folder = tempfile::Builder::new().prefix("hms-").tempdir().unwrap();
    let root = folder.path().join("root");
    let masks: String = MASKED.map(|unit| format!("ln -sf /dev/null {unit}\n")).concat();
    let change = format!(
        "set -e; chroot \"$1\" useradd --create-home --shell /bin/bash {USER}
         echo '{USER} ALL=(ALL) NOPASSWD: ALL' > \"$1/etc/sudoers.d/{USER}\"
         mkdir \"$1/host\" \"$1/out\"; cd \"$1/etc/systemd/system\"; cat > trials.service <<'end'\n{SERVICE}\nend
         {masks}
         ln -s ../trials.service multi-user.target.wants/; ln -sf /lib/systemd/system/multi-user.target default.target"
    );
    let made = Command::new("mmdebstrap")
        .args(["--quiet", "--variant=minbase"])
        .arg(format!("--include={PACKAGES}"))
        .arg(format!("--customize-hook={change}"))
        .arg("bookworm")
        .arg(&root)
        .output()
        .expect("install mmdebstrap: apt-get install mmdebstrap");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let new = image.with_extension("new");
    let _none = fs::remove_file(&new);
    let made = Command::new("mkfs.ext4")
        .args(["-q", "-O", "^has_journal", "-d"])
        .arg(&root)
        .arg(&new)
        .arg("1500M")
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    fs::rename(&new, image).unwrap();
}
