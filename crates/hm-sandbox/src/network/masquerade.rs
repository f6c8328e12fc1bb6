//! The gateway's packet filter (nftables; the kernel's `include/uapi/linux/netfilter/nf_tables.h`).

use rustix::io::Errno;
use rustix::net::netlink::NETFILTER;

use super::netlink::{ACKNOWLEDGE, CREATE, Message, Netlink};
use super::uplink::DEVICE;

const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
/// `NFNL_SUBSYS_NFTABLES`, as part of a message's kind and as the subject of a batch.
const NFTABLES: u16 = 10;
const NEW_TABLE: u16 = NFTABLES << 8;
const NEW_CHAIN: u16 = NFTABLES << 8 | 3;
const NEW_RULE: u16 = NFTABLES << 8 | 6;
/// `NFPROTO_INET`: both versions of IP.
const BOTH: u8 = 1;

const TABLE: &str = "hm";
const INPUT: (&str, u32, i32, &str) = ("input", 1, 0, "filter");
const FORWARD: (&str, u32, i32, &str) = ("forward", 2, 0, "filter");
const POSTROUTING: (&str, u32, i32, &str) = ("postrouting", 4, 100, "nat");

/// Keys of the expression `meta`.
const IN_NAME: u32 = 6;
const OUT_NAME: u32 = 7;
const PROTOCOL: u32 = 16;
/// `NFT_REG_1`
const REGISTER: u32 = 1;
const EQUAL: u32 = 0;
const NOT_EQUAL: u32 = 1;
/// `IPPROTO_TCP`
const TCP: u8 = 6;
/// `IFNAMSIZ`
const NAME_SIZE: usize = 16;

/// What leaves by the device to the outside gets the gateway's address, nothing goes from one step to another, and the
/// gateway itself takes part in no connection.
///
/// The last is not for safety alone. What the tracking of connections takes for invalid isn't handed on to a step but is
/// the gateway's own, and its answer would be a reset that ends the step's connection.
pub(super) fn set_up() -> Result<(), Errno> {
    let batch = |kind| Message::new(kind, 0, &head(0, NFTABLES));
    let masquerade = rule(POSTROUTING.0, |rule| {
        expression(name_is(rule, OUT_NAME, EQUAL), "masq", |data| data)
    });
    let drop_others = rule(FORWARD.0, |rule| {
        let rule = name_is(rule, IN_NAME, NOT_EQUAL);
        drop_it(name_is(rule, OUT_NAME, NOT_EQUAL))
    });
    let drop_segments = rule(INPUT.0, |rule| {
        let rule = name_is(rule, IN_NAME, EQUAL);
        drop_it(meta_is(rule, PROTOCOL, EQUAL, &[TCP]))
    });
    Netlink::open(Some(NETFILTER))?.talk(vec![
        batch(BATCH_BEGIN),
        Message::new(NEW_TABLE, CREATE | ACKNOWLEDGE, &head(BOTH, 0)).text(1, TABLE),
        chain(INPUT),
        chain(FORWARD),
        chain(POSTROUTING),
        drop_segments,
        drop_others,
        masquerade,
        batch(BATCH_END),
    ])
}

/// `struct nfgenmsg`
fn head(family: u8, subject: u16) -> Vec<u8> {
    [&[family, 0][..], &subject.to_be_bytes()].concat()
}

fn chain((name, hook, priority, kind): (&str, u32, i32, &str)) -> Message {
    Message::new(NEW_CHAIN, CREATE | ACKNOWLEDGE, &head(BOTH, 0))
        .text(1, TABLE)
        .text(3, name)
        .nest(4, |place| {
            place
                .attribute(1, &hook.to_be_bytes())
                .attribute(2, &priority.to_be_bytes())
        })
        .text(7, kind)
}

fn rule(chain: &str, expressions: impl FnOnce(Message) -> Message) -> Message {
    Message::new(NEW_RULE, CREATE | ACKNOWLEDGE, &head(BOTH, 0))
        .text(1, TABLE)
        .text(2, chain)
        .nest(4, expressions)
}

fn expression(rule: Message, name: &str, fill: impl FnOnce(Message) -> Message) -> Message {
    rule.nest(1, |expression| expression.text(1, name).nest(2, fill))
}

/// The device that a packet came in by, or goes out by, is the one to the outside, or is not.
fn name_is(rule: Message, key: u32, comparison: u32) -> Message {
    let mut name = DEVICE.as_bytes().to_vec();
    name.resize(NAME_SIZE, 0);
    meta_is(rule, key, comparison, &name)
}

fn meta_is(rule: Message, key: u32, comparison: u32, expected: &[u8]) -> Message {
    let rule = expression(rule, "meta", |data| {
        data.attribute(1, &REGISTER.to_be_bytes())
            .attribute(2, &key.to_be_bytes())
    });
    expression(rule, "cmp", |data| {
        data.attribute(1, &REGISTER.to_be_bytes())
            .attribute(2, &comparison.to_be_bytes())
            .nest(3, |value| value.attribute(1, expected))
    })
}

/// Verdict register, and the verdict `NF_DROP`.
fn drop_it(rule: Message) -> Message {
    expression(rule, "immediate", |data| {
        data.attribute(1, &[0; 4])
            .nest(2, |value| value.nest(2, |verdict| verdict.attribute(1, &[0; 4])))
    })
}
