//! Images of registries.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::made::{Layer, Made};
use crate::real::Real;
use crate::support::{Ir, Lab, Run};

/// A registry with `o/busybox:t`, which steps can boot from.
fn registry(lab: &Lab) -> Real {
    let mut archive = tar::Builder::new(Vec::new());
    archive.follow_symlinks(false);
    archive.append_dir_all(".", lab.root()).unwrap();
    let layer = Layer::of_tar(archive.into_inner().unwrap()).gzip();
    let real = Real::start();
    real.push("o/busybox", &Made::tagged(&[layer]));
    real
}

fn image(real: &Real) -> String {
    format!("{}/o/busybox:t", real.host())
}

/// `hm` with arguments, and what it printed.
fn hm(lab: &Lab, real: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = lab
        .hm()
        .env("HM_SANDBOX__INSECURE_REGISTRIES", real)
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn run(lab: &Lab, real: &str, image: &str, flags: &[&str]) -> Run {
    let ir = Ir::new()
        .step("a", "echo $((40 + 2)); test -f /etc/passwd")
        .with("image", image.into());
    let mut command = lab.run_command(&ir);
    command.env("HM_SANDBOX__INSECURE_REGISTRIES", real).args(flags);
    Run::of(&command.output().unwrap())
}

#[test]
fn steps_boot_from_what_a_registry_has_and_then_from_the_store() {
    let lab = Lab::new();
    let real = registry(&lab);
    let (host, image) = (real.host(), image(&real));
    let refused = run(&lab, &host, &image, &["--offline"]);
    assert_ne!(refused.code, Some(0));
    assert!(
        refused.end("a").to_string().contains("network must not be used"),
        "{refused:#?}"
    );
    let fix = format!("fetch it once, with a network: hm image pull {image}");
    assert_eq!(refused.end("a")["fixes"][0], fix);

    let pulled = run(&lab, &host, &image, &[]).passed();
    assert_eq!(pulled.stdout("a"), ["42"]);
    let line = format!("pulled {image}: 1 layer, ");
    assert!(pulled.stderr.contains(&line), "{pulled:#?}");
    let told = pulled.kinds("image_pull");
    assert_eq!(
        (&told[0]["image"], &told[0]["state"]),
        (&image.clone().into(), &"pulling".into())
    );
    let last = told[told.len() - 1];
    assert_eq!((&last["state"], &last["layers_ready"]), (&"ready".into(), &1.into()));
    assert_eq!(last["bytes_done"], last["bytes"]);
    assert!(last["seq"].as_u64() < pulled.end("a")["seq"].as_u64());

    drop(real);
    let gone = run(&lab, &host, &image, &[]);
    assert!(gone.end("a").to_string().contains("can't be reached"), "{gone:#?}");
    run(&lab, &host, &image, &["--offline"]).passed();
}

/// Runs the command on a terminal (script(1)) of 100 columns; gives all it wrote, and what is on the screen then.
fn on_a_terminal(lab: &Lab, real: &str, command: &Command) -> (String, Vec<String>) {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<String> = words.map(|word| format!("'{}'", word.to_str().unwrap())).collect();
    let mut terminal = Command::new("script");
    terminal
        .args([
            "-qec",
            &format!("stty cols 100 rows 30; {}", words.join(" ")),
            "/dev/null",
        ])
        .current_dir(lab.tree())
        .stdin(Stdio::null())
        .env_clear()
        .env("TERM", "xterm")
        .env("HM_SANDBOX__INSECURE_REGISTRIES", real);
    for (name, value) in command.get_envs() {
        terminal.env(name, value.unwrap());
    }
    let output = terminal.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let mut screen = vt100::Parser::new(30, 100, 0);
    screen.process(&output.stdout);
    let lines = screen.screen().rows(0, 100).filter(|line| !line.is_empty()).collect();
    (String::from_utf8(output.stdout).unwrap(), lines)
}

#[test]
fn a_terminal_shows_bars_while_an_image_is_pulled() {
    let lab = Lab::new();
    let real = registry(&lab);
    let (host, image) = (real.host(), image(&real));
    let mut pull = lab.hm();
    pull.args(["image", "pull", &image]);
    let (written, screen) = on_a_terminal(&lab, &host, &pull);
    assert!(written.contains("layer 1 of 1 "), "{written:?}");
    let left: Vec<&str> = screen.iter().map(|line| line.split(',').next().unwrap()).collect();
    assert_eq!(
        left[..2],
        [
            &format!("pulling {image}: 1 layer"),
            &format!("pulled {image}: 1 layer")
        ]
    );
    assert!(left[2].starts_with(&format!("{image} sha256:")), "{screen:#?}");

    hm(&lab, &host, &["image", "rm", &image]);
    let ir = Ir::new()
        .step("a", "echo $((40 + 2))")
        .with("image", image.clone().into());
    fs::write(lab.path("pipeline.json"), ir.render("host")).unwrap();
    let mut command = lab.hm();
    command.args(["run", "--ir"]).arg(lab.path("pipeline.json"));
    let (written, screen) = on_a_terminal(&lab, &host, &command);
    assert!(written.contains("layer 1 of 1 "), "{written:?}");
    assert!(screen.iter().any(|line| line == "[a] 42"), "{screen:#?}");
    assert!(!screen.iter().any(|line| line.starts_with("layer ")), "{screen:#?}");
}

#[test]
fn images_are_pulled_listed_and_removed() {
    let lab = Lab::new();
    let real = registry(&lab);
    let (host, image) = (real.host(), image(&real));
    let (code, pulled, told) = hm(&lab, &host, &["image", "pull", &image]);
    assert_eq!(code, Some(0), "{told}");
    let digest = pulled.trim_end().strip_prefix(&format!("{image} ")).unwrap().to_owned();
    assert!(digest.starts_with("sha256:"), "{digest}");

    let (code, listed, _) = hm(&lab, &host, &["image", "ls", "--format", "json"]);
    assert_eq!(code, Some(0));
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed["names"][0], *image);
    assert_eq!(listed["digest"], *digest);
    let (_, table, _) = hm(&lab, &host, &["image", "ls"]);
    assert!(table.starts_with(&image) && table.contains("linux/"), "{table}");

    assert_eq!(listed["complete"], true);

    // As with a disk that lost a file.
    let blobs: Vec<_> = fs::read_dir(lab.store().join("z"))
        .unwrap()
        .map(|blob| blob.unwrap().path())
        .collect();
    let lost = blobs.first().expect("it is kept as it came");
    let content = fs::read(lost).unwrap();
    fs::remove_file(lost).unwrap();
    let (code, table, told) = hm(&lab, &host, &["image", "ls"]);
    assert_eq!(code, Some(0));
    assert!(table.ends_with("  incomplete\n"), "{table}");
    assert!(told.contains(&format!("hm image pull {image}")), "{told}");
    let (_, listed, _) = hm(&lab, &host, &["image", "ls", "--format", "json"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed["complete"], false);
    fs::write(lost, content).unwrap();

    let (code, removed, _) = hm(&lab, &host, &["image", "rm", &image]);
    assert_eq!((code, removed), (Some(0), format!("{image} {digest}\n")));
    assert_eq!(hm(&lab, &host, &["image", "ls"]).1, "");
    let (code, _, told) = hm(&lab, &host, &["image", "rm", &image]);
    assert_eq!(code, Some(5));
    assert!(
        told.contains("error[image_not_pulled]") && told.contains("fix: "),
        "{told}"
    );

    let (code, _, told) = hm(&lab, &host, &["image", "pull", &format!("{host}/o/none")]);
    assert_eq!(code, Some(4));
    assert!(
        told.contains("error[image_not_found]") && told.contains("fix: "),
        "{told}"
    );
    let (code, _, told) = hm(&lab, &host, &["image", "pull", "No"]);
    assert_eq!(code, Some(2));
    assert!(told.contains("error[image_invalid]"), "{told}");
}

#[test]
fn one_image_that_is_missing_leaves_none_of_the_others_out() {
    let lab = Lab::new();
    let real = registry(&lab);
    let (host, image) = (real.host(), image(&real));
    let none = format!("{host}/o/none");
    let (code, pulled, told) = hm(&lab, &host, &["image", "pull", "No", &image, &none]);
    assert_eq!(code, Some(2));
    assert!(pulled.starts_with(&image), "{pulled}");
    assert!(told.contains("error[image_invalid]") && told.contains(&none), "{told}");
}

#[test]
fn errors_of_pulls_are_json_where_the_environment_asks() {
    let lab = Lab::new();
    let mut command = lab.hm();
    command.env("HM_PREFERENCES__FORMAT", "json");
    let output = command.args(["image", "pull", "oci:/nonexist"]).output().unwrap();
    let error: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(error.to_string().contains("image_unusable"), "{error}");
}

#[test]
fn locks_side_by_side_lose_no_pin() {
    let lab = Lab::new();
    let real = registry(&lab);
    let host = real.host();
    lab.write(".hm/pipeline.py", "");
    let layer = Layer::plain(&[("a", b"1")]);
    let images: Vec<String> = (0..6).map(|number| format!("o/i{number}")).collect();
    for image in &images {
        real.push(image, &Made::tagged(std::slice::from_ref(&layer)));
    }
    std::thread::scope(|scope| {
        for image in &images {
            let (lab, host) = (&lab, &host);
            scope.spawn(move || {
                let (code, _, told) = hm(lab, host, &["image", "lock", &format!("{host}/{image}:t")]);
                assert_eq!(code, Some(0), "{told}");
            });
        }
    });
    let lock: Value = serde_json::from_slice(&fs::read(lab.tree().join(".hm/images.lock")).unwrap()).unwrap();
    assert_eq!(lock["images"].as_object().unwrap().len(), images.len());
}

#[test]
fn a_pulled_image_needs_no_registry() {
    let lab = Lab::new();
    let real = registry(&lab);
    let (host, image) = (real.host(), image(&real));
    let (code, _, told) = hm(&lab, &host, &["image", "pull", &image]);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.starts_with(&format!("pulled {image}: 1 layer, ")), "{told}");
    drop(real);
    let first = run(&lab, &host, &image, &["--offline"]).passed();
    assert_eq!(first.stdout("a"), ["42"]);
    assert!(
        first.stderr.contains(&format!("unpacked {image}: 1 layer in ")),
        "{first:#?}"
    );
    let told = first.kinds("image_pull");
    let states: Vec<&Value> = told.iter().map(|event| &event["state"]).collect();
    assert_eq!(states, ["unpacking", "unpacking", "ready"]);
    let second = run(&lab, &host, &image, &["--offline"]).passed();
    assert_eq!(second.kinds("image_pull").len(), 0);
    assert!(!second.stderr.contains("unpacked"), "{second:#?}");
}

