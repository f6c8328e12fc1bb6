//! What the evaluation of one pipeline file gives.

use std::path::{Path, PathBuf};

use crate::envelope::{FileProblem, PipelineDefinition};

/// The pipelines of one file and what is wrong with it.
#[derive(Clone, Debug)]
pub(crate) struct FileReport {
    /// Absolute path.
    pub(crate) file: PathBuf,
    /// In the order of declaration.
    pub(crate) pipelines: Vec<PipelineDefinition>,
    pub(crate) problems: Vec<FileProblem>,
}

impl FileReport {
    pub(crate) fn new(file: &Path) -> Self {
        Self {
            file: file.to_path_buf(),
            pipelines: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// The report of a file that could not be evaluated.
    pub(crate) fn failed(file: &Path, message: String) -> Self {
        let mut report = Self::new(file);
        report.problems.push(FileProblem {
            file: file.to_path_buf(),
            line: None,
            pipeline: None,
            message,
            traceback: None,
        });
        report
    }
}
