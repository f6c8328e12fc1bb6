//! Paths that stay inside the repository.

use std::io;
use std::path::{Component, Path, PathBuf};

/// The repository's folder, out of which no path leads.
#[derive(Clone, Debug)]
pub(crate) struct Confinement {
    root: PathBuf,
}

/// Why a path can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PathError {
    #[error("{} is outside the repository {}", path.display(), root.display())]
    Outside { path: PathBuf, root: PathBuf },
    #[error("cannot use {}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

impl Confinement {
    /// `root` must be absolute and without symbolic links.
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The place that `path`, relative to `folder`, leads to, without symbolic links.
    pub(crate) fn real(&self, folder: &Path, path: &Path) -> Result<PathBuf, PathError> {
        let written = self.written(folder, path)?;
        let real = written.canonicalize().map_err(|source| PathError::Io {
            path: written.clone(),
            source,
        })?;
        self.require_inside(&real)?;
        Ok(real)
    }

    /// As [`Self::real`], but a symbolic link at the end of `path` is the place itself.
    pub(crate) fn place(&self, folder: &Path, path: &Path) -> Result<PathBuf, PathError> {
        let written = self.written(folder, path)?;
        match (written.parent(), written.file_name()) {
            (Some(parent), Some(name)) if written != self.root => Ok(self.real(folder, parent)?.join(name)),
            _ => Ok(written),
        }
    }

    /// `path` without `.` and `..`; it doesn't have to exist.
    fn written(&self, folder: &Path, path: &Path) -> Result<PathBuf, PathError> {
        let mut written = PathBuf::new();
        for component in folder.join(path).components() {
            match component {
                Component::ParentDir => drop(written.pop()),
                Component::CurDir => {}
                Component::Prefix(_) | Component::RootDir | Component::Normal(_) => written.push(component),
            }
        }
        self.require_inside(&written)?;
        Ok(written)
    }

    fn require_inside(&self, path: &Path) -> Result<(), PathError> {
        if path.starts_with(&self.root) {
            return Ok(());
        }
        Err(PathError::Outside {
            path: path.to_path_buf(),
            root: self.root.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn nothing_leads_out() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().canonicalize().unwrap().join("repo");
        fs::create_dir_all(root.join("a")).unwrap();
        fs::write(root.join("a/file"), "").unwrap();
        symlink("/etc", root.join("out")).unwrap();
        symlink("a", root.join("in")).unwrap();
        let confinement = Confinement::new(root.clone());
        let real = |path: &str| confinement.real(&root.join("a"), Path::new(path));

        assert_eq!(real("file").unwrap(), root.join("a/file"));
        assert_eq!(real("../in/file").unwrap(), root.join("a/file"));
        assert_eq!(real("../a/./file").unwrap(), root.join("a/file"));
        for path in ["../../../etc/passwd", "/etc/passwd", "../out/passwd", "../..", "../out"] {
            assert!(matches!(real(path), Err(PathError::Outside { .. })), "{path}");
        }
        assert!(matches!(real("missing"), Err(PathError::Io { .. })));
        assert_eq!(
            confinement.place(&root, Path::new("out")).unwrap(),
            root.join("out"),
            "the link itself is inside"
        );
        assert!(confinement.place(&root, Path::new("out/passwd")).is_err());
    }
}
