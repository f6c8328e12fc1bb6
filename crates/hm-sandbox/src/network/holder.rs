//! The process that holds what a gateway needs: PID 1 of a namespace, so that all of it goes when the holder goes.

use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, FileType, Mode, OFlags, makedev};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::mount::{MountFlags, mount, mount_bind};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, WaitOptions};
use rustix::stdio::stdin;
use rustix::thread::{Gid, LinkNameSpaceType, Uid, move_into_link_name_space};

use super::maker;
use super::uplink::{self, Families};
use crate::error::{SetupError, Stage, at};
use crate::launcher::Context;
use crate::overlay::attach;
use crate::protocol::{Channel, Outcome, encode_outcome};
use crate::step::{clone_tree, tie_to_launcher};
use crate::sys::{self, CloneFlags, Cloned};

/// What slirp4netns is under where the launcher has root on the host: nobody.
const NOBODY: &str = "0 65534 1";

const TUN_FOLDER: &str = "/dev/net";
const TUN: &str = "/dev/net/tun";
/// Number of the device (kernel: Documentation/networking/tuntap.rst).
const TUN_NUMBER: (u32, u32) = (10, 200);
/// Where the holder's mount namespace shows the gateway's network namespace.
const GATEWAY: &str = "/dev/net/gateway";

/// Above the descriptors that slirp4netns opens. The last one is closed first, so the end of a slirp4netns that was
/// killed is seen before its device is gone.
const LAST_DESCRIPTOR: i32 = 40;

/// What ends with the holder, and it with them.
struct Held {
    maker: Pid,
    uplink: Uplink,
}

enum Uplink {
    Slirp4netns {
        pid: Pid,
        /// What it says, which has to stay open for it to go on.
        _said: OwnedFd,
    },
    /// The host has no way out.
    None { _alive: OwnedFd },
}

/// Starts maker and slirp4netns, tells on `ready` how it went, and stays as long as both. Runs in a new process in new
/// PID and mount namespaces. `alive` is open as long as slirp4netns, or as this process where there is none.
pub(super) fn run(context: &Context, program: &Path, makes: OwnedFd, ready: &OwnedFd, alive: OwnedFd) -> ! {
    let held = set_up(context, program, makes, ready, alive);
    let outcome = match &held {
        Ok(held) => Outcome::Code(matches!(held.uplink, Uplink::Slirp4netns { .. }).into()),
        Err(error) => Outcome::Failed(error.clone()),
    };
    // Nobody reads it any more if the launcher is gone, and then this process is going, too.
    let _gone = rustix::io::write(ready, &encode_outcome(&outcome));
    if let Ok(held) = held {
        while let Ok(Some((pid, _status))) = rustix::process::wait(WaitOptions::empty()) {
            if pid == held.maker || matches!(held.uplink, Uplink::Slirp4netns { pid: uplink, .. } if uplink == pid) {
                break;
            }
        }
    }
    sys::exit_now(0)
}

fn set_up(
    context: &Context,
    program: &Path,
    makes: OwnedFd,
    ready: &OwnedFd,
    alive: OwnedFd,
) -> Result<Held, SetupError> {
    tie_to_launcher(context, [&makes, ready, &alive].into_iter())?;
    let failed = || at(Stage::Network, "gateway");
    // The processes of this namespace, whose maps and namespaces are needed.
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("proc", "/proc", "proc", flags, None).map_err(at(Stage::Network, "/proc"))?;
    let families = Families::of_this_namespace();
    let (maker, go) = start_maker(context, families, makes)?;
    if families.any() {
        offer_devices(context, maker)?;
    }
    // Only now: the maker leaves the gateway's namespace for each one that it makes, and slirp4netns must never be in those.
    rustix::io::write(&go, b"g").map_err(failed())?;
    if !families.any() {
        let uplink = Uplink::None { _alive: alive };
        return Ok(Held { maker, uplink });
    }
    let uplink = start_uplink(context, program, maker, families, alive).map_err(|problem| match problem {
        Problem::Setup(errno) => failed()(errno),
        Problem::Slirp4netns(said) => SetupError::new(Stage::Network, Errno::NOTCONN, format!("slirp4netns: {said}")),
    })?;
    if families.v6 {
        uplink::configure_v6(Path::new(GATEWAY)).map_err(failed())?;
    }
    Ok(Held { maker, uplink })
}

/// Starts the maker, which does nothing before it is told to by the pipe.
fn start_maker(context: &Context, families: Families, makes: OwnedFd) -> Result<(Pid, OwnedFd), SetupError> {
    let failed = || at(Stage::Network, "gateway");
    let (wait, go) = pipe_with(PipeFlags::CLOEXEC).map_err(failed())?;
    let flags = if context.rootless {
        CloneFlags::NETWORK
    } else {
        CloneFlags::NETWORK_AND_USERS
    };
    match sys::clone_process(&context.single_thread, flags).map_err(failed())? {
        Cloned::Child => {
            // Not to be the one that holds what is to end with another process.
            let closed = sys::close_all_except(&[stdin().as_raw_fd(), makes.as_raw_fd(), wait.as_raw_fd()]);
            let told = rustix::io::retry_on_intr(|| rustix::io::read(&wait, &mut [0; 1]));
            let served = match told {
                Ok(1) if closed.is_ok() && (context.rootless || become_first_user().is_ok()) => {
                    maker::serve(&context.single_thread, families, &Channel::new(makes))
                }
                _ => Err(Errno::PERM),
            };
            sys::exit_now(i32::from(served.is_err()))
        }
        Cloned::Parent { pid, pidfd: _ } => {
            if !context.rootless {
                for map in ["uid_map", "gid_map"] {
                    let path = of_process(pid, map);
                    fs::write(&path, NOBODY).map_err(|error| {
                        SetupError::new(Stage::Network, Errno::from_io_error(&error).unwrap_or(Errno::IO), path)
                    })?;
                }
            }
            Ok((pid, go))
        }
    }
}

