//! `hm graph`: one graph in four forms.

use std::process::Output;

use serde_json::json;

use crate::support::{Ir, Lab};

/// Two machines, a branch, a barrier with a step before it that others follow, and text that must be escaped.
fn sample() -> Ir {
    Ir::new()
        .step("base", "apt-get update && apt-get install -y \"gcc\"")
        .with("image", json!("debian:12"))
        .with("label", json!(":c: base"))
        .forever()
        .step("build", "make -j2")
        .on_change(&["src/**"])
        .builds_in("base")
        .step("test", "make check | tee \u{1b}[31mlog <&1 >\\dev")
        .builds_in("build")
        .step("report", "make report")
        .builds_in("test")
        .step("lint", "make lint")
        .with("label", json!("Lint & <format> \"all\""))
        .builds_in("build")
        .step(
            "docs",
            "mkdocs build --strict --with-a-very-long-option=that-does-not-fit",
        )
        .step("publish", "true")
        .after("base")
        .after("report")
        .after("lint")
        .after("docs")
}

fn graph(lab: &Lab, ir: &Ir, flags: &[&str]) -> Output {
    let file = lab.path("pipeline.json");
    std::fs::write(&file, ir.render("host")).unwrap();
    lab.hm().args(["graph", "--ir"]).arg(file).args(flags).output().unwrap()
}

fn drawn(ir: &Ir, format: &str) -> String {
    let output = graph(&Lab::new(), ir, &["--format", format]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn text() {
    insta::assert_snapshot!(drawn(&sample(), "text"));
}

#[test]
fn dot() {
    insta::assert_snapshot!(drawn(&sample(), "dot"));
}

#[test]
fn mermaid() {
    insta::assert_snapshot!(drawn(&sample(), "mermaid"));
}

#[test]
fn svg() {
    insta::assert_snapshot!(drawn(&sample(), "svg"));
}

#[test]
fn an_empty_graph_has_pictures_too() {
    for format in ["text", "dot", "mermaid", "svg"] {
        drawn(&Ir::new(), format);
    }
    assert_eq!(drawn(&Ir::new(), "text"), "");
}

#[test]
fn a_long_chain_is_drawn_flat() {
    let first = Ir::new().step("s0", "true");
    let chain = (1..20_000).fold(first, |ir, number| {
        ir.step(&format!("s{number}"), "true")
            .builds_in(&format!("s{}", number - 1))
    });
    let text = drawn(&chain, "text");
    assert_eq!(text.lines().count(), 20_000);
    assert!(text.lines().all(|line| line.len() < 40));
    assert!(drawn(&chain, "svg").ends_with("</svg>\n"));
}

#[test]
fn a_pipeline_is_drawn_by_its_slug() {
    let lab = Lab::new();
    lab.write(
        ".hm/ci.py",
        "import harmont as hm\n\n@hm.pipeline('ci')\ndef ci():\n    return hm.sh('make', label='build').sh('make check')\n",
    );
    let output = lab.hm().args(["graph", "ci"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("o build"), "{text}");
    assert_eq!(lab.hm().args(["graph", "cd"]).output().unwrap().status.code(), Some(5));
}

#[test]
fn a_refused_document_is_not_drawn() {
    let lab = Lab::new();
    let twice = Ir::new().step("a", "true").step("a", "true");
    assert_eq!(graph(&lab, &twice, &[]).status.code(), Some(7));
}
