//! Which files the ignore rules leave out.
//!
//! From the strongest to the weakest: `.ignore` files (the deepest folder's first), `.gitignore` files (likewise, not
//! beyond the repository that the folder belongs to), `.git/info/exclude` of that repository, the global excludes. The
//! first that says anything about a path decides.

use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use rustix::fs::{Mode, OFlags};

/// A folder's rules, with those of the folders above it.
#[derive(Debug)]
pub(super) struct IgnoreRules {
    above: Option<Arc<IgnoreRules>>,
    ignore: Option<Gitignore>,
    gitignore: Option<Gitignore>,
    /// Set at the top folder of a repository: `.gitignore` files above it don't count below it.
    repository: Option<Gitignore>,
    global: Option<Arc<Gitignore>>,
}

/// Which rule files a folder has.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct RuleFiles {
    pub(super) ignore: bool,
    pub(super) gitignore: bool,
    pub(super) git: bool,
}

impl IgnoreRules {
    /// Rules that hold above the captured root: the global excludes, and those of the folders between the top of the
    /// repository that `root` lies in and `root`. `None` when there are none.
    pub(super) fn above_root(root: &Path, global: Option<&Path>, notes: &mut Vec<String>) -> io::Result<Arc<Self>> {
        let global = match global {
            Some(path) => read_rules(path, root, OFlags::empty(), notes)?.map(Arc::new),
            None => None,
        };
        let mut rules = Arc::new(Self {
            above: None,
            ignore: None,
            gitignore: None,
            repository: None,
            global: global.clone(),
        });
        if root.join(".git").symlink_metadata().is_ok() {
            return Ok(rules);
        }
        let above = root.ancestors().skip(1);
        let Some(depth) = above
            .clone()
            .position(|folder| folder.join(".git").symlink_metadata().is_ok())
        else {
            return Ok(rules);
        };
        let folders: Vec<&Path> = above.take(depth + 1).collect();
        for folder in folders.into_iter().rev() {
            let has = |name: &str| folder.join(name).symlink_metadata().is_ok();
            let files = RuleFiles {
                ignore: has(".ignore"),
                gitignore: has(".gitignore"),
                git: has(".git"),
            };
            rules = Self::enter(&rules, folder, files, notes)?;
        }
        Ok(rules)
    }

    /// The rules inside `folder` (an absolute path), which has these rule files.
    pub(super) fn enter(
        above: &Arc<Self>,
        folder: &Path,
        files: RuleFiles,
        notes: &mut Vec<String>,
    ) -> io::Result<Arc<Self>> {
        let RuleFiles { ignore, gitignore, git } = files;
        if !(ignore || gitignore || git) {
            return Ok(Arc::clone(above));
        }
        // Like git, follow no link: it could lead anywhere.
        let mut read = |there: bool, name: &str| {
            if there {
                read_rules(&folder.join(name), folder, OFlags::NOFOLLOW, notes)
            } else {
                Ok(None)
            }
        };
        let ignore = read(ignore, ".ignore")?;
        let gitignore = read(gitignore, ".gitignore")?;
        let repository = if git {
            let excludes = exclude_file(&folder.join(".git"));
            let rules = match excludes {
                Some(path) => read_rules(&path, folder, OFlags::empty(), notes)?,
                None => None,
            };
            Some(rules.unwrap_or_else(Gitignore::empty))
        } else {
            None
        };
        Ok(Arc::new(Self {
            above: Some(Arc::clone(above)),
            ignore,
            gitignore,
            repository,
            global: above.global.clone(),
        }))
    }

    /// Whether the entry at this absolute path is left out. Entries of a folder that is left out are never asked about.
    pub(super) fn ignores(&self, path: &Path, is_dir: bool) -> bool {
        let says =
            |rules: Option<&Gitignore>| rules.map_or(Match::None, |rules| rules.matched(path, is_dir).map(|_| ()));
        let mut levels = std::iter::successors(Some(self), |rules| rules.above.as_deref());
        let by_ignore = levels
            .clone()
            .map(|rules| says(rules.ignore.as_ref()))
            .find(|verdict| !verdict.is_none());
        if let Some(verdict) = by_ignore {
            return verdict.is_ignore();
        }
        for rules in levels.by_ref() {
            let by_git = says(rules.gitignore.as_ref()).or(says(rules.repository.as_ref()));
            if !by_git.is_none() {
                return by_git.is_ignore();
            }
            if rules.repository.is_some() {
                break;
            }
        }
        says(self.global.as_deref()).is_ignore()
    }
}

/// The exclude file of the repository whose `.git` is this: a folder, or (in submodules and linked worktrees) a file
/// that names one. See gitrepository-layout(5).
fn exclude_file(git: &Path) -> Option<PathBuf> {
    let folder = match fs::read(git) {
        Ok(text) => {
            let named = text.strip_prefix(b"gitdir:")?.trim_ascii();
            git.parent()?.join(Path::new(std::ffi::OsStr::from_bytes(named)))
        }
        Err(_) => git.to_owned(),
    };
    let common = match fs::read(folder.join("commondir")) {
        Ok(text) => folder.join(Path::new(std::ffi::OsStr::from_bytes(text.trim_ascii()))),
        Err(_) => folder,
    };
    let excludes = common.join("info/exclude");
    excludes.exists().then_some(excludes)
}

/// Reads a rule file whose patterns are relative to `base`. Lines that are no valid pattern are noted and left out, a file that
/// isn't there has no rules.
fn read_rules(path: &Path, base: &Path, flags: OFlags, notes: &mut Vec<String>) -> io::Result<Option<Gitignore>> {
    let file = match rustix::fs::open(
        path,
        OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | flags,
        Mode::empty(),
    ) {
        Ok(file) => file,
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::LOOP | rustix::io::Errno::NOTDIR) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut file = fs::File::from(file);
    if !file.metadata()?.is_file() {
        return Ok(None);
    }
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&text);

    let mut builder = GitignoreBuilder::new(base);
    for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let added = match std::str::from_utf8(line) {
            Ok(line) => builder.add_line(None, line).err().map(|error| error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        if let Some(problem) = added {
            notes.push(format!(
                "{}:{}: this ignore pattern has no effect: {problem}",
                path.display(),
                index + 1
            ));
        }
    }
    match builder.build() {
        Ok(rules) if rules.is_empty() => Ok(None),
        Ok(rules) => Ok(Some(rules)),
        Err(problem) => {
            notes.push(format!(
                "{}: these ignore patterns have no effect: {problem}",
                path.display()
            ));
            Ok(None)
        }
    }
}
