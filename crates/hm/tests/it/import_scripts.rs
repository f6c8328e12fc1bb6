//! What the scripts of workflows become does what the runner of a workflow would do with them.

use std::fs;
use std::process::Command;

use crate::support::Lab;
use serde_json::Value;

/// What a workflow's expressions come to here, and the variables that give it.
const GIVEN: [(&str, &str, &str); 3] = [
    ("${{ secrets.PW }}", "PW", "se'c\"r $x"),
    ("${{ github.sha }}", "GITHUB_SHA", "0a1b"),
    ("${{ github.ref_name }}", "GITHUB_REF_NAME", "main"),
];

/// A step with this script and these other fields, as YAML.
fn step(script: &str, fields: &str) -> String {
    let lines = script.replace('\n', "\n          ");
    format!("      - run: |\n          {lines}\n{fields}")
}

/// The commands of a workflow of these steps on a runner, without that of the runner's packages.
fn commands(steps: &str) -> (Vec<String>, String) {
    let lab = Lab::new();
    lab.write(
        "ci.yml",
        &format!("on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n{steps}"),
    );
    let output = lab.hm().args(["import", "github", "ci.yml"]).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{told}");
    let output = lab.hm().args(["render", "ci", "--strict"]).output().unwrap();
    let source = fs::read_to_string(lab.tree().join(".hm/ci.py")).unwrap();
    assert!(output.status.success(), "{output:?}\n{source}");
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let nodes = document["graph"]["nodes"].as_array().unwrap();
    let commands = nodes.iter().filter_map(|node| node["step"]["cmd"].as_str());
    (commands.skip(1).map(str::to_owned).collect(), told)
}

/// What a command prints, and how it ends.
fn ran(command: &mut Command) -> (String, Option<i32>) {
    let given = GIVEN.iter().map(|(_, name, value)| (name, value));
    let folder = tempfile::tempdir().unwrap();
    let output = command.envs(given).current_dir(folder.path()).output().unwrap();
    (String::from_utf8(output.stdout).unwrap(), output.status.code())
}

/// Compares each script with itself run by `shell` after its expressions were put in as text.
fn agree(scripts: &[&str], shell: &[&str], fields: &str) {
    let steps: String = scripts.iter().map(|script| step(script, fields)).collect();
    let (commands, _) = commands(&steps);
    assert_eq!(commands.len(), scripts.len());
    for (script, command) in scripts.iter().zip(commands) {
        let filled = GIVEN.iter().fold((*script).to_owned(), |text, (expression, _, value)| {
            text.replace(expression, value)
        });
        let wanted = ran(Command::new(shell[0]).args(&shell[1..]).args(["-c", &filled]));
        let made = ran(Command::new("sh").args(["-c", &command]));
        assert_eq!(made, wanted, "{script}\n{command}");
    }
}

#[test]
fn expressions_are_filled_in_wherever_they_stand() {
    agree(
        &[
            "printf '%s\\n' 'user:${{ github.sha }}:x'",
            "printf '%s\\n' \"a ${{ github.sha }}\" 'b' ${{ github.ref_name }}",
            "cat <<'EOF'\na ${{ github.sha }} $x\nEOF",
            "cat <<EOF\na ${{ github.sha }} it's\nEOF",
            "python3 -c 'print(\"${{ github.sha }}\")'",
            "echo \\${{ github.sha }} \"$(echo '${{ github.ref_name }}')\"",
            "# don't ${{ github.sha }}\necho '${{ github.sha }}' it\\'s '${{ github.sha }}'",
            "echo `echo '${{ github.sha }}'` $'a\\t${{ github.sha }}'",
            "echo \"${x:-'${{ github.sha }}'}\"",
            "python3 - <<\"END\"\nprint('''${{ secrets.PW }}''')\nEND",
        ],
        &["bash", "-e"],
        "",
    );
    agree(
        &["import sys\nprint('''${{ secrets.PW }}''', \"${{ github.sha }}\", sys.argv[0])"],
        &["python3"],
        "        shell: python\n",
    );
}

#[test]
fn scripts_have_the_shell_of_a_runner() {
    agree(
        &[
            "echo -e 'a\\tb'",
            "echo \"a\\nb\"",
            "x=(1 2 3)\necho \"${x[1]}\" \"${#x[@]}\"",
            "echo \"$(( RANDOM >= 0 ))\" \"${RANDOM:+random}\"",
            "pushd / >/dev/null && pwd",
            "x=aab && echo ${x//a/c} ${x:0:1} ${x^^}",
            "echo ${PATH:0:1}",
            "printf -v x %05d 7 && echo $x",
            "printf '%q\\n' 'a b'",
            "let x=1+2 && echo $x",
            "declare -i x=4 && echo $x",
            "mapfile -t x < <(printf 'a\\nb\\n') && echo ${x[1]}",
            "false | true; echo ${PIPESTATUS[0]}",
            "echo $UID $EUID ${SECONDS:+s} $OSTYPE",
            "echo out >& file; cat file",
            "echo {a,b}",
            "name=x; x=y; echo ${!name}",
            "read -p '' x <<< word; echo $x",
            "false\necho not reached",
            "test a == a",
            "echo plain words",
            "[[ a == a* ]]",
        ],
        &["bash", "-e"],
        "",
    );
}

#[test]
fn a_shell_with_options_is_never_lost() {
    let fields = "        shell: bash -x {0}\n";
    let (made, _) = commands(
        &[
            step("true", fields),
            step("true", ""),
            step("true", "        shell: bash\n"),
        ]
        .concat(),
    );
    assert_eq!(made, ["bash -x -c true", "true", "true"]);
}

#[test]
fn a_secret_stays_out_of_a_command_line_where_the_shell_expands_it() {
    let (made, _) = commands(&step("curl -H \"X: ${{ secrets.PW }}\" 'u:${{ secrets.PW }}'", ""));
    assert_eq!(made, ["bash -e -c 'curl -H \"X: ${PW}\" '\"'\"'u:'\"${PW}\"''\"'\"''"]);
}

#[test]
fn lines_of_a_matrix_value_stand_as_they_are() {
    let lab = Lab::new();
    lab.write(
        "ci.yml",
        "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    strategy:\n      matrix: { x: [\"one\\n  two\"] }\n    steps:\n      \
         - run: |\n          cat <<'EOF'\n          ${{ matrix.x }}\n          EOF\n",
    );
    let imported = lab.hm().args(["import", "github", "ci.yml"]).output().unwrap();
    assert!(imported.status.success(), "{imported:?}");
    let output = lab.hm().args(["render", "ci"]).output().unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let command = document["graph"]["nodes"][1]["step"]["cmd"].as_str().unwrap();
    let printed = ran(Command::new("sh").args(["-c", command]));
    assert_eq!(printed, ("one\n  two\n".to_owned(), Some(0)), "{command}");
}
