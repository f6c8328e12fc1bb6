//! Processes, devices and files of the host.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use hm_sandbox::ExitStatus;
use libtest_mimic::Trial;

use crate::attack::{PLACE, forget_memory, share_memory};
use crate::support::{root_test, start_until_ready, test};
use crate::world::World;

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        test("host::processes_are_out_of_reach", processes),
        test("host::the_machines_first_process_is_out_of_reach", first_process),
        test("host::killing_everything_kills_nobody_else", siblings),
        test("host::raw_devices_can_not_be_made", devices),
        test("host::no_descriptor_is_left_open", descriptors),
        test("host::links_and_dots_stay_inside", links),
        test("host::a_second_chroot_does_not_lead_out", chroot),
        test("host::shared_memory_is_out_of_reach", shared_memory),
        root_test("host::set_user_id_files_give_nothing", set_user_id),
    ]
}

async fn processes() {
    let world = World::new().await;
    let victim = i64::from(std::process::id());
    assert_eq!(world.call(libc::SYS_kill, &[victim, 0]).await, "ESRCH");
    let attach = i64::from(libc::PTRACE_ATTACH);
    assert_eq!(world.call(libc::SYS_ptrace, &[attach, victim]).await, "ESRCH");
    let seen = world.shell("ls /proc | grep -c '^[0-9]'").await.out();
    assert!(seen.trim().parse::<u32>().unwrap() <= 5, "{seen}");
}

async fn first_process() {
    let world = World::new().await;
    for look in [
        "cat /proc/1/mem",
        "cat /proc/1/environ",
        "ls /proc/1/root/",
        "readlink /proc/1/exe",
    ] {
        assert_ne!(world.shell(&format!("{look} 2>/dev/null")).await.code(), 0, "{look}");
    }
    // Last, because it would stop the machine.
    let attach = i64::from(libc::PTRACE_ATTACH);
    assert_eq!(world.call(libc::SYS_ptrace, &[attach, 1]).await, "EPERM");
}

async fn siblings() {
    let world = World::new().await;
    let other = world.bench.machine();
    let (mut running, _output) = start_until_ready(&world.launcher, &other, "echo ready; exec sleep 1000").await;
    world.shell("kill -9 -1 2>/dev/null; true").await.out();
    running.terminate().await.unwrap();
    assert_eq!(running.wait().await.unwrap().status, ExitStatus::Signal(libc::SIGTERM));
}

async fn devices() {
    let world = World::new().await;
    for node in ["b 254 0", "b 8 0", "c 1 1", "c 1 11"] {
        assert_ne!(world.shell(&format!("mknod /node {node}")).await.code(), 0, "{node}");
        assert_ne!(
            world.shell(&format!("mknod /dev/node {node}")).await.code(),
            0,
            "{node}"
        );
    }
    assert_eq!(world.shell("find /dev -type b").await.out(), "");
    assert_eq!(
        world
            .shell("cd /dev; ls -d mem kmem port kmsg vd* sd* loop* 2>/dev/null; true")
            .await
            .out(),
        ""
    );
}

async fn descriptors() {
    // One that its owner forgot to close on exec.
    let null = fs::File::open("/dev/null").unwrap();
    let inherited = rustix::io::fcntl_dupfd_cloexec(&null, 30).unwrap();
    rustix::io::fcntl_setfd(&inherited, rustix::io::FdFlags::empty()).unwrap();
    let world = World::new().await;
    // The fourth is the folder that is listed.
    assert_eq!(world.shell("ls /proc/self/fd").await.out(), "0\n1\n2\n3\n");
}

async fn links() {
    let world = World::new().await;
    let folder = world.bench.path("victim");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    fs::write(folder.join("file"), "safe").unwrap();
    let name = folder.display();
    let command = format!(
        "ln -s {name} /workspace/absolute; ln -s ../../../../../../..{name} /workspace/dots; \
         for way in /workspace/absolute /workspace/dots ../../../../../../../..{name}; do \
           echo broken > $way/file; cat $way/file; done 2>/dev/null; true"
    );
    assert_eq!(world.shell(&command).await.out(), "");
    assert_eq!(fs::read_to_string(folder.join("file")).unwrap(), "safe");
}

async fn chroot() {
    let world = World::new().await;
    let folder = world.bench.path("outside");
    fs::create_dir(&folder).unwrap();
    let found = world.attack(&["climb", folder.to_str().unwrap()]).await;
    assert_eq!(found, "ENOENT");
    assert_eq!(world.attack(&["climb", PLACE]).await, "ok");
}

async fn shared_memory() {
    let key = i32::try_from(std::process::id()).unwrap();
    let id = share_memory(key);
    let world = World::new().await;
    let found = world.call(libc::SYS_shmget, &[i64::from(key), 0, 0]).await;
    forget_memory(id);
    assert_eq!(found, "ENOENT");
}

async fn set_user_id() {
    let world = World::new().await;
    let program = world.bench.path("image/attack");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o6755)).unwrap();
    let user = world.attack_with(&["user"], |request| {
        request.binds.retain(|bind| bind.target != Path::new(PLACE));
        request.uid = 1000;
        request.gid = 1000;
    });
    assert_eq!(user.await, "1000 1000");
}
