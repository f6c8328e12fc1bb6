//! What all renderers are.

use std::fmt::Debug;
use std::io::{self, Write};

use hm_plugin_protocol::Sequenced;

/// A fold of a build's events to bytes.
///
/// Events are given in order, from the first one. Each call writes what there is to write about its event in few, large
/// pieces and does not flush; give it a buffered writer and flush where a reader may be waiting.
pub trait Renderer: Debug + Send {
    /// Takes the next event.
    ///
    /// # Errors
    /// Those of `out`. The renderer can be used further, but what it was writing may be cut.
    fn render(&mut self, event: &Sequenced, out: &mut dyn Write) -> io::Result<()>;
}
