//! Devices, addresses and routes (rtnetlink(7)).

use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::{AsRawFd, BorrowedFd};

use super::netlink::{ACKNOWLEDGE, CREATE, EXCLUSIVE, Message};

const NEW_LINK: u16 = 16;
const NEW_ADDRESS: u16 = 20;
const NEW_ROUTE: u16 = 24;

const UP: u32 = 1;

// Attributes of links.
const LINK_NAME: u16 = 3;
const LINK_MTU: u16 = 4;
const LINK_INFO: u16 = 18;
const LINK_NAMESPACE: u16 = 28;
const LINK_TX_QUEUES: u16 = 31;
const LINK_RX_QUEUES: u16 = 32;
const INFO_KIND: u16 = 1;
const INFO_DATA: u16 = 2;
const VETH_PEER: u16 = 1;

// Attributes and flags of addresses and routes.
const ADDRESS: u16 = 1;
const ADDRESS_LOCAL: u16 = 2;
/// Usable at once, without asking whether another one has it.
const ADDRESS_NO_DAD: u8 = 2;
const ROUTE_TO: u16 = 1;
const ROUTE_DEVICE: u16 = 4;
const ROUTE_GATEWAY: u16 = 5;
const MAIN_TABLE: u8 = 254;
const PROTOCOL_BOOT: u8 = 3;
const SCOPE_UNIVERSE: u8 = 0;
const SCOPE_LINK: u8 = 253;
const UNICAST: u8 = 1;
const UNREACHABLE: u8 = 7;
/// The gateway is on the link although no route says so.
const ON_LINK: u32 = 4;

/// Index of the loopback device of every namespace.
pub(super) const LOOPBACK: u32 = 1;
/// Index and name of the other device of a step's namespace.
pub(super) const STEP_DEVICE: u32 = 2;
const STEP_DEVICE_NAME: &str = "eth0";

/// Of all devices, so that nothing has to be cut on the way. slirp4netns takes no more.
pub(super) const MTU: u32 = 65520;

/// A pair of devices: one in the socket's namespace, up, with this index and name; its peer in the other namespace.
pub(super) fn pair(index: u32, name: &str, peer_namespace: BorrowedFd<'_>) -> Message {
    let one = 1_u32.to_ne_bytes();
    let queues = |message: Message| {
        message
            .attribute(LINK_MTU, &MTU.to_ne_bytes())
            .attribute(LINK_TX_QUEUES, &one)
            .attribute(LINK_RX_QUEUES, &one)
    };
    let message = Message::new(NEW_LINK, CREATE | EXCLUSIVE | ACKNOWLEDGE, &link(index, UP)).text(LINK_NAME, name);
    queues(message).nest(LINK_INFO, |info| {
        info.text(INFO_KIND, "veth").nest(INFO_DATA, |data| {
            data.nest(VETH_PEER, |peer| {
                let peer = peer.raw(&link(STEP_DEVICE, 0)).text(LINK_NAME, STEP_DEVICE_NAME);
                queues(peer).attribute(LINK_NAMESPACE, &peer_namespace.as_raw_fd().to_ne_bytes())
            })
        })
    })
}

pub(super) fn up(index: u32) -> Message {
    Message::new(NEW_LINK, ACKNOWLEDGE, &link(index, UP))
}

/// `struct ifinfomsg`
fn link(index: u32, flags: u32) -> Vec<u8> {
    let (index, flags) = (index.to_ne_bytes(), flags.to_ne_bytes());
    [&[0; 4][..], &index, &flags, &flags].concat()
}

/// A single address, at once usable.
pub(super) fn address(device: u32, address: IpAddr, prefix: u8) -> Message {
    let (family, bytes) = parts(address);
    // `struct ifaddrmsg`
    let fixed = [
        &[family, prefix, ADDRESS_NO_DAD, SCOPE_UNIVERSE][..],
        &device.to_ne_bytes(),
    ]
    .concat();
    Message::new(NEW_ADDRESS, CREATE | ACKNOWLEDGE, &fixed)
        .attribute(ADDRESS_LOCAL, &bytes)
        .attribute(ADDRESS, &bytes)
}

/// To one address, by this device.
pub(super) fn route_to(address: IpAddr, device: u32) -> Message {
    let (family, bytes) = parts(address);
    let length = if address.is_ipv4() { 32 } else { 128 };
    route(family, length, SCOPE_LINK, UNICAST, 0)
        .attribute(ROUTE_TO, &bytes)
        .attribute(ROUTE_DEVICE, &device.to_ne_bytes())
}

/// To everything else, by this gateway.
pub(super) fn default_route(gateway: IpAddr, device: u32) -> Message {
    let (family, bytes) = parts(gateway);
    route(family, 0, SCOPE_UNIVERSE, UNICAST, ON_LINK)
        .attribute(ROUTE_GATEWAY, &bytes)
        .attribute(ROUTE_DEVICE, &device.to_ne_bytes())
}

/// To nowhere.
pub(super) fn no_route(network: Ipv6Addr, length: u8) -> Message {
    route(family_of(network.into()), length, SCOPE_UNIVERSE, UNREACHABLE, 0)
        .attribute(ROUTE_TO, &network.octets())
        .attribute(ROUTE_DEVICE, &LOOPBACK.to_ne_bytes())
}

fn route(family: u8, length: u8, scope: u8, kind: u8, flags: u32) -> Message {
    // `struct rtmsg`
    let head = [family, length, 0, 0, MAIN_TABLE, PROTOCOL_BOOT, scope, kind];
    let fixed = [&head[..], &flags.to_ne_bytes()].concat();
    Message::new(NEW_ROUTE, CREATE | ACKNOWLEDGE, &fixed)
}

fn parts(address: IpAddr) -> (u8, Vec<u8>) {
    let bytes = match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    (family_of(address), bytes)
}

/// `AF_INET` or `AF_INET6`.
fn family_of(address: IpAddr) -> u8 {
    if address.is_ipv4() { 2 } else { 10 }
}
