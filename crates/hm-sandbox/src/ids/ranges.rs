//! The ranges of `/etc/subuid` and `/etc/subgid`.

/// A range of ids on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) first: u32,
    pub(crate) count: u32,
}

/// The name of a user in the text of `/etc/passwd`.
pub(super) fn name_of(passwd: &str, uid: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

/// The largest range of a user, who is named by name or number. Lines that make no sense are passed over, as newuidmap
/// does.
pub(super) fn largest_range(table: &str, uid: u32, name: Option<&str>) -> Option<Range> {
    let number = uid.to_string();
    let ranges = table.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let owner = fields.next()?;
        let range = Range {
            first: fields.next()?.trim().parse().ok()?,
            count: fields.next()?.trim().parse().ok()?,
        };
        (owner == number || Some(owner) == name).then_some(range)
    });
    ranges.filter(|range| range.count > 0).max_by_key(|range| range.count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_found_by_name_or_number() {
        let table = "# nothing\nann:100000:65536\n1001:200000:10\nbob:300000:x\nbob:400000:20\n1001:1:0\n";
        let range = |first, count| Some(Range { first, count });
        assert_eq!(largest_range(table, 1000, Some("ann")), range(100_000, 65536));
        assert_eq!(largest_range(table, 1001, Some("bob")), range(400_000, 20));
        assert_eq!(largest_range(table, 1001, None), range(200_000, 10));
        assert_eq!(largest_range(table, 7, None), None);
    }

    #[test]
    fn a_name_is_found_by_number() {
        let passwd = "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n";
        assert_eq!(name_of(passwd, 1000).as_deref(), Some("ann"));
        assert_eq!(name_of(passwd, 1), None);
    }
}
