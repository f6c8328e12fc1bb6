//! Expressions of workflows: `${{ … }}` in texts, and conditions.

mod condition;
mod parse;
mod quoting;
mod scope;
mod text;

pub(super) use condition::{Status, Truth, condition, truth_of_text};
pub(super) use scope::{Scope, is_variable};
pub(super) use text::{Place, Secrets, Text, only_secret, text};
