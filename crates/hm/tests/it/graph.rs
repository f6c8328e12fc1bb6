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

/// Each step of the second row waits for all of the first; the first of them also boots from there.
fn rows(before: usize, after: usize) -> Ir {
    let first = (0..before).fold(Ir::new(), |ir, number| ir.step(&format!("a{number}"), "true"));
    (0..after).fold(first, |ir, number| {
        let mut ir = ir.step(&format!("b{number}"), "true");
        if number == 0 {
            ir = ir.builds_in("a0");
        }
        (usize::from(number == 0)..before).fold(ir, |ir, earlier| ir.after(&format!("a{earlier}")))
    })
}

#[test]
fn a_barrier_is_drawn_through_a_junction() {
    let count = |drawn: &str, part: &str| drawn.matches(part).count();
    let dot = drawn(&rows(4, 3), "dot");
    assert!(
        dot.contains("  n7 [shape=point];\n") && dot.contains("  n0 -> n4;\n"),
        "{dot}"
    );
    assert_eq!(count(&dot, "-> n7 [style=dashed, arrowhead=none];"), 4, "{dot}");
    assert_eq!(count(&dot, "n7 -> "), 3, "{dot}");
    assert_eq!(count(&dot, " -> "), 4 + 3 + 1, "{dot}");
    let mermaid = drawn(&rows(4, 3), "mermaid");
    assert!(
        mermaid.contains("  n7(( ))\n") && mermaid.contains("  n0 --> n4\n"),
        "{mermaid}"
    );
    assert_eq!(count(&mermaid, " -.- n7\n"), 4, "{mermaid}");
    assert_eq!(count(&mermaid, "  n7 -.-> "), 3, "{mermaid}");
    let svg = drawn(&rows(4, 3), "svg");
    assert_eq!(count(&svg, "<circle"), 1, "{svg}");
    assert_eq!(count(&svg, "<path class=\"o\" d="), 4, "{svg}");
    assert_eq!(count(&svg, "<path class=\"o\" marker-end="), 3, "{svg}");
    assert!(drawn(&rows(4, 3), "text").contains("after a0, a1, a2, a3"));
}

#[test]
fn a_junction_is_drawn_where_it_makes_fewer_lines_only() {
    for (before, after) in [(1, 5), (5, 1), (2, 2)] {
        assert!(
            !drawn(&rows(before, after), "dot").contains("point"),
            "{before} {after}"
        );
    }
    let wide = drawn(&rows(400, 500), "dot");
    assert_eq!(wide.matches(" -> ").count(), 400 + 500 + 1);
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
