//! What the evaluation of one pipeline file gives.

use std::path::{Path, PathBuf};

use crate::envelope::{FileProblem, PipelineDefinition};
use crate::origins::{Noted, Place};

use super::files::Files;
use super::problems::{innermost, line_of_slug};

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

    /// Adds a pipeline by its entry of the envelope and what its SDK noted of its places, both JSON.
    pub(crate) fn add(&mut self, entry: &str, places: &str, root: &Path, files: &Files) {
        let mut pipeline: PipelineDefinition = match serde_json::from_str(entry) {
            Ok(pipeline) => pipeline,
            Err(error) => {
                let message = format!("hm: the file declares what is no pipeline: {error}");
                self.problems.extend(Self::failed(&self.file, message).problems);
                return;
            }
        };
        // What can't be read is only missing where something is wrong with the document.
        let noted: Noted<String> = serde_json::from_str(places).unwrap_or_default();
        let origins = noted.origins(|stack| innermost(&stack, root, files));
        pipeline.origins = origins.with_definition(self.declaring(&pipeline.slug, files));
        self.pipelines.push(pipeline);
    }

    /// The line that declares the pipeline, as far as the text tells.
    fn declaring(&self, slug: &str, files: &Files) -> Option<Place> {
        let line = line_of_slug(&*files.known(&self.file)?, slug)?;
        let file = self.file.clone();
        Some(Place { file, line })
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
