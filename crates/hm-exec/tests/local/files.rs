//! What steps see.

use crate::bench::{Bench, plan};

#[tokio::test]
async fn a_step_sees_the_working_tree_and_what_its_parent_left() {
    let bench = Bench::new();
    bench.write("source", "int main");
    let plan = plan()
        .step("build", "cat source > built; echo /workspace: $(pwd)")
        .step("test", "cat built")
        .on(0);
    let built = bench.run(&plan.step("other", "test ! -e built")).await;
    assert_eq!(built.exit_code(), 0, "{:?}", built.events);
    assert_eq!(built.log("build"), ["/workspace: /workspace"]);
    assert_eq!(built.log("test"), ["int main"]);
    bench.close();
}

#[tokio::test]
async fn variables_of_the_build_go_over_those_of_the_pipeline() {
    let bench = Bench::new();
    let mut plan = plan().step("a", "echo $FROM $EXTRA $SECRET_OF_HM");
    assert_eq!(bench.run(&plan).await.log("a"), ["pipeline"]);
    plan.env.insert("FROM".to_owned(), "caller".to_owned());
    plan.env.insert("EXTRA".to_owned(), "more".to_owned());
    plan.machine_env.insert("SECRET_OF_HM".to_owned(), "hidden".to_owned());
    assert_eq!(bench.run(&plan).await.log("a"), ["caller more"]);
    bench.close();
}
