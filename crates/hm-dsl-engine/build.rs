//! Lists the Python sources that are built into the crate.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let manifest = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").ok_or("CARGO_MANIFEST_DIR is not set")?);
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    let mut table = String::from("&[\n");
    for (folder, prefix) in [("python", ""), ("../../sdk/python/harmont", "harmont/")] {
        println!("cargo::rerun-if-changed={folder}");
        let mut files = Vec::new();
        collect(&manifest.join(folder), "", &mut files)?;
        for path in files {
            let name = format!("{prefix}{path}");
            // Relative to the crate when it is compiled, so that the table is the same in every check-out.
            let path = format!("/{folder}/{path}");
            writeln!(
                table,
                "    ({name:?}, include_bytes!(concat!(env!(\"CARGO_MANIFEST_DIR\"), {path:?}))),"
            )?;
        }
    }
    table.push(']');
    fs::write(out.join("python_sources.rs"), table)?;
    Ok(())
}

/// Paths of the Python files below `folder`, sorted, each with `prefix` before it.
fn collect(folder: &Path, prefix: &str, files: &mut Vec<String>) -> Result<(), Box<dyn Error>> {
    let mut entries = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry
            .file_name()
            .into_string()
            .map_err(|name| format!("not UTF-8: {}", name.display()))?;
        let path = entry.path();
        if path.is_dir() {
            if name != "__pycache__" {
                collect(&path, &format!("{prefix}{name}/"), files)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "py") {
            files.push(format!("{prefix}{name}"));
        }
    }
    Ok(())
}
