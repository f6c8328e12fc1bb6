//! Limits of steps on cgroup v2 below a systemd, in the ways that a user has: what is told, and that it can be pasted.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::json;

use crate::debian_system::DebianSystem;
use crate::support::{Ir, Lab, Run};

const WEAKER: &str = "limits of steps are weaker here";
const ONLY_CPUS: &str = "holds them: cpus are whole processors, which other steps may use, too. To mend it: ";
/// What a user does where everything is there.
const RUN: &str = "systemd-run --user --scope -p Delegate=yes hm run";
const MIB: u64 = 1 << 20;

/// What the script has: builds whose events and notes go to files, and builds that wait for a signal.
const SCRIPT: &str = r#"
mkdir -m 777 /tree; cd /tree; cp /host"$HM" /usr/bin/hm; export HM_SANDBOX__NETWORK=host
cat > /usr/bin/as_user <<'end'
#!/bin/sh
exec setpriv --reuid ann --regid ann --init-groups env -i "PATH=$PATH" HOME=/home/ann HM_SANDBOX__NETWORK=host "$@"
end
cat > /usr/bin/log_in <<'end'
#!/bin/sh
exec systemd-run -q --wait -P -p User=ann -p PAMName=login -p WorkingDirectory=/tree -E HM_SANDBOX__NETWORK=host "$@"
end
chmod 755 /usr/bin/as_user /usr/bin/log_in
cat > /run/words <<'end'
# build NAME COMMAND...: the command ends with `hm`.
build() {
    name=$1; shift
    "$@" run --keep-going --format json --ir /out/${ir:-steps}.json > /out/$name.events 2> /out/$name.notes; echo $? > /out/$name.code
}
# mend NAME COMMAND...: what was told in the notes of that build, in a shell that the command starts.
mend() {
    name=$1; shift
    fix=$(sed -n 's/.*To mend it: //p' /out/$name.notes)
    echo "$fix --keep-going --format json --ir /out/steps.json" > /out/fix
    "$@" sh /out/fix > /out/$name-mended.events 2> /out/$name-mended.notes; echo $? > /out/$name-mended.code
}
# start COMMAND...: comes back when a step runs that waits.
start() {
    mkfifo /run/events
    "$@" run --format json --ir /out/waits.json > /run/events 2> /dev/null &
    started=$!
    exec 3< /run/events
    rm /run/events
    while read -r event <&3; do
        case $event in *'"line":"ready"'*) break ;; esac
    done
    group=$(groups)
    launcher=${group##*/hm-}; launcher=${launcher%-*}
}
# end SIGNAL PID: waits for the build and for its launcher.
end() {
    kill -$1 $2; cat <&3 > /dev/null; wait $started
    while [ -d /proc/$launcher ]; do sleep 0.05; done
}
groups() { find /sys/fs/cgroup -name 'hm-*-*'; }
look() { (cd $group; echo $1: $(cat cpu.max memory.max pids.max 2> /dev/null)); }
end
. /run/words

build service hm
mend service env
start hm
look service
systemctl daemon-reload; systemd-run -q --wait true
look service
end INT $started
echo service left: $(groups)
hm doctor > /out/doctor
ir=forks
in_service() { systemd-run -q --wait -P -p WorkingDirectory=/tree -E HOME=/root -E HM_SANDBOX__NETWORK=host "$@"; }
build few in_service -p TasksMax=60 hm
build bounded in_service -p MemoryMax=500M hm
ir=

start systemd-run -q --scope -p Delegate=yes hm
look scope
systemctl daemon-reload; systemd-run -q --wait -p CPUWeight=50 true
look scope
end INT $started
echo scope left: $(groups)

