//! What stat(2) told, for calls that set it.

use rustix::fs::{Mode, Stat, Timespec, Timestamps, UTIME_OMIT};

/// The permissions.
pub(crate) fn mode_of(stat: &Stat) -> Mode {
    Mode::from_raw_mode(stat.st_mode & 0o7777)
}

/// The modification time; the time of the last access stays what it is.
pub(crate) fn times_of(stat: &Stat) -> Timestamps {
    Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: Timespec {
            tv_sec: stat.st_mtime,
            tv_nsec: i64::try_from(stat.st_mtime_nsec).unwrap_or(UTIME_OMIT),
        },
    }
}
