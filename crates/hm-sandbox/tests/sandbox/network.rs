//! Steps that have a network of their own with a way out.
//!
//! Tests named `world::` run only in a network of the test's own, which stands for the host: one interface with a
//! default route, a server on an address that isn't loopback, and listeners on loopback that nobody may reach.

use std::future::Future;
use std::io::Write;
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use hm_sandbox::{HostView, Launcher, LauncherSettings, Network, SandboxError, Stage};
use libtest_mimic::Trial;

use crate::host::host_machine;
use crate::life::{children_of, pidfd, wait_for_end};
use crate::support::{Bench, Done, root_test, run_with, start_until_ready_with, test};

const WORLD: &str = "HM_TEST_WORLD";
/// The server that steps may reach.
const FAR_V4: &str = "203.0.113.9";
const FAR_V6: &str = "2001:db8:9::9";
const PORT: u16 = 7000;

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        root_test("network::isolated_as_root", as_root),
        root_test("network::isolated_as_an_ordinary_user", as_nobody),
        root_test("network::isolated_with_a_resolver_elsewhere", resolver_elsewhere),
        root_test("network::isolated_with_a_resolver_that_is_shadowed", resolver_shadowed),
        root_test("network::nothing_is_started_without_need", not_started),
        world_test("world::steps_reach_servers", reaches_servers),
        world_test("world::what_is_sent_comes_back_whole", echoes),
        world_test("world::names_are_resolved_by_the_hosts_resolver", resolves),
        world_test(
            "elsewhere::a_resolver_that_is_not_on_loopback_answers",
            resolves_elsewhere,
        ),
        world_test("world::the_hosts_loopback_is_out_of_reach", loopback),
        world_test(
            "shadowed::a_resolver_that_slirp4netns_shadows_answers",
            resolves_shadowed,
        ),
        world_test("world::steps_side_by_side_bind_the_same_port", same_port),
        world_test("world::steps_do_not_reach_each_other", each_other),
        world_test("world::every_step_has_a_clean_network", clean),
        world_test("world::nothing_is_left_of_a_killed_launcher", killed),
        world_test("world::a_slirp4netns_that_fails_is_told", failing),
        world_test("world::a_step_that_loses_slirp4netns_is_an_error", lost),
        world_test("world::after_the_end_of_slirp4netns_there_is_another", another),
        world_test("world::what_slirp4netns_takes_for_its_own_is_no_dead_end", shadowed),
        world_test("world::without_a_way_out_steps_run", no_way_out),
    ]
}

fn world_test<F: Future<Output = ()>>(name: &'static str, body: impl FnOnce() -> F + Send + 'static) -> Trial {
    test(name, body).with_ignored_flag(std::env::var_os(WORLD).is_none())
}

/// A pair of devices of which one end is the interface of the world. The other end is there for it to have a carrier.
const SCRIPT: &str = "
set -e
ip link set lo up
ip link add up0 type veth peer name peer0
ip addr add 198.51.100.2/24 dev up0
ip -6 addr add 2001:db8::2/64 dev up0 nodad
ip addr add 203.0.113.9/32 dev lo
ip -6 addr add fd00::2/64 dev up0 nodad
ip -6 addr add 2001:db8:9::9/128 dev lo nodad
ip link set peer0 up
ip link set up0 up
ip route add default via 198.51.100.1
ip -6 route add default via 2001:db8::1
mount -t tmpfs tmpfs /dev/net
mknod /dev/net/tun c 10 200
chmod 666 /dev/net/tun
printf '%b' \"$2\" > \"$1\"/resolv.conf
mount --bind \"$1\"/resolv.conf /etc/resolv.conf
tests=$3
shift 3
exec \"$@\" $tests --test-threads 1
";

