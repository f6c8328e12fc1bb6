//! A file system in memory: what machines see.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::Arc;

use super::node::{Kind, Node};

/// Links followed on one path before it is called a loop, as Linux does (`path_resolution(7)`).
const MAX_LINKS: usize = 40;

/// Why an operation was refused; shown as the C library shows the error number.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum FsError {
    #[error("No such file or directory")]
    NotFound,
    #[error("Not a directory")]
    NotDir,
    #[error("Is a directory")]
    IsDir,
    #[error("Directory not empty")]
    NotEmpty,
    #[error("File exists")]
    Exists,
    #[error("Too many levels of symbolic links")]
    Loop,
    #[error("Invalid argument")]
    Invalid,
}

/// Names from the root down, without `.`, `..` and links.
pub(crate) type RealPath = Vec<OsString>;

/// A whole tree; a clone is a snapshot.
#[derive(Clone, Debug)]
pub(crate) struct Fs {
    root: Arc<Node>,
}

impl Fs {
    /// A tree that is one empty folder.
    pub(crate) fn empty() -> Self {
        Self {
            root: Arc::new(Node::dir()),
        }
    }

    pub(crate) fn root(&self) -> &Arc<Node> {
        &self.root
    }

    /// Where a path leads. The last name may be missing, what is before it may not.
    pub(crate) fn resolve(&self, cwd: &[OsString], path: &[u8], follow_last: bool) -> Result<RealPath, FsError> {
        if path.is_empty() {
            return Err(FsError::NotFound);
        }
        let mut real: RealPath = if path.starts_with(b"/") {
            Vec::new()
        } else {
            cwd.to_vec()
        };
        let mut todo = names(path);
        let must_be_dir = path.ends_with(b"/");
        let mut links = 0;
        while let Some(name) = todo.pop_front() {
            if name == ".." {
                real.pop();
                continue;
            }
            let parent = self.at(&real).ok_or(FsError::NotFound)?;
            if !parent.is_dir() {
                return Err(FsError::NotDir);
            }
            match parent.child(&name).map(|node| &node.kind) {
                Some(Kind::Symlink(target)) if !todo.is_empty() || follow_last || must_be_dir => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(FsError::Loop);
                    }
                    if target.as_bytes().starts_with(b"/") {
                        real.clear();
                    }
                    for name in names(target.as_bytes()).into_iter().rev() {
                        todo.push_front(name);
                    }
                }
                None if !todo.is_empty() => return Err(FsError::NotFound),
                _ => real.push(name),
            }
        }
        if must_be_dir && self.at(&real).is_some_and(|node| !node.is_dir()) {
            return Err(FsError::NotDir);
        }
        Ok(real)
    }

    /// What is at a path whose links are resolved.
    pub(crate) fn at(&self, path: &[OsString]) -> Option<&Arc<Node>> {
        path.iter().try_fold(&self.root, |node, name| node.child(name))
    }

    pub(crate) fn stat(&self, cwd: &[OsString], path: &[u8], follow: bool) -> Result<&Arc<Node>, FsError> {
        let real = self.resolve(cwd, path, follow)?;
        self.at(&real).ok_or(FsError::NotFound)
    }

    pub(crate) fn read(&self, cwd: &[OsString], path: &[u8]) -> Result<Arc<Vec<u8>>, FsError> {
        match &self.stat(cwd, path, true)?.kind {
            Kind::File(content) => Ok(Arc::clone(content)),
            Kind::Dir(_) => Err(FsError::IsDir),
            Kind::Symlink(_) => Err(FsError::Invalid),
        }
    }

    pub(crate) fn list(&self, cwd: &[OsString], path: &[u8]) -> Result<Vec<OsString>, FsError> {
        match &self.stat(cwd, path, true)?.kind {
            Kind::Dir(entries) => Ok(entries.keys().cloned().collect()),
            Kind::File(_) | Kind::Symlink(_) => Err(FsError::NotDir),
        }
    }

    /// The node at `path`, ready to be changed: what snapshots share on the way is copied.
    pub(crate) fn node_mut(&mut self, path: &[OsString]) -> Result<&mut Node, FsError> {
        let mut node = Arc::make_mut(&mut self.root);
        for name in path {
            let Kind::Dir(entries) = &mut node.kind else {
                return Err(FsError::NotDir);
            };
            node = Arc::make_mut(entries.get_mut(name).ok_or(FsError::NotFound)?);
        }
        Ok(node)
    }

    pub(crate) fn entries_mut(&mut self, path: &[OsString]) -> Result<&mut BTreeMap<OsString, Arc<Node>>, FsError> {
        match &mut self.node_mut(path)?.kind {
            Kind::Dir(entries) => Ok(entries),
            Kind::File(_) | Kind::Symlink(_) => Err(FsError::NotDir),
        }
    }

    /// Puts a node at `path`, in place of what is there.
    pub(crate) fn put(&mut self, path: &[OsString], node: Arc<Node>) -> Result<(), FsError> {
        let Some((name, parent)) = path.split_last() else {
            self.root = node;
            return Ok(());
        };
        self.entries_mut(parent)?.insert(name.clone(), node);
        Ok(())
    }

    /// Takes away what is at `path` with all below it.
    pub(crate) fn take(&mut self, path: &[OsString]) -> Result<Arc<Node>, FsError> {
        let (name, parent) = path.split_last().ok_or(FsError::Invalid)?;
        self.entries_mut(parent)?.remove(name).ok_or(FsError::NotFound)
    }

    /// Opens a file for writing as the shell does: made where it is missing, emptied unless `append`.
    pub(crate) fn open_for_writing(
        &mut self,
        cwd: &[OsString],
        path: &[u8],
        append: bool,
    ) -> Result<RealPath, FsError> {
        let real = self.resolve(cwd, path, true)?;
        match self.at(&real).map(|node| &node.kind) {
            None => self.put(&real, Arc::new(Node::file(Vec::new())))?,
            Some(Kind::File(_)) if append => {}
            Some(Kind::File(_)) => self.node_mut(&real)?.kind = Kind::File(Arc::default()),
            Some(Kind::Dir(_) | Kind::Symlink(_)) => return Err(FsError::IsDir),
        }
        Ok(real)
    }

    /// Writes at the end of a file.
    pub(crate) fn append(&mut self, path: &[OsString], bytes: &[u8]) -> Result<(), FsError> {
        let node = self.node_mut(path)?;
        node.mtime_ns = 0;
        match &mut node.kind {
            Kind::File(content) => Arc::make_mut(content).extend_from_slice(bytes),
            Kind::Dir(_) | Kind::Symlink(_) => return Err(FsError::IsDir),
        }
        Ok(())
    }

    /// Makes something where nothing is yet.
    pub(crate) fn make(&mut self, cwd: &[OsString], path: &[u8], node: Node) -> Result<(), FsError> {
        let real = self.resolve(cwd, path, false)?;
        if self.at(&real).is_some() {
            return Err(FsError::Exists);
        }
        self.put(&real, Arc::new(node))
    }

    pub(crate) fn make_dirs(&mut self, cwd: &[OsString], path: &[u8]) -> Result<(), FsError> {
        let mut at: Vec<u8> = if path.starts_with(b"/") {
            b"/".to_vec()
        } else {
            Vec::new()
        };
        for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            at.extend_from_slice(name);
            match self.stat(cwd, &at, true) {
                Ok(node) if node.is_dir() => {}
                Ok(_) => return Err(FsError::Exists),
                Err(FsError::NotFound) => self.make(cwd, &at, Node::dir())?,
                Err(error) => return Err(error),
            }
            at.push(b'/');
        }
        Ok(())
    }

    /// rename(2): replaces files and empty folders; into a folder that exists when the target is one, as mv(1) does.
    pub(crate) fn rename(&mut self, cwd: &[OsString], from: &[u8], to: &[u8]) -> Result<(), FsError> {
        let from = self.resolve(cwd, from, false)?;
        let moved = self.at(&from).ok_or(FsError::NotFound)?;
        let moved_is_dir = moved.is_dir();
        let target = self.target_in_folder(cwd, &from, to)?;
        if target == from {
            return Ok(());
        }
        if target.starts_with(&from) {
            return Err(FsError::Invalid);
        }
        match self.at(&target).map(|node| &node.kind) {
            Some(Kind::Dir(_)) if !moved_is_dir => return Err(FsError::IsDir),
            Some(Kind::Dir(entries)) if !entries.is_empty() => return Err(FsError::NotEmpty),
            Some(Kind::File(_) | Kind::Symlink(_)) if moved_is_dir => return Err(FsError::NotDir),
            Some(_) | None => {}
        }
        let node = self.take(&from)?;
        self.put(&target, node)
    }

    pub(crate) fn copy(&mut self, cwd: &[OsString], from: &[u8], to: &[u8], whole: bool) -> Result<(), FsError> {
        let from = self.resolve(cwd, from, !whole)?;
        let node = Arc::clone(self.at(&from).ok_or(FsError::NotFound)?);
        if node.is_dir() && !whole {
            return Err(FsError::IsDir);
        }
        let target = self.target_in_folder(cwd, &from, to)?;
        self.put(&target, node)
    }

    /// The target of mv and cp: below the folder, when it names one.
    fn target_in_folder(&self, cwd: &[OsString], from: &[OsString], to: &[u8]) -> Result<RealPath, FsError> {
        let real = self.resolve(cwd, to, true)?;
        if !self.at(&real).is_some_and(|node| node.is_dir()) {
            return self.resolve(cwd, to, false);
        }
        let mut target = real;
        target.push(from.last().ok_or(FsError::Invalid)?.clone());
        Ok(target)
    }
}

