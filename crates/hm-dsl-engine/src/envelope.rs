//! What an evaluation gives: definitions as written, and problems.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::origins::Origins;

/// The pipelines of a project and what went wrong in its files.
#[derive(Clone, Default, Debug)]
pub struct Envelope {
    /// In the order of declaration, file by file.
    pub pipelines: Vec<PipelineDefinition>,
    /// In the order of the files and their lines; each hides only the pipelines it names or its file declares.
    pub problems: Vec<FileProblem>,
}

/// One declared pipeline.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PipelineDefinition {
    /// Its identity on the command line and at a server.
    pub slug: String,
    /// Its name for people.
    pub name: String,
    /// Whether a server may start it at a person's request.
    pub allow_manual: bool,
    /// What starts it at a server.
    pub triggers: Vec<Value>,
    /// Absolute path of the file that declares it, or of the `.hm/` folder where the SDK does not tell.
    #[serde(skip)]
    pub file: PathBuf,
    /// Where it and its steps were written.
    #[serde(skip)]
    pub origins: Origins,
    definition: Box<RawValue>,
}

/// Something wrong in one file, told to its author.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileProblem {
    /// Absolute path of the file.
    pub file: PathBuf,
    /// Line in it, from 1, where one is known.
    pub line: Option<u32>,
    /// The pipeline that can't be rendered, when the rest of the file is sound.
    pub pipeline: Option<String>,
    /// What is wrong, possibly with lines that begin with `fix:`.
    pub message: String,
    /// The calls that led there, in the language's own form.
    pub traceback: Option<String>,
}

#[derive(Serialize)]
struct Document<'a> {
    schema_version: &'static str,
    pipelines: &'a [PipelineDefinition],
}

impl PipelineDefinition {
    /// The IR document, byte for byte as it was rendered.
    pub fn definition(&self) -> &str {
        self.definition.get()
    }
}

impl Envelope {
    /// The pipeline with that slug.
    pub fn find(&self, slug: &str) -> Option<&PipelineDefinition> {
        self.pipelines.iter().find(|pipeline| pipeline.slug == slug)
    }

    /// The envelope as `hm pipelines` prints it, on one line, definitions verbatim.
    pub fn to_json(&self) -> String {
        let document = Document {
            schema_version: "1",
            pipelines: &self.pipelines,
        };
        serde_json::to_string(&document).expect("strings, flags and JSON values can always be written")
    }
}

impl fmt::Display for FileProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(pipeline) = &self.pipeline {
            write!(f, ": pipeline {pipeline:?}")?;
        }
        write!(f, ": {}", self.message)
    }
}
