//! Which resolvers steps ask (`resolv.conf(5)`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::uplink::is_of_uplink;

/// Queries that steps send to this address reach the host's first resolver, also one that listens on the host's loopback
/// only.
pub const DNS_FORWARD_V4: Ipv4Addr = Ipv4Addr::new(198, 19, 255, 3);
/// As [`DNS_FORWARD_V4`], for a resolver that has an IPv6 address.
pub const DNS_FORWARD_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 3);

/// The `resolv.conf` of a step with a network of its own, of the host's one: a resolver on loopback, or with an address
/// that slirp4netns takes for its own, is asked by an address that slirp4netns hands on to it.
#[must_use]
pub fn resolv_conf_of_steps(of_host: &str) -> String {
    let mut asked = Vec::new();
    let mut lines = Vec::new();
    for line in of_host.lines() {
        let Some(address) = resolver(line).map(reachable) else {
            lines.push(format!("{line}\n"));
            continue;
        };
        if !asked.contains(&address) {
            asked.push(address);
            lines.push(format!("nameserver {address}\n"));
        }
    }
    lines.concat()
}

fn resolver(line: &str) -> Option<IpAddr> {
    let address = line.trim().strip_prefix("nameserver")?.trim();
    address.parse().ok()
}

fn reachable(resolver: IpAddr) -> IpAddr {
    let only_of_host = resolver.is_loopback() || resolver.is_unspecified();
    match resolver {
        IpAddr::V4(_) if only_of_host => DNS_FORWARD_V4.into(),
        IpAddr::V6(address) if only_of_host || is_of_uplink(address) => DNS_FORWARD_V6.into(),
        IpAddr::V4(_) | IpAddr::V6(_) => resolver,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolvers_on_loopback_are_replaced() {
        let text = "search example.com\nnameserver 127.0.0.53\nnameserver ::1\nnameserver 192.0.2.1\noptions edns0\n";
        let expected =
            "search example.com\nnameserver 198.19.255.3\nnameserver fd00::3\nnameserver 192.0.2.1\noptions edns0\n";
        assert_eq!(resolv_conf_of_steps(text), expected);
        let twice = "nameserver 127.0.0.1\nnameserver 127.0.0.53\n";
        assert_eq!(resolv_conf_of_steps(twice), "nameserver 198.19.255.3\n");
        let shadowed = "nameserver fd00::2\nnameserver fd00:0:0:1::2\n";
        assert_eq!(
            resolv_conf_of_steps(shadowed),
            "nameserver fd00::3\nnameserver fd00:0:0:1::2\n"
        );
        let zone = "nameserver fe80::1%eth0\n";
        assert_eq!(resolv_conf_of_steps(zone), zone);
    }
}
