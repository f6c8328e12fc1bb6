//! Prints the schema of the events, for `docs/reference/events.schema.json`.

use std::io::{self, Write};

fn main() -> io::Result<()> {
    writeln!(io::stdout(), "{:#}", hm_plugin_protocol::event_schema())
}