/// The names of a path, without empty ones and `.`.
fn names(path: &[u8]) -> VecDeque<OsString> {
    path.split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty() && *name != b".")
        .map(|name| OsString::from_vec(name.to_vec()))
        .collect()
}

/// A resolved path as text with a slash before each name.
pub(crate) fn display(path: &[OsString]) -> Vec<u8> {
    if path.is_empty() {
        return b"/".to_vec();
    }
    path.iter()
        .flat_map(|name| [OsStr::new("/"), name])
        .flat_map(|part| part.as_bytes().iter().copied())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Fs {
        let mut fs = Fs::empty();
        fs.make_dirs(&[], b"/a/b").unwrap();
        fs.make(&[], b"/a/b/f", Node::file(b"one".to_vec())).unwrap();
        fs.make(&[], b"/a/up", Node::symlink("../a/b")).unwrap();
        fs.make(&[], b"/dangling", Node::symlink("nowhere/at/all")).unwrap();
        fs.make(&[], b"/loop", Node::symlink("/loop")).unwrap();
        fs
    }

    #[test]
    fn links_are_followed_on_the_way_and_at_the_end_when_asked() {
        let fs = sample();
        assert_eq!(fs.read(&[], b"/a/up/f").unwrap().as_slice(), b"one");
        assert!(fs.stat(&[], b"/a/up", true).unwrap().is_dir());
        assert!(!fs.stat(&[], b"/a/up", false).unwrap().is_dir());
        assert_eq!(fs.stat(&[], b"/dangling", true).unwrap_err(), FsError::NotFound);
        assert_eq!(fs.stat(&[], b"/loop", true).unwrap_err(), FsError::Loop);
        assert_eq!(fs.stat(&[], b"/a/b/f/x", true).unwrap_err(), FsError::NotDir);
        assert_eq!(
            display(&fs.resolve(&["a".into()], b"up/../b/./f", true).unwrap()),
            b"/a/b/f"
        );
    }

    #[test]
    fn a_clone_keeps_what_was() {
        let mut fs = sample();
        let before = fs.clone();
        let file = fs.open_for_writing(&[], b"/a/b/f", true).unwrap();
        fs.append(&file, b" two").unwrap();
        fs.rename(&[], b"/a/up", b"/a/down").unwrap();
        assert_eq!(before.read(&[], b"/a/up/f").unwrap().as_slice(), b"one");
        assert_eq!(fs.read(&[], b"/a/down/f").unwrap().as_slice(), b"one two");
    }

    #[test]
    fn renaming_follows_the_rules() {
        let mut fs = sample();
        fs.make_dirs(&[], b"/c/a").unwrap();
        assert_eq!(fs.rename(&[], b"/a", b"/a/b/x").unwrap_err(), FsError::Invalid);
        assert_eq!(fs.rename(&[], b"/a", b"/a/b/f").unwrap_err(), FsError::Invalid);
        fs.rename(&[], b"/a", b"/c").unwrap();
        assert_eq!(fs.read(&[], b"/c/a/b/f").unwrap().as_slice(), b"one");
        fs.make_dirs(&[], b"/a/x").unwrap();
        assert_eq!(fs.rename(&[], b"/a", b"/c").unwrap_err(), FsError::NotEmpty);
    }
}
