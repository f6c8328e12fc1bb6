//! The JSON Schema of the document.

use serde_json::Value;

use crate::document::Document;

/// A JSON Schema (draft 2020-12) of the document, made from the types it is read into.
///
/// It says what writers may write. Readers are laxer: unknown members and unknown cache policies with a key are accepted.
pub fn ir_schema() -> Value {
    schemars::schema_for!(Document).to_value()
}