/// Runs the tests whose names begin with `tests`.
fn in_world(resolvers: &str, tests: &str, prefix: &[&str]) {
    let folder = tempfile::Builder::new().prefix("hms-").tempdir().unwrap();
    let program = folder.path().join("sandbox");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(folder.path(), mode).unwrap();
    let output = Command::new("unshare")
        .args(["--mount", "--net", "sh", "-c", SCRIPT, "sh"])
        .arg(folder.path())
        .args([resolvers, tests])
        .args(prefix)
        .arg(&program)
        .env_clear()
        .env(WORLD, "1")
        .env("TMPDIR", folder.path())
        .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
        .current_dir("/")
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(output.status.success(), "{text}");
    assert!(text.contains(" 0 failed") && !text.contains(" 0 passed"), "{text}");
}

/// The host's resolver, as `resolv.conf` names it.
const RESOLVER: &str = "nameserver 127.0.0.53\\n";

async fn as_root() {
    in_world(RESOLVER, "world::", &[]);
}

async fn resolver_elsewhere() {
    in_world("nameserver 203.0.113.9\\nnameserver 127.0.0.53\\n", "elsewhere::", &[]);
}

async fn resolver_shadowed() {
    in_world("nameserver fd00::2\\n", "shadowed::", &[]);
}

async fn as_nobody() {
    // The server for names has a port that takes root.
    let nobody = [
        "setpriv",
        "--reuid",
        "65534",
        "--regid",
        "65534",
        "--clear-groups",
        "--inh-caps=+net_bind_service",
        "--ambient-caps=+net_bind_service",
    ];
    in_world(RESOLVER, "world::", &nobody);
}

fn slirp4netns() -> PathBuf {
    ["/usr/bin/slirp4netns", "/usr/local/bin/slirp4netns"]
        .map(PathBuf::from)
        .into_iter()
        .find(|place| place.exists())
        .unwrap()
}

async fn isolating() -> Launcher {
    Launcher::start(LauncherSettings {
        slirp4netns: Some(slirp4netns()),
        ..LauncherSettings::default()
    })
    .await
    .unwrap()
}

async fn run_isolated(launcher: &Launcher, bench: &Bench, command: &str) -> Done {
    run_with(launcher, &bench.machine(), command, |request| {
        request.network = Network::Isolated;
    })
    .await
}

/// Greets every connection with who it is, ends it, and counts them.
fn serve(address: &str, port: u16) -> Arc<AtomicUsize> {
    let listener = TcpListener::bind((address, port)).unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let greeting = format!("this is {address}\n");
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            counted.fetch_add(1, Ordering::SeqCst);
            drop(connection.unwrap().write_all(greeting.as_bytes()));
        }
    });
    count
}

/// One for all tests of the process.
static FAR: LazyLock<[Arc<AtomicUsize>; 2]> = LazyLock::new(|| [serve(FAR_V4, PORT), serve(FAR_V6, PORT)]);

/// A command that prints what a server says.
fn fetch(far: &str) -> String {
    format!("nc {far} {PORT} < /dev/null")
}

async fn reaches_servers() {
    let (bench, launcher) = (Bench::new(), isolating().await);
    LazyLock::force(&FAR);
    assert!(launcher.try_isolated_network().await.unwrap());
    for far in [FAR_V4, FAR_V6] {
        let done = run_isolated(&launcher, &bench, &fetch(far)).await;
        assert_eq!(done.stdout, format!("this is {far}\n"), "{done:?}");
    }
    launcher.close().await.unwrap();
}

/// Sends back what comes, on every connection.
fn echo(address: &str, port: u16) {
    let listener = TcpListener::bind((address, port)).unwrap();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let connection = connection.unwrap();
            std::thread::spawn(move || std::io::copy(&mut &connection, &mut &connection));
        }
    });
}

/// Segments of all sizes, in both directions at once. The step speaks first, as with most protocols.
async fn echoes() {
    let (bench, launcher) = (Bench::new(), isolating().await);
    for (far, port) in [(FAR_V4, 7002), (FAR_V6, 7003)] {
        echo(far, port);
        let command =
            format!("for bytes in 1 500 20000 8000000; do head -c $bytes /dev/zero | nc {far} {port} | wc -c; done");
        let out = run_isolated(&launcher, &bench, &command).await.out();
        assert_eq!(out, "1\n500\n20000\n8000000\n");
    }
    launcher.close().await.unwrap();
}

