//! `hm init`: every kind renders, nothing is written over, and at a terminal it asks.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::{Lab, Run};

const KINDS: [&str; 9] = [
    "cmake", "elixir", "nextjs", "js", "rust", "zig", "python", "go", "blank",
];

fn init(lab: &Lab, flags: &[&str]) -> Output {
    lab.hm().arg("init").args(flags).output().unwrap()
}

fn render(lab: &Lab) -> Value {
    let output = lab.hm().args(["render", "ci", "--strict"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn commands(document: &Value) -> Vec<&str> {
    let nodes = document["graph"]["nodes"].as_array().unwrap();
    nodes.iter().map(|node| node["step"]["cmd"].as_str().unwrap()).collect()
}

#[test]
fn every_kind_makes_a_pipeline_that_renders() {
    for kind in KINDS {
        let lab = Lab::new();
        let output = init(&lab, &["-t", kind]);
        assert!(output.status.success(), "{kind}: {output:?}");
        assert!(commands(&render(&lab)).len() > 1, "{kind}");
    }
}

#[test]
fn the_blank_kind_runs() {
    let lab = Lab::new();
    assert!(init(&lab, &["-t", "blank"]).status.success());
    let run = Run::of(&lab.hm().args(["run", "--format", "json"]).output().unwrap()).passed();
    assert_eq!((run.status("build"), run.status("test")), ("passed", "passed"));
}

#[test]
fn the_kind_is_found_from_the_files() {
    let lab = Lab::new();
    lab.write("go.mod", "module example\n");
    let output = init(&lab, &[]);
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("go.mod found, so this is go"));
    assert!(commands(&render(&lab)).contains(&"cd . && go test ./..."));
}

#[test]
fn an_unknown_folder_gets_the_blank_pipeline() {
    let lab = Lab::new();
    assert!(init(&lab, &[]).status.success());
    assert_eq!(commands(&render(&lab)).len(), 2);
}

#[test]
fn scripts_are_those_that_the_package_has() {
    let lab = Lab::new();
    lab.write(
        "package.json",
        r#"{"scripts": {"build": "tsc", "typecheck": "tsc --noEmit", "test": "echo \"Error: no test specified\" && exit 1"}}"#,
    );
    assert!(init(&lab, &[]).status.success());
    let document = render(&lab);
    let all = commands(&document);
    assert!(
        all.contains(&"cd . && npm run build") && all.contains(&"cd . && npm run typecheck"),
        "{all:?}"
    );
    assert!(
        !all.iter()
            .any(|command| command.contains("run test") || command.contains("run lint")),
        "{all:?}"
    );
}

#[test]
fn a_package_without_scripts_is_still_a_pipeline() {
    let lab = Lab::new();
    lab.write("package.json", "{}");
    assert!(init(&lab, &[]).status.success());
    assert!(commands(&render(&lab)).contains(&"cd . && npm ci"));
}

#[test]
fn a_package_that_can_not_be_read_is_told() {
    let lab = Lab::new();
    lab.write("package.json", "{\"scripts\": {\"build\": }}");
    let output = init(&lab, &[]);
    assert!(output.status.success(), "{output:?}");
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        told.contains("warning: package.json can't be read, so its scripts are not known")
            && told.contains("line 1 column 23"),
        "{told}"
    );
    assert!(commands(&render(&lab)).contains(&"cd . && npm run build"));
    let other = init(&lab, &["-t", "go", "--force"]);
    assert!(!String::from_utf8(other.stderr).unwrap().contains("package.json"));
}

#[test]
fn nothing_is_written_over_without_force() {
    let lab = Lab::new();
    lab.write(".hm/other.ts", "export default [];\n");
    let refused = init(&lab, &["-t", "blank"]);
    assert_eq!(refused.status.code(), Some(2));
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        told.contains("error[file_exists]") && told.contains("other.ts") && told.contains("--force"),
        "{told}"
    );
    assert!(!lab.tree().join(".hm/pipeline.py").exists());
    fs::remove_file(lab.tree().join(".hm/other.ts")).unwrap();
    lab.write(".hm/pipeline.py", "mine = True\n");
    assert_eq!(init(&lab, &["-t", "blank"]).status.code(), Some(2));
    assert_eq!(
        fs::read_to_string(lab.tree().join(".hm/pipeline.py")).unwrap(),
        "mine = True\n"
    );
    assert!(init(&lab, &["-t", "blank", "--force"]).status.success());
    render(&lab);
}

