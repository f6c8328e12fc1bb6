//! Who commands run as.

/// A user of a machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Identity {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) home: String,
}

impl Identity {
    pub(crate) fn root() -> Self {
        Self {
            uid: 0,
            gid: 0,
            home: "/root".to_owned(),
        }
    }
}

/// Finds the user that an image names as `USER`, `UID`, `USER:GROUP` or `UID:GID` (OCI image specification, "config"),
/// in the text of the machine's passwd(5) and group(5) files. `None` where a name isn't there.
pub(crate) fn identify(user: &str, passwd: &str, groups: &str) -> Option<Identity> {
    let (user, group) = user
        .split_once(':')
        .map_or((user, None), |(user, group)| (user, Some(group)));
    let number = user.parse::<u32>().ok();
    let entry = passwd
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find_map(|fields| {
            let [name, _, uid, gid, _, home, ..] = fields.as_slice() else {
                return None;
            };
            let (uid, gid) = (uid.parse::<u32>().ok()?, gid.parse::<u32>().ok()?);
            (number.map_or(*name == user, |number| number == uid)).then(|| (uid, gid, (*home).to_owned()))
        });
    let (uid, gid, home) = match (entry, number) {
        (Some(entry), _) => entry,
        (None, Some(uid)) => (uid, 0, "/".to_owned()),
        (None, None) => return None,
    };
    let gid = match group {
        None | Some("") => gid,
        Some(group) => group.parse().ok().or_else(|| group_id(group, groups))?,
    };
    Some(Identity { uid, gid, home })
}

fn group_id(name: &str, groups: &str) -> Option<u32> {
    groups
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find_map(|fields| match fields.as_slice() {
            [found, _, gid, ..] if *found == name => gid.parse().ok(),
            _ => None,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nbuild:x:1000:1001::/home/build:/bin/sh\nbroken\n";
    const GROUP: &str = "root:x:0:\nstaff:x:50:build\n";

    fn found(user: &str) -> Option<(u32, u32, String)> {
        identify(user, PASSWD, GROUP).map(|identity| (identity.uid, identity.gid, identity.home))
    }

    #[test]
    fn names_and_numbers_are_looked_up() {
        assert_eq!(found("build"), Some((1000, 1001, "/home/build".into())));
        assert_eq!(found("1000"), Some((1000, 1001, "/home/build".into())));
        assert_eq!(found("build:staff"), Some((1000, 50, "/home/build".into())));
        assert_eq!(found("7:8"), Some((7, 8, "/".into())));
        assert_eq!(found("0"), Some((0, 0, "/root".into())));
        assert_eq!(found("nobody"), None);
        assert_eq!(found("build:nogroup"), None);
    }
}
