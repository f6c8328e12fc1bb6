//! Attacks on the host from inside a machine. Each has to fail, for root and for an ordinary user.
//!
//! As root, two tests run all others again as another user, without subordinate ids and with some. The program is its own attacker: a machine gets it as
//! `/attack`, which makes one system call and prints what came of it.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on panics"
)]

mod attack;
mod disks;
mod host;
mod kernel;
#[path = "../sandbox/other_user.rs"]
mod other_user;
#[cfg(target_arch = "x86_64")]
mod program32;
#[path = "../sandbox/support.rs"]
mod support;
mod view;
mod world;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    hm_sandbox::run_launcher_if_requested();
    if let Some(code) = attack::run_if_requested() {
        return code;
    }
    hm_sandbox::take_subordinate_ids();
    let arguments = Arguments::from_args();
    let tests: Vec<Trial> = [
        kernel::tests(),
        host::tests(),
        view::tests(),
        disks::tests(),
        world::tests(),
    ]
    .into_iter()
    .flatten()
    .collect();
    libtest_mimic::run(&arguments, tests).exit_code()
}