fn of_process(pid: Pid, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{}/{name}", pid.as_raw_nonzero()))
}

/// Takes on user and group 0 of the user namespace that this process is in.
fn become_first_user() -> Result<(), Errno> {
    rustix::thread::set_thread_groups(&[])?;
    rustix::thread::set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT)?;
    rustix::thread::set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT)
}

/// Shows slirp4netns the tap driver, which root alone may open on some hosts, and the gateway's namespace, at whose process
/// it may not look.
fn offer_devices(context: &Context, maker: Pid) -> Result<(), SetupError> {
    let failed = |path: &'static str| at(Stage::Network, path);
    let tun = if context.device_nodes {
        None
    } else {
        Some(clone_tree(Path::new(TUN), false, false).map_err(failed(TUN))?)
    };
    mount("tmpfs", TUN_FOLDER, "tmpfs", MountFlags::NOSUID, c"mode=755").map_err(failed(TUN_FOLDER))?;
    rustix::process::umask(Mode::empty());
    let mode = Mode::from_raw_mode(0o666);
    match tun {
        None => {
            let number = makedev(TUN_NUMBER.0, TUN_NUMBER.1);
            rustix::fs::mknodat(CWD, TUN, FileType::CharacterDevice, mode, number).map_err(failed(TUN))?;
        }
        Some(tun) => {
            rustix::fs::mknodat(CWD, TUN, FileType::RegularFile, mode, 0).map_err(failed(TUN))?;
            attach(&tun, Path::new(TUN))?;
        }
    }
    rustix::fs::mknodat(CWD, GATEWAY, FileType::RegularFile, mode, 0).map_err(failed(GATEWAY))?;
    mount_bind(of_process(maker, "ns/net"), GATEWAY).map_err(failed(GATEWAY))
}

enum Problem {
    Setup(Errno),
    Slirp4netns(String),
}

impl From<Errno> for Problem {
    fn from(errno: Errno) -> Self {
        Self::Setup(errno)
    }
}

/// Returns when the device of slirp4netns is ready.
fn start_uplink(
    context: &Context,
    program: &Path,
    maker: Pid,
    families: Families,
    alive: OwnedFd,
) -> Result<Uplink, Problem> {
    let alive = fcntl_dupfd_cloexec(&alive, LAST_DESCRIPTOR).unwrap_or(alive);
    // What it says past the pipe's size is lost instead of stopping it.
    let (said, errors) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    let (ready, tell) = pipe_with(PipeFlags::CLOEXEC)?;
    let pid = match sys::clone_process(&context.single_thread, CloneFlags::NONE)? {
        Cloned::Child => {
            drop((said, ready));
            let complain = errors.try_clone();
            let problem = match enter_users(context, maker) {
                Ok(()) => uplink::become_slirp4netns(program, Path::new(GATEWAY), families, [&tell, &alive], errors),
                Err(errno) => errno.into(),
            };
            if let Ok(complain) = complain {
                let _told = rustix::io::write(complain, format!("can't be started: {problem}").as_bytes());
            }
            sys::exit_now(1)
        }
        Cloned::Parent { pid, pidfd: _ } => pid,
    };
    drop((errors, tell, alive));
    match rustix::io::retry_on_intr(|| rustix::io::read(&ready, &mut [0; 1]))? {
        0 => Err(Problem::Slirp4netns(last_line(&said))),
        _ => Ok(Uplink::Slirp4netns { pid, _said: said }),
    }
}

/// Where the launcher has root, slirp4netns is nobody in the user namespace that the gateway belongs to.
fn enter_users(context: &Context, maker: Pid) -> Result<(), Errno> {
    if context.rootless {
        return Ok(());
    }
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let users = rustix::fs::open(of_process(maker, "ns/user"), flags, Mode::empty())?;
    move_into_link_name_space(users.as_fd(), Some(LinkNameSpaceType::User))?;
    become_first_user()
}

/// What was said last, of what is there.
fn last_line(said: &OwnedFd) -> String {
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    while poll(&mut [PollFd::new(said, PollFlags::IN)], Some(&now)) == Ok(1) {
        match rustix::io::read(said, &mut buffer) {
            Ok(count @ 1..) => text.extend_from_slice(buffer.get(..count).unwrap_or_default()),
            Ok(_) | Err(_) => break,
        }
    }
    let text = String::from_utf8_lossy(&text);
    let last = text.lines().rev().find(|line| !line.trim().is_empty());
    last.unwrap_or("it ended without a word").trim().to_owned()
}
