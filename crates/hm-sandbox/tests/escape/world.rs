//! A machine with the attacker in it, and the run of all attacks as an ordinary user.

use std::path::Path;

use hm_sandbox::{Bind, IdMap, Launcher, RootFs, SpawnRequest};
use libtest_mimic::Trial;

use crate::attack::PLACE;
use crate::other_user::{OtherUser, assert_passes, has_subordinate_ids};
use crate::support::{Bench, Done, launcher, root_test, run, run_with, test, words};

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

pub(crate) fn bind(source: &Path, target: &Path) -> Bind {
    Bind {
        source: source.to_owned(),
        target: target.to_owned(),
        read_only: true,
    }
}

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        root_test("rootless::every_attack_fails_as_an_ordinary_user", as_nobody),
        root_test(
            "rootless::every_attack_fails_with_subordinate_ids",
            with_subordinate_ids,
        ),
        test("rootless::the_ids_are_those_that_were_given", ids)
            .with_ignored_flag(rustix::process::geteuid().is_root()),
    ]
}

async fn as_nobody() {
    assert_passes(&mut OtherUser::new().plain("::"), "test result: ok");
}

async fn with_subordinate_ids() {
    assert_passes(&mut OtherUser::new().with_subordinate_ids("::"), "test result: ok");
}

async fn ids() {
    let launcher = launcher().await;
    let is_subordinate = matches!(launcher.confinement().ids, IdMap::Subordinate { .. });
    assert_eq!(is_subordinate, has_subordinate_ids());
    launcher.close().await.unwrap();
}
