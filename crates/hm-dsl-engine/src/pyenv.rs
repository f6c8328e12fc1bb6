//! The interpreter behind a shim of pyenv.
//!
//! A shim is a shell script that asks pyenv for the version and costs about 50 ms. The answer is in files that pyenv
//! documents ("Choosing the Python version", <https://github.com/pyenv/pyenv#choosing-the-python-version>).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::interpreter::is_program;

/// The program that the shim `python` would start in `folder`; `None` where it is no shim or only pyenv can tell.
pub(crate) fn resolve(env: &BTreeMap<String, String>, folder: &Path, python: &Path) -> Option<PathBuf> {
    let shims = python.parent()?;
    if shims.file_name()? != "shims" {
        return None;
    }
    let root = shims.parent()?;
    let version = match env.get("PYENV_VERSION").filter(|version| !version.is_empty()) {
        Some(version) => version.split(':').next().map(str::to_owned),
        None => from_files(root, folder),
    }?;
    let program = root
        .join("versions")
        .join(version)
        .join("bin")
        .join(python.file_name()?);
    is_program(&program).then_some(program)
}

fn from_files(root: &Path, folder: &Path) -> Option<String> {
    let local = folder
        .ancestors()
        .map(|folder| folder.join(".python-version"))
        .find(|file| file.is_file());
    let text = fs::read_to_string(local.unwrap_or_else(|| root.join("version"))).ok()?;
    let line = text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with('#'))?;
    line.split_whitespace().next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    struct Pyenv {
        temp: tempfile::TempDir,
        env: BTreeMap<String, String>,
    }

    impl Pyenv {
        fn new(versions: &[&str]) -> Self {
            let temp = tempfile::tempdir().unwrap();
            fs::create_dir_all(temp.path().join("project/sub")).unwrap();
            for version in versions {
                let bin = temp.path().join("pyenv/versions").join(version).join("bin");
                fs::create_dir_all(&bin).unwrap();
                fs::write(bin.join("python3"), "").unwrap();
                fs::set_permissions(bin.join("python3"), fs::Permissions::from_mode(0o755)).unwrap();
            }
            Self {
                temp,
                env: BTreeMap::new(),
            }
        }

        fn write(&self, file: &str, text: &str) {
            fs::write(self.temp.path().join(file), text).unwrap();
        }

        fn resolved(&self) -> Option<String> {
            let shim = self.temp.path().join("pyenv/shims/python3");
            let found = resolve(&self.env, &self.temp.path().join("project/sub"), &shim)?;
            let relative = found.strip_prefix(self.temp.path().join("pyenv/versions")).unwrap();
            Some(relative.display().to_string())
        }
    }

    #[test]
    fn the_variable_wins_over_the_local_file_over_the_global_one() {
        let mut pyenv = Pyenv::new(&["3.11.7", "3.12.1", "3.13.0"]);
        assert_eq!(pyenv.resolved(), None);
        pyenv.write("pyenv/version", "3.11.7\n");
        assert_eq!(pyenv.resolved().unwrap(), "3.11.7/bin/python3");
        pyenv.write("project/.python-version", "# ours\n3.12.1 3.11.7\n");
        assert_eq!(pyenv.resolved().unwrap(), "3.12.1/bin/python3");
        pyenv.env.insert("PYENV_VERSION".to_owned(), "3.13.0:3.12.1".to_owned());
        assert_eq!(pyenv.resolved().unwrap(), "3.13.0/bin/python3");
    }

    #[test]
    fn what_only_pyenv_can_tell_is_left_to_the_shim() {
        let pyenv = Pyenv::new(&["3.11.7"]);
        for version in ["system", "3.11", "3.9.1"] {
            pyenv.write("pyenv/version", version);
            assert_eq!(pyenv.resolved(), None, "{version}");
        }
        assert_eq!(
            resolve(&pyenv.env, pyenv.temp.path(), Path::new("/usr/bin/python3")),
            None
        );
    }
}