/// Answers each query for an IPv4 address with the same one (RFC 1035).
fn resolver(address: &str) {
    let socket = UdpSocket::bind((address, 53)).unwrap();
    std::thread::spawn(move || {
        let mut query = [0; 1500];
        while let Ok((length, from)) = socket.recv_from(&mut query) {
            let mut answer = query[..2].to_vec();
            answer.extend([0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
            answer.extend(&query[12..length]);
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 77]);
            socket.send_to(&answer, from).unwrap();
        }
    });
}

async fn resolves() {
    resolver("127.0.0.53");
    assert_resolved_by(&hm_sandbox::DNS_FORWARD_V4.to_string()).await;
}

async fn resolves_shadowed() {
    resolver("fd00::2");
    assert_resolved_by(&hm_sandbox::DNS_FORWARD_V6.to_string()).await;
}

async fn resolves_elsewhere() {
    resolver(FAR_V4);
    assert_resolved_by(FAR_V4).await;
}

async fn assert_resolved_by(address: &str) {
    let (bench, launcher) = (Bench::new(), isolating().await);
    let command = format!("nslookup -type=a name.example {address}");
    let done = run_isolated(&launcher, &bench, &command).await.out();
    assert!(done.contains("192.0.2.77"), "{done}");
    launcher.close().await.unwrap();
}

/// Tries by every way that a step has. What it sees is of no interest: the listeners see whether anything came.
const ATTACK: &str = r#"
import socket, struct, os
V4, V6 = socket.AF_INET, socket.AF_INET6
targets = [(V4, a) for a in ("127.0.0.1", "127.9.9.9", "0.0.0.0", "198.18.0.1", "198.51.100.1", "198.51.100.2", "198.19.255.1", "198.19.255.2", "198.19.255.3", "198.19.255.100", "10.0.2.2", "192.0.2.1")]
targets += [(V6, a) for a in ("::1", "::", "::ffff:127.0.0.1", "::127.0.0.1", "2001:db8::1", "2001:db8::2", "fd00::", "fd00::2", "fd00::3", "fd00::64", "fd00::ff", "64:ff9b::7f00:1")]
tried = 0
for family, address in targets:
    for device in (None, b"eth0\0", b"lo\0"):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with socket.socket(family, kind) as s:
                s.settimeout(0.15)
                try:
                    if device: s.setsockopt(socket.SOL_SOCKET, 25, device)
                    s.connect((address, 7001))
                    s.send(b"x")
                except OSError: pass
                tried += 1