cat > /run/runner <<'end'
. /run/words
if [ -e /run/again ]; then build again hm; exit; fi
start hm
build beside hm
echo beside: $(groups | wc -l)
end KILL $launcher
echo killed: $(groups | wc -l)
build next hm
echo swept: $(groups | wc -l)
start hm
end KILL $started
echo ended: $(groups | wc -l)
grep -o '[^/]*/[^/]*$' /proc/self/cgroup
end
cat > /run/systemd/system/runner.service <<'end'
[Service]
Type=oneshot
Delegate=yes
WorkingDirectory=/tree
Environment=HM_SANDBOX__NETWORK=host HOME=/root
ExecStart=sh /run/runner
ExecStartPost=true
StandardOutput=append:/run/said
StandardError=append:/run/said
end
systemctl daemon-reload
systemctl start runner; echo runner: $?
touch /run/again; systemctl start runner; echo runner: $?
cat /run/said; echo runner left: $(find /sys/fs/cgroup -name 'runner.service*')

build user as_user hm
mend user as_user
build login log_in hm
mend login log_in
start as_user XDG_RUNTIME_DIR=/run/user/1000 systemd-run --user --scope -p Delegate=yes hm
look user
as_user XDG_RUNTIME_DIR=/run/user/1000 systemctl --user daemon-reload
as_user XDG_RUNTIME_DIR=/run/user/1000 systemd-run -q --user --wait true
look user
end INT $started
echo user left: $(groups)
as_user XDG_RUNTIME_DIR=/run/user/1000 systemd-run -q --user --scope -p Delegate=yes hm doctor >> /out/doctor

mkdir /etc/systemd/system/user@.service.d
printf '[Service]\nDelegate=\nDelegate=pids memory\n' > /etc/systemd/system/user@.service.d/a.conf
systemctl daemon-reload; systemctl restart user@1000
build older as_user XDG_RUNTIME_DIR=/run/user/1000 systemd-run --user --scope -p Delegate=yes hm
mend older as_user XDG_RUNTIME_DIR=/run/user/1000

mount -t tmpfs none /run/systemd
build bare as_user hm
mend bare as_user
"#;

fn steps() -> Ir {
    let fill = |mib: u32, file: &str| format!("dd if=/dev/zero of={file} bs=1M count={mib} conv=fsync");
    Ir::new()
        .step("much", &fill(30, "/dev/shm/f"))
        .with("resources", json!({ "cpus": 1, "memory_mib": 16 }))
        .step("many", "for n in 1 2 3 4 5 6 7 8 9; do sleep 5 & done; kill $(jobs -p)")
        .with("resources", json!({ "pids": 5 }))
        .step("slow", "i=0; while [ $i -lt 60000 ]; do i=$((i + 1)); done")
        .with("resources", json!({ "cpus": 0.1 }))
        .step("writes", &fill(8, "/f"))
        .with("resources", json!({ "memory_mib": 32 }))
}

/// Not limited in their number.
fn forks() -> Ir {
    let many = "n=0; while [ $n -lt 70 ]; do sleep 100 & n=$((n + 1)); done";
    Ir::new()
        .step("many", many)
        .with("resources", json!({ "memory_mib": 64 }))
}

fn waits() -> Ir {
    Ir::new()
        .step("waits", "echo ready; sleep 1000")
        .with("resources", json!({ "cpus": 0.5, "memory_mib": 48, "pids": 32 }))
}

/// What a build of the script told.
fn told(folder: &Path, name: &str) -> Run {
    let read = |kind: &str| fs::read_to_string(folder.join(format!("{name}.{kind}"))).unwrap();
    // What a pasted command prints comes before the events.
    let events = read("events");
    let events = events.lines().filter(|line| line.starts_with('{'));
    Run {
        code: read("code").trim().parse().ok(),
        events: events.map(|event| serde_json::from_str(event).unwrap()).collect(),
        stderr: read("notes"),
    }
}

fn number(run: &Run, step: &str, kind: &str, member: &str) -> u64 {
    let event = run.of_step(step).into_iter().find(|event| event["kind"] == kind);
    event.unwrap()[member].as_u64().unwrap()
}

/// Memory and processes are held by groups.
fn assert_half_held(run: &Run) {
    let cause = |step: &str| run.end(step)["causes"][0].as_str().unwrap_or_default().to_owned();
    assert!(
        cause("much").starts_with("out of memory: the kernel killed a process at the step's limit of 16 MiB"),
        "{run:#?}"
    );
    assert!(cause("many").starts_with("too many processes: "), "{run:#?}");
    assert_eq!(run.status("writes"), "passed", "{run:#?}");
    let peak = number(run, "writes", "step_usage", "max_rss_bytes");
    assert!((MIB..=32 * MIB).contains(&peak), "{peak}");
}

