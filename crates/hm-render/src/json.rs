//! One JSON object a line.

use std::io::{self, Write};

use hm_plugin_protocol::Sequenced;

use crate::renderer::Renderer;

/// A line longer than this gives its memory back.
const KEPT_CAPACITY: usize = 64 * 1024;

/// Writes each event as one JSON object on a line of its own, in the form of `docs/reference/events.schema.json`.
#[derive(Debug, Default)]
pub struct JsonRenderer {
    line: Vec<u8>,
}

impl JsonRenderer {
    /// A renderer before the first event.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Renderer for JsonRenderer {
    fn render(&mut self, event: &Sequenced, out: &mut dyn Write) -> io::Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, event)?;
        self.line.push(b'\n');
        out.write_all(&self.line)?;
        if self.line.capacity() > KEPT_CAPACITY {
            self.line = Vec::new();
        }
        Ok(())
    }
}
