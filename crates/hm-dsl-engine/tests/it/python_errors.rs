//! What is wrong with Python files, and the time that they may take.

use std::time::Duration;

use crate::evaluate::CI;
use crate::support::{Project, slugs, starts_with_each};

#[test]
fn a_broken_file_names_its_line_and_hides_no_other() {
    let mut project = Project::new(&[
        ("a_syntax.py", "import harmont as hm\n\ndef f(:\n    pass\n"),
        (
            "b_raises.py",
            "import harmont as hm\n@hm.pipeline('lost')\ndef lost(): return hm.sh('x')\n\n1 / 0\n",
        ),
        ("c_exits.py", "import sys\nsys.exit(4)\n"),
        ("d_sdk.py", "import harmont as hm\n\nhm.sh('x', cwd='')\n"),
        ("e_good.py", CI),
        ("f_duplicate.py", CI),
        ("g_interrupts.py", "\nraise KeyboardInterrupt\n"),
        ("h_label.py", "import harmont as hm\nhm.sh('x', label=5)\n"),
    ]);
    let envelope = project.evaluate();
    assert_eq!(slugs(&envelope), ["ci"]);
    let folder = project.root().join(".hm");
    assert_eq!(
        project.shown(&envelope.problems),
        [
            "a_syntax.py:3: SyntaxError: invalid syntax".to_owned(),
            "b_raises.py:5: ZeroDivisionError: division by zero".to_owned(),
            "c_exits.py:2: the file ends the interpreter: sys.exit(4)".to_owned(),
            "d_sdk.py:3: hm: cwd must not be empty\n  fix: leave cwd out for the workspace itself, or write cwd=\"some/folder\"".to_owned(),
            format!(
                "f_duplicate.py:4: pipeline \"ci\": hm: two pipelines have the slug \"ci\"\n  the first one: {}/e_good.py:4\n  fix: give one of them another name, as in @hm.pipeline(\"other\")",
                folder.display()
            )
            .replace(&format!("{}/", folder.display()), "")
            .replace("slug \"ci\"", "slug 'ci'"),
            "g_interrupts.py:2: KeyboardInterrupt".to_owned(),
            "h_label.py:2: hm: label must be a str, not int".to_owned(),
        ]
    );
    let traceback = envelope.problems[1].traceback.as_ref().unwrap();
    assert!(
        traceback.contains("1 / 0") && !traceback.contains("hm_host"),
        "{traceback}"
    );
}

#[test]
fn a_pipeline_that_fails_hides_no_other_of_its_file() {
    let text = format!(
        "{CI}\n@hm.pipeline\ndef bad():\n    return [hm.sh('a', key='k'), hm.sh('b', key='k')]\n\n@hm.pipeline\ndef worse():\n    return undefined\n"
    );
    let mut project = Project::new(&[("pipeline.py", &text)]);
    let envelope = project.evaluate();
    assert_eq!(slugs(&envelope), ["ci"]);
    assert_eq!(
        project.shown(&envelope.problems),
        [
            "pipeline.py:8: pipeline \"bad\": hm: two steps have the key 'k'\n  fix: give each key= once",
            "pipeline.py:14: pipeline \"worse\": NameError: name 'undefined' is not defined",
        ]
    );
}

#[test]
fn what_is_no_text_is_told_with_the_line_of_its_step() {
    let mut project = Project::new(&[(
        "pipeline.py",
        "import harmont as hm\n@hm.pipeline\ndef p():\n    return [hm.sh('x'),\n        hm.sh('\\ud800')]\n\
         @hm.pipeline\ndef q():\n    return hm.sh('x', label='caf\\udce9')\n\
         @hm.pipeline(name='\\ud800')\ndef r(): return hm.sh('x')\n@hm.pipeline\ndef s(): return hm.sh('ü')\n",
    )]);
    let envelope = project.evaluate();
    assert_eq!(slugs(&envelope), ["s"]);
    let half = "hm: '\\ud800' has half of a character (U+D800), which is no text\n  fix: write the whole character";
    starts_with_each(
        &project.shown(&envelope.problems),
        &[
            format!("pipeline.py:5: pipeline \"p\": {half}"),
            "pipeline.py:8: pipeline \"q\": hm: 'caf\\udce9' has half of a character (U+DCE9), which is no text\n  \
             fix: give files and variables names and values in UTF-8"
                .to_owned(),
            format!("pipeline.py:9: pipeline \"r\": {half}"),
        ],
    );
}

