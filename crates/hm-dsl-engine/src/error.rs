//! Why an evaluation could not be made at all.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use crate::interpreter::PythonOrigin;

/// Pipelines could not be looked for or evaluated. Problems *in* pipeline files are [`crate::FileProblem`]s instead.
#[derive(Debug, thiserror::Error)]
pub enum DslError {
    /// A folder could not be read.
    #[error("cannot look for pipelines in {}", path.display())]
    Discover {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no Python where one was looked for.
    #[error("no Python found: {origin}")]
    NoPython {
        /// Where it was looked for last.
        origin: PythonOrigin,
    },
    /// The Python that was found can't run pipelines.
    #[error("Python {version} is too old for pipelines, which need 3.11 ({}, {origin})", python.display())]
    PythonTooOld {
        /// The interpreter.
        python: PathBuf,
        /// Its version.
        version: String,
        /// Why it was chosen.
        origin: PythonOrigin,
    },
    /// The SDK could not be written where Python can read it.
    #[error("cannot write the pipeline SDK to {}", path.display())]
    SdkCache {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The interpreter could not be started.
    #[error("cannot start Python ({}, {origin})", python.display())]
    Start {
        /// The interpreter.
        python: PathBuf,
        /// Why it was chosen.
        origin: PythonOrigin,
        /// Why not.
        source: io::Error,
    },
    /// Reading from the interpreter failed, or forwarding what user code printed.
    #[error("lost the connection to Python")]
    Connection(#[source] io::Error),
    /// The interpreter ended without a report.
    #[error("Python ended without a report ({}, {status}){}", python.display(), last_words(output))]
    Died {
        /// The interpreter.
        python: PathBuf,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it printed.
        output: String,
    },
    /// The interpreter did not come to the first file.
    #[error("Python took longer than {} s to start ({})", time.as_secs_f64(), python.display())]
    NoAnswer {
        /// The interpreter.
        python: PathBuf,
        /// How long it was awaited.
        time: Duration,
    },
    /// The interpreter's report can't be read.
    #[error("cannot read the report of Python ({})", python.display())]
    Report {
        /// The interpreter.
        python: PathBuf,
        /// Where it is wrong.
        source: serde_json::Error,
    },
    /// `HM_TS_RUNTIME` names no runtime.
    #[error("there is no TypeScript runtime {value:?}")]
    TypeScriptRuntime {
        /// Its value.
        value: String,
    },
    /// The engine for TypeScript could not be set up.
    #[error("cannot start the engine for TypeScript")]
    TypeScriptEngine {
        /// Why not.
        source: rquickjs::Error,
    },
    /// The thread that evaluates TypeScript could not be started.
    #[error("cannot start a thread for TypeScript")]
    TypeScriptThread(#[source] io::Error),
    /// What user code printed could not be passed on.
    #[error("cannot pass on what a pipeline file printed")]
    Output(#[source] io::Error),
    /// Node was asked for and is not there.
    #[error("no Node found in PATH, and HM_TS_RUNTIME=node asks for it")]
    NoNode,
    /// What Node is to run could not be written.
    #[error("cannot write what Node is to run")]
    NodeFiles(#[source] io::Error),
    /// Node could not be started.
    #[error("cannot start Node ({})", node.display())]
    NodeStart {
        /// The program.
        node: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Reading from Node failed, or forwarding what user code printed.
    #[error("lost the connection to Node")]
    NodeConnection(#[source] io::Error),
}

impl DslError {
    /// What the user can do about it.
    pub fn fix(&self) -> Option<String> {
        match self {
            Self::NoPython { origin } | Self::Start { origin, .. } => Some(match origin {
                PythonOrigin::HmPython => "set HM_PYTHON to a Python 3.11 or newer, or unset it".to_owned(),
                PythonOrigin::VirtualEnv | PythonOrigin::ProjectVenv | PythonOrigin::Uv | PythonOrigin::Path => {
                    "install Python 3.11 or newer (apt-get install python3), or set HM_PYTHON to one".to_owned()
                }
            }),
            Self::PythonTooOld { origin, .. } => Some(match origin {
                PythonOrigin::HmPython => "set HM_PYTHON to a Python 3.11 or newer".to_owned(),
                PythonOrigin::VirtualEnv | PythonOrigin::ProjectVenv | PythonOrigin::Uv => {
                    "make the environment anew with Python 3.11 or newer, or set HM_PYTHON to one".to_owned()
                }
                PythonOrigin::Path => {
                    "put Python 3.11 or newer first in PATH, or set HM_PYTHON to one (HM_PYTHON=python3.12)".to_owned()
                }
            }),
            Self::SdkCache { .. } => Some("make the folder writable, or choose another one".to_owned()),
            Self::TypeScriptRuntime { .. } => {
                Some("set HM_TS_RUNTIME=node for the Node in PATH, or unset it for the built-in engine".to_owned())
            }
            Self::NoNode | Self::NodeStart { .. } => {
                Some("install Node 20 or newer, or unset HM_TS_RUNTIME for the built-in engine".to_owned())
            }
            Self::NodeFiles(_) => Some("make the folder for temporary files writable (TMPDIR)".to_owned()),
            Self::NoAnswer { .. } => Some("run the interpreter by hand to see what it waits for".to_owned()),
            Self::Discover { .. }
            | Self::Connection(_)
            | Self::Died { .. }
            | Self::Report { .. }
            | Self::TypeScriptEngine { .. }
            | Self::TypeScriptThread(_)
            | Self::Output(_)
            | Self::NodeConnection(_) => None,
        }
    }
}

fn last_words(output: &str) -> String {
    let output = output.trim_end();
    if output.is_empty() {
        String::new()
    } else {
        format!("; it printed last:\n{output}")
    }
}
