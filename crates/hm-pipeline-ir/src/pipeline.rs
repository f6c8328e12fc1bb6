//! A document that was accepted.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::check::check;
use crate::graph::PipelineGraph;
use crate::problem::{Findings, IrError, Problem};
use crate::read::read;
use crate::step::Step;

/// A valid pipeline, with the bytes it came from.
#[derive(Clone, Debug)]
pub struct Pipeline {
    raw: Vec<u8>,
    default_image: Option<String>,
    timeout_seconds: Option<NonZeroU32>,
    graph: PipelineGraph,
    warnings: Vec<Problem>,
}

impl Pipeline {
    /// Reads and validates a document.
    ///
    /// # Errors
    /// [`IrError`] with every problem of the document: all wrong members, and all that is wrong with the graph as far as
    /// it could be read.
    pub fn parse(bytes: &[u8]) -> Result<Self, IrError> {
        let mut findings = Findings::default();
        let graph_and_header = read(bytes, &mut findings).map(|draft| {
            let graph = check(draft.nodes, &draft.edges, &mut findings);
            (graph, draft.default_image, draft.timeout_seconds)
        });
        match graph_and_header {
            Some((Some(graph), default_image, timeout_seconds)) if findings.problems.is_empty() => Ok(Self {
                raw: bytes.to_vec(),
                default_image,
                timeout_seconds,
                graph,
                warnings: findings.warnings,
            }),
            Some(_) | None => Err(IrError {
                problems: findings.problems,
            }),
        }
    }

    /// The document byte for byte as it was received: what is forwarded to a server.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// Image of every root step that names none; the configured default where absent.
    pub fn default_image(&self) -> Option<&str> {
        self.default_image.as_deref()
    }

    /// Budget of the whole build.
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout_seconds
            .map(|seconds| Duration::from_secs(u64::from(seconds.get())))
    }

    /// The steps and their order.
    pub fn graph(&self) -> &PipelineGraph {
        &self.graph
    }

    /// What is odd but legal: unknown members, images that have no effect, edges that stand twice.
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }
}

const DISPLAY_NAME_CHARS: usize = 40;

/// The step's name for people: its label, or its command cut to 40 characters.
pub fn display_name(step: &Step) -> String {
    match step.label.as_deref() {
        Some(label) if !label.is_empty() => label.to_owned(),
        Some(_) | None => step.cmd.chars().take(DISPLAY_NAME_CHARS).collect(),
    }
}