#[test]
fn a_lock_pins_what_the_pipelines_name() {
    let lab = Lab::new();
    let real = registry(&lab);
    let (host, image) = (real.host(), image(&real));
    lab.write(
        ".hm/pipeline.py",
        &format!(
            "import harmont as hm\n\n@hm.pipeline(\"ci\", default_image=\"{image}\")\ndef ci():\n    \
             return hm.sh(\"true\", label=\"a\")\n"
        ),
    );
    let (code, pinned, told) = hm(&lab, &host, &["image", "lock"]);
    assert_eq!(code, Some(0), "{told}");
    let digest = pinned.trim_end().strip_prefix(&format!("{image} ")).unwrap().to_owned();
    let path = lab.tree().join(".hm/images.lock");
    let lock: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(lock["images"][&image], *digest);

    // What is pinned comes from the registry once, and then needs none.
    let run = || hm(&lab, &host, &["run", "--format", "json"]);
    assert_eq!(run().0, Some(0));
    let again = hm(&lab, &host, &["image", "lock", &image]);
    assert_eq!(again.1, pinned);
    drop(real);
    assert_eq!(run().0, Some(0));

    fs::write(&path, "{}").unwrap();
    let (code, stdout, _) = run();
    assert_eq!(code, Some(2));
    assert!(stdout.contains("\"images_lock\""), "{stdout}");
}
