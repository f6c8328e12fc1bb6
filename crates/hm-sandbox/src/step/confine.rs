//! Giving up what a step must not have.

use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, remove_capability_from_bounding_set, set_capabilities,
    set_no_new_privs,
};

use crate::error::{SetupError, Stage, at};
use crate::launcher::Context;
use crate::request::Network;
use crate::sys;

/// Docker's default set without `MKNOD`: there is no device controller here that would make a node harmless.
const KEPT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETFCAP)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::SYS_CHROOT)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::AUDIT_WRITE);

/// Drops capabilities for this process and all it starts, and makes set-user-id programs powerless.
pub(crate) fn drop_privileges() -> Result<(), SetupError> {
    let failed = || at(Stage::Confine, "");
    for capability in CapabilitySet::all().difference(KEPT) {
        match remove_capability_from_bounding_set(capability) {
            // A capability that this kernel does not know.
            Ok(()) | Err(Errno::INVAL) => {}
            Err(errno) => return Err(failed()(errno)),
        }
    }
    let kept = capabilities(None).map_err(failed())?.permitted.intersection(KEPT);
    let sets = CapabilitySets {
        effective: kept,
        permitted: kept,
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, sets).map_err(failed())?;
    set_no_new_privs(true).map_err(failed())
}

/// Cuts off abstract sockets, which no mount namespace divides, and the system calls that a step must not make. To be
/// called last: little can be set up afterwards.
pub(super) fn close_kernel(context: &Context, network: Network) -> Result<(), SetupError> {
    if network == Network::Host && context.scopes_sockets {
        sys::scope_abstract_sockets().map_err(at(Stage::Confine, "landlock"))?;
    }
    context.filter.install().map_err(at(Stage::Confine, "seccomp"))
}