# Frames made by hand, past all routes.
def checksum(b):
    total = sum(struct.unpack("!%dH" % (len(b) // 2), b)); total = (total >> 16) + (total & 0xffff)
    return ~(total + (total >> 16)) & 0xffff
def v4(to):
    udp = struct.pack("!HHHH", 4000, 7001, 9, 0) + b"x"
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0, socket.inet_aton(own), socket.inet_aton(to))
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + udp
def v6(to):
    udp = struct.pack("!HHHH", 4000, 7001, 9, 0) + b"x"
    source, to = socket.inet_pton(V6, own6), socket.inet_pton(V6, to)
    pseudo = source + to + struct.pack("!II", len(udp), 17) + udp + b"\0"
    udp = udp[:6] + struct.pack("!H", checksum(pseudo)) + udp[8:]
    return struct.pack("!IHBB", 6 << 28, len(udp), 17, 64) + source + to + udp
probe = socket.socket(V4, socket.SOCK_DGRAM); probe.connect(("203.0.113.9", 9)); own = probe.getsockname()[0]
probe = socket.socket(V6, socket.SOCK_DGRAM); probe.connect(("2001:db8:9::9", 9)); own6 = probe.getsockname()[0]
try:
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); raw.bind(("eth0", 0))
    raw.settimeout(0.2)
    mac = open("/sys/class/net/eth0/address").read().strip().replace(":", "")
    gateways = [line.split()[3].replace(":", "") for line in open("/proc/net/arp").readlines()[1:]]
    for gateway in set(gateways + ["ffffffffffff"]):
        for family, to in targets:
            ethernet = bytes.fromhex(gateway) + bytes.fromhex(mac) + (b"\x08\0" if family == V4 else b"\x86\xdd")
            for bypass in (0, 1):
                raw.setsockopt(263, 20, bypass)
                raw.send(ethernet + (v4 if family == V4 else v6)(to)); tried += 1
except PermissionError: pass
# Some that are allowed come last: when they arrived, so has everything before them.
arrived = 0
while arrived < 5:
    with socket.socket(V4, socket.SOCK_STREAM) as s:
        s.settimeout(2)
        try:
            s.connect(("203.0.113.9", 7000)); arrived += s.recv(100) != b""
        except OSError: pass
print("tried", tried)
"#;

async fn loopback() {
    let bench = Bench::new();
    let launcher = Launcher::start(LauncherSettings {
        slirp4netns: Some(slirp4netns()),
        host_view: Some(HostView {
            dir: bench.path("view"),
            hidden: vec![],
            home: None,
            expose: vec![],
        }),
        ..LauncherSettings::default()
    })
    .await
    .unwrap();
    // Without root there is no view of the host, and the programs of the host are bound.
    let is_root = rustix::process::geteuid().is_root();
    LazyLock::force(&FAR);
    let forbidden: Vec<_> = ["127.0.0.1", "127.0.0.53", "::1"]
        .map(|address| serve(address, 7001))
        .into();
    let datagrams: Vec<_> = ["127.0.0.1:7001", "127.0.0.53:7001", "[::1]:7001"]
        .map(|address| UdpSocket::bind(address).unwrap())
        .into();
    std::fs::write(bench.path("attack.py"), ATTACK).unwrap();
    let machine = if is_root { host_machine(&bench) } else { bench.machine() };
    let done = run_with(&launcher, &machine, "exec python3 -I /attack.py", |request| {
        request.network = Network::Isolated;
        let mut bind = |source: PathBuf, target: &str| {
            request.binds.push(hm_sandbox::Bind {
                source,
                target: target.into(),
                read_only: true,
            });
        };
        bind(bench.path("attack.py"), "/attack.py");
        if !is_root {
            for folder in ["/usr", "/lib", "/lib64"]
                .into_iter()
                .filter(|folder| Path::new(folder).exists())
            {
                bind(folder.into(), folder);
            }
        }
    })
    .await;
    let out = done.out();
    let tried: usize = out.trim().strip_prefix("tried ").unwrap().parse().unwrap();
    assert!(tried >= 96, "{out}");
    for count in forbidden {
        assert_eq!(
            count.load(Ordering::SeqCst),
            0,
            "a connection reached the host's loopback"
        );
    }
    for socket in datagrams {
        socket.set_nonblocking(true).unwrap();
        assert!(
            socket.recv(&mut [0; 10]).is_err(),
            "a datagram reached the host's loopback"
        );
    }
    launcher.close().await.unwrap();
}

async fn same_port() {
    let (bench, launcher) = (Bench::new(), isolating().await);
    let command = "echo hello | nc -l -p 8080 > /dev/null & \
                   until grep -q ':1F90 .* 0A ' /proc/net/tcp*; do usleep 1000; done; echo ready; read line";
    let mut steps = Vec::new();
    for _ in 0..3 {
        steps.push(
            start_until_ready_with(&launcher, &bench.machine(), command, |request| {
                request.network = Network::Isolated;
            })
            .await,
        );
    }
    assert_eq!(steps.len(), 3, "all listen at once");
    launcher.close().await.unwrap();
}

async fn each_other() {
    let (bench, launcher) = (Bench::new(), isolating().await);
    LazyLock::force(&FAR);
    let command = "nc -ll -p 8080 -e echo stolen & \
                   until grep -q ':1F90 .* 0A ' /proc/net/tcp*; do usleep 1000; done; echo ready; sleep 1000";
    let _listening = start_until_ready_with(&launcher, &bench.machine(), command, |request| {
        request.network = Network::Isolated;
    })
    .await;
    // The first steps of a launcher have the first addresses.
    let command = format!(
        "for host in 198.18.0.2 198.18.0.3 198.18.0.4 fd68:6d00::1:0 fd68:6d00::1:1; do nc -w 1 $host 8080 < /dev/null; done; {}",
        fetch(FAR_V4)
    );
    let done = run_isolated(&launcher, &bench, &command).await;
    assert_eq!(done.stdout, format!("this is {FAR_V4}\n"), "{}", done.stderr);
    launcher.close().await.unwrap();
}

async fn clean() {
    let (bench, launcher) = (Bench::new(), isolating().await);
    let mut seen = Vec::new();
    for _ in 0..20 {
        // A socket that its process leaves behind stays in the namespace for a minute.
        let command = "readlink /proc/self/ns/net; cat /proc/net/tcp | wc -l; ip addr | grep -c 'inet '; \
                       (echo x | nc -l -p 8080 > /dev/null &); \
                       until grep -q ':1F90 .* 0A ' /proc/net/tcp*; do usleep 1000; done; \
                       nc -w 1 127.0.0.1 8080 < /dev/null > /dev/null";
        let out = run_isolated(&launcher, &bench, command).await.stdout;
        let mut lines = out.lines();
        let namespace = lines.next().unwrap().to_owned();
        assert_eq!((lines.next(), lines.next()), (Some("1"), Some("2")), "{out}");
        seen.push(namespace);
    }
    // The first step of a launcher is the one that could meet slirp4netns.
    for _ in 0..5 {
        let launcher = isolating().await;
        let out = run_isolated(&launcher, &bench, "ls /sys/class/net").await.out();
        assert_eq!(out, "eth0\nlo\n");
        launcher.close().await.unwrap();
    }
    // Numbers of namespaces are used again when one is gone; neighbours are never the same.
    assert!(seen.windows(2).all(|pair| pair[0] != pair[1]), "{seen:?}");
    launcher.close().await.unwrap();
}

/// All processes below another one, and what they are.
fn below(parent: i32) -> Vec<(i32, String)> {
    let mut found = Vec::new();
    for pid in children_of(parent) {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        found.push((pid, name.trim().to_owned()));
        found.extend(below(pid));
    }
    found
}

async fn killed() {
    let (bench, launcher) = (Bench::new(), isolating().await);
    let _step = start_until_ready_with(&launcher, &bench.machine(), "echo ready; sleep 1000", |request| {
        request.network = Network::Isolated;
    })
    .await;
    let pid = i32::try_from(launcher.pid().await.unwrap()).unwrap();
    let processes = below(pid);
    assert!(
        processes.iter().any(|(_, name)| name.starts_with("slirp4netns")),
        "{processes:?}"
    );
    let watched: Vec<_> = processes.iter().map(|(pid, _)| pidfd(*pid)).collect();
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(pid).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
    for process in &watched {
        wait_for_end(process);
    }
}

async fn failing() {
    let bench = Bench::new();
    let broken = bench.path("slirp4netns");
    std::fs::write(&broken, "#!/bin/sh\necho first >&2; echo no luck today >&2; exit 3\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&broken, mode).unwrap();
    std::fs::set_permissions(bench.path(""), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let told = |error: SandboxError| {
        let SandboxError::Setup { stage, path, .. } = error else {
            panic!("{error:?}");
        };
        (stage, path)
    };
    for (program, said) in [
        (Some(broken), "slirp4netns: no luck today"),
        (
            Some("/no/slirp4netns".into()),
            "slirp4netns: can't be started: No such file or directory (os error 2)",
        ),
        (None, "slirp4netns"),
    ] {
        let settings = LauncherSettings {
            slirp4netns: program,
            ..LauncherSettings::default()
        };
        let launcher = Launcher::start(settings).await.unwrap();
        for _ in 0..2 {
            let error = run_isolated(&launcher, &bench, "true").await.result.unwrap_err();
            assert_eq!(told(error), (Stage::Network, said.into()));
        }
        let error = launcher.try_isolated_network().await.unwrap_err();
        assert_eq!(told(error), (Stage::Network, said.into()));
        launcher.close().await.unwrap();
    }
}

/// The slirp4netns of a launcher, and a way to wait for its end.
async fn uplink(launcher: &Launcher) -> (rustix::process::Pid, std::os::fd::OwnedFd) {
    let pid = i32::try_from(launcher.pid().await.unwrap()).unwrap();
    let all = below(pid);
    let found = all.iter().find(|(_, name)| name.starts_with("slirp4netns"));
    let pid = found.unwrap_or_else(|| panic!("{all:?}")).0;
    (rustix::process::Pid::from_raw(pid).unwrap(), pidfd(pid))
}

async fn lost() {
    let (bench, launcher) = (Bench::new(), isolating().await);
    LazyLock::force(&FAR);
    let with_network = |network| move |request: &mut hm_sandbox::SpawnRequest| request.network = network;
    // It would pass, and so be kept.
    let command = "echo ready; while ip route get 203.0.113.9 > /dev/null 2>&1 && nc -w 1 203.0.113.9 7000 < /dev/null > /dev/null 2>&1; do :; done; exit 0";
    let machines = [bench.machine(), bench.machine()];
    let (mut step, _out) =
        start_until_ready_with(&launcher, &machines[0], command, with_network(Network::Isolated)).await;
    let (mut other, _other_out) = start_until_ready_with(
        &launcher,
        &machines[1],
        "echo ready; sleep 1000",
        with_network(Network::Host),
    )
    .await;
    let (slirp4netns, _) = uplink(&launcher).await;
    rustix::process::kill_process(slirp4netns, rustix::process::Signal::KILL).unwrap();
    let error = step.wait().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the sandbox could not give a step a network of its own (slirp4netns: it ended while the step ran)"
    );
    assert!(error.fix().is_some());
    // Who doesn't use it goes on.
    other.terminate().await.unwrap();
    assert_eq!(
        other.wait().await.unwrap().status,
        hm_sandbox::ExitStatus::Signal(libc::SIGTERM)
    );
    launcher.close().await.unwrap();
}

async fn another() {
    let (bench, launcher) = (Bench::new(), isolating().await);
    LazyLock::force(&FAR);
    for _ in 0..3 {
        let done = run_isolated(&launcher, &bench, &fetch(FAR_V4)).await;
        assert_eq!(done.stdout, format!("this is {FAR_V4}\n"), "{done:?}");
        let (slirp4netns, end) = uplink(&launcher).await;
        rustix::process::kill_process(slirp4netns, rustix::process::Signal::KILL).unwrap();
        wait_for_end(&end);
    }
    launcher.close().await.unwrap();
}

async fn shadowed() {
    let (bench, launcher) = (Bench::new(), isolating().await);
    assert!(hm_sandbox::shadows_network_of_host());
    // The host reaches it.
    let _far = serve("fd00::2", PORT);
    std::net::TcpStream::connect(("fd00::2", PORT)).unwrap();
    let done = run_isolated(&launcher, &bench, "nc fd00::2 7000 < /dev/null").await;
    assert!(done.stderr.contains("Network is unreachable"), "{done:?}");
    launcher.close().await.unwrap();
}

async fn no_way_out() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    // Last of the world's tests: the others need the routes. A thread of its own leaves them as they are.
    let run = Command::new("unshare")
        .args([
            "--net",
            "sh",
            "-c",
            "ip link set lo up; exec \"$1\" --exact offline::step",
            "sh",
        ])
        .arg(std::env::current_exe().unwrap())
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stdout));
}

/// Runs in a world without any interface but loopback.
pub(crate) fn offline_tests() -> Vec<Trial> {
    vec![world_test("offline::step", async || {
        let (bench, launcher) = (Bench::new(), isolating().await);
        assert!(!launcher.try_isolated_network().await.unwrap());
        let done = run_isolated(&launcher, &bench, "ip addr | grep -c 'inet '; ip route").await;
        assert_eq!(done.stdout, "2\n");
        launcher.close().await.unwrap();
    })]
}

async fn not_started() {
    let (bench, launcher) = (Bench::new(), isolating().await);
    run_with(&launcher, &bench.machine(), "true", |request| {
        request.network = Network::None;
    })
    .await
    .out();
    assert_eq!(below(i32::try_from(launcher.pid().await.unwrap()).unwrap()), []);
    launcher.close().await.unwrap();
}
