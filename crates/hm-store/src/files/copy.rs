//! Contents with holes.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::os::fd::AsFd;

use rustix::fs as sys;
use rustix::io::Errno;

/// Gives `to`, which is empty, the content of `from`: by sharing blocks where the file system can, else by copying what
/// is no hole.
pub(crate) fn copy_content(mut from: &File, mut to: &File) -> io::Result<()> {
    if sys::ioctl_ficlone(to, from).is_ok() {
        return Ok(());
    }
    let length = from.metadata()?.len();
    to.set_len(length)?;
    let mut done = 0;
    while let Some(data) = next_data(from, done..length)? {
        from.seek(SeekFrom::Start(data.start))?;
        to.seek(SeekFrom::Start(data.start))?;
        io::copy(&mut from.take(data.end - data.start), &mut to)?;
        done = data.end;
    }
    Ok(())
}

/// The first stretch within the range that is no hole (`lseek(2)`, `SEEK_DATA`); all of it where the file system knows of
/// no holes. Moves the file's offset.
pub(crate) fn next_data(file: impl AsFd, within: Range<u64>) -> Result<Option<Range<u64>>, Errno> {
    if within.is_empty() {
        return Ok(None);
    }
    let start = match sys::seek(&file, sys::SeekFrom::Data(within.start)) {
        Err(Errno::NXIO) => return Ok(None),
        Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(Some(within)),
        found => found?,
    };
    if start >= within.end {
        return Ok(None);
    }
    // The file may have become shorter since.
    let end = match sys::seek(&file, sys::SeekFrom::Hole(start)) {
        Err(Errno::NXIO) => within.end,
        found => found?,
    };
    Ok(Some(start..end.min(within.end)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileExt, MetadataExt};

    use super::*;

    #[test]
    fn copies_have_the_content_and_the_holes() {
        let from = tempfile::tempfile().unwrap();
        for at in [0, 3 << 20, (9 << 20) - 1] {
            from.write_all_at(b"data", at).unwrap();
        }
        from.set_len(16 << 20).unwrap();
        let mut to = tempfile::tempfile().unwrap();
        copy_content(&from, &to).unwrap();
        let (mut expected, mut copied) = (Vec::new(), Vec::new());
        (&from).seek(SeekFrom::Start(0)).unwrap();
        to.seek(SeekFrom::Start(0)).unwrap();
        (&from).read_to_end(&mut expected).unwrap();
        to.read_to_end(&mut copied).unwrap();
        assert_eq!(copied, expected);
        assert!(to.metadata().unwrap().blocks() * 512 < 1 << 20);
    }
}
