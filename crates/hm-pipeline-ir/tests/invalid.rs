//! Every way in which a document is refused, and where the problem is said to be.

use hm_pipeline_ir::{Pipeline, ProblemCode as Code};

#[expect(clippy::unwrap_used, reason = "a test stops at what it does not expect")]
fn problems(text: &str) -> Vec<(Code, String)> {
    let error = Pipeline::parse(text.as_bytes()).unwrap_err();
    for problem in &error.problems {
        assert!(!problem.message.is_empty() && !problem.hint.is_empty(), "{problem:?}");
    }
    error
        .problems
        .into_iter()
        .map(|problem| (problem.code, problem.pointer))
        .collect()
}

#[expect(clippy::unwrap_used, reason = "a test stops at what it does not expect")]
fn messages(text: &str) -> Vec<String> {
    Pipeline::parse(text.as_bytes())
        .unwrap_err()
        .problems
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn expect(text: &str, expected: &[(Code, &str)]) {
    let expected: Vec<_> = expected
        .iter()
        .map(|(code, pointer)| (*code, (*pointer).to_owned()))
        .collect();
    assert_eq!(problems(text), expected, "{text}");
}

/// A document around these nodes and edges.
fn graph(nodes: &[&str], edges: &str) -> String {
    let nodes = nodes.join(",");
    format!(
        r#"{{"version":"0","graph":{{"nodes":[{nodes}],"node_holes":[],"edge_property":"directed","edges":{edges}}}}}"#
    )
}

/// A document with one step that has these members.
fn step(members: &str) -> String {
    graph(
        &[&format!(
            r#"{{"step":{{"key":"k","cmd":"true",{members}}},"env":{{}}}}"#
        )],
        "[]",
    )
}

const A: &str = r#"{"step":{"key":"a","cmd":"true"},"env":{}}"#;
const B: &str = r#"{"step":{"key":"b","cmd":"true"},"env":{}}"#;
const C: &str = r#"{"step":{"key":"c","cmd":"true"},"env":{}}"#;

#[test]
fn what_is_not_json() {
    expect("", &[(Code::Syntax, "")]);
    expect("{", &[(Code::Syntax, "")]);
    expect("{} {}", &[(Code::Syntax, "")]);
    expect(&"[".repeat(100_000), &[(Code::Syntax, "")]);
    assert_eq!(
        Pipeline::parse(b"{\"version\": \"\xff\"}").unwrap_err().problems[0].code,
        Code::Syntax
    );
}

#[test]
fn what_is_no_object() {
    expect("[]", &[(Code::WrongType, "")]);
    expect("null", &[(Code::WrongType, "")]);
}

#[test]
fn a_wrong_version_names_those_that_are_read() {
    let text = graph(&[A], "[]").replacen(r#""0""#, r#""1""#, 1);
    expect(&text, &[(Code::UnsupportedVersion, "/version")]);
    assert_eq!(
        messages(&text),
        [r#"/version: version "1" is not one this engine reads (it reads "0"; use an SDK that writes it)"#]
    );
    expect(&text.replacen(r#""1""#, "0", 1), &[(Code::WrongType, "/version")]);
}

#[test]
fn missing_members() {
    expect("{}", &[(Code::MissingField, "")]);
    let graph_members = [(Code::MissingField, "/graph"); 3];
    expect(r#"{"graph":{}}"#, &graph_members);
    expect(&graph(&["{}"], "[]"), &[(Code::MissingField, "/graph/nodes/0"); 2]);
    expect(
        &graph(&[r#"{"step":{},"env":{}}"#], "[]"),
        &[(Code::MissingField, "/graph/nodes/0/step"); 2],
    );
}

#[test]
fn missing_env_is_named() {
    let text = graph(&[r#"{"step":{"key":"a","cmd":"true"}}"#], "[]");
    assert_eq!(messages(&text), ["/graph/nodes/0: `env` is missing (add `env`)"]);
}

#[test]
fn members_that_stand_twice() {
    let text = r#"{"step":{"key":"a","cmd":"x","cmd":"y"},"env":{"A":"1","A":"2"},"env":{}}"#;
    expect(
        &graph(&[text], "[]"),
        &[
            (Code::RepeatedField, "/graph/nodes/0/step/cmd"),
            (Code::RepeatedField, "/graph/nodes/0/env/A"),
            (Code::RepeatedField, "/graph/nodes/0/env"),
        ],
    );
}

#[test]
fn holes() {
    let text = graph(&[A], "[]").replace(r#""node_holes":[]"#, r#""node_holes":[1]"#);
    expect(&text, &[(Code::Holes, "/graph/node_holes")]);
}

#[test]
fn undirected() {
    let text = graph(&[A], "[]").replace("directed", "undirected");
    expect(&text, &[(Code::Undirected, "/graph/edge_property")]);
}

#[test]
fn edges_that_point_nowhere() {
    let text = graph(
        &[A, B],
        r#"[[0,2,"builds_in"],[7,9,"depends_on"],[0,18446744073709551615,"depends_on"]]"#,
    );
    expect(
        &text,
        &[
            (Code::IndexOutOfRange, "/graph/edges/0/1"),
            (Code::IndexOutOfRange, "/graph/edges/1/0"),
            (Code::IndexOutOfRange, "/graph/edges/1/1"),
            (Code::IndexOutOfRange, "/graph/edges/2/1"),
        ],
    );
    assert_eq!(
        messages(&text)[0],
        "/graph/edges/0/1: there is no node 2 (nodes are numbered 0 to 1)"
    );
    expect(
        &graph(&[], r#"[[0,0,"builds_in"]]"#),
        &[
            (Code::IndexOutOfRange, "/graph/edges/0/0"),
            (Code::IndexOutOfRange, "/graph/edges/0/1"),
        ],
    );
}

#[test]
fn edges_of_another_shape() {
    expect(
        &graph(
            &[A, B],
            r#"[[0,1],{},[0,"1","builds_in"],[0,-1,"builds_in"],[0,1,2],null]"#,
        ),
        &[
            (Code::OutOfRange, "/graph/edges/0"),
            (Code::WrongType, "/graph/edges/1"),
            (Code::WrongType, "/graph/edges/2/1"),
            (Code::OutOfRange, "/graph/edges/3/1"),
            (Code::WrongType, "/graph/edges/4/2"),
            (Code::WrongType, "/graph/edges/5"),
        ],
    );
}

#[test]
fn an_unknown_edge_kind() {
    expect(
        &graph(&[A, B], r#"[[0,1,"after"]]"#),
        &[(Code::UnknownEdgeKind, "/graph/edges/0/2")],
    );
}

#[test]
fn a_self_loop() {
    let text = graph(&[A], r#"[[0,0,"depends_on"]]"#);
    expect(&text, &[(Code::SelfLoop, "/graph/edges/0")]);
    assert_eq!(
        messages(&text),
        ["/graph/edges/0: a waits for itself (remove the edge)"]
    );
}

#[test]
fn a_cycle_names_the_keys_on_it() {
    let text = graph(
        &[A, B, C],
        r#"[[0,2,"builds_in"],[2,1,"depends_on"],[1,0,"depends_on"]]"#,
    );
    expect(&text, &[(Code::Cycle, "/graph/nodes/0")]);
    assert_eq!(
        messages(&text),
        ["/graph/nodes/0: steps wait for each other: a → c → b → a (remove one of the edges between them)"]
    );
}

#[test]
fn a_long_cycle_is_named_in_part() {
    let nodes: Vec<String> = (0..50)
        .map(|at| format!(r#"{{"step":{{"key":"s{at}","cmd":""}},"env":{{}}}}"#))
        .collect();
    let nodes: Vec<&str> = nodes.iter().map(String::as_str).collect();
    let edges: Vec<String> = (0..50)
        .map(|at| format!("[{at},{},\"depends_on\"]", (at + 1) % 50))
        .collect();
    let message = messages(&graph(&nodes, &format!("[{}]", edges.join(","))));
    assert_eq!(message.len(), 1);
    assert!(message[0].contains("s0 → s1 → "), "{message:?}");
    assert!(message[0].contains(" → s19 → … 30 more → s0 "), "{message:?}");
}

#[test]
fn keys() {
    expect(
        &graph(&[A, B, A, A], "[]"),
        &[
            (Code::DuplicateKey, "/graph/nodes/2/step/key"),
            (Code::DuplicateKey, "/graph/nodes/3/step/key"),
        ],
    );
    let empty = r#"{"step":{"key":"","cmd":"true"},"env":{}}"#;
    expect(
        &graph(&[empty, empty], "[]"),
        &[
            (Code::EmptyKey, "/graph/nodes/0/step/key"),
            (Code::EmptyKey, "/graph/nodes/1/step/key"),
        ],
    );
}

#[test]
fn two_parents() {
    let text = graph(&[A, B, C], r#"[[0,2,"builds_in"],[1,2,"builds_in"]]"#);
    expect(&text, &[(Code::SecondParent, "/graph/edges/1")]);
    assert!(
        messages(&text)[0].contains("c builds in b but builds in a already"),
        "{text}"
    );
}

#[test]
fn budgets() {
    let text = graph(&[A], "[]");
    let with = |value: &str| text.replacen('{', &format!(r#"{{"timeout_seconds":{value},"#), 1);
    expect(&with("0"), &[(Code::ZeroTimeout, "/timeout_seconds")]);
    expect(&with("4294967296"), &[(Code::OutOfRange, "/timeout_seconds")]);
    expect(&with("-1"), &[(Code::OutOfRange, "/timeout_seconds")]);
    expect(&with("1.5"), &[(Code::OutOfRange, "/timeout_seconds")]);
    expect(&with(r#""1h""#), &[(Code::WrongType, "/timeout_seconds")]);
    assert!(Pipeline::parse(with("4294967295").as_bytes()).is_ok());
    expect(
        &step(r#""timeout_seconds":0"#),
        &[(Code::ZeroTimeout, "/graph/nodes/0/step/timeout_seconds")],
    );
}

#[test]
fn cache_policies() {
    let at = |rest: &str| format!("/graph/nodes/0/step/cache{rest}");
    let one = |text: &str, code, rest: &str| expect(&step(&format!(r#""cache":{text}"#)), &[(code, &at(rest))]);
    one(r#""forever""#, Code::WrongType, "");
    one("{}", Code::MissingField, "");
    one(r#"{"policy":"moon"}"#, Code::UnknownCachePolicy, "/policy");
    one(r#"{"policy":"none","key":1}"#, Code::WrongType, "/key");
    one(r#"{"policy":"ttl"}"#, Code::MissingField, "");
    one(
        r#"{"policy":"ttl","duration_seconds":0}"#,
        Code::OutOfRange,
        "/duration_seconds",
    );
    one(r#"{"policy":"on_change"}"#, Code::MissingField, "");
    one(
        r#"{"policy":"forever","env_keys":["A",1]}"#,
        Code::WrongType,
        "/env_keys/1",
    );
    one(
        r#"{"policy":"compose","sub_policies":[{"policy":"none"},{"policy":"moon"}]}"#,
        Code::UnknownCachePolicy,
        "/sub_policies/1/policy",
    );
}

#[test]
fn members_of_a_step_of_other_types() {
    let text = step(
        r#""label":1,"image":[],"env":{"A":1,"":"x","B=C":"y"},"runner":{},"continue_on_failure":1,"allow_failure":null,
           "retry":{"max":-1,"on":["never"]},"outputs":"x","secrets":[{}],"resources":{"cpus":0,"memory_mib":"1"},
           "network":"moon","mounts":[{"kind":"cache","name":"n"}]"#,
    );
    let at = |rest: &str| format!("/graph/nodes/0/step/{rest}");
    let expected = [
        (Code::WrongType, at("label")),
        (Code::WrongType, at("image")),
        (Code::WrongType, at("env/A")),
        (Code::InvalidText, at("env/")),
        (Code::InvalidText, at("env/B=C")),
        (Code::WrongType, at("runner")),
        (Code::WrongType, at("continue_on_failure")),
        (Code::WrongType, at("allow_failure")),
        (Code::OutOfRange, at("retry/max")),
        (Code::UnknownValue, at("retry/on/0")),
        (Code::WrongType, at("outputs")),
        (Code::MissingField, at("secrets/0")),
        (Code::OutOfRange, at("resources/cpus")),
        (Code::WrongType, at("resources/memory_mib")),
        (Code::UnknownValue, at("network")),
        (Code::MissingField, at("mounts/0")),
    ];
    assert_eq!(problems(&text), expected);
}

#[test]
fn limits_of_nothing() {
    for limit in ["cpus", "memory_mib", "pids"] {
        let pointer = format!("/graph/nodes/0/step/resources/{limit}");
        expect(
            &step(&format!(r#""resources":{{"{limit}":0}}"#)),
            &[(Code::OutOfRange, &pointer)],
        );
    }
}

#[test]
fn a_command_with_a_nul() {
    let text = graph(&[r#"{"step":{"key":"a","cmd":"a\u0000b"},"env":{"A":"\u0000"}}"#], "[]");
    expect(
        &text,
        &[
            (Code::InvalidText, "/graph/nodes/0/step/cmd"),
            (Code::InvalidText, "/graph/nodes/0/env/A"),
        ],
    );
}

#[test]
fn all_problems_come_at_once() {
    let bad = r#"{"step":{"key":"a","timeout_seconds":0}}"#;
    let text = graph(
        &[A, bad, B, C],
        r#"[[0,9,"builds_in"],[0,2,"after"],[2,3,"depends_on"],[3,2,"depends_on"],[1,1,"x"]]"#,
    )
    .replacen(r#""0""#, r#""7""#, 1)
    .replace(r#""node_holes":[]"#, r#""node_holes":[4]"#);
    expect(
        &text,
        &[
            (Code::UnsupportedVersion, "/version"),
            (Code::MissingField, "/graph/nodes/1/step"),
            (Code::ZeroTimeout, "/graph/nodes/1/step/timeout_seconds"),
            (Code::MissingField, "/graph/nodes/1"),
            (Code::Holes, "/graph/node_holes"),
            (Code::UnknownEdgeKind, "/graph/edges/1/2"),
            (Code::UnknownEdgeKind, "/graph/edges/4/2"),
            (Code::DuplicateKey, "/graph/nodes/1/step/key"),
            (Code::IndexOutOfRange, "/graph/edges/0/1"),
            (Code::SelfLoop, "/graph/edges/4"),
            (Code::Cycle, "/graph/nodes/2"),
        ],
    );
    let error = Pipeline::parse(text.as_bytes()).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("the pipeline has 11 problems\n/version: "),
        "{error}"
    );
}
