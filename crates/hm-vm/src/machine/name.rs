//! What machines call themselves.

use std::net::Ipv4Addr;

/// The host name of every machine.
pub(crate) const HOSTNAME: &str = "hm";

/// What the name leads to where the network gives the machine no address that others know: loopback, as Debian has it
/// for a host of its kind (Debian Reference, "The hostname resolution"). It isn't 127.0.0.1, which stays `localhost`.
pub(crate) const OWN_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 1, 1);

/// The line of `/etc/hosts` (hosts(5)) that says so.
pub(crate) fn own_line() -> String {
    format!("{OWN_ADDRESS}\t{HOSTNAME}\n")
}
