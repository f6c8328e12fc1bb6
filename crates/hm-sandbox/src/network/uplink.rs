//! The gateway's way out: pasta(1).

use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::fd::OwnedFd;

/// The gateway's device to the outside.
pub(super) const DEVICE: &str = "hmup0";

/// Queries that steps send to this address reach the host's first resolver, also one that listens on the host's loopback
/// only.
pub const DNS_FORWARD_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 53);
/// As [`DNS_FORWARD_V4`], for a resolver that has an IPv6 address.
pub const DNS_FORWARD_V6: Ipv6Addr = Ipv6Addr::new(0xfd68, 0x6d00, 0, 0, 0, 0, 0, 0x53);

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

/// `RTF_UP` without `RTF_REJECT`.
fn is_usable(flags: &str) -> bool {
    u32::from_str_radix(flags, 16).is_ok_and(|flags| flags & 1 != 0 && flags & 0x200 == 0)
}

/// Becomes pasta, which attaches itself to the namespace at a path and goes into the background when the device is
/// ready. Returns only if it can't be executed.
pub(super) fn become_pasta(program: &Path, namespace: &Path, errors: OwnedFd) -> std::io::Error {
    Command::new(program)
        .args(["--quiet", "--config-net", "--ns-ifname", DEVICE])
        // Nothing that listens on either side is reached from the other one, and the gateway's address is that of the
        // gateway, not of the host's loopback.
        .args(["-t", "none", "-u", "none", "-T", "none", "-U", "none", "--no-map-gw"])
        .args(["--dns-forward", &DNS_FORWARD_V4.to_string()])
        .args(["--dns-forward", &DNS_FORWARD_V6.to_string()])
        // It ends with the holder.
        .args(["--no-netns-quit", "--netns-only", "--netns"])
        .arg(namespace)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(errors)
        .exec()
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
}
