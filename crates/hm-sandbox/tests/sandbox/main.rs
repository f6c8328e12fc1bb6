//! Tests that start a launcher. Each runs as root on the machine under test; `rootless` shows what an ordinary user has.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on panics"
)]

mod apply;
mod copies;
mod debian_system;
mod docker_default;
mod host;
mod life;
mod limits;
mod network;
mod old_kernel;
mod other_user;
mod owned_groups;
mod rootless;
mod signals;
mod steps;
mod support;
mod systemd;
mod user_mode;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    hm_sandbox::run_launcher_if_requested();
    hm_sandbox::take_subordinate_ids();
    if let Some(code) = life::run_victim_if_requested() {
        return code;
    }
    let arguments = Arguments::from_args();
    let tests: Vec<Trial> = [
        steps::tests(),
        signals::tests(),
        life::tests(),
        apply::tests(),
        docker_default::tests(),
        host::tests(),
        rootless::tests(),
        copies::tests(),
        copies::refused_tests(),
        network::tests(),
        limits::tests(),
        owned_groups::tests(),
        old_kernel::tests(),
        systemd::tests(),
        network::offline_tests(),
    ]
    .into_iter()
    .flatten()
    .collect();
    libtest_mimic::run(&arguments, tests).exit_code()
}