#[test]
fn a_declaration_that_is_refused_hides_no_other_of_its_file() {
    let text = "import harmont as hm
@hm.pipeline('Bad Slug')
def a(): return hm.sh('x')
@hm.pipeline
def b(x): return hm.sh('x')
@hm.target()
def shared(*what): return hm.sh('x')
@hm.pipeline
def uses(shared: hm.Target[hm.Step]): return shared
@hm.pipeline(triggers=['push'])
def c(): return hm.sh('x')
@hm.pipeline(nme='x')
def d(): return hm.sh('x')
@hm.pipeline('good')
def e(): return hm.sh('x')
@hm.pipeline('good')
def f(): return hm.sh('x')
@hm.pipeline
async def g(): return hm.sh('x')
@hm.pipeline
def h(): return g()
async def later(): return hm.sh('x')
@hm.pipeline
def i(): return later()
";
    let mut project = Project::new(&[("a.py", text), ("b.py", CI)]);
    let envelope = project.evaluate();
    assert_eq!(slugs(&envelope), ["good", "ci"]);
    let expected = [
        ":2: hm.pipeline: 'Bad Slug' is no slug\n  fix: ",
        ":4: pipeline \"b\": hm: the parameter 'x' of b() has no marker and no default\n  fix: ",
        ":6: hm: shared() cannot take *args\n  fix: ",
        ":8: pipeline \"uses\": hm: the declaration of the target 'shared' was refused\n  fix: ",
        ":10: hm.pipeline: triggers must hold triggers only, got str\n  fix: ",
        ":12: hm: pipeline() has no option 'nme'\n  fix: write name=",
        ":16: pipeline \"good\": hm: two pipelines have the slug 'good'",
        ":18: pipeline \"g\": hm: g() is async, and nobody awaits it\n  fix: remove 'async'",
        ":20: pipeline \"h\": hm: coroutine is no step of a pipeline\n  fix: ",
        ":23: pipeline \"i\": hm: coroutine is no step of a pipeline\n  fix: ",
    ];
    starts_with_each(
        &project.shown(&envelope.problems),
        &expected.map(|told| format!("a.py{told}")),
    );
    // Python's own warnings of coroutines would be there.
    assert_eq!(String::from_utf8(project.printed).unwrap(), "");
}

#[test]
fn an_option_that_the_sdk_has_not_is_told_with_the_one_that_is_meant() {
    let calls = [
        (
            "hm.sh('x', lable='a')",
            "hm: sh() has no option 'lable'\n  fix: write label=",
        ),
        (
            "hm.go.test(zzz='x')",
            "hm: sh() has no option 'zzz'\n  fix: use allow_failure, cache, cmd, cwd, env, ",
        ),
        (
            "hm.go(vrsion='1')",
            "hm: go() has no option 'vrsion'\n  fix: write version=",
        ),
        (
            "hm.rust.toolchain().test(nextst=1)",
            "hm: sh() has no option 'nextst'\n  fix: write nextest=",
        ),
        (
            "hm.js.project(pms=1)",
            "hm: js.project() has no option 'pms'\n  fix: write pm=",
        ),
        (
            "hm.pipeline([hm.sh('x')], evn={})",
            "hm: pipeline() has no option 'evn'\n  fix: write env=",
        ),
        (
            "(lambda a: a)(b=1)",
            "TypeError: <lambda>() got an unexpected keyword argument 'b'",
        ),
    ];
    for (call, told) in calls {
        let mut project = Project::new(&[("a.py", &format!("import harmont as hm\n{call}\n"))]);
        let envelope = project.evaluate();
        starts_with_each(&project.shown(&envelope.problems), &[format!("a.py:2: {told}")]);
    }
}

