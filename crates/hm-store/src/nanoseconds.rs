//! Times of files as nanoseconds since 1970-01-01T00:00:00Z.

use rustix::fs::{Stat, Timespec, Timestamps};

const SECOND: i128 = 1_000_000_000;

/// Time of last modification.
pub(crate) fn mtime_ns(stat: &Stat) -> i128 {
    i128::from(stat.st_mtime) * SECOND + i128::from(stat.st_mtime_nsec)
}

/// The time as the kernel wants it.
pub(crate) fn timespec(ns: i128) -> Timespec {
    let seconds = ns.div_euclid(SECOND);
    Timespec {
        tv_sec: i64::try_from(seconds).unwrap_or(if seconds < 0 { i64::MIN } else { i64::MAX }),
        tv_nsec: i64::try_from(ns.rem_euclid(SECOND)).expect("a remainder below 10^9"),
    }
}

/// Both times of a copy: the time of last access is of no use.
pub(crate) fn times(mtime: Timespec) -> Timestamps {
    Timestamps {
        last_access: mtime,
        last_modification: mtime,
    }
}
