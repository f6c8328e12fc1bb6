//! What scripts of the subset do.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hm_plugin_protocol::Stream;

use super::{Invocation, run};
use crate::machine::{OutputSink, StopToken};
use crate::memory::fs::Fs;

#[derive(Debug, Default)]
struct Lines(Mutex<(Vec<u8>, Vec<u8>)>);

impl OutputSink for Lines {
    fn write(&self, stream: Stream, bytes: &[u8]) {
        let mut both = self.0.lock().unwrap();
        match stream {
            Stream::Stdout => both.0.extend_from_slice(bytes),
            Stream::Stderr | Stream::Note => both.1.extend_from_slice(bytes),
        }
    }
}

async fn run_with(script: &str, stop: StopToken) -> (i32, String, String) {
    let mut fs = Fs::empty();
    fs.make_dirs(&[], b"/work/empty").unwrap();
    fs.make_dirs(&[], b"/dev").unwrap();
    let sink = Arc::new(Lines::default());
    let env = BTreeMap::from([("NAME".to_owned(), "two words".to_owned())]);
    let invocation = Invocation {
        fs: &mut fs,
        env,
        cwd: vec!["work".into()],
        uid: 0,
        stop,
        sink: Arc::clone(&sink) as _,
    };
    let exit = run(invocation, script).await;
    let (out, err) = std::mem::take(&mut *sink.0.lock().unwrap());
    (
        exit,
        String::from_utf8_lossy(&out).into_owned(),
        String::from_utf8_lossy(&err).into_owned(),
    )
}

#[track_caller]
fn check(script: &str, exit: i32, out: &str, err: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let found = runtime.block_on(run_with(script, StopToken::new()));
    assert_eq!(found, (exit, out.to_owned(), err.to_owned()), "{script}");
}

#[test]
fn words_and_quotes() {
    check("echo a  'b  c' \"d $NAME\" e\\ f", 0, "a b  c d two words e f\n", "");
    check(
        "printf '<%s>' $NAME \"$NAME\" x$NAME''y",
        0,
        "<two><words><two words><xtwo><wordsy>",
        "",
    );
    check(
        "echo ${NAME} ${NONE:-none} '$NAME' \\$NAME",
        0,
        "two words none $NAME $NAME\n",
        "",
    );
    check(
        "A=1; B=$A$A; echo $B; A=2 env | sort; echo $A",
        0,
        "11\nA=2\nNAME=two words\n1\n",
        "",
    );
    check(
        "echo \"$(echo a; echo b)\" $(printf 'c\\nd\\n\\n')",
        0,
        "a\nb c d\n",
        "",
    );
    check("echo a#b # comment", 0, "a#b\n", "");
    check("printf '<%s>' \"\" '' $NONE", 0, "<><>", "");
}

#[test]
fn lists_and_exit_codes() {
    check("true && echo yes || echo no", 0, "yes\n", "");
    check("false && echo yes || echo no", 0, "no\n", "");
    check("false; echo $?; ! false; echo $?; exit 7; echo never", 7, "1\n0\n", "");
    check("(exit 3); echo $?; { echo in; exit 4; }; echo never", 4, "3\nin\n", "");
    check("sh -c 'exit 5'; echo $?; kill -9 $$", 137, "5\n", "");
    check("nothing-like-it", 127, "", "nothing-like-it: not found\n");
    check("set -e; false || true; ! true; false; echo never", 1, "", "");
    check("echo a | cat | wc -c; false | true", 0, "2\n", "");
    check(
        "if true; then echo; fi",
        2,
        "",
        "sh: syntax error: \"if\" is not part of the subset of the shell that machines in memory know\n",
    );
}

#[test]
fn redirections() {
    check(
        "echo one > f; echo two >> f; cat < f; echo three > f; cat f",
        0,
        "one\ntwo\nthree\n",
        "",
    );
    check("{ echo out; echo err >&2; } > both 2>&1; cat both", 0, "out\nerr\n", "");
    check(
        "cat missing 2> err; echo $?; cat err",
        0,
        "1\ncat: missing: No such file or directory\n",
        "",
    );
    check(
        "echo lost > /dev/null; echo x > no/where",
        2,
        "",
        "no/where: No such file or directory\n",
    );
    check(
        "echo through > link; ln -s file link2; echo through > link2; readlink link2; cat file",
        0,
        "file\nthrough\n",
        "",
    );
}

#[test]
fn files() {
    check(
        "mkdir -p a/b; touch a/b/c; mv a/b d; ls; find d",
        0,
        "a\nd\nempty\nd\nd/c\n",
        "",
    );
    check(
        "rmdir empty; rm -rf none; rm none; ls -a",
        0,
        "",
        "rm: none: No such file or directory\n",
    );
    check(
        "touch f; chmod 640 f; stat -c '%a %s %F' f; chmod u+x f; stat -c %a f",
        0,
        "640 0 regular empty file\n740\n",
        "",
    );
    check(
        "echo 'echo ran $0' > s; ./s; echo $?; chmod +x s; ./s",
        0,
        "126\nran\n",
        "./s: Permission denied\n",
    );
    check(
        "ln -s nowhere l; [ -L l ] && [ ! -e l ] && test -d empty && [ -x empty ] && echo ok",
        0,
        "ok\n",
        "",
    );
    check(
        "cd empty && pwd && cd .. && pwd; cd none; seq 3; seq 2 2 5",
        0,
        "/work/empty\n/work\n1\n2\n3\n2\n4\n",
        "cd: none: No such file or directory\n",
    );
    check(
        "echo 'a b' > f; cp f g; cp -r empty e2; rm f; cat g; ls",
        0,
        "a b\ne2\nempty\ng\n",
        "",
    );
}

#[test]
fn jobs_run_when_they_are_waited_for() {
    check(
        "echo later & echo first; wait; echo last",
        0,
        "first\nlater\nlast\n",
        "",
    );
    check("sleep 1000 & exit 0", 0, "", "");
    check("sleep 1000; echo slept", 0, "slept\n", "");
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_what_sleeps() {
    for (script, exit, out) in [
        ("echo a; sleep 100; echo b", 143, "a\n"),
        ("trap 'echo bye; exit 3' TERM; sleep 100; echo b", 3, "bye\n"),
        ("trap '' TERM; sleep 100; echo b", 0, "b\n"),
        ("trap 'echo caught' TERM; sleep 100; echo after", 0, "caught\nafter\n"),
    ] {
        let stop = StopToken::new();
        let stopping = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            stop.stop();
        };
        let (found, ()) = tokio::join!(run_with(script, stop.clone()), stopping);
        assert_eq!(found, (exit, out.to_owned(), String::new()), "{script}");
    }
}