#[test]
fn a_name_that_the_sdk_has_not_is_told_with_the_one_that_is_meant() {
    let mut project = Project::new(&[
        ("a.py", "\nfrom harmont import sh, on_chnge\n"),
        ("b.py", "import harmont as hm\nhm.goo()\n"),
        ("c.py", "from harmont import cobol\n"),
        ("d.py", "from harmont.nothing import sh\n"),
    ]);
    let envelope = project.evaluate();
    starts_with_each(
        &project.shown(&envelope.problems),
        &[
            "a.py:2: hm: module 'harmont' has no attribute 'on_chnge'\n  fix: write on_change",
            "b.py:2: hm: module 'harmont' has no attribute 'goo'\n  fix: write go",
            "c.py:1: hm: module 'harmont' has no attribute 'cobol' (toolchains in this version: ",
            "d.py:1: ModuleNotFoundError: No module named 'harmont.nothing'",
        ]
        .map(str::to_owned),
    );
}

#[test]
fn an_error_that_is_hard_to_write_hides_nothing() {
    let unprintable = "class E(Exception):\n    def __str__(self): raise ValueError\nraise E()\n";
    let mut project = Project::new(&[
        ("a.py", "raise ValueError('\\ud800')\n"),
        ("b.py", unprintable),
        ("c.py", "def f(): f()\nf()\n"),
        ("d.py", CI),
    ]);
    let envelope = project.evaluate();
    assert_eq!(slugs(&envelope), ["ci"]);
    assert_eq!(
        project.shown(&envelope.problems),
        [
            "a.py:1: ValueError: \\ud800",
            "b.py:3: E: an error whose text can't be made",
            "c.py:1: RecursionError: maximum recursion depth exceeded",
        ]
    );
}

#[test]
fn a_file_without_end_is_stopped_at_its_line() {
    let mut project = Project::new(&[
        ("a_loop.py", "x = 0\nwhile True:\n    x += 1\n"),
        (
            "b_sleeps.py",
            "import time\ntry:\n    time.sleep(3600)\nexcept Exception:\n    pass\n",
        ),
        (
            "c_pipeline.py",
            "import harmont as hm\n@hm.pipeline\ndef p():\n    while True: pass\n@hm.pipeline\ndef q(): return hm.sh('x')\n",
        ),
        ("d.py", CI),
    ]);
    project.python_time = Duration::from_secs(1);
    let envelope = project.evaluate();
    assert_eq!(slugs(&envelope), ["q", "ci"]);
    let problems = project.shown(&envelope.problems);
    let message = "hm: the file runs longer than 1 s\n  fix: look for a loop that doesn't end";
    let [loops, sleeps, pipeline] = problems.as_slice() else {
        panic!("{problems:?}")
    };
    assert!(
        loops == &format!("a_loop.py:2: {message}") || loops == &format!("a_loop.py:3: {message}"),
        "{loops}"
    );
    assert_eq!(sleeps, &format!("b_sleeps.py:3: {message}"));
    assert_eq!(pipeline, &format!("c_pipeline.py:4: pipeline \"p\": {message}"));
    let traceback = envelope.problems[1].traceback.as_ref().unwrap();
    assert!(!traceback.contains("hm_host"), "{traceback}");
}

/// A slow file must not fail because of others that never end.
#[test]
fn files_that_use_up_their_time_leave_the_whole_time_to_the_others() {
    const LOOP: &str = "while True: pass\n";
    let whole = format!("import signal\nassert signal.getitimer(signal.ITIMER_REAL)[0] > 1.5\n{CI}");
    let files = [("a.py", LOOP), ("b.py", LOOP), ("c.py", LOOP), ("d.py", whole.as_str())];
    let mut project = Project::new(&files);
    project.python_time = Duration::from_secs(2);
    let (begun, files) = std::sync::mpsc::channel();
    project.begun = Some(begun);
    let envelope = project.evaluate();
    assert_eq!(
        project.shown(&envelope.problems),
        ["a", "b", "c"].map(|name| format!(
            "{name}.py:1: hm: the file runs longer than 2 s\n  fix: look for a loop that doesn't end"
        ))
    );
    assert_eq!(slugs(&envelope), ["ci"]);
    let told: Vec<_> = files.try_iter().collect();
    let expected = ["a.py", "b.py", "c.py", "d.py", "d.py"]; // the last one again for its pipeline
    assert_eq!(told, expected.map(|name| project.root().join(".hm").join(name)));
}

