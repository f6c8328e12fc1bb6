//! Expressions of workflows: `${{ … }}` in texts, and conditions.

mod condition;
mod parse;
mod quoting;
mod scope;
mod table;
mod text;
mod value;

pub(super) use condition::{Status, Truth, condition, names_status, truth_of_text};
pub(super) use scope::{Scope, is_variable};
pub(super) use table::Table;
pub(super) use text::{Place, Secrets, Text, only_secret, text};
pub(super) use value::Value;
