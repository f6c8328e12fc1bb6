//! System calls that have no safe wrapper in rustix. All `unsafe` code of the project is under this module.
#![expect(unsafe_code, reason = "raw process, signal and mount system calls")]

mod async_fd;
mod clone;
mod exec;
mod fd;
mod keyring;
mod landlock;
mod mount;
mod net;
mod signal;
mod stat;
mod tied;

pub(crate) use async_fd::watch;
pub(crate) use clone::{CloneFlags, Cloned, SingleThread, clone_process, exit_now, reap, unshare};
pub(crate) use exec::{ExecPlan, exec_in_new_process};
pub(crate) use fd::close_all_except;
pub(crate) use keyring::join_new_session_keyring;
pub(crate) use landlock::{can_scope_abstract_sockets, scope_abstract_sockets};
pub(crate) use mount::{forbid_devices, make_read_only};
pub(crate) use net::bring_loopback_up;
pub(crate) use signal::{block_all_signals, reset_dispositions, wait_for_signal};
pub(crate) use stat::{mode_of, times_of};
pub use tied::killed_with_this_thread;
