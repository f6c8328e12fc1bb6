//! Prints the schema of the IR, for `docs/reference/ir.schema.json`.

use std::io::{self, Write};

fn main() -> io::Result<()> {
    writeln!(io::stdout(), "{:#}", hm_pipeline_ir::ir_schema())
}
