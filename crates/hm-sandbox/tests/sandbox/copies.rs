//! Roots that are copies of their layers.
//!
//! As root, one test runs the others as a user with subordinate ids.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use hm_sandbox::{
    ApplyOp, ApplyRequest, ExitStatus, Launcher, LauncherSettings, Overlays, Owner, RootFs, Roots, SandboxError, Stage,
};
use libtest_mimic::Trial;
use rustix::process::{Pid, Signal, kill_process};

use crate::host::{host_launcher, host_machine, host_view};
use crate::life::{children_of, pidfd, wait_for_end};
use crate::other_user::{OtherUser, assert_passes};
use crate::support::{Bench, launcher, pipe, request, root_test, run, start_until_ready, test};

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        root_test("rootless::copied_roots_pass", as_other_user),
        test("copies::a_layer_means_the_same_to_the_kernel", same_layers),
        test("copies::any_change_is_in_the_layer", any_change),
        test("copies::what_did_not_change_is_not_in_the_layer", nothing_more),
        test("copies::names_of_a_file_stay_together", links),
        test("copies::attributes_and_holes_are_copied", attributes),
        test("copies::commands_go_on_where_the_last_one_ended", several_commands),
        test("copies::what_is_killed_while_it_is_made_changes_nothing", killed_early),
        test("copies::the_host_is_read_only", host),
        test("copies::changes_to_the_host_are_not_hidden", host_changes),
        test("copies::apply", apply),
        test("copies::odd_paths_are_layers", odd_paths),
        test("copies::two_hundred_layers", many_layers),
        test("copies::a_device_that_means_removal_is_an_error", forbidden_device),
        test("copies::devices_can_not_be_used", devices),
        test("copies::nothing_is_left_after_a_step", nothing_left),
        test("copies::nothing_runs_after_the_launcher", killed_launcher),
        test("copies::none_is_made_where_the_kernel_mounts", kernel_first),
    ]
}

/// Tests for where the kernel has no overlays: see [`crate::old_kernel`].
pub(crate) fn refused_tests() -> Vec<Trial> {
    let file_systems = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let has_overlays = file_systems.contains("\toverlay\n");
    vec![test("refused::copies_are_made", used_where_refused).with_ignored_flag(has_overlays)]
}

async fn as_other_user() {
    let user = OtherUser::new();
    assert_passes(
        &mut user.with_subordinate_ids("copies::"),
        "17 passed; 0 failed; 0 ignored",
    );
}

async fn copying_launcher(bench: &Bench) -> Launcher {
    let launcher = Launcher::start(LauncherSettings {
        overlays: Overlays::Never,
        host_view: Some(host_view(bench)),
        ..LauncherSettings::default()
    });
    let launcher = launcher.await.unwrap();
    assert_eq!(launcher.confinement().roots, Roots::Copies { refused: None });
    launcher
}

/// A layer that the kernel wrote, with things to change.
async fn ground(bench: &Bench) -> PathBuf {
    let machine = bench.machine();
    let command = "mkdir -p /w/d/e /w/d2 /w/o; echo 1 > /w/f; echo 2 > /w/g; echo 3 > /w/d/x; echo 4 > /w/d2/y
                   touch -d '2001-02-03 04:05:06' /w/o /w/d /w";
    run(&launcher().await, &machine, command).await.out();
    machine.upper
}

const LIST: &str =
    "cd /w; find . | sort | while read f; do stat -c '%N %a %u:%g %F %Y' $f; test -f $f && cat $f; done; true";
const CHANGE: &str =
    "cd /w; rm f; mv g h; rm -r d; mkdir d; echo n > d/n; rm -r d2; ln -s f d2; mkdir -p new/sub; ln h new/h
                      echo more >> o/q; mkfifo p; chmod 700 o; touch -d '2011-02-03 04:05:06' o d new";

async fn same_layers() {
    let bench = Bench::new();
    let (copying, kernel) = (copying_launcher(&bench).await, launcher().await);
    let ground = ground(&bench).await;
    let machine = bench.machine_on(std::slice::from_ref(&ground));
    let seen = run(&copying, &machine, &format!("{CHANGE}; {LIST}")).await.out();
    assert!(seen.contains("./new/sub"), "{seen}");
    for (launcher, name) in [(&kernel, "kernel"), (&copying, "copies")] {
        let next = bench.machine_on(&[machine.upper.clone(), ground.clone()]);
        assert_eq!(run(launcher, &next, LIST).await.out(), seen, "{name}");
    }
}