#[test]
fn what_a_link_leads_to_is_not_written() {
    let lab = Lab::new();
    lab.write("precious", "keep me");
    lab.write(".hm/config.toml", "");
    let file = lab.tree().join(".hm/pipeline.py");
    symlink(lab.tree().join("precious"), &file).unwrap();
    assert!(!init(&lab, &[]).status.success());
    assert!(init(&lab, &["--force"]).status.success());
    assert_eq!(fs::read_to_string(lab.tree().join("precious")).unwrap(), "keep me");
    assert!(file.symlink_metadata().unwrap().is_file());

    let lab = Lab::new();
    fs::create_dir(lab.tree().join("elsewhere")).unwrap();
    symlink("elsewhere", lab.tree().join(".hm")).unwrap();
    let output = init(&lab, &["--force"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.contains("symbolic link") && stderr.contains("fix: move it away: mv "),
        "{stderr}"
    );
    assert_eq!(fs::read_dir(lab.tree().join("elsewhere")).unwrap().count(), 0);
}

#[test]
fn a_file_in_the_place_of_the_folder_is_told() {
    let lab = Lab::new();
    lab.write(".hm", "");
    for flags in [&[][..], &["--force"]] {
        let output = init(&lab, flags);
        assert_eq!(output.status.code(), Some(2));
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(
            stderr.contains(".hm is no folder") && stderr.contains("fix: move it away: mv "),
            "{stderr}"
        );
        assert!(!stderr.contains("--force"), "{stderr}");
    }
}

#[test]
fn a_folder_of_configuration_only_is_no_obstacle() {
    let lab = Lab::new();
    lab.write(".hm/config.toml", "");
    assert!(init(&lab, &["-t", "blank"]).status.success());
}

#[test]
fn pipelines_above_the_folder_are_no_obstacle() {
    let lab = Lab::new();
    lab.write(".hm/pipeline.py", "");
    lab.write("inner/file", "");
    assert!(init(&lab, &["-t", "blank", "-d", "inner"]).status.success());
    assert!(lab.tree().join("inner/.hm/pipeline.py").exists());
}

#[test]
fn a_folder_that_is_not_there_is_told() {
    let refused = init(&Lab::new(), &["-d", "missing"]);
    assert_eq!(refused.status.code(), Some(5));
}

/// A terminal of tmux in which a command runs.
struct Terminal {
    socket: std::path::PathBuf,
}

impl Terminal {
    fn start(lab: &Lab, command: &str) -> Self {
        let terminal = Self {
            socket: lab.path("tmux"),
        };
        let home = lab.path("home");
        let script = format!(
            "cd {} && HOME={} {command}; echo \"ended: $?\" > {}; exec cat",
            lab.tree().display(),
            home.display(),
            lab.path("end").display(),
        );
        terminal.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", "100", "-y", "40", &script]);
        terminal
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let output = Command::new("tmux")
            .arg("-S")
            .arg(&self.socket)
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn wait_for(&self, text: &str) -> String {
        let begin = std::time::Instant::now();
        loop {
            let screen = self.tmux(&["capture-pane", "-p"]);
            if screen.contains(text) {
                return screen;
            }
            assert!(begin.elapsed().as_secs() < 60, "no {text:?} on {screen}");
            std::thread::yield_now();
        }
    }

    fn type_line(&self, line: &str) {
        self.tmux(&["send-keys", line, "Enter"]);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        drop(
            Command::new("tmux")
                .arg("-S")
                .arg(&self.socket)
                .arg("kill-server")
                .output(),
        );
    }
}

/// A pipe whose reader gets the end of the command, without polling.
fn end_of(lab: &Lab) -> std::path::PathBuf {
    let path = lab.path("end");
    let made = Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    path
}

#[test]
fn at_a_terminal_it_asks_until_it_understands() {
    let lab = Lab::new();
    lab.write("Cargo.toml", "[package]\nname = \"x\"\n");
    let end = end_of(&lab);
    let terminal = Terminal::start(&lab, &format!("{} init", env!("CARGO_BIN_EXE_hm")));
    let screen = terminal.wait_for("Kind [rust]:");
    assert!(
        screen.contains("rust    Rust with Cargo (found Cargo.toml)"),
        "{screen}"
    );
    terminal.type_line("perl");
    terminal.wait_for("neither a number nor a name");
    terminal.type_line("go");
    assert_eq!(fs::read_to_string(&end).unwrap(), "ended: 0\n");
    assert!(commands(&render(&lab)).contains(&"cd . && go test ./..."));
}

#[test]
fn at_a_terminal_it_asks_before_it_writes_over() {
    let command = format!("{} init -t go", env!("CARGO_BIN_EXE_hm"));
    for (answer, told, kept) in [("n", "ended: 2\n", true), ("y", "ended: 0\n", false)] {
        let lab = Lab::new();
        lab.write(".hm/pipeline.py", "mine = True\n");
        let end = end_of(&lab);
        let terminal = Terminal::start(&lab, &command);
        terminal.wait_for("Write over .hm/pipeline.py? [y/N]:");
        terminal.type_line(answer);
        assert_eq!(fs::read_to_string(&end).unwrap(), told);
        let text = fs::read_to_string(lab.tree().join(".hm/pipeline.py")).unwrap();
        assert_eq!(text == "mine = True\n", kept, "{text}");
    }
}

#[test]
fn at_a_terminal_the_end_of_input_writes_nothing() {
    let lab = Lab::new();
    let end = end_of(&lab);
    let terminal = Terminal::start(&lab, &format!("{} init", env!("CARGO_BIN_EXE_hm")));
    terminal.wait_for("Kind [blank]:");
    terminal.tmux(&["send-keys", "C-d"]);
    assert_eq!(fs::read_to_string(&end).unwrap(), "ended: 2\n");
    assert!(!lab.tree().join(".hm").exists());
}
