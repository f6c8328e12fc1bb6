//! Machines as Linux namespaces over overlay file systems, with the layers of an [`hm_store::Store`].

mod backend;
mod engine;
mod etc;
mod exec;
mod hosts;
mod image;
mod layers;
mod machine;
mod machine_layer;
mod output;
mod shared;
mod stacked;
mod workspace;

pub use backend::{RootKind, SandboxBackend, SandboxSettings};