/// Commands at random, in chains: what a command sees at its end is what the next machine sees, whoever makes its root.
async fn any_change() {
    let bench = Bench::new();
    let (copying, kernel) = (copying_launcher(&bench).await, launcher().await);
    for seed in 0..10 {
        let mut random = Random(seed);
        let mut layers = Vec::new();
        for round in 0..4 {
            let script = format!(
                "mkdir -p /w; cd /w; {{ {}; }} 2> /dev/null; {LIST}",
                changes(&mut random)
            );
            let machine = bench.machine_on(&layers);
            let maker = if random.below(5) > 0 { &copying } else { &kernel };
            let seen = run(maker, &machine, &script).await.out();
            layers.insert(0, machine.upper);
            for launcher in [&kernel, &copying] {
                let next = run(launcher, &bench.machine_on(&layers), LIST).await.out();
                assert_eq!(next, seen, "seed {seed}, round {round}: {script}");
            }
        }
    }
}

fn changes(random: &mut Random) -> String {
    let mut script = String::from("true");
    for _ in 0..15 {
        let (one, other, number) = (random.path(), random.path(), random.below(8));
        let command = match random.below(9) {
            0 | 1 => format!("mkdir -p {one}"),
            2 | 3 => format!("echo {number} > {one}"),
            4 => format!("rm -r {one}"),
            5 => format!("mv -T {one} {other}"),
            6 => format!("ln -s {other} {one}"),
            7 => format!("chmod 7{number}0 {one}"),
            _ => format!("touch -h -d @{number} {one}"),
        };
        write!(script, "; {command}").unwrap();
    }
    script
}

/// The same numbers for the same seed (`SplitMix64`).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    fn path(&mut self) -> String {
        let names = (0..=self.below(3)).map(|_| match self.below(3) {
            0 => "a",
            1 => "b",
            _ => "c",
        });
        names.collect::<Vec<_>>().join("/")
    }
}

async fn nothing_more() {
    let bench = Bench::new();
    let copying = copying_launcher(&bench).await;
    let ground = ground(&bench).await;
    // Also not what is as it was again, and also what only a look at the content shows.
    let command = "cd /w; touch -r o /tmp/t; echo > o/x; rm o/x; touch -r /tmp/t o; rm /tmp/t
                   touch -r f /tmp/f; echo 7 > f; touch -r /tmp/f f; rm /tmp/f; rm g";
    let machine = bench.machine_on(&[ground]);
    run(&copying, &machine, command).await.out();
    // Times of folders in which something was made are kept as well.
    assert_eq!(names(&machine.upper.join("w")), ["f", "g"]);
    assert_eq!(fs::read_to_string(machine.upper.join("w/f")).unwrap(), "7\n");
    assert_eq!(names(&machine.upper), ["tmp", "w"]);
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

async fn links() {
    let bench = Bench::new();
    let copying = copying_launcher(&bench).await;
    let first = bench.machine();
    run(
        &copying,
        &first,
        "cd /root; echo 1 > a; ln a b; echo 2 > c; ln c d; echo 3 > e",
    )
    .await
    .out();
    // A new name for what did not change, a name taken away, and one that is a file of its own now.
    let second = bench.machine_on(std::slice::from_ref(&first.upper));
    run(&copying, &second, "cd /root; ln e f; rm b; cp -p c x; mv x c")
        .await
        .out();
    let third = bench.machine_on(&[second.upper.clone(), first.upper.clone()]);
    let command = "cd /root; for f in *; do stat -c '%n %h' $f; done; test e -ef f; test ! c -ef d; echo 4 >> e; cat f";
    assert_eq!(
        run(&copying, &third, command).await.out(),
        "a 1\nc 1\nd 1\ne 2\nf 2\n3\n4\n"
    );
    // Nobody touched `a` and `d`, but they have no other name any more.
    assert_eq!(names(&second.upper.join("root")), ["a", "b", "c", "d", "e", "f"]);
    // Nor does a name outside of the layers count.
    fs::hard_link(second.upper.join("root/f"), bench.path("elsewhere")).unwrap();
    fs::hard_link(second.upper.join("root/d"), bench.path("besides")).unwrap();
    let fourth = bench.machine_on(&[second.upper.clone(), first.upper]);
    run(&copying, &fourth, "echo x > /root/x").await.out();
    assert_eq!(names(&fourth.upper.join("root")), ["x"]);
}

async fn attributes() {
    let bench = Bench::new();
    let copying = copying_launcher(&bench).await;
    let layer = bench.path("layer");
    fs::create_dir_all(layer.join("d")).unwrap();
    let file = fs::File::create_new(layer.join("d/holes")).unwrap();
    file.set_len(1 << 30).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"middle", 1 << 29).unwrap();
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(layer.join("d"), "user.mine", b"1", flags).unwrap();
    rustix::fs::setxattr(layer.join("d/holes"), "user.mine", b"22", flags).unwrap();
    let machine = bench.machine_on(&[layer]);
    let command = "cd /d; stat -c '%s %b' holes | { read size blocks; test $blocks -lt 1000; echo $size; }
                   dd if=holes bs=1M skip=512 count=1 2>/dev/null | head -c 6; mv holes /moved; chmod 751 /d";
    assert_eq!(run(&copying, &machine, command).await.out(), "1073741824\nmiddle");
    let mut value = [0; 9];
    assert_eq!(
        rustix::fs::getxattr(machine.upper.join("moved"), "user.mine", &mut value).unwrap(),
        2
    );
    assert_eq!(
        rustix::fs::getxattr(machine.upper.join("d"), "user.mine", &mut value).unwrap(),
        1
    );
    assert!(fs::metadata(machine.upper.join("moved")).unwrap().blocks() < 1000);
}

