//! Roots of steps that are copies, and stores that can't hold layers.

use std::process::Command;

use crate::support::{Ir, Lab, Run};

#[test]
fn a_build_on_copies_gives_and_takes_results_of_overlays() {
    let lab = Lab::new();
    lab.write("f", "1");
    let ir = |last: &str| {
        Ir::new()
            .step("a", "echo made > out; rm /bin/wc; mkdir /d")
            .forever()
            .step("b", "cat f out > /d/both; rm -r out; touch -d @7 /d")
            .builds_in("a")
            .forever()
            .step("c", last)
            .builds_in("b")
    };
    let run = |ir: &Ir, roots: &str| {
        let mut command = lab.run_command(ir);
        command.env("HM_SANDBOX__ROOTS", roots);
        Run::of(&command.output().unwrap()).passed()
    };
    let look = "cat /d/both; ls; ls /bin/wc; stat -c %Y /d; exit 0";
    let first = run(&ir(look), "copies");
    assert_eq!(first.stdout("c"), ["1made", "f", "7"], "{first:#?}");
    // What was made on copies serves overlays.
    let second = run(&ir(&format!("true; {look}")), "auto");
    assert_eq!(second.kinds("step_cache_hit").len(), 2, "{second:#?}");
    assert_eq!(second.stdout("c"), ["1made", "f", "7"]);
    // And the other way round, with a tree that changed.
    lab.write("f", "2");
    let third = run(&ir(&format!("cat f; {look}")), "copies");
    assert_eq!(third.kinds("step_cache_hit").len(), 2, "{third:#?}");
    assert_eq!(third.stdout("c"), ["21made", "f", "7"]);
}

/// On an overlay there can be no removals of another one.
#[test]
fn a_store_that_can_not_hold_layers_is_told() {
    let lab = Lab::new();
    let script = "mkdir $1 $1/l $1/u $1/w $1/m && mount -t tmpfs t $1/u && mkdir $1/u/u $1/u/w &&
                  mount -t overlay -o lowerdir=$1/l,upperdir=$1/u/u,workdir=$1/u/w o $1/m && shift && exec \"$@\"";
    let folder = lab.path("overlay");
    let hm = lab.run_command(&Ir::new().step("a", "true"));
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script, "sh"]).arg(&folder);
    command.arg(hm.get_program()).args(hm.get_args()).env_clear();
    for (name, value) in hm.get_envs() {
        command.env(name, value.unwrap());
    }
    command.env("HM_STORE__DIR", folder.join("m/store"));
    let run = Run::of(&command.current_dir(lab.tree()).output().unwrap());
    assert_eq!(run.code, Some(1), "{run:#?}");
    let causes = run.end("a")["causes"].to_string();
    assert!(
        causes.contains("the store's file system can't hold the layers of steps"),
        "{causes}"
    );
}
