//! The user namespace of an ordinary user, and which ids exist in it (`user_namespaces(7)`, `subuid(5)`).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, WaitOptions, getpid, waitpid};
use rustix::thread::UnshareFlags;

use super::start::io_error;
use crate::error::{SetupError, Stage, at};
use crate::request::{IdMap, SingleId};
use crate::sys::{self, CloneFlags, Cloned, SingleThread};

/// Where newuidmap(1) and newgidmap(1) may be. The launcher has no `PATH`.
const TOOL_FOLDERS: [&str; 4] = ["/usr/bin", "/bin", "/usr/local/bin", "/usr/sbin"];

/// What the helper exits with.
const MAPPED: i32 = 0;
const NO_GROUPS: i32 = 10;
const NO_USERS: i32 = 11;

/// Enters a user namespace in which the caller is user 0. With `subordinate` the ids that the administrator gave to the
/// caller exist in it as 1 and up, where there are some.
pub(super) fn enter(single_thread: &SingleThread, subordinate: bool) -> Result<IdMap, SetupError> {
    let caller = Caller::ask();
    let plan = if subordinate {
        Plan::make(&caller)
    } else {
        Err(SingleId::Chosen)
    };
    let plan = match plan {
        Ok(plan) => plan,
        Err(reason) => {
            unshare(single_thread)?;
            caller.map_group_alone()?;
            caller.map_user_alone()?;
            return Ok(IdMap::Single(reason));
        }
    };
    match plan.carry_out(single_thread, &caller)? {
        MAPPED => {
            return Ok(IdMap::Subordinate {
                count: plan.users.count.min(plan.groups.count),
            });
        }
        NO_USERS => {}
        _ => caller.map_group_alone()?,
    }
    caller.map_user_alone()?;
    Ok(IdMap::Single(SingleId::Refused))
}

fn unshare(single_thread: &SingleThread) -> Result<(), SetupError> {
    sys::unshare(single_thread, UnshareFlags::NEWUSER | UnshareFlags::NEWNS)
        .map_err(at(Stage::Namespaces, "user namespace"))
}

struct Caller {
    uid: u32,
    gid: u32,
}

impl Caller {
    fn ask() -> Self {
        Self {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
        }
    }

    fn map_user_alone(&self) -> Result<(), SetupError> {
        write("/proc/self/uid_map", &format!("0 {} 1", self.uid))
    }

    fn map_group_alone(&self) -> Result<(), SetupError> {
        write("/proc/self/setgroups", "deny")?;
        write("/proc/self/gid_map", &format!("0 {} 1", self.gid))
    }
}

fn write(path: &str, text: &str) -> Result<(), SetupError> {
    fs::write(path, text).map_err(|error| io_error(Stage::Namespaces, path, &error))
}

/// A range of ids on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    first: u32,
    count: u32,
}

struct Plan {
    users: Range,
    groups: Range,
    map_users: PathBuf,
    map_groups: PathBuf,
}

impl Plan {
    fn make(caller: &Caller) -> Result<Self, SingleId> {
        let name = name_of(&fs::read_to_string("/etc/passwd").unwrap_or_default(), caller.uid);
        let range = |file| {
            let text = fs::read_to_string(file).unwrap_or_default();
            largest_range(&text, caller.uid, name.as_deref()).ok_or(SingleId::NoRange)
        };
        let (users, groups) = (range("/etc/subuid")?, range("/etc/subgid")?);
        let tool = |name| {
            let mut places = TOOL_FOLDERS.iter().map(|folder| Path::new(folder).join(name));
            places.find(|place| place.is_file()).ok_or(SingleId::NoTool)
        };
        Ok(Self {
            users,
            groups,
            map_users: tool("newuidmap")?,
            map_groups: tool("newgidmap")?,
        })
    }

    /// The maps are written by set-user-id programs that have to run outside of the namespace: a helper is cloned, the
    /// namespace is entered, and the helper told to go on.
    fn carry_out(&self, single_thread: &SingleThread, caller: &Caller) -> Result<i32, SetupError> {
        let failed = || at(Stage::Namespaces, "newuidmap");
        let (wait, go) = pipe_with(PipeFlags::CLOEXEC).map_err(failed())?;
        let launcher = getpid();
        let helper = match sys::clone_process(single_thread, CloneFlags::NONE).map_err(failed())? {
            Cloned::Child => {
                drop(go);
                // Nothing is read if the launcher died: there is nobody to map then.
                let told = rustix::io::retry_on_intr(|| rustix::io::read(&wait, &mut [0; 1]));
                sys::exit_now(if told == Ok(1) {
                    self.map(launcher, caller)
                } else {
                    NO_GROUPS
                })
            }
            Cloned::Parent { pid, pidfd: _ } => pid,
        };
        let entered = unshare(single_thread);
        if entered.is_ok() {
            rustix::io::write(&go, b"g").map_err(failed())?;
        }
        drop(go);
        let status = waitpid(Some(helper), WaitOptions::empty()).map_err(failed())?;
        entered?;
        let status = status.and_then(|(_, status)| status.exit_status());
        status.ok_or(SetupError::new(Stage::Namespaces, Errno::CHILD, "newuidmap"))
    }

    fn map(&self, launcher: Pid, caller: &Caller) -> i32 {
        if !run(&self.map_groups, launcher, caller.gid, self.groups) {
            NO_GROUPS
        } else if run(&self.map_users, launcher, caller.uid, self.users) {
            MAPPED
        } else {
            NO_USERS
        }
    }
}

fn run(tool: &Path, launcher: Pid, own: u32, range: Range) -> bool {
    let numbers = [0, own, 1, 1, range.first, range.count].map(|number| number.to_string());
    Command::new(tool)
        .arg(launcher.as_raw_nonzero().to_string())
        .args(numbers)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The name of a user in the text of `/etc/passwd`.
fn name_of(passwd: &str, uid: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

/// The largest range of a user, who is named by name or number. Lines that make no sense are passed over, as newuidmap
/// does.
fn largest_range(table: &str, uid: u32, name: Option<&str>) -> Option<Range> {
    let number = uid.to_string();
    let ranges = table.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let owner = fields.next()?;
        let range = Range {
            first: fields.next()?.trim().parse().ok()?,
            count: fields.next()?.trim().parse().ok()?,
        };
        (owner == number || Some(owner) == name).then_some(range)
    });
    ranges.filter(|range| range.count > 0).max_by_key(|range| range.count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_found_by_name_or_number() {
        let table = "# nothing\nann:100000:65536\n1001:200000:10\nbob:300000:x\nbob:400000:20\n1001:1:0\n";
        let range = |first, count| Some(Range { first, count });
        assert_eq!(largest_range(table, 1000, Some("ann")), range(100_000, 65536));
        assert_eq!(largest_range(table, 1001, Some("bob")), range(400_000, 20));
        assert_eq!(largest_range(table, 1001, None), range(200_000, 10));
        assert_eq!(largest_range(table, 7, None), None);
    }

    #[test]
    fn a_name_is_found_by_number() {
        let passwd = "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n";
        assert_eq!(name_of(passwd, 1000).as_deref(), Some("ann"));
        assert_eq!(name_of(passwd, 1), None);
    }
}