async fn several_commands() {
    let bench = Bench::new();
    let copying = copying_launcher(&bench).await;
    let machine = bench.machine();
    run(&copying, &machine, "mkdir /d; echo 1 > /d/f; rm /etc/passwd")
        .await
        .out();
    run(&copying, &machine, "echo 2 >> /d/f; echo 3 > /d/g; rm -r /workspace")
        .await
        .out();
    assert_eq!(
        run(
            &copying,
            &machine,
            "cat /d/f /d/g; ls /etc; ls -d /workspace 2>/dev/null; rm /d/f"
        )
        .await
        .out(),
        "1\n2\n3\n"
    );
    assert_eq!(names(&machine.upper.join("d")), ["g"]);
}

async fn killed_early() {
    let bench = Bench::new();
    let copying = copying_launcher(&bench).await;
    let machine = bench.machine();
    run(&copying, &machine, "echo 1 > /f").await.out();
    let before = names(&machine.upper);
    let (_out, stdout) = pipe();
    let (_err, stderr) = pipe();
    let mut running = copying
        .spawn(request(&machine, "sleep 1000", stdout, stderr))
        .await
        .unwrap();
    running.kill().await.unwrap();
    assert_eq!(running.wait().await.unwrap().status, ExitStatus::Signal(9));
    assert_eq!(names(&machine.upper), before);
    assert_eq!(run(&copying, &machine, "cat /f; ls -d /etc").await.out(), "1\n/etc\n");
}

async fn host() {
    let bench = Bench::new();
    let copying = copying_launcher(&bench).await;
    let first = host_machine(&bench);
    let command =
        "test -s /etc/passwd && echo users; ls -A /root /tmp /home; echo 1 > /tmp/t; mkdir /new; echo 2 > /new/f
                   (echo x > /usr/bin/x) 2> /dev/null || echo refused
                   test ! -e /etc/shadow; echo x > /etc/x; rm /etc/passwd";
    assert_eq!(
        run(&copying, &first, command).await.out(),
        "users\n/home:\n\n/root:\n\n/tmp:\nrefused\n"
    );
    let mut second = bench.machine_on(std::slice::from_ref(&first.upper));
    second.lower.pop();
    second.host_root = true;
    assert_eq!(
        run(
            &copying,
            &second,
            "cat /tmp/t /new/f /etc/x; ls /etc | grep -c '^passwd$'; test -s /etc/group"
        )
        .await
        .out(),
        "1\n2\nx\n0\n"
    );
}

async fn host_changes() {
    let bench = Bench::new();
    let copying = copying_launcher(&bench).await;
    let of_kernel = Bench::new();
    let kernel = host_launcher(&of_kernel, vec![], vec![]).await;
    let first = host_machine(&bench);
    run(&kernel, &first, "echo x > /usr/local/bin/x").await.out();
    let mut second = bench.machine_on(&[first.upper]);
    second.lower.pop();
    second.host_root = true;
    let result = run(&copying, &second, "true").await.result;
    assert!(
        matches!(&result, Err(SandboxError::Setup { stage: Stage::Covered, path, .. }) if path == Path::new("/usr")),
        "{result:?}"
    );
}

async fn apply() {
    let bench = Bench::new();
    let copying = copying_launcher(&bench).await;
    let first = bench.machine();
    run(&copying, &first, "mkdir -p /workspace/d; echo > /workspace/d/f")
        .await
        .out();
    fs::create_dir(bench.path("new")).unwrap();
    fs::write(bench.path("new/file"), "1").unwrap();
    let machine = bench.machine_on(std::slice::from_ref(&first.upper));
    let remove = |path: &str, dir| ApplyOp::Remove {
        path: path.into(),
        dir,
        expected: None,
    };
    let put = ApplyOp::Put {
        path: "file".into(),
        replaces: false,
        expected: None,
    };
    let request = ApplyRequest {
        rootfs: machine.clone(),
        target: "/workspace".into(),
        source: bench.path("new"),
        owner: Owner { uid: 0, gid: 0 },
        ops: vec![remove("d/f", false), remove("d", true), put],
    };
    assert!(copying.apply(&request).await.unwrap().conflicts.is_empty());
    let next = bench.machine_on(&[machine.upper, first.upper]);
    assert_eq!(run(&launcher().await, &next, "ls /workspace").await.out(), "file\n");
}

