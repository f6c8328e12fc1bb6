//! What a step of root has, beside what Docker gives a container by default (moby `daemon/pkg/oci`: `caps/defaults.go`,
//! `defaults.go`).

use libtest_mimic::Trial;

use crate::support::{Bench, launcher, root_test, run};

/// `CapBnd` of a container without options.
const CAPABILITIES: u64 = 0xa804_25fb;

const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

const READ_ONLY: [&str; 6] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
    "/sys",
];

const NAMESPACES: [&str; 4] = ["ipc", "mnt", "pid", "uts"];

pub(crate) fn tests() -> Vec<Trial> {
    vec![root_test(
        "docker_default::a_step_has_no_more_than_a_container",
        compare,
    )]
}

async fn compare() {
    let (bench, launcher) = (Bench::new(), launcher().await);
    let command = format!(
        "awk '/^(CapBnd|NoNewPrivs|Seccomp):/ {{ print $2 }}' /proc/self/status
         for path in {}; do [ -z \"$(cat $path 2>/dev/null; ls -A $path/ 2>/dev/null)\" ] || echo shown $path; done
         for path in {}; do [ ! -e $path ] || awk -v p=$path '$5 == p && $6 ~ /^ro/ {{ n = 1 }} END {{ exit !n }}' /proc/self/mountinfo || echo writable $path; done
         for name in {}; do readlink /proc/self/ns/$name; done
         ls /dev",
        MASKED.join(" "),
        READ_ONLY.join(" "),
        NAMESPACES.join(" "),
    );
    let out = run(&launcher, &bench.machine(), &command).await.out();
    let lines: Vec<&str> = out.lines().collect();
    let (status, rest) = lines.split_at(3);
    let capabilities = u64::from_str_radix(status[0], 16).unwrap();
    assert_eq!(capabilities & !CAPABILITIES, 0, "{capabilities:x}");
    // A container of Docker may gain privileges by set-user-id programs; a step may not. Mode 2 is a filter.
    assert_eq!(status[1..], ["1", "2"]);
    let (namespaces, devices) = rest.split_at(NAMESPACES.len());
    for (name, own) in NAMESPACES.iter().zip(namespaces) {
        let host = std::fs::read_link(format!("/proc/self/ns/{name}")).unwrap();
        assert!(own.starts_with(name) && *own != host.to_str().unwrap(), "{out}");
    }
    let of_docker = "fd full null ptmx pts random shm stderr stdin stdout tty urandom zero";
    assert_eq!(devices.join(" "), of_docker);
}
