//! Networks of their own for steps, with a way out. The design is told in `docs/design/network.md`.
//!
//! ```text
//! step ── veth ── gateway ── tap ── slirp4netns ── the host's sockets
//! ```
//!
//! The *gateway* is a network namespace that forwards and masquerades. The *maker*, a process that lives in it, makes a
//! namespace for each step ahead of time. The *holder* is the parent of both maker and slirp4netns and takes them with it.

mod gateway;
mod holder;
mod links;
mod maker;
mod masquerade;
mod netlink;
mod resolvers;
mod uplink;

pub(crate) use gateway::{Gateway, cut_off};
pub use resolvers::{DNS_FORWARD_V4, DNS_FORWARD_V6, resolv_conf_of_steps};
pub use uplink::shadows_network_of_host;
