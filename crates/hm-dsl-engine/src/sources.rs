//! The Python sources built into the program, written where Python can read them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::DslError;

const SOURCES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/python_sources.rs"));

/// Writes the sources into a folder of `cache` named by their contents, unless they are there, and gives that folder.
///
/// The folder appears complete, by rename, so programs that do this at once don't disturb each other. One that a
/// crash left damaged is made anew.
pub(crate) fn install(cache: &Path) -> Result<PathBuf, DslError> {
    let folder = cache.join(format!("python-{}", content_hash()));
    if !is_whole(&folder) {
        write(cache, &folder)?;
    }
    Ok(folder)
}

fn content_hash() -> String {
    let mut hasher = blake3::Hasher::new();
    for (name, contents) in SOURCES {
        for part in [name.as_bytes(), contents] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
    }
    let mut hex = hasher.finalize().to_hex().to_string();
    hex.truncate(20);
    hex
}

fn is_whole(folder: &Path) -> bool {
    SOURCES.iter().all(|(name, contents)| {
        folder
            .join(name)
            .metadata()
            .is_ok_and(|found| found.is_file() && found.len() == contents.len() as u64)
    })
}

fn write(cache: &Path, folder: &Path) -> Result<(), DslError> {
    fs::create_dir_all(cache).map_err(cache_error(cache))?;
    let fresh = tempfile::Builder::new()
        .prefix(".new-")
        .tempdir_in(cache)
        .map_err(cache_error(cache))?;
    for (name, contents) in SOURCES {
        let path = fresh.path().join(name);
        let parent = path.parent().unwrap_or(cache);
        fs::create_dir_all(parent).map_err(cache_error(parent))?;
        fs::write(&path, contents).map_err(cache_error(&path))?;
    }
    if fs::rename(fresh.path(), folder).is_err() {
        if is_whole(folder) {
            return Ok(()); // another process was faster
        }
        let damaged = tempfile::Builder::new()
            .prefix(".old-")
            .tempdir_in(cache)
            .map_err(cache_error(cache))?;
        fs::rename(folder, damaged.path().join("python")).map_err(cache_error(folder))?;
        fs::rename(fresh.path(), folder).map_err(cache_error(folder))?;
    }
    // Its contents live on under the new name.
    let _moved = fresh.keep();
    Ok(())
}

fn cache_error(path: &Path) -> impl FnOnce(io::Error) -> DslError {
    let path = path.to_path_buf();
    |source| DslError::SdkCache { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_once_and_mended_when_damaged() {
        let temp = tempfile::tempdir().unwrap();
        let cache = temp.path().join("deep/cache");
        let folder = install(&cache).unwrap();
        let boot = folder.join("boot.py");
        let first = boot.metadata().unwrap().modified().unwrap();
        assert_eq!(install(&cache).unwrap(), folder);
        assert_eq!(boot.metadata().unwrap().modified().unwrap(), first);

        fs::write(&boot, "").unwrap();
        install(&cache).unwrap();
        assert!(is_whole(&folder));
        let names: Vec<_> = fs::read_dir(&cache)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names.len(), 1, "nothing else is left: {names:?}");
    }

    #[test]
    fn many_may_install_at_once() {
        let temp = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| assert!(is_whole(&install(temp.path()).unwrap())));
            }
        });
    }
}
