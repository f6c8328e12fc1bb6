//! One file a command.

mod check;
mod doctor;
mod doctor_engine;
mod doctor_machine;
mod graph;
mod image;
mod import;
mod init;
mod input;
mod pipelines;
mod render;
mod run;
mod schema;
mod source;

pub(crate) use check::check;
pub(crate) use doctor::doctor;
pub(crate) use graph::graph;
pub(crate) use image::image;
pub(crate) use import::import;
pub(crate) use init::init;
pub(crate) use pipelines::pipelines;
pub(crate) use render::render;
pub(crate) use run::run;
pub(crate) use schema::schema;
