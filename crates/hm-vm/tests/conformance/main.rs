//! What every backend has to do: one list of bodies, run on each.
//!
//! `cargo test -p hm-vm --test conformance memory::` runs them on one backend.
#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod bodies;
mod engine;
mod ground;
mod ordinary_user;
mod small_image;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

use crate::bodies::{BODIES, Body, DOCKER_BODIES, REAL_BODIES, SANDBOX_BODIES};
use crate::ground::{Ground, Kind};

fn main() -> ExitCode {
    hm_sandbox::run_launcher_if_requested();
    hm_sandbox::take_subordinate_ids();
    let arguments = Arguments::from_args();
    let kinds = Kind::all();
    let bodies = kinds.into_iter().flat_map(|kind| {
        let own = match kind {
            Kind::Memory => [&[][..], &[]],
            Kind::Sandbox => [REAL_BODIES, SANDBOX_BODIES],
            Kind::Copies => [REAL_BODIES, &[]],
            Kind::Docker => [REAL_BODIES, DOCKER_BODIES],
        };
        BODIES
            .iter()
            .chain(own.into_iter().flatten())
            .map(move |Body { name, run }| {
                Trial::test(format!("{}::{name}", kind.name()), move || {
                    let runtime = tokio::runtime::Builder::new_multi_thread()
                        .worker_threads(2)
                        .enable_all()
                        .build()?;
                    runtime.block_on(async {
                        let ground = Ground::new(kind).await;
                        run(&ground).await;
                        ground.close().await;
                    });
                    Ok(())
                })
                .with_ignored_flag(is_impossible(kind))
            })
    });
    let trials = bodies.chain(ordinary_user::tests()).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn is_impossible(kind: Kind) -> bool {
    match kind {
        Kind::Memory | Kind::Sandbox | Kind::Copies => false,
        Kind::Docker => engine::is_impossible(),
    }
}
