//! What a step sees of its files depends on the pipeline and the working tree, not on the builds and steps before.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use crate::ordinary_user::{USER, run_as_user};
use crate::support::{Ir, Lab};

#[test]
fn files_of_the_working_tree_have_one_link_in_every_build() {
    let lab = Lab::new();
    lab.write("data.txt", "data");
    let gzip = Ir::new().step("gzip", "stat -c %h data.txt; gzip data.txt && ls");
    for build in ["first", "second", "third"] {
        lab.write("other", build);
        let run = lab.run(&gzip).passed();
        assert_eq!(run.stdout("gzip"), ["1", "data.txt.gz", "other"], "{build} build");
    }
}

#[test]
fn files_of_steps_have_their_links_however_deep_the_chain_is() {
    let lab = Lab::new();
    let make = "cd /var; echo single > single; echo twin > twin; ln twin other";
    let look = "cd /var; stat -c %h single twin other";
    let mut ir = Ir::new().step("0", make);
    for depth in 1..=140 {
        let step = if depth % 10 == 0 { look } else { "true" };
        ir = ir.step(&depth.to_string(), step).builds_in(&(depth - 1).to_string());
    }
    let run = lab.run(&ir).passed();
    for depth in (10..=140).step_by(10) {
        assert_eq!(run.stdout(&depth.to_string()), ["1", "2", "2"], "{depth}");
    }
}

/// Steps on a root that is closed to listing.
fn root_folder(lab: &Lab, owner: &str) -> Ir {
    fs::set_permissions(lab.root(), Permissions::from_mode(0o711)).unwrap();
    lab.write("f", "one");
    Ir::new()
        .step("image", "stat -c %a /")
        .step("child", "stat -c %a /")
        .builds_in("image")
        .step("change", &format!("chmod 1751 /; chown {owner} /"))
        .forever()
        .step("see", "stat -c '%a %u:%g' /; chmod 700 /")
        .builds_in("change")
        .step("again", "stat -c '%a %u:%g' /")
        .builds_in("see")
}

#[test]
fn the_root_folder_is_as_the_image_and_the_steps_before_have_it() {
    let lab = Lab::new();
    let ir = root_folder(&lab, "5:6");
    // In the second build another tree lies between.
    for content in ["one", "two"] {
        lab.write("f", content);
        let run = lab.run(&ir).passed();
        assert_eq!((run.stdout("image"), run.stdout("child")), (vec!["711"], vec!["711"]));
        assert_eq!(
            run.stdout("see")[0][..8].to_owned(),
            "1751 5:6",
            "{:?}",
            run.stdout("see")
        );
        assert_eq!(run.stdout("again"), ["700 5:6"]);
    }
}

#[test]
fn the_root_folder_is_kept_for_an_ordinary_user_too() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    for (table, owner) in [(format!("{USER}:3000000:65536\n"), "5:6"), (String::new(), "0:0")] {
        let lab = Lab::new();
        let ir = root_folder(&lab, owner);
        let run = run_as_user(&lab, &ir, &table).passed();
        assert_eq!((run.stdout("image"), run.stdout("child")), (vec!["711"], vec!["711"]));
        assert!(
            run.stdout("see")[0].starts_with(&format!("1751 {owner}")),
            "{:?}",
            run.stdout("see")
        );
        assert_eq!(run.stdout("again"), [format!("700 {owner}")]);
    }
}
