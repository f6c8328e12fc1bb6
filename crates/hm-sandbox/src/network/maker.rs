//! The process that lives in the gateway and makes namespaces for steps.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::thread::UnshareFlags;

use super::links::{self, LOOPBACK, STEP_DEVICE};
use super::masquerade;
use super::netlink::{Netlink, ROUTE};
use super::uplink::Families;
use crate::error::{SetupError, Stage, at};
use crate::protocol::{Channel, Outcome, encode_outcome};
use crate::sys::{self, SingleThread};

/// What steps take for the next hop. The addresses are of the range for measurements (RFC 2544, 198.18.0.0/15), which
/// nobody has who is to be reached, and of a range of our own (RFC 4193).
const GATEWAY_V4: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
const GATEWAY_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
const STEPS_V4: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);
const STEPS_V6: Ipv6Addr = Ipv6Addr::new(0xfd68, 0x6d00, 0, 0, 0, 0, 1, 0);
/// After so many steps the first address is used again; its step is long gone.
const STEPS: u32 = 130_000;
/// Above the indices of the gateway's own devices.
const FIRST_INDEX: u32 = 1000;

/// Addresses in which one of IPv4 is written as one of IPv6. A host takes them for the other one, and with that for its
/// own loopback.
const V4_IN_V6: [(Ipv6Addr, u8); 2] = [
    (Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96),
    (Ipv6Addr::UNSPECIFIED, 96),
];

/// Sets the gateway up, in whose namespace this process is, and then makes a namespace whenever it is asked. Returns
/// when nobody is left who could ask.
pub(super) fn serve(single_thread: &SingleThread, families: Families, channel: &Channel) -> Result<(), Errno> {
    let mut maker = Maker::set_up(single_thread, families);
    loop {
        poll(&mut [PollFd::new(channel, PollFlags::IN)], None)?;
        match channel.receive() {
            Ok(Some(_asked)) => {}
            Ok(None) => return Ok(()),
            Err(Errno::AGAIN) => continue,
            Err(errno) => return Err(errno),
        }
        let made = match &mut maker {
            Ok(maker) => maker.make(),
            Err(error) => Err(error.clone()),
        };
        match made {
            Ok(namespace) => channel.send(&encode_outcome(&Outcome::Code(0)), &[namespace.as_fd()], true)?,
            Err(error) => channel.send(&encode_outcome(&Outcome::Failed(error)), &[], true)?,
        }
    }
}

struct Maker<'a> {
    single_thread: &'a SingleThread,
    families: Families,
    /// Speaks of the gateway's namespace.
    gateway: Netlink,
    made: u32,
}

impl<'a> Maker<'a> {
    fn set_up(single_thread: &'a SingleThread, families: Families) -> Result<Self, SetupError> {
        set("ipv4/ip_forward", "1")?;
        // A packet with a source that its device doesn't have is dropped.
        set("ipv4/conf/all/rp_filter", "1")?;
        masquerade::set_up().map_err(at(Stage::Network, "nftables"))?;
        // Whether a segment fits the window is for the two ends to judge.
        set("netfilter/nf_conntrack_tcp_be_liberal", "1")?;
        let failed = || at(Stage::Network, "gateway");
        let gateway = Netlink::open(ROUTE).map_err(failed())?;
        let mut requests = vec![links::up(LOOPBACK), links::address(LOOPBACK, GATEWAY_V4.into(), 32)];
        if families.v6 {
            set("ipv6/conf/all/forwarding", "1")?;
            // Nobody else is there who could have an address or know a way.
            set("ipv6/conf/default/accept_dad", "0")?;
            set("ipv6/conf/default/accept_ra", "0")?;
            requests.extend(V4_IN_V6.map(|(network, length)| links::no_route(network, length)));
        }
        gateway.talk(requests).map_err(failed())?;
        Ok(Self {
            single_thread,
            families,
            gateway,
            made: 0,
        })
    }

    /// Moves this process into a new namespace and connects that one to the gateway.
    fn make(&mut self) -> Result<OwnedFd, SetupError> {
        let failed = || at(Stage::Network, "namespace");
        sys::unshare(self.single_thread, UnshareFlags::NEWNET).map_err(failed())?;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let namespace = rustix::fs::open("/proc/self/ns/net", flags, Mode::empty()).map_err(failed())?;
        let number = self.made;
        self.made = self.made.wrapping_add(1);
        let index = FIRST_INDEX + number % (u32::MAX / 2);
        let (v4, v6) = addresses(number);
        let mut outer = vec![
            links::pair(index, &format!("s{number}"), namespace.as_fd()),
            links::route_to(v4, index),
        ];
        let mut inner = vec![
            links::up(LOOPBACK),
            links::up(STEP_DEVICE),
            links::address(STEP_DEVICE, v4, 32),
        ];
        if self.families.v4 {
            inner.push(links::default_route(GATEWAY_V4.into(), STEP_DEVICE));
        }
        if self.families.v6 {
            outer.push(links::address(index, GATEWAY_V6.into(), 64));
            outer.push(links::route_to(v6, index));
            inner.push(links::address(STEP_DEVICE, v6, 128));
            inner.push(links::default_route(GATEWAY_V6.into(), STEP_DEVICE));
        }
        self.gateway.talk(outer).map_err(at(Stage::Network, "veth"))?;
        let step = Netlink::open(ROUTE).map_err(failed())?;
        step.talk(inner).map_err(at(Stage::Network, "eth0"))?;
        Ok(namespace)
    }
}

fn addresses(number: u32) -> (IpAddr, IpAddr) {
    let number = number % STEPS;
    (
        Ipv4Addr::from(u32::from(STEPS_V4) + number).into(),
        Ipv6Addr::from(u128::from(STEPS_V6) + u128::from(number)).into(),
    )
}

/// A setting of this process's network namespace (kernel: Documentation/networking/ip-sysctl.rst).
fn set(name: &str, value: &str) -> Result<(), SetupError> {
    let path = Path::new("/proc/sys/net").join(name);
    fs::write(&path, value).map_err(|error| {
        let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
        SetupError::new(Stage::Network, errno, path)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_has_addresses_of_its_own() {
        let text = |number| {
            let (v4, v6) = addresses(number);
            format!("{v4} {v6}")
        };
        assert_eq!(text(0), "198.18.0.2 fd68:6d00::1:0");
        assert_eq!(text(STEPS - 1), "198.19.251.209 fd68:6d00::2:fbcf");
        assert_eq!(text(STEPS), text(0));
    }
}
