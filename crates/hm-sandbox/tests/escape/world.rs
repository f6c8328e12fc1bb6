//! A machine with the attacker in it, and the run of all attacks as an ordinary user.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use hm_sandbox::{Bind, Launcher, RootFs, SpawnRequest};
use libtest_mimic::Trial;

use crate::attack::PLACE;
use crate::support::{Bench, Done, launcher, root_test, run, run_with, words};

const NOBODY: u32 = 65534;

pub(crate) struct World {
    pub(crate) bench: Bench,
    pub(crate) launcher: Launcher,
    pub(crate) machine: RootFs,
}

impl World {
    pub(crate) async fn new() -> Self {
        let bench = Bench::new();
        let machine = bench.machine();
        Self {
            launcher: launcher().await,
            machine,
            bench,
        }
    }

    pub(crate) async fn shell(&self, command: &str) -> Done {
        run(&self.launcher, &self.machine, command).await
    }

    /// What the attacker tells of a system call.
    pub(crate) async fn call(&self, number: libc::c_long, arguments: &[i64]) -> String {
        let numbers: Vec<String> = [number].iter().chain(arguments).map(ToString::to_string).collect();
        let numbers = numbers.iter().map(String::as_str);
        self.attack(&["call"].into_iter().chain(numbers).collect::<Vec<_>>())
            .await
    }

    /// The same of a system call of 32-bit programs.
    #[cfg(target_arch = "x86_64")]
    pub(crate) async fn call32(&self, number: u32, arguments: &[i64]) -> String {
        let numbers: Vec<String> = [i64::from(number)]
            .iter()
            .chain(arguments)
            .map(ToString::to_string)
            .collect();
        let numbers = numbers.iter().map(String::as_str);
        self.attack(&["call32"].into_iter().chain(numbers).collect::<Vec<_>>())
            .await
    }

    pub(crate) async fn attack(&self, arguments: &[&str]) -> String {
        self.attack_with(arguments, |_| {}).await
    }

    pub(crate) async fn attack_with(&self, arguments: &[&str], change: impl FnOnce(&mut SpawnRequest)) -> String {
        let program = std::env::current_exe().unwrap();
        let done = run_with(&self.launcher, &self.machine, "", |request| {
            request.argv = words(&[&[PLACE], arguments].concat());
            request.binds = vec![bind(&program, Path::new(PLACE))];
            for folder in ["/lib", "/lib64"].map(Path::new) {
                if folder.exists() {
                    request.binds.push(bind(folder, folder));
                }
            }
            change(request);
        })
        .await;
        done.out().trim_end().to_owned()
    }
}

fn bind(source: &Path, target: &Path) -> Bind {
    Bind {
        source: source.to_owned(),
        target: target.to_owned(),
        read_only: true,
    }
}

pub(crate) fn tests() -> Vec<Trial> {
    vec![root_test("rootless::every_attack_fails_as_an_ordinary_user", as_nobody)]
}

async fn as_nobody() {
    let folder = tempfile::Builder::new().prefix("hms-").tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let program = folder.path().join("escape");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let output = Command::new(&program)
        .env_clear()
        .env("TMPDIR", folder.path())
        .env("PATH", "/usr/bin:/bin")
        .current_dir("/")
        .uid(NOBODY)
        .gid(NOBODY)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("test result: ok"),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
