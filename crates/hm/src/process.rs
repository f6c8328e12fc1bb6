//! What the process was started with. The only place that reads the environment.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::{IsTerminal, stdout};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::cli::ColorChoice;
use crate::error::CliError;
use crate::exit::Exit;

/// The environment, folders and terminal of the process.
#[derive(Debug)]
pub(crate) struct Process {
    /// Variables whose names and values are UTF-8.
    pub(crate) env: BTreeMap<String, String>,
    /// The current folder.
    pub(crate) cwd: PathBuf,
}

impl Process {
    /// Takes it from the operating system.
    pub(crate) fn read() -> Result<Self, CliError> {
        let env = env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let cwd = env::current_dir().map_err(|error| {
            CliError::from_error("cwd_missing", Exit::NotFound, &error)
                .cause("the current folder can't be read; was it removed?")
                .fix("cd to a folder that exists")
        })?;
        Ok(Self { env, cwd })
    }

    /// A variable that is set to something.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.env.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A program that is on the `PATH` and can be executed.
    pub(crate) fn program(&self, name: &str) -> Option<PathBuf> {
        let folders = env::split_paths(self.variable("PATH")?).filter(|folder| folder.is_absolute());
        folders.map(|folder| folder.join(name)).find(|place| {
            fs::metadata(place).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
        })
    }

    /// The user's home.
    pub(crate) fn home(&self) -> Option<PathBuf> {
        self.variable("HOME").map(PathBuf::from)
    }

    /// A folder of the XDG base directory specification: the variable's, else this one below the home.
    pub(crate) fn xdg(&self, variable: &str, below_home: &str) -> Option<PathBuf> {
        let absolute = self
            .variable(variable)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute());
        absolute.or_else(|| Some(self.home()?.join(below_home)))
    }

    /// Where the pipeline SDK is unpacked.
    pub(crate) fn sdk_folder(&self) -> Result<PathBuf, CliError> {
        let cache = self
            .xdg("XDG_CACHE_HOME", ".cache")
            .ok_or_else(|| CliError::no_home("XDG_CACHE_HOME"))?;
        Ok(cache.join("hm/sdk"))
    }

    /// Whether what is written to standard output is coloured.
    pub(crate) fn colors_stdout(&self, choice: ColorChoice) -> bool {
        self.colors(choice, stdout().is_terminal())
    }

    /// Whether what is written to standard error is coloured.
    pub(crate) fn colors_stderr(&self, choice: ColorChoice) -> bool {
        self.colors(choice, std::io::stderr().is_terminal())
    }

    /// Whether lines of standard error can be drawn anew.
    pub(crate) fn draws_on_stderr(&self) -> bool {
        std::io::stderr().is_terminal() && self.variable("TERM") != Some("dumb")
    }

    /// Whether somebody can be asked: questions go to standard error, answers come from standard input.
    pub(crate) fn is_interactive() -> bool {
        std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
    }

    /// `--color` first, then `NO_COLOR` (no-color.org), `CLICOLOR_FORCE` and the terminal.
    fn colors(&self, choice: ColorChoice, terminal: bool) -> bool {
        match choice {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto if self.variable("NO_COLOR").is_some() => false,
            ColorChoice::Auto if self.variable("CLICOLOR_FORCE").is_some_and(|value| value != "0") => true,
            ColorChoice::Auto => terminal && self.variable("TERM") != Some("dumb"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(variables: &[(&str, &str)]) -> Process {
        let env = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Process {
            env,
            cwd: PathBuf::from("/"),
        }
    }

    #[test]
    fn colour_follows_flag_then_variables_then_terminal() {
        assert!(process(&[("NO_COLOR", "1")]).colors(ColorChoice::Always, false));
        assert!(!process(&[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")]).colors(ColorChoice::Auto, true));
        assert!(process(&[("CLICOLOR_FORCE", "1")]).colors(ColorChoice::Auto, false));
        assert!(!process(&[("CLICOLOR_FORCE", "0")]).colors(ColorChoice::Auto, false));
        assert!(!process(&[("TERM", "dumb")]).colors(ColorChoice::Auto, true));
    }

    #[test]
    fn a_relative_xdg_folder_is_ignored() {
        let process = process(&[("HOME", "/h"), ("XDG_DATA_HOME", "relative")]);
        assert_eq!(
            process.xdg("XDG_DATA_HOME", ".local/share"),
            Some(PathBuf::from("/h/.local/share"))
        );
    }
}
