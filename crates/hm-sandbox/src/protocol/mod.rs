//! What the launcher and its client say to each other. Both are the same binary, so there is no version.

mod channel;
mod message;
mod wire;

pub(crate) use channel::{Channel, Received};
pub(crate) use message::{
    ApplyPlan, Outcome, Reply, Request, StartPlan, StepPlan, Told, decode_outcome, decode_rootfs, encode_apply,
    encode_control, encode_mapped, encode_network, encode_outcome, encode_reply, encode_spawn, encode_start,
};
pub(crate) use wire::Malformed;
