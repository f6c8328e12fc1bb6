//! What `/proc`, `/sys` and an image `host` show, and what can be written there.

use std::fs;

use hm_sandbox::{HostView, Launcher, LauncherSettings};
use libtest_mimic::Trial;

use crate::support::{run, test};
use crate::world::World;

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        test("view::kernel_settings_can_not_be_written", settings),
        test("view::what_tells_about_the_host_is_masked", masked),
        test("view::no_control_group_is_seen_or_changed", control_groups),
        test("view::the_hosts_private_folders_are_hidden", private_folders),
    ]
}

async fn settings() {
    let world = World::new().await;
    // What would be written is what is there, or does nothing, so that a success does no harm.
    let attacks = [
        "echo x > /proc/sysrq-trigger",
        "cat /proc/sys/kernel/core_pattern > /proc/sys/kernel/core_pattern",
        "cat /proc/sys/kernel/modprobe > /proc/sys/kernel/modprobe",
        "cat /proc/sys/vm/swappiness > /proc/sys/vm/swappiness",
        "cat /proc/irq/default_smp_affinity > /proc/irq/default_smp_affinity",
        // To open it is enough: it takes one of the words that it shows.
        ": >> /sys/kernel/mm/transparent_hugepage/defrag",
        "cat /sys/kernel/uevent_helper > /sys/kernel/uevent_helper",
        "mount -o remount,rw /proc/sys",
        "mount -o remount,rw /sys",
    ];
    for attack in attacks {
        assert_ne!(world.shell(&format!("({attack})")).await.code(), 0, "{attack}");
    }
}

async fn masked() {
    let world = World::new().await;
    for file in [
        "kcore",
        "keys",
        "latency_stats",
        "timer_list",
        "sched_debug",
        "interrupts",
    ] {
        let command = format!("if [ -e /proc/{file} ]; then head -c 1 /proc/{file}; fi");
        assert_eq!(world.shell(&command).await.out(), "", "{file}");
    }
    for folder in [
        "/proc/acpi",
        "/proc/scsi",
        "/proc/asound",
        "/sys/firmware",
        "/sys/devices/virtual/powercap",
    ] {
        let command = format!("if [ -e {folder} ]; then ls -A {folder}; ! mkdir {folder}/x 2>/dev/null; fi");
        assert_eq!(world.shell(&command).await.out(), "", "{folder}");
    }
}

async fn control_groups() {
    let world = World::new().await;
    assert_ne!(
        world
            .shell("mkdir /cg && mount -t cgroup -o pids cgroup /cg")
            .await
            .code(),
        0
    );
    let command = "find /sys/fs/cgroup -name release_agent -o -name cgroup.procs -o -name notify_on_release 2>/dev/null \
                   | while read f; do { : >> $f; } 2>/dev/null && echo $f; done; true";
    assert_eq!(world.shell(command).await.out(), "");
    assert_eq!(world.shell("ls -A /sys/fs/cgroup").await.out(), "");
}

/// What most hosts have some of.
const KEPT: &str = "/etc/docker /etc/kubernetes /etc/letsencrypt /etc/security/opasswd /etc/sudoers /var/backups \
                    /var/cache/debconf/passwords.dat /var/lib/docker /var/lib/jenkins /var/lib/mysql /var/lib/postgresql";

async fn private_folders() {
    let world = World::new().await;
    let secret = world.bench.path("secret");
    fs::write(&secret, "secret").unwrap();
    let host_view = Some(HostView {
        dir: world.bench.path("view"),
        hidden: vec![world.bench.path("")],
        home: None,
        expose: vec![],
    });
    let launcher = Launcher::start(LauncherSettings {
        host_view,
        ..LauncherSettings::default()
    })
    .await
    .unwrap();
    let mut machine = world.machine.clone();
    machine.lower.clear();
    machine.host_root = true;
    let command = format!(
        "ls -A /root /home /mnt /srv | grep -v ':$' | grep -v '^$'; cat /etc/shadow /etc/gshadow {} 2>/dev/null; \
         for kept in {KEPT}; do if [ -d $kept ]; then ls -A $kept; elif [ -e $kept ]; then cat $kept; fi; done 2>/dev/null; true",
        secret.display()
    );
    assert_eq!(run(&launcher, &machine, &command).await.out(), "");
    launcher.close().await.unwrap();
}
