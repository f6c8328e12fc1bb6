//! The gateway's way out: slirp4netns(1).

use std::net::Ipv6Addr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::net::netdevice::name_to_index;
use rustix::net::{AddressFamily, SocketType, socket};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::links::{self, MTU};
use super::netlink::{Netlink, ROUTE};
use super::resolvers::DNS_FORWARD_V6;

/// The gateway's device to the outside.
pub(super) const DEVICE: &str = "hmup0";
/// The addresses between gateway and slirp4netns: the end of the range for measurements (RFC 2544), past those of steps.
const NETWORK: &str = "198.19.255.0/24";
/// What slirp4netns takes for its own in IPv6. It reaches nothing of the host's that has such an address.
const NETWORK_V6: (Ipv6Addr, u8) = (Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0), 64);
/// In that network.
const GATEWAY_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0x64);
/// What slirp4netns calls itself there.
const NEXT_HOP_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);

/// The versions of IP by which the host reaches others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Families {
    pub(super) v4: bool,
    pub(super) v6: bool,
}

impl Families {
    /// Those with a default route in this process's network namespace.
    pub(super) fn of_this_namespace() -> Self {
        let text = |name: &str| std::fs::read_to_string(Path::new("/proc/self/net").join(name)).unwrap_or_default();
        Self {
            v4: text("route").lines().any(is_default_v4),
            v6: text("ipv6_route").lines().any(is_default_v6),
        }
    }

    pub(super) fn any(self) -> bool {
        self.v4 || self.v6
    }
}

/// Device, destination, gateway, flags, three counters, mask (`proc_net(5)`).
fn is_default_v4(line: &str) -> bool {
    let fields: Vec<&str> = line.split_whitespace().collect();
    matches!(fields.as_slice(), [_, "00000000", _, flags, _, _, _, "00000000", ..] if is_usable(flags))
}

/// Destination and its length, source and its length, next hop, three counters, flags, device (`proc_net(5)`).
fn is_default_v6(line: &str) -> bool {
    let fields: Vec<&str> = line.split_whitespace().collect();
    match fields.as_slice() {
        [to, "00", _, _, _, _, _, _, flags, device] => {
            to.bytes().all(|digit| digit == b'0') && *device != "lo" && is_usable(flags)
        }
        _ => false,
    }
}

/// Whether an address is in the network that slirp4netns takes for its own.
pub(super) fn is_of_uplink(address: Ipv6Addr) -> bool {
    shares_prefix(address, NETWORK_V6.1)
}

/// Whether this host has a route to addresses that steps with a network of their own can't reach, because slirp4netns
/// takes them for its own (`fd00::/64`).
#[must_use]
pub fn shadows_network_of_host() -> bool {
    let routes = std::fs::read_to_string("/proc/self/net/ipv6_route").unwrap_or_default();
    routes.lines().any(leads_into_uplink)
}

/// As in [`is_default_v6`]. A default route leads everywhere, and says nothing of a network.
fn leads_into_uplink(line: &str) -> bool {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [to, length, _, _, _, _, _, _, flags, device] = fields.as_slice() else {
        return false;
    };
    let (Ok(to), Ok(length)) = (u128::from_str_radix(to, 16), u8::from_str_radix(length, 16)) else {
        return false;
    };
    let shared = length.min(NETWORK_V6.1);
    length > 0 && *device != "lo" && is_usable(flags) && shares_prefix(to.into(), shared)
}

fn shares_prefix(address: Ipv6Addr, length: u8) -> bool {
    let different = u128::from(address) ^ u128::from(NETWORK_V6.0);
    different.leading_zeros() >= length.into()
}

/// `RTF_UP` without `RTF_REJECT`.
fn is_usable(flags: &str) -> bool {
    u32::from_str_radix(flags, 16).is_ok_and(|flags| flags & 1 != 0 && flags & 0x200 == 0)
}

/// Becomes slirp4netns, which attaches itself to the namespace at a path, and writes to `ready` when its device is up. It
/// holds `alive` until it ends. Returns only if it can't be executed.
pub(super) fn become_slirp4netns(
    program: &Path,
    namespace: &Path,
    families: Families,
    [ready, alive]: [&OwnedFd; 2],
    errors: OwnedFd,
) -> std::io::Error {
    // It inherits both.
    let output = match fcntl_setfd(ready, FdFlags::empty())
        .and_then(|()| fcntl_setfd(alive, FdFlags::empty()))
        .map_err(Into::into)
        .and_then(|()| errors.try_clone())
    {
        Ok(output) => output,
        Err(error) => return error,
    };
    let mut command = Command::new(program);
    command
        .args(["--configure", &format!("--mtu={MTU}"), &format!("--cidr={NETWORK}")])
        // The address of its next hop is that of the host's loopback else.
        .arg("--disable-host-loopback")
        // No view of the host's files, and no call that it doesn't need.
        .args(["--enable-sandbox", "--enable-seccomp"])
        .arg(format!("--ready-fd={}", ready.as_raw_fd()));
    if families.v6 {
        command.arg("--enable-ipv6");
    }
    command
        .arg("--netns-type=path")
        .arg(namespace)
        .arg(DEVICE)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .exec()
}

/// Gives the gateway its address and way out of IPv6, for which slirp4netns waits until the kernel asks. Moves this
/// process into the gateway's namespace.
pub(super) fn configure_v6(namespace: &Path) -> Result<(), Errno> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let namespace = rustix::fs::open(namespace, flags, Mode::empty())?;
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
    let any = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    let device = name_to_index(&any, DEVICE)?;
    Netlink::open(ROUTE)?.talk(vec![
        links::address(device, GATEWAY_V6.into(), 128),
        links::default_route(NEXT_HOP_V6.into(), device),
        // The rest of its network leads nowhere, and who tries is told at once.
        links::no_route(NETWORK_V6.0, NETWORK_V6.1),
        links::route_to(DNS_FORWARD_V6.into(), device),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_routes_are_found() {
        let head = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT";
        assert!(!is_default_v4(head));
        assert!(is_default_v4(
            "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0"
        ));
        assert!(!is_default_v4(
            "eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0"
        ));
        let none = "00000000000000000000000000000000";
        let line = |flags: &str, device: &str| {
            format!("{none} 00 {none} 00 fe800000000000000000000000000001 00000400 00000001 00000000 {flags} {device}")
        };
        assert!(is_default_v6(&line("00000003", "eth0")));
        assert!(!is_default_v6(&line("00200200", "lo")));
        assert!(!is_default_v6(&line("00000203", "eth0")));
    }

    #[test]
    fn routes_into_the_network_of_slirp4netns_are_found() {
        let none = "0".repeat(32);
        let leads = |to: &str, length: &str, device: &str| {
            leads_into_uplink(&format!(
                "{to} {length} {none} 00 {none} 00000100 00000001 00000000 00000001 {device}"
            ))
        };
        let network = "fd000000000000000000000000000000";
        assert!(leads(network, "40", "eth0"));
        assert!(leads(network, "30", "eth0"), "a larger one");
        assert!(leads("fd000000000000000000000000000002", "80", "eth0"), "one host");
        assert!(!leads(network, "40", "lo"));
        assert!(!leads(&none, "00", "eth0"));
        assert!(!leads("fd000000000000010000000000000000", "40", "eth0"));
        assert!(!leads("fe800000000000000000000000000000", "40", "eth0"));
    }
}
