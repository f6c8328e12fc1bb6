//! Which users steps have, in words.

use std::fs;

use hm_sandbox::{IdMap, SingleId};

use crate::process::Process;

/// Ids that are given to one user by custom (`login.defs(5)`, `SUB_UID_COUNT`), and the first of them all.
const COUNT: u32 = 65536;
const FIRST: u32 = 100_000;

/// What to tell before a build whose steps have one user only.
pub(crate) fn note(ids: IdMap, process: &Process) -> Option<String> {
    let IdMap::Single(reason) = ids else {
        return None;
    };
    Some(format!(
        "note: steps have no user but root here: {reason}. Commands that change users or owners fail in them, \
         such as apt-get, chown and su, and they read on the image host what your groups may read. To mend it: {}",
        fix(reason, process)
    ))
}

/// What gives steps more users.
pub(crate) fn fix(reason: SingleId, process: &Process) -> String {
    match reason {
        SingleId::NoTool => "sudo apt-get install uidmap".to_owned(),
        SingleId::NoRange => {
            let tables = ["/etc/subuid", "/etc/subgid"].map(|table| fs::read_to_string(table).unwrap_or_default());
            let first = tables.iter().map(|table| first_free(table)).max().unwrap_or(FIRST);
            let range = format!("{first}-{}", first.saturating_add(COUNT - 1));
            let user = process.variable("USER").unwrap_or("YOUR-USER");
            format!("sudo usermod --add-subuids {range} --add-subgids {range} {user}")
        }
        SingleId::Refused | SingleId::Chosen => "sudo chmod u+s /usr/bin/newuidmap /usr/bin/newgidmap".to_owned(),
    }
}

/// The first id above all ranges of a table (`subuid(5)`).
fn first_free(table: &str) -> u32 {
    let ends = table.lines().filter_map(|line| {
        let mut fields = line.split(':').skip(1);
        let first: u32 = fields.next()?.trim().parse().ok()?;
        let count: u32 = fields.next()?.trim().parse().ok()?;
        first.checked_add(count)
    });
    ends.max().unwrap_or(FIRST).max(FIRST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_range_is_above_all_others() {
        assert_eq!(first_free(""), 100_000);
        assert_eq!(
            first_free("ann:100000:65536\nbob:165536:65536\nlow:5:7\nodd\n"),
            231_072
        );
    }
}
