//! What happens in a step's own process: PID 1 of its namespaces.

mod command;
mod confine;
mod devices;
mod init;
mod parts;
mod process;
mod root;

pub(crate) use process::{Confines, report_and_exit, run, tie_to_launcher};
pub(crate) use root::{clone_files, clone_tree, mount_root};
