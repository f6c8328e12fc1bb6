//! The built binary on real pipelines: one file a promise.

#![expect(
    clippy::unwrap_used,
    clippy::string_slice,
    reason = "a test stops at the first thing that is not as it should be"
)]

mod bad_input;
mod cache;
mod check;
mod command_line;
mod crash;
#[path = "../../../hm-sandbox/tests/sandbox/debian_system.rs"]
mod debian_system;
mod docker;
mod docker_kill;
mod engine_proxy;
mod engine_ssh;
mod engine_tls;
mod environment;
mod examples;
mod graph;
mod images;
mod import;
mod import_conditions;
mod import_scripts;
mod init;
mod limits;
mod logs;
#[expect(dead_code, reason = "the tests of the store use more of it")]
#[path = "../../../hm-store/tests/registry/made.rs"]
mod made;
mod network;
mod ordinary_user;
mod outcomes;
mod own_engine;
#[expect(dead_code, reason = "the tests of the store use more of it")]
#[path = "../../../hm-store/tests/registry/real.rs"]
mod real;
mod render_keys;
mod roots;
mod same_twice;
mod support;
mod systemd;
mod told;
mod tree;
#[path = "../../../hm-sandbox/tests/sandbox/user_mode.rs"]
mod user_mode;
