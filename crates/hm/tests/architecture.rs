//! Dependencies between the crates point strictly downward.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// What each crate may depend on, of this workspace.
const ALLOWED: [(&str, &[&str]); 10] = [
    ("hm-pipeline-ir", &[]),
    ("hm-plugin-protocol", &["hm-pipeline-ir"]),
    ("hm-dsl-engine", &["hm-pipeline-ir"]),
    ("hm-store", &["hm-pipeline-ir", "hm-plugin-protocol"]),
    ("hm-sandbox", &[]),
    (
        "hm-vm",
        &["hm-pipeline-ir", "hm-plugin-protocol", "hm-store", "hm-sandbox"],
    ),
    (
        "hm-exec",
        &["hm-pipeline-ir", "hm-plugin-protocol", "hm-store", "hm-vm"],
    ),
    ("hm-render", &["hm-plugin-protocol"]),
    ("hm-config", &[]),
    (
        "hm",
        &[
            "hm-pipeline-ir",
            "hm-plugin-protocol",
            "hm-dsl-engine",
            "hm-store",
            "hm-sandbox",
            "hm-vm",
            "hm-exec",
            "hm-render",
            "hm-config",
        ],
    ),
];

#[test]
fn dependencies_point_downward() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.into_iter().collect();
    let packages = metadata["packages"].as_array().unwrap();
    assert_eq!(packages.len(), allowed.len(), "a crate is missing from the table");
    for package in packages {
        let name = package["name"].as_str().unwrap();
        for dependency in package["dependencies"].as_array().unwrap() {
            let on = dependency["name"].as_str().unwrap();
            let inside = dependency["path"].is_string() && dependency["kind"].is_null();
            assert!(!inside || allowed[name].contains(&on), "{name} must not depend on {on}");
        }
    }
}

#[test]
fn the_book_lists_every_page() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let summary = fs::read_to_string(docs.join("SUMMARY.md")).unwrap();
    for folder in ["design", "reference"] {
        for entry in fs::read_dir(docs.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            let is_page = path.extension().is_some_and(|extension| extension == "md");
            let listed = summary.contains(&format!("]({folder}/{name})"));
            assert!(!is_page || listed, "docs/SUMMARY.md lacks {folder}/{name}");
        }
    }
}
