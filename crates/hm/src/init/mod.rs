//! First pipelines: what a folder holds, and the template for it.

mod detect;
mod template;

pub(crate) use detect::{Found, detect, package};
pub(crate) use template::template;
