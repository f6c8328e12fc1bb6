//! `/etc/hosts` of machines (hosts(5)).

use crate::machine::{HOSTNAME, own_line};

/// What Docker gives a container.
const LOCALHOST: &str = "127.0.0.1\tlocalhost\n\
                         ::1\tlocalhost ip6-localhost ip6-loopback\n\
                         fe00::\tip6-localnet\n\
                         ff00::\tip6-mcastprefix\n\
                         ff02::1\tip6-allnodes\n\
                         ff02::2\tip6-allrouters\n";

/// The text for a machine that shares the host's network, whose own text is given where it has one, or that has a network
/// of its own. The machine's name is always known.
pub(super) fn hosts(of_host: Option<String>) -> String {
    let mut text = of_host.unwrap_or_else(|| LOCALHOST.to_owned());
    if !text.lines().any(names_machine) {
        if !text.ends_with('\n') && !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&own_line());
    }
    text
}

fn names_machine(line: &str) -> bool {
    let line = line.split('#').next().unwrap_or_default();
    line.split_whitespace().skip(1).any(|name| name == HOSTNAME)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_added_once() {
        let added = |text: &str| hosts(Some(text.to_owned()));
        assert_eq!(added(""), "127.0.1.1\thm\n");
        assert_eq!(added("10.0.0.1 a"), "10.0.0.1 a\n127.0.1.1\thm\n");
        assert_eq!(
            added("10.0.0.1 a hm.example # hm\n"),
            "10.0.0.1 a hm.example # hm\n127.0.1.1\thm\n"
        );
        assert_eq!(added("hm a\n"), "hm a\n127.0.1.1\thm\n");
        let there = "127.0.0.1 localhost\n10.0.0.1 a hm # b\n";
        assert_eq!(added(there), there);
    }

    #[test]
    fn a_network_of_its_own_has_nothing_of_the_hosts() {
        assert_eq!(
            hosts(None),
            "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\n\
             ff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n127.0.1.1\thm\n"
        );
    }
}
