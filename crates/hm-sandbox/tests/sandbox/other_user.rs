//! Running these tests as a user who is not root.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

pub(crate) const NOBODY: u32 = 65534;
/// The first subordinate id of [`OtherUser::with_subordinate_ids`].
pub(crate) const FIRST_SUBORDINATE: u32 = 3_000_000;

/// What the user needs.
pub(crate) struct OtherUser {
    folder: TempDir,
    /// A copy of these tests that the user can reach.
    pub(crate) program: PathBuf,
}

impl OtherUser {
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("hms-").tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let program = folder.path().join("tests");
        fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
        Self { folder, program }
    }

    /// A command of root's with nothing of the caller's environment.
    pub(crate) fn prepared(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("TMPDIR", self.folder.path())
            .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
            .current_dir("/");
        command
    }

    /// The tests whose names contain `filter`, of a user without subordinate ids.
    pub(crate) fn plain(&self, filter: &str) -> Command {
        let mut command = self.prepared(&self.program);
        command.arg(filter).uid(NOBODY).gid(NOBODY);
        command
    }

    /// The same with subordinate ids. The files that give them are bound over in a mount namespace, so the host's stay as
    /// they are.
    pub(crate) fn with_subordinate_ids(&self, filter: &str) -> Command {
        let table = self.folder.path().join("table");
        fs::write(&table, format!("{NOBODY}:{FIRST_SUBORDINATE}:65536\n")).unwrap();
        let script = "for file in /etc/subuid /etc/subgid; do mount --bind \"$1\" $file || exit 1; done
                      shift; exec setpriv --reuid 65534 --regid 65534 --clear-groups \"$@\"";
        let mut command = self.prepared("unshare");
        command.args(["--mount", "sh", "-c", script, "sh"]).arg(table);
        command.arg(&self.program).arg(filter);
        command
    }
}

/// Whether this process is in [`OtherUser::with_subordinate_ids`].
pub(crate) fn has_subordinate_ids() -> bool {
    let table = fs::read_to_string("/etc/subuid").unwrap_or_default();
    !rustix::process::geteuid().is_root() && table.contains(&format!("{NOBODY}:{FIRST_SUBORDINATE}:"))
}

/// Runs tests that have to pass, and say so with this text.
pub(crate) fn assert_passes(command: &mut Command, text: &str) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains(text),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
