//! These tests below systemd with control groups of version 2, as root and as an ordinary user, each in a scope that
//! systemd leaves to them.

use std::path::Path;

use libtest_mimic::Trial;

use crate::debian_system::DebianSystem;
use crate::support::root_test;

pub(crate) fn tests() -> Vec<Trial> {
    vec![root_test("systemd::limits_hold_in_delegated_scopes", in_scopes)]
}

async fn in_scopes() {
    let Some(system) = DebianSystem::new(Path::new(env!("CARGO_TARGET_TMPDIR"))) else {
        return;
    };
    let folder = tempfile::Builder::new().prefix("hms-").tempdir().unwrap();
    let program = std::env::current_exe().unwrap();
    let said = system.run(
        folder.path(),
        &format!(
            "cp /host{} /usr/bin/trials; loginctl enable-linger ann
             systemd-run --scope -p Delegate=yes trials limits:: --color never
             systemctl start user@1000
             runuser -u ann -- env XDG_RUNTIME_DIR=/run/user/1000 \\
                 systemd-run --user --scope -p Delegate=yes trials owned_groups:: --color never
             echo groups left: $(find /sys/fs/cgroup -name 'hm*-*' | wc -l)",
            program.display()
        ),
    );
    assert_eq!(said.matches("test result: ok.").count(), 2, "{said}");
    assert!(
        said.contains("test result: ok. 4 passed; 0 failed; 0 ignored"),
        "{said}"
    );
    assert!(said.contains("groups left: 0\n"), "{said}");
}
