//! Who commands run as.

use thiserror::Error;

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

/// The greatest id that Docker gives to anybody.
const MAX_ID: u32 = i32::MAX.cast_unsigned();

/// Why an image's user is nobody.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum UserProblem {
    /// No line has the name.
    #[error("is not in the machine's /etc/passwd")]
    Unknown,
    /// No line has the group's name.
    #[error("has the group {0:?}, which is not in the machine's /etc/group")]
    UnknownGroup(String),
    /// A number that is no id.
    #[error("has the id {0}, and ids are from 0 to {MAX_ID}")]
    OutOfRange(String),
}

/// Finds the user that an image names as `USER`, `UID`, `USER:GROUP` or `UID:GID` (OCI image specification, "config"),
/// in the text of the machine's passwd(5) and group(5) files. Where there is only a group the user is root, as for Docker.
pub(crate) fn identify(user: &str, passwd: &str, groups: &str) -> Result<Identity, UserProblem> {
    let (user, group) = user
        .split_once(':')
        .map_or((user, None), |(user, group)| (user, Some(group)));
    let user = if user.is_empty() { "0" } else { user };
    let number = id(user)?;
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
        (None, Some(0)) => (0, 0, Identity::root().home),
        (None, Some(uid)) => (uid, 0, "/".to_owned()),
        (None, None) => return Err(UserProblem::Unknown),
    };
    let gid = match group {
        None | Some("") => gid,
        Some(group) => {
            let found = id(group)?.or_else(|| group_id(group, groups));
            found.ok_or_else(|| UserProblem::UnknownGroup(group.to_owned()))?
        }
    };
    Ok(Identity { uid, gid, home })
}

/// The number, if it is one.
fn id(text: &str) -> Result<Option<u32>, UserProblem> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    let id = text.parse().ok().filter(|id| *id <= MAX_ID);
    id.map(Some).ok_or_else(|| UserProblem::OutOfRange(text.to_owned()))
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
        let identity = identify(user, PASSWD, GROUP).ok()?;
        Some((identity.uid, identity.gid, identity.home))
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
        assert_eq!(found(":77"), Some((0, 77, "/root".into())));
        assert_eq!(found("build:"), Some((1000, 1001, "/home/build".into())));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let problem = |user: &str| identify(user, PASSWD, GROUP).unwrap_err().to_string();
        assert_eq!(problem("nobody"), "is not in the machine's /etc/passwd");
        assert_eq!(
            problem("build:nogroup"),
            "has the group \"nogroup\", which is not in the machine's /etc/group"
        );
        for id in ["4294967295", "2147483648", "99999999999"] {
            let expected = format!("has the id {id}, and ids are from 0 to 2147483647");
            assert_eq!(problem(id), expected);
            assert_eq!(problem(&format!("build:{id}")), expected);
        }
    }
}
