//! An ordinary user to whom root gave control groups. Where root can't make any the test passes without a look.

use std::fs;
use std::future::Future;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

use hm_sandbox::LimitedBy;
use libtest_mimic::Trial;
use rustix::fs::XattrFlags;

use crate::limits;
use crate::other_user::{NOBODY, OtherUser, assert_passes};
use crate::support::{root_test, test};

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        root_test("limits::an_ordinary_user_with_groups_passes", as_owner),
        owner_test("owned_groups::memory_that_runs_out_is_told", limits::memory),
        owner_test("owned_groups::processes_are_counted", limits::pids),
        owner_test("owned_groups::processors_are_shared_out", limits::cpus),
        owner_test("owned_groups::groups_go_with_their_steps", limits::removal),
    ]
}

/// Runs only in [`as_owner`].
fn owner_test<F: Future<Output = ()>>(name: &'static str, body: impl FnOnce() -> F + Send + 'static) -> Trial {
    let is_owner = !rustix::process::geteuid().is_root() && hm_sandbox::limit_means().memory != LimitedBy::Process;
    test(name, body).with_ignored_flag(!is_owner)
}

async fn as_owner() {
    let Some(given) = Given::to_nobody() else { return };
    let user = OtherUser::new();
    let script = "program=$1; shift; for place; do echo $$ > \"$place/cgroup.procs\" || exit 1; done
                  exec setpriv --reuid 65534 --regid 65534 --clear-groups \"$program\" owned_groups:: --test-threads 1";
    let mut command = user.prepared("sh");
    command
        .args(["-c", script, "sh"])
        .arg(&user.program)
        .args(&given.groups);
    assert_passes(&mut command, "4 passed; 0 failed; 0 ignored");
}

/// Groups of the user.
struct Given {
    groups: Vec<PathBuf>,
}

impl Given {
    fn to_nobody() -> Option<Self> {
        let top = Path::new("/sys/fs/cgroup");
        let name = format!("hms-{}", std::process::id());
        let given = fs::read_to_string(top.join("cgroup.subtree_control")).unwrap_or_default();
        let is_version_2 = ["cpu", "memory", "pids"]
            .iter()
            .all(|controller| given.split_whitespace().any(|word| word == *controller));
        if is_version_2 {
            let group = top.join(name);
            fs::create_dir(&group).unwrap();
            give(
                &group,
                &["", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control"],
            );
            // As systemd does for `Delegate=yes`.
            rustix::fs::setxattr(&group, "user.delegate", b"1", XattrFlags::empty()).unwrap();
            return Some(Self { groups: vec![group] });
        }
        let hierarchies = ["cpu", "cpuacct", "memory", "pids"].map(|controller| top.join(controller));
        if !hierarchies.iter().all(|hierarchy| hierarchy.join("tasks").exists()) {
            return None;
        }
        let groups = hierarchies.map(|hierarchy| hierarchy.join(&name));
        for group in &groups {
            fs::create_dir(group).unwrap();
            give(group, &["", "cgroup.procs"]);
        }
        Some(Self { groups: groups.into() })
    }
}

fn give(group: &Path, files: &[&str]) {
    for file in files {
        chown(group.join(file), Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        for group in &self.groups {
            // There is one only in version 2.
            let _none = fs::remove_dir(group.join("hm-callers"));
            let gone = fs::remove_dir(group);
            assert!(
                gone.is_ok() || std::thread::panicking(),
                "{gone:?}: {}",
                group.display()
            );
        }
    }
}