/// Everything is.
fn assert_held(run: &Run) {
    assert_half_held(run);
    assert!(!run.stderr.contains(WEAKER), "{}", run.stderr);
    let used = number(run, "slow", "step_usage", "cpu_ms");
    let took = number(run, "slow", "step_end", "duration_ms");
    assert!(took >= used * 5, "{used} ms in {took} ms");
}

#[test]
fn limits_hold_below_systemd_and_what_lacks_is_mended_by_what_is_told() {
    let Some(system) = DebianSystem::new(Path::new(env!("CARGO_TARGET_TMPDIR"))) else {
        return;
    };
    let lab = Lab::new();
    let folder = lab.path("");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    for (name, ir) in [
        ("steps.json", steps()),
        ("forks.json", forks()),
        ("waits.json", waits()),
    ] {
        fs::write(lab.path(name), ir.render("dir:/out/root")).unwrap();
    }
    let said = system.run(&folder, &format!("HM={}\n{SCRIPT}", env!("CARGO_BIN_EXE_hm")));
    let said: Vec<&str> = said.lines().filter(|line| line.contains(": ")).collect();
    let run = |name: &str| told(&folder, name);
    let fix = |name: &str| {
        let notes = run(name).stderr;
        notes.split_once("To mend it: ").expect(&notes).1.trim_end().to_owned()
    };

    // Root, where systemd gives memory and processes to all, and takes away what it did not give.
    let [all, given] = ["50000 100000 50331648 32", "50331648 32"];
    assert_half_held(&run("service"));
    assert!(run("service").stderr.contains(ONLY_CPUS), "{}", run("service").stderr);
    assert_eq!(fix("service"), "systemd-run --scope -p Delegate=yes hm run");
    assert_held(&run("service-mended"));
    // The kernel lays some of it to the charge of others.
    let written = number(&run("service-mended"), "writes", "step_usage", "write_bytes");
    assert!((MIB..16 * MIB).contains(&written), "{written}");

    // Of a service that has limits itself.
    let few = run("few");
    assert_eq!(
        (few.status("many"), few.end("many")["causes"].is_null()),
        ("failed", true),
        "{few:#?}"
    );
    assert!(!few.stderr.contains(WEAKER), "{}", few.stderr);
    let bounded = run("bounded");
    assert!(bounded.stderr.contains("holds them: memory is"), "{bounded:#?}");
    assert_eq!(bounded.status("many"), "passed");

    for name in ["beside", "next", "again"] {
        assert_held(&run(name));
    }

    // An ordinary user: no systemd of theirs, one, one that gives no time on processors, none at all.
    assert!(
        fix("user").starts_with("sudo loginctl enable-linger"),
        "{}",
        fix("user")
    );
    assert_eq!(fix("login"), RUN);
    assert!(run("older").stderr.contains(ONLY_CPUS), "{}", run("older").stderr);
    assert_half_held(&run("older"));
    assert!(fix("older").ends_with(RUN), "{}", fix("older"));
    assert!(fix("bare").starts_with("sudo sh -c "), "{}", fix("bare"));
    for name in ["user", "login", "older", "bare"] {
        assert_held(&run(&format!("{name}-mended")));
    }

    let lines = [
        format!("service: {given}"),
        format!("service: {given}"),
        format!("scope: {all}"),
        format!("scope: {all}"),
        "runner: 0".into(),
        "runner: 0".into(),
        "beside: 1".into(),
        "killed: 1".into(),
        "swept: 0".into(),
        "ended: 0".into(),
        format!("user: {all}"),
        format!("user: {all}"),
    ];
    assert_eq!(said, lines);
    let doctor = fs::read_to_string(lab.path("doctor")).unwrap();
    let rows: Vec<&str> = doctor.lines().filter(|line| line.contains(" limits ")).collect();
    assert!(rows[0].starts_with("lack") && rows[1].starts_with("ok"), "{rows:?}");
}
