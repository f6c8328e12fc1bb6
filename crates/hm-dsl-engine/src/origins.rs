//! Where pipelines and their steps were written.

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;

/// A line of a user's file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// Absolute path.
    pub file: PathBuf,
    /// From 1.
    pub line: u32,
}

/// Where one pipeline and its steps were written, as far as its SDK noted it. It is told beside the document, which has
/// nothing of it.
#[derive(Clone, Default, Debug)]
pub struct Origins {
    definition: Option<Place>,
    /// The lines that made steps, each once.
    known: Vec<Option<Place>>,
    /// For each node of the document its line among the known ones.
    steps: Vec<Option<u32>>,
}

/// What an SDK notes; `T` is how it writes a place.
#[derive(Default, Deserialize)]
#[serde(bound = "T: Deserialize<'de>")]
pub(crate) struct Noted<T> {
    pub(crate) definition: Option<T>,
    known: Vec<T>,
    steps: Vec<Option<u32>>,
}

impl Origins {
    /// The line of the step that a JSON pointer (RFC 6901) into the document leads to, else of the pipeline.
    pub fn of(&self, pointer: &str) -> Option<&Place> {
        self.step(pointer).or(self.definition.as_ref())
    }

    fn step(&self, pointer: &str) -> Option<&Place> {
        let node = pointer.strip_prefix("/graph/nodes/")?.split('/').next()?;
        let known = (*self.steps.get(node.parse::<usize>().ok()?)?)?;
        self.known.get(usize::try_from(known).ok()?)?.as_ref()
    }
}

impl<T> Noted<T> {
    /// The places that `read` finds in what was noted.
    pub(crate) fn origins(self, read: impl Fn(T) -> Option<Place>) -> Origins {
        Origins {
            definition: self.definition.and_then(&read),
            known: self.known.into_iter().map(&read).collect(),
            steps: self.steps,
        }
    }
}

impl Origins {
    /// With another line of the pipeline, where there is one.
    pub(crate) fn with_definition(mut self, place: Option<Place>) -> Self {
        self.definition = place.or(self.definition);
        self
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_leads_to_its_step_or_to_the_pipeline() {
        let noted = r#"{"definition":["/p",1],"known":[["/p",4],["/q",5]],"steps":[1,null,0,7]}"#;
        let noted: Noted<(PathBuf, u32)> = serde_json::from_str(noted).unwrap();
        let origins = noted.origins(|(file, line)| Some(Place { file, line }));
        let of = |pointer: &str| origins.of(pointer).unwrap().to_string();
        assert_eq!(of("/graph/nodes/0/step/env/A~1B"), "/q:5");
        assert_eq!(of("/graph/nodes/2"), "/p:4");
        for pointer in [
            "",
            "/timeout_seconds",
            "/graph/nodes/1/step",
            "/graph/nodes/3/step",
            "/graph/nodes/9/step",
            "/graph/nodes/x",
            "/graph/edges/0/1",
        ] {
            assert_eq!(of(pointer), "/p:1", "{pointer}");
        }
        assert_eq!(Origins::default().of("/graph/nodes/0"), None);
    }
}