async fn odd_paths() {
    let bench = Bench::new();
    let layer = bench.path(r"a:b,c\d");
    fs::create_dir(&layer).unwrap();
    fs::write(layer.join("file"), "odd\n").unwrap();
    let copying = copying_launcher(&bench).await;
    assert_eq!(
        run(&copying, &bench.machine_on(&[layer]), "cat /file").await.out(),
        "odd\n"
    );
}

async fn many_layers() {
    let bench = Bench::new();
    let copying = copying_launcher(&bench).await;
    let layers: Vec<PathBuf> = (0..200).map(|number| bench.path(format!("layer{number}"))).collect();
    for (number, layer) in layers.iter().enumerate() {
        fs::create_dir(layer).unwrap();
        fs::write(layer.join(format!("f{number}")), "").unwrap();
    }
    assert!(copying.confinement().many_layers);
    assert_eq!(
        run(&copying, &bench.machine_on(&layers), "ls / | grep -c '^f'")
            .await
            .out(),
        "200\n"
    );
}

async fn forbidden_device() {
    let bench = Bench::new();
    let copying = copying_launcher(&bench).await;
    let result = run(&copying, &bench.machine(), "mkdir /d; mknod /d/n c 0 0")
        .await
        .result;
    assert!(
        matches!(&result, Err(SandboxError::ForbiddenDevice { path }) if path == Path::new("/d/n")),
        "{result:?}"
    );
}

async fn devices() {
    let bench = Bench::new();
    let copying = copying_launcher(&bench).await;
    let command =
        "while read -r _ _ _ _ place options _; do test $place != / || echo $options; done < /proc/self/mountinfo";
    let options = run(&copying, &bench.machine(), command).await.out();
    assert!(options.contains("nodev"), "{options}");
}

async fn nothing_left() {
    let bench = Bench::new();
    let copying = copying_launcher(&bench).await;
    let pid = i32::try_from(copying.pid().await.unwrap()).unwrap();
    let descriptors = || fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    let before = descriptors();
    for command in ["true", "exit 3", "echo x > /x; sleep 1000 & exit 0"] {
        let machine = bench.machine();
        run(&copying, &machine, command).await.code();
        assert_eq!(names(&machine.work), [] as [&str; 0]);
    }
    let failed = run(&copying, &bench.machine_on(&["none".into()]), "true").await;
    assert!(failed.result.is_err());
    assert_eq!((children_of(pid), descriptors()), (vec![], before));
    let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
    assert!(!mounts.contains(bench.path("m0").to_str().unwrap()), "{mounts}");
}

async fn killed_launcher() {
    let bench = Bench::new();
    let copying = copying_launcher(&bench).await;
    let (mut running, _output) = start_until_ready(&copying, &bench.machine(), "echo ready; sleep 1000").await;
    let pid = i32::try_from(copying.pid().await.unwrap()).unwrap();
    let children: Vec<_> = children_of(pid).into_iter().map(pidfd).collect();
    assert_eq!(children.len(), 1);
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    assert!(matches!(running.wait().await, Err(SandboxError::LauncherGone)));
    children.iter().for_each(wait_for_end);
}

fn where_possible(bench: &Bench) -> LauncherSettings {
    LauncherSettings {
        overlays: Overlays::WherePossible {
            trial: bench.path("trial"),
        },
        ..LauncherSettings::default()
    }
}

async fn kernel_first() {
    let bench = Bench::new();
    let launcher = Launcher::start(where_possible(&bench)).await.unwrap();
    assert_eq!(launcher.confinement().roots, Roots::Overlays);
    assert!(!bench.path("trial").exists());
}

async fn used_where_refused() {
    let bench = Bench::new();
    let launcher = Launcher::start(where_possible(&bench)).await.unwrap();
    assert_eq!(
        launcher.confinement().roots,
        Roots::Copies {
            refused: Some(rustix::io::Errno::NODEV.raw_os_error())
        }
    );
    assert!(!bench.path("trial").exists());
    let machine: RootFs = bench.machine();
    run(&launcher, &machine, "mkdir /d; echo 1 > /d/f; rm -r /etc")
        .await
        .out();
    let next = bench.machine_on(&[machine.upper]);
    assert_eq!(
        run(&launcher, &next, "cat /d/f; ls -d /etc 2>/dev/null || echo gone")
            .await
            .out(),
        "1\ngone\n"
    );
}
