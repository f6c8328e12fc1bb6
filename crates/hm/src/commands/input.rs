//! The document that a command works on: a pipeline of the repository, or a file.

use std::borrow::Cow;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use hm_dsl_engine::Origins;
use hm_pipeline_ir::Pipeline;

use crate::cli::InputArgs;
use crate::commands::source;
use crate::error::{self, CliError};
use crate::exit::Exit;
use crate::process::Process;
use crate::settings::Places;

/// A document as it came.
pub(super) struct Input {
    document: Vec<u8>,
    /// Where it was written.
    pub(super) origins: Origins,
    /// The working tree that it is about.
    pub(super) root: PathBuf,
    /// Its name in the repository.
    pub(super) slug: Option<String>,
}

impl Input {
    pub(super) fn read(args: &InputArgs, places: &Places, process: &Process) -> Result<Self, CliError> {
        match &args.ir {
            Some(file) => Ok(Self {
                document: read_document(file)?,
                origins: Origins::default(),
                root: places.tree(),
                slug: None,
            }),
            None => Self::of_repository(args, places, process),
        }
    }

    fn of_repository(args: &InputArgs, places: &Places, process: &Process) -> Result<Self, CliError> {
        let dir =
            source::find(&places.start)?.ok_or_else(|| source::no_folder(&places.start).again("", "--ir FILE"))?;
        let source = source::evaluate(&dir, process, &process.sdk_folder()?)?;
        let chosen = source.choose(args.pipeline.as_deref())?;
        Ok(Self {
            document: chosen.definition().as_bytes().to_vec(),
            origins: chosen.origins.clone(),
            slug: Some(chosen.slug.clone()),
            root: source.root,
        })
    }

    /// The document as text. One that [`Input::parse`] takes is JSON, and so UTF-8 (RFC 8259 §8.1).
    pub(super) fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.document)
    }

    pub(super) fn parse(&self) -> Result<Pipeline, CliError> {
        Pipeline::parse(&self.document).map_err(|problems| error::invalid_ir(&problems, &self.origins))
    }
}

fn read_document(file: &Path) -> Result<Vec<u8>, CliError> {
    let read = if file == Path::new("-") {
        let mut document = Vec::new();
        io::stdin().lock().read_to_end(&mut document).map(|_| document)
    } else {
        fs::read(file)
    };
    read.map_err(|error| {
        CliError::new(
            "ir_unreadable",
            Exit::NotFound,
            format!("the document {} can't be read", file.display()),
        )
        .cause(error.to_string())
        .again("hm render > pipeline.json &&", "--ir pipeline.json")
    })
}
