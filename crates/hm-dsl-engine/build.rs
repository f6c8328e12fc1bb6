//! Lists the Python and TypeScript sources that are built into the crate.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// The sources of one language.
struct Language {
    /// The file that lists them.
    table: &'static str,
    /// Where they are, and what their names begin with.
    folders: [(&'static str, &'static str); 2],
    extensions: &'static [&'static str],
    /// The macro that includes one.
    include: &'static str,
}

const LANGUAGES: [Language; 2] = [
    Language {
        table: "python_sources.rs",
        folders: [("python", ""), ("../../sdk/python/harmont", "harmont/")],
        extensions: &["py"],
        include: "include_bytes",
    },
    Language {
        table: "typescript_sources.rs",
        folders: [("typescript", "host:"), ("../../sdk/typescript/src", "sdk:")],
        extensions: &["ts", "mjs"],
        include: "include_str",
    },
];

fn main() -> Result<(), Box<dyn Error>> {
    let manifest = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").ok_or("CARGO_MANIFEST_DIR is not set")?);
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    for language in LANGUAGES {
        let mut table = String::from("&[\n");
        for (folder, prefix) in language.folders {
            println!("cargo::rerun-if-changed={folder}");
            let mut files = Vec::new();
            collect(&manifest.join(folder), "", language.extensions, &mut files)?;
            for path in files {
                let name = format!("{prefix}{path}");
                // Relative to the crate when it is compiled, so that the table is the same in every check-out.
                let path = format!("/{folder}/{path}");
                writeln!(
                    table,
                    "    ({name:?}, {}!(concat!(env!(\"CARGO_MANIFEST_DIR\"), {path:?}))),",
                    language.include
                )?;
            }
        }
        table.push(']');
        fs::write(out.join(language.table), table)?;
    }
    Ok(())
}

/// Paths of the files below `folder` with one of the extensions, sorted, each with `prefix` before it.
fn collect(folder: &Path, prefix: &str, extensions: &[&str], files: &mut Vec<String>) -> Result<(), Box<dyn Error>> {
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
                collect(&path, &format!("{prefix}{name}/"), extensions, files)?;
            }
        } else if path
            .extension()
            .is_some_and(|extension| extensions.iter().any(|wanted| extension == *wanted))
        {
            files.push(format!("{prefix}{name}"));
        }
    }
    Ok(())
}
