//! Linux primitives for the embedded sandbox: namespaces, overlay mounts and the processes inside them.
//!
//! The crate knows nothing of builds. A [`Launcher`] is a small single-threaded helper process; it starts *steps*
//! (a command as the child of PID 1 in its own namespaces, on an overlay file system) and *applies* differences
//! between trees to a machine's file system. The design is told in `docs/design/sandbox.md`.
//!
//! Every program that uses the crate calls [`run_launcher_if_requested`] as the first line of `main`.

mod apply;
mod client;
mod copies;
mod error;
mod ids;
mod launcher;
mod limits;
mod network;
mod overlay;
mod protocol;
mod request;
mod seccomp;
mod step;
mod sys;

pub use crate::client::{Launcher, Running, StepControl};
pub use crate::error::{SandboxError, Stage};
pub use crate::ids::{subordinate_ids, take_subordinate_ids};
pub use crate::launcher::run_launcher_if_requested;
pub use crate::limits::limit_means;
pub use crate::network::{DNS_FORWARD_V4, DNS_FORWARD_V6, resolv_conf_of_steps, shadows_network_of_host};
pub use crate::request::{
    ApplyOp, ApplyReport, ApplyRequest, Bind, Confinement, ExitReport, ExitStatus, Expected, HostView, IdMap,
    LauncherSettings, LimitMeans, LimitedBy, Limits, Network, Overlays, Owner, RootFs, Roots, SingleId, SpawnRequest,
    Usage,
};
pub use crate::sys::killed_with_this_thread;
