//! A project in a temporary folder, and the machine's Python.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::Sender;
use std::time::Duration;

use hm_dsl_engine::{DslError, Envelope, EvalSettings, FileProblem, discover, evaluate};

#[derive(Debug)]
pub(crate) struct Project {
    temp: tempfile::TempDir,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) printed: Vec<u8>,
    pub(crate) python_time: Duration,
    pub(crate) begun: Option<Sender<PathBuf>>,
}

impl Project {
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let path = std::env::vars().find(|(name, _)| name == "PATH").unwrap().1;
        let pyenv = std::env::vars().filter(|(name, _)| name.starts_with("PYENV_"));
        let env = pyenv.chain([("PATH".to_owned(), path)]).collect();
        let project = Self {
            temp,
            env,
            printed: Vec::new(),
            python_time: EvalSettings::PYTHON_TIME,
            begun: None,
        };
        fs::create_dir_all(project.root().join(".hm")).unwrap();
        for (name, text) in files {
            project.write(&format!(".hm/{name}"), text);
        }
        project
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.temp.path().canonicalize().unwrap().join("project")
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.temp.path().join("cache")
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.root().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn set(&mut self, name: &str, value: impl AsRef<Path>) {
        self.env.insert(name.to_owned(), value.as_ref().display().to_string());
    }

    /// A program of the project's own that stands for Python.
    pub(crate) fn script(&self, name: &str, text: &str) -> PathBuf {
        self.write(name, text);
        let path = self.root().join(name);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// An environment as `python -m venv` lays it out, with `files` installed in it.
    pub(crate) fn virtual_env(&self, folder: &str, files: &[(&str, &str)]) {
        let show = "import sys; print(sys.executable); print('%d.%d' % sys.version_info[:2]); print(sys.base_prefix)";
        let output = Command::new("python3").args(["-c", show]).output().unwrap();
        let answer = String::from_utf8(output.stdout).unwrap();
        let [executable, version, prefix] = answer.lines().collect::<Vec<_>>().try_into().unwrap();
        self.write(&format!("{folder}/pyvenv.cfg"), &format!("home = {prefix}/bin\n"));
        fs::create_dir_all(self.root().join(folder).join("bin")).unwrap();
        symlink(executable, self.root().join(folder).join("bin/python3")).unwrap();
        for (name, text) in files {
            self.write(&format!("{folder}/lib/python{version}/site-packages/{name}"), text);
        }
    }

    pub(crate) fn try_evaluate(&mut self) -> Result<Envelope, DslError> {
        let dir = discover(&self.root()).unwrap().unwrap();
        let mut settings = EvalSettings::new(self.env.clone(), self.cache());
        settings.python_time = self.python_time;
        settings.begun = self.begun.clone();
        evaluate(&dir, &settings, &mut self.printed)
    }

    pub(crate) fn evaluate(&mut self) -> Envelope {
        self.try_evaluate().unwrap_or_else(|error| panic!("{error}: {error:?}"))
    }

    /// `file:line: message` with the file relative to `.hm/`, one problem each.
    pub(crate) fn shown(&self, problems: &[FileProblem]) -> Vec<String> {
        let folder = format!("{}/", self.root().join(".hm").display());
        problems
            .iter()
            .map(|problem| problem.to_string().replace(&folder, ""))
            .collect()
    }
}

pub(crate) fn slugs(envelope: &Envelope) -> Vec<&str> {
    envelope
        .pipelines
        .iter()
        .map(|pipeline| pipeline.slug.as_str())
        .collect()
}

/// One problem for each of the beginnings, in order.
#[track_caller]
pub(crate) fn starts_with_each(shown: &[String], beginnings: &[String]) {
    assert_eq!(shown.len(), beginnings.len(), "{shown:#?}");
    for (shown, beginning) in shown.iter().zip(beginnings) {
        assert!(shown.starts_with(beginning), "{beginning}\n{shown}");
    }
}
