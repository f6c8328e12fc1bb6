//! The JSON Schema of the event stream.

use serde_json::Value;

use crate::event::Sequenced;

/// A JSON Schema (draft 2020-12) of one line of the event stream.
pub fn event_schema() -> Value {
    schemars::schema_for!(Sequenced).to_value()
}
