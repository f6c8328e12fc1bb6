//! The document as it stands on the wire: what the schema is made from and what writers fill in.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::step::Step;

/// A pipeline, version 0.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Document {
    /// Version of the format.
    #[serde(default)]
    pub version: Version,
    /// Image of every root step that names none; the configured default where null.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_image: Option<String>,
    /// Budget of the whole build, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<NonZeroU32>,
    /// The steps and their order.
    pub graph: GraphDocument,
}

/// The versions that are read.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize, JsonSchema)]
pub enum Version {
    /// The one there is.
    #[default]
    #[serde(rename = "0")]
    V0,
}

/// A directed graph in the form in which petgraph writes one.
#[derive(Clone, PartialEq, Default, Debug, Serialize, Deserialize, JsonSchema)]
pub struct GraphDocument {
    /// Position = node id.
    pub nodes: Vec<NodeDocument>,
    /// Always empty.
    #[serde(default)]
    #[schemars(length(max = 0))]
    pub node_holes: Vec<u32>,
    /// Always `directed`.
    pub edge_property: EdgeProperty,
    /// `[from, to, kind]`; `from` is the prerequisite.
    pub edges: Vec<(u32, u32, EdgeKind)>,
}

/// Whether edges have a direction.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EdgeProperty {
    /// They have.
    #[default]
    Directed,
}

/// A step and its environment.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct NodeDocument {
    /// The step.
    pub step: Step,
    /// The merged environment; the step's own is merged over it.
    pub env: BTreeMap<String, String>,
}

/// What an edge means.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EdgeKind {
    /// The second step boots from the first one's snapshot.
    BuildsIn,
    /// The second step starts after the first one ended.
    DependsOn,
}