/// Two of them hold up the interpreter, so the others are evaluated anew; those that ran out of their time are not.
#[test]
fn what_comes_after_too_many_without_end_is_told_not_to_be_evaluated() {
    const LOOP: &str = "while True: pass\n";
    const HELD: &str = "sum(range(10 ** 13))\n";
    let mut project = Project::new(&[
        ("a.py", LOOP),
        ("b.py", HELD),
        ("c.py", "import os\nos._exit(7)\n"),
        ("d.py", LOOP),
        ("e.py", LOOP),
        ("f.py", HELD),
        ("g.py", CI),
    ]);
    project.python_time = Duration::from_millis(200);
    let envelope = project.evaluate();
    assert_eq!(slugs(&envelope), [""; 0]);
    let shown = project.shown(&envelope.problems);
    let late = "hm: the file runs longer than 0.2 s";
    let expected = [
        format!("a.py:1: {late}"),
        format!("b.py: {late}"),
        "c.py: hm: Python ended while it evaluated the file (exit status: 7)".to_owned(),
        format!("d.py:1: {late}"),
        format!("e.py:1: {late}"),
        format!("f.py: {late}"),
        "g.py: hm: not evaluated, since too many before it ran out of their time\n  fix: mend those first".to_owned(),
    ];
    starts_with_each(&shown, &expected);
}

#[test]
fn a_file_that_can_not_be_stopped_is_left_out() {
    // The first catches what stops it, the second is inside one call of the interpreter.
    let mut project = Project::new(&[
        (
            "a.py",
            "import time\nwhile True:\n    try:\n        time.sleep(3600)\n    except BaseException: pass\n",
        ),
        ("b.py", "sum(range(10 ** 13))\n"),
        ("c.py", "import os\nos._exit(7)\n"),
        ("d.py", CI),
    ]);
    project.python_time = Duration::from_secs(1);
    let envelope = project.evaluate();
    assert_eq!(slugs(&envelope), ["ci"]);
    let late = "hm: the file runs longer than 1 s\n  fix: look for a loop that doesn't end";
    let ended = "hm: Python ended while it evaluated the file (exit status: 7)\n  fix: raise an error that says why, instead of ending the process";
    assert_eq!(
        project.shown(&envelope.problems),
        [
            format!("a.py: {late}"),
            format!("b.py: {late}"),
            format!("c.py: {ended}")
        ]
    );
}

#[test]
fn a_list_that_holds_itself_is_told_at_once() {
    let text = "import harmont as hm
@hm.pipeline
def a():
    x = [hm.sh('x')]
    x.append([x])
    return hm.pipeline(x)
@hm.pipeline
def b():
    x = []
    x.append(x)
    return x
class Own:
    def default_actions(self): return [hm.sh('x'), self]
@hm.pipeline
def c(): return Own()
@hm.pipeline
def d():
    x = []
    x.append(x)
    return hm.scratch().sh('x', runner='r', runner_args=x)
@hm.pipeline
def deep():
    step = hm.sh('x')
    twice = [step]
    for _ in range(100_000): step = [step]
    return [twice, step, twice]
";
    let mut project = Project::new(&[("a.py", text)]);
    let envelope = project.evaluate();
    assert_eq!(slugs(&envelope), ["deep"]);
    starts_with_each(
        &project.shown(&envelope.problems),
        &[
            "a.py:6: pipeline \"a\": hm: list holds itself\n  fix: ",
            "a.py:7: pipeline \"b\": hm: list holds itself\n  fix: ",
            "a.py:14: pipeline \"c\": hm: Own holds itself\n  fix: ",
            "a.py:20: pipeline \"d\": hm: a value in a document holds itself, or nests too deep\n  fix: ",
        ]
        .map(str::to_owned),
    );
}

