//! What root steps boot from.

use hm_pipeline_ir::{Pipeline, StepIndex};

/// Decides what a root step boots from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RootImages {
    /// Where neither the step nor the pipeline names one.
    pub default: String,
    /// Whatever they name.
    pub forced: Option<String>,
}

impl RootImages {
    /// The image that the step boots from if it is a root step.
    pub(crate) fn of<'a>(&'a self, pipeline: &'a Pipeline, at: StepIndex) -> &'a str {
        let named = || pipeline.graph().step(at).image.as_deref().or(pipeline.default_image());
        self.forced.as_deref().or_else(named).unwrap_or(&self.default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forced_wins_over_the_step_over_the_pipeline_over_the_default() {
        let parse = |document: &str| Pipeline::parse(document.as_bytes()).unwrap();
        let nodes =
            r#"[{"step":{"key":"a","cmd":"x","image":"own"},"env":{}},{"step":{"key":"b","cmd":"x"},"env":{}}]"#;
        let graph = format!(r#""graph":{{"nodes":{nodes},"edge_property":"directed","edges":[]}}"#);
        let with = parse(&format!(r#"{{"version":"0","default_image":"pipelines",{graph}}}"#));
        let without = parse(&format!(r#"{{"version":"0",{graph}}}"#));
        let (a, b) = (StepIndex::new(0), StepIndex::new(1));
        let mut images = RootImages {
            default: "default".to_owned(),
            forced: None,
        };
        assert_eq!(
            (images.of(&with, a), images.of(&with, b), images.of(&without, b)),
            ("own", "pipelines", "default")
        );
        images.forced = Some("forced".to_owned());
        assert_eq!((images.of(&with, a), images.of(&without, b)), ("forced", "forced"));
    }
}
