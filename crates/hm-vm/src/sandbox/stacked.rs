//! What a stack of layers shows at a path, without mounting it.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

use hm_store::XattrNamespace;

/// Links that are followed for one path (`MAXSYMLINKS` of the kernel).
const MAX_LINKS: usize = 40;

/// Layers as overlayfs stacks them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stacked<'a> {
    /// The uppermost first.
    pub(super) layers: &'a [PathBuf],
    pub(super) marks: XattrNamespace,
}

/// Something that the stack shows.
#[derive(Debug)]
pub(super) struct Shown {
    /// Its path from the root, which leads through no link.
    pub(super) path: PathBuf,
    /// Where it lies: in the uppermost of the layers that have it.
    pub(super) place: PathBuf,
    pub(super) data: Metadata,
}

impl Stacked<'_> {
    /// Follows the path from the root as the machine would, links included, which never lead out of the stack. `None`:
    /// nothing is there, or too many links are.
    pub(super) fn find(&self, path: &Path) -> Option<Shown> {
        let mut way: VecDeque<OsString> = names(path).collect();
        let mut reached: Vec<OsString> = Vec::new();
        let mut links = 0;
        while let Some(name) = way.pop_front() {
            if name == ".." {
                reached.pop();
                continue;
            }
            reached.push(name);
            let shown = self.entry(&reached)?;
            if shown.data.is_symlink() {
                links += 1;
                let target = fs::read_link(&shown.place).ok().filter(|_| links <= MAX_LINKS)?;
                reached.pop();
                if target.is_absolute() {
                    reached.clear();
                }
                for name in names(&target).rev() {
                    way.push_front(name);
                }
            } else if !shown.data.is_dir() && !way.is_empty() {
                return None;
            }
        }
        self.entry(&reached)
    }

    /// What is at the path, links not followed.
    pub(super) fn look(&self, path: &Path) -> Option<Shown> {
        self.entry(&names(path).collect::<Vec<_>>())
    }

    /// What is at the path, whose folders are no links.
    fn entry(&self, names: &[OsString]) -> Option<Shown> {
        let mut layers: Vec<&PathBuf> = self.layers.iter().collect();
        let mut path = PathBuf::new();
        for name in names {
            path.push(name);
            let mut folders = Vec::new();
            for layer in &layers {
                let place = layer.join(&path);
                let Ok(data) = place.symlink_metadata() else { continue };
                if !data.is_dir() {
                    // A folder above it hides it, and it hides what is below.
                    if folders.is_empty() {
                        let is_last = path.components().count() == names.len();
                        return (is_last && !is_whiteout(&data)).then_some(Shown { path, place, data });
                    }
                    break;
                }
                folders.push(*layer);
                if self.marks.is_opaque(&place) {
                    break;
                }
            }
            layers = folders;
        }
        let place = layers.first()?.join(&path);
        let data = place.symlink_metadata().ok()?;
        Some(Shown { path, place, data })
    }
}

fn names(path: &Path) -> impl DoubleEndedIterator<Item = OsString> + use<'_> {
    path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsStr::new("..").to_owned()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}

fn is_whiteout(data: &Metadata) -> bool {
    data.file_type().is_char_device() && data.rdev() == 0
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_lead_through_all_layers_and_never_out() {
        let base = tempfile::tempdir().unwrap();
        let [low, high] = ["low", "high"].map(|name| base.path().join(name));
        for folder in ["low/nix/etc", "low/hidden", "low/gone", "high/nix/etc"] {
            fs::create_dir_all(base.path().join(folder)).unwrap();
        }
        fs::write(low.join("nix/etc/passwd"), "low").unwrap();
        fs::write(high.join("nix/etc/group"), "high").unwrap();
        fs::write(high.join("hidden"), "a file").unwrap();
        symlink("/nix/etc", low.join("etc")).unwrap();
        symlink("../../../../nix", low.join("out")).unwrap();
        symlink("loop", low.join("loop")).unwrap();
        symlink("/none", low.join("broken")).unwrap();
        let null = rustix::fs::makedev(0, 0);
        let kind = rustix::fs::FileType::CharacterDevice;
        rustix::fs::mknodat(
            rustix::fs::CWD,
            high.join("gone"),
            kind,
            rustix::fs::Mode::empty(),
            null,
        )
        .unwrap();
        let stacked = Stacked {
            layers: &[high.clone(), low.clone()],
            marks: XattrNamespace::User,
        };
        let found = |path: &str| stacked.find(Path::new(path)).map(|shown| shown.place);
        assert_eq!(found("/etc/passwd"), Some(low.join("nix/etc/passwd")));
        assert_eq!(found("etc/group"), Some(high.join("nix/etc/group")));
        assert_eq!(found("out/etc/../etc/group"), Some(high.join("nix/etc/group")));
        assert_eq!(found("/"), Some(high.clone()));
        assert_eq!(stacked.find(Path::new("/etc")).unwrap().path, Path::new("nix/etc"));
        for path in ["loop", "broken", "gone", "hidden/x", "none", "etc/passwd/x"] {
            assert_eq!(found(path), None, "{path}");
        }
        let marked = rustix::fs::lsetxattr(
            high.join("nix"),
            XattrNamespace::User.opaque(),
            b"y",
            rustix::fs::XattrFlags::empty(),
        );
        if marked.is_ok() {
            assert_eq!(found("/etc/passwd"), None);
        }
    }
}
