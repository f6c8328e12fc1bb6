//! What of the caller's surroundings reaches the steps.

use std::fs;

use serde_json::json;

use crate::support::{Ir, Lab};

#[test]
fn a_variable_given_on_the_command_line_reaches_every_step() {
    let lab = Lab::new();
    let ir = Ir::new()
        .step("one", "echo \"$K\"")
        .step("two", "echo \"$K\"")
        .builds_in("one");
    let run = lab.run_with(&ir, &["-e", "K=a=b c"]).passed();
    assert_eq!(run.stdout("one"), ["a=b c"]);
    assert_eq!(run.stdout("two"), ["a=b c"]);
}

#[test]
fn the_step_wins_over_its_node_and_the_command_line_over_both() {
    let lab = Lab::new();
    let ir = Ir::new()
        .step("s", "echo $A $B $C")
        .env("A", "node")
        .env("B", "node")
        .env("C", "node")
        .with("env", json!({"B": "step", "C": "step"}));
    assert_eq!(
        lab.run_with(&ir, &["-e", "C=flag"]).passed().stdout("s"),
        ["node step flag"]
    );
}

#[test]
fn a_variable_without_a_value_is_an_error() {
    let lab = Lab::new();
    for bad in ["BAD", "=x", "A B=x", "9A=x"] {
        let run = lab.run_with(&Ir::new().step("s", "true"), &["-e", bad]);
        assert_eq!(run.code, Some(2), "{bad}: {run:#?}");
        assert_eq!(run.events[0]["code"], "env_invalid", "{run:#?}");
        assert!(
            run.stderr.is_empty(),
            "errors are one JSON object on standard output: {run:#?}"
        );
    }
}

#[test]
fn nothing_of_the_callers_environment_leaks_in() {
    let lab = Lab::new();
    let mut command = lab.run_command(&Ir::new().step("s", "env"));
    let run = crate::support::Run::of(&command.env("LEAK", "1").output().unwrap()).passed();
    assert!(!run.stdout("s").iter().any(|line| line.starts_with("LEAK")), "{run:#?}");
    assert!(
        run.stdout("s")
            .contains(&"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    );
    assert!(run.stdout("s").contains(&"HOME=/root"));
}

#[test]
fn the_callers_home_is_out_of_reach_wherever_it_lies() {
    let lab = Lab::new();
    let home = tempfile::Builder::new().prefix("hm-it-").tempdir_in("/opt").unwrap();
    fs::write(home.path().join("token"), "secret").unwrap();
    let ir = Ir::new()
        .step("s", &format!("cat {}/token || echo hidden", home.path().display()))
        .with("image", json!("host"));
    let mut command = lab.run_command(&ir);
    let run = crate::support::Run::of(&command.env("HOME", home.path()).output().unwrap()).passed();
    assert_eq!(run.stdout("s"), ["hidden"]);
}