#[test]
fn a_relative_import_is_told_with_the_one_to_write() {
    let mut project = Project::new(&[
        ("a.py", "\nfrom .helper import val\n"),
        ("b.py", "from . import helper  # the other file\n"),
        ("c.py", "from .lib.deep import (\n    one,\n)\n"),
        ("d.py", "from ..lib import one, two; x = 1\n"),
        ("helper.py", "val = 1\n"),
    ]);
    let envelope = project.evaluate();
    let told = "hm: the files of .hm/ are no package, so there is nothing that an import can be relative to\n  fix: ";
    assert_eq!(
        project.shown(&envelope.problems),
        [
            format!("a.py:2: {told}write: from helper import val"),
            format!("b.py:1: {told}write: import helper"),
            format!("c.py:1: {told}write: from lib.deep import one"),
            format!("d.py:1: {told}put what it imports into .hm/, and write: from lib import one, two"),
        ]
    );
}

#[test]
fn a_file_that_closes_what_hm_listens_to_is_told() {
    let closes = "import os\nfor i in range(3, 200):\n    try: os.close(i)\n    except OSError: pass\n";
    let opens = format!("{closes}kept = [open(__file__, 'rb') for i in range(100)]\n");
    let in_pipeline =
        "import harmont as hm, os\n@hm.pipeline\ndef p():\n    os.closerange(3, 200)\n    return hm.sh('x')\n";
    let mut project = Project::new(&[
        ("a.py", closes),
        ("b.py", opens.as_str()),
        ("c.py", in_pipeline),
        ("d.py", CI),
    ]);
    let envelope = project.evaluate();
    assert_eq!(slugs(&envelope), ["ci"]);
    let told = "hm: the file closes descriptors that it has not opened, and hm has lost the connection to Python\n  \
                fix: close only what the file has opened";
    assert_eq!(
        project.shown(&envelope.problems),
        ["a.py", "b.py", "c.py"].map(|name| format!("{name}: {told}"))
    );
    assert_eq!(String::from_utf8(project.printed).unwrap(), "");
}

#[test]
fn a_file_that_empties_the_table_of_modules_harms_no_other() {
    let mut project = Project::new(&[
        ("a.py", "import sys\nsys.modules.clear()\n"),
        ("b.py", "import sys\nsys.modules.clear()\nimport harmont\n"),
        ("c.py", "import sys\nsys.modules.clear()\n1 / 0\n"),
        ("e.py", CI),
    ]);
    let envelope = project.evaluate();
    assert_eq!(slugs(&envelope), ["ci"]);
    starts_with_each(
        &project.shown(&envelope.problems),
        &[
            "b.py:3: ModuleNotFoundError: No module named 'harmont'",
            "c.py:3: ZeroDivisionError: division by zero",
        ]
        .map(str::to_owned),
    );
    assert_eq!(String::from_utf8(project.printed).unwrap(), "");
}

#[test]
fn a_file_that_takes_away_what_hm_needs_is_told() {
    let mut project = Project::new(&[("a.py", "import builtins\ndel builtins.__import__\n"), ("b.py", CI)]);
    let envelope = project.evaluate();
    let told = "hm: a file takes away something of Python itself that hm needs, this one or one before it\n  \
                fix: leave the built-in names and modules as they are";
    starts_with_each(&project.shown(&envelope.problems), &[format!("a.py: {told}")]);
    assert_eq!(slugs(&envelope), ["ci"]);
    assert!(!String::from_utf8(project.printed).unwrap().contains("Traceback"));
}

#[test]
fn what_is_left_for_the_end_of_the_interpreter_holds_nothing_up() {
    let text = format!(
        "import atexit, time\natexit.register(time.sleep, 3600)\n\
         atexit.register(print, 'cleaned', flush=True)\n{CI}"
    );
    let mut project = Project::new(&[("a.py", text.as_str())]);
    project.python_time = Duration::from_secs(20);
    let started = std::time::Instant::now();
    let envelope = project.evaluate();
    assert_eq!(slugs(&envelope), ["ci"]);
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    assert_eq!(project.shown(&envelope.problems), [""; 0]);
    assert_eq!(String::from_utf8(project.printed).unwrap(), "cleaned\n");
}
