//! A Debian system, as mmdebstrap makes it: users, packages and files are the same in containers and in the sandbox.

use hm_vm::{MachineRequest, Network, SandboxBackend, SandboxSettings, VmBackend};

use crate::engine;
use crate::ground::{Ground, run};

/// The set-user-id program is only looked at: steps in the sandbox gain nothing by one (`no_new_privs`).
const STEPS: [&str; 3] = [
    "getent hosts $(hostname)
    useradd --create-home --uid 1234 builder
    su builder -c 'id -un; id -u; echo mine > ~/f; mkdir -m 700 ~/d'
    stat -c '%n %U %G %a %F' /home/builder/f /home/builder/d
    su nobody -s /bin/sh -c 'ls /home/builder/d' 2> /dev/null || echo refused",
    "mkdir -p /opt/p/DEBIAN /opt/p/usr/share/small
    echo told > /opt/p/usr/share/small/f
    printf 'Package: small\\nVersion: 1\\nArchitecture: all\\nMaintainer: m\\nDescription: d\\n' > /opt/p/DEBIAN/control
    dpkg-deb --build --root-owner-group /opt/p /opt/small.deb > /dev/null
    dpkg --install /opt/small.deb > /dev/null 2> /opt/log || cat /opt/log
    dpkg-query --show small; apt-mark showmanual | wc -l
    install -m 4755 /usr/bin/id /opt/suid; ln /opt/suid /opt/hard; mkfifo /opt/fifo; chmod 3777 /opt/p
    touch -d '2001-02-03 04:05:06' /opt/old; ln -s /no/such /opt/dangling; rm -r /usr/share/doc",
    "stat -c '%n %U %a %h %F' /opt/* /usr/share/doc 2>&1; stat -c %Y /opt/old; cat /usr/share/small/f
    dpkg-query --show --showformat '${db:Status-Status}\\n' small; su builder -c 'cat ~/f'
    dpkg --purge small > /dev/null; ls /usr/share/small 2> /dev/null || echo purged",
];

/// What each step wrote, on machines of which each is made from the snapshot of the one before.
async fn written(backend: &dyn VmBackend, image: &str) -> Vec<(i32, String, String)> {
    let image = backend.resolve_image(image).await.unwrap();
    let asked = MachineRequest {
        network: Network::None,
        ..MachineRequest::default()
    };
    let mut all = Vec::new();
    let mut last = None;
    for step in STEPS {
        let mut machine = match &last {
            None => backend.create(&image, &asked).await.unwrap(),
            Some(parent) => backend.restore(parent, &asked).await.unwrap(),
        };
        let ran = run(&mut *machine, step).await;
        all.push((ran.exit, ran.out_text(), ran.err_text()));
        last = Some(machine.snapshot().await.unwrap());
        machine.close().await.unwrap();
    }
    all
}

pub(super) async fn is_the_same_in_the_sandbox(ground: &Ground) {
    let name = engine::debian().await;
    let by_docker = written(&*ground.backend, name).await;
    let settings = SandboxSettings::new(ground.store.clone());
    let sandbox = SandboxBackend::new(settings).with_engine(engine::address());
    let by_sandbox = written(&sandbox, &format!("docker-daemon:{name}")).await;
    sandbox.close().await.unwrap();
    assert_eq!(by_docker, by_sandbox);
    for (number, expected) in [
        (
            0,
            "127.0.1.1       hm\nbuilder\n1234\n/home/builder/f builder builder 644 regular file\n/home/builder/d builder builder 700 directory\nrefused\n",
        ),
        (2, "installed\nmine\npurged\n"),
    ] {
        let (exit, out, err) = &by_docker[number];
        assert!(
            *exit == 0 && out.ends_with(expected) && err.is_empty(),
            "{by_docker:#?}"
        );
    }
    assert!(
        by_docker[2].1.contains("/opt/suid root 4755 2 regular file\n"),
        "{by_docker:#?}"
    );
}
