//! System calls.

use std::ffi::CString;
use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use hm_sandbox::Bind;
use libtest_mimic::Trial;

use crate::attack::hold_key;
use crate::support::{run_with, test};
use crate::world::World;

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        test("kernel::mounts_are_refused", mounts),
        test("kernel::namespaces_are_refused", namespaces),
        test("kernel::an_unreviewed_call_is_unknown", unknown),
        #[cfg(target_arch = "x86_64")]
        test("kernel::calls_of_32_bit_programs_are_no_way_around", of_32_bits),
        #[cfg(target_arch = "x86_64")]
        test("kernel::programs_of_32_bits_run", programs_of_32_bits),
        test("kernel::the_kernel_is_not_for_steps_to_change", changes),
        test("kernel::keyrings_are_closed", keyrings),
        test("kernel::the_callers_keys_are_out_of_reach", session_keyring),
        test("kernel::files_by_handle_are_refused", handles),
        test("kernel::nobody_types_into_a_terminal", typing),
        test("kernel::rare_sockets_are_refused", sockets),
        test("kernel::rare_personalities_are_refused", personalities),
        test(
            "kernel::abstract_sockets_of_the_host_are_out_of_reach",
            abstract_sockets,
        ),
        test("kernel::the_status_tells_what_holds", status),
    ]
}

/// Every call is refused. The arguments are such that it would fail otherwise, or do no harm, if it were not.
async fn refused(calls: &[(libc::c_long, &[i64])]) {
    let world = World::new().await;
    for (number, arguments) in calls {
        assert_eq!(world.call(*number, arguments).await, "EPERM", "system call {number}");
    }
}

async fn mounts() {
    refused(&[
        (libc::SYS_mount, &[]),
        (libc::SYS_umount2, &[]),
        (libc::SYS_pivot_root, &[]),
        (libc::SYS_fsopen, &[]),
        (libc::SYS_fsmount, &[-1]),
        (libc::SYS_open_tree, &[-1]),
        (libc::SYS_move_mount, &[-1]),
        (libc::SYS_mount_setattr, &[-1]),
    ])
    .await;
    let world = World::new().await;
    assert_ne!(world.shell("mount -t tmpfs none /tmp").await.code(), 0);
    assert_ne!(world.shell("umount /proc/keys").await.code(), 0);
}

async fn namespaces() {
    let child = i64::from(libc::SIGCHLD);
    refused(&[
        (libc::SYS_unshare, &[i64::from(libc::CLONE_NEWUSER)]),
        (libc::SYS_unshare, &[i64::from(libc::CLONE_NEWNS)]),
        (libc::SYS_clone, &[i64::from(libc::CLONE_NEWUSER) | child]),
        (libc::SYS_clone, &[i64::from(libc::CLONE_NEWNET) | child]),
        (libc::SYS_setns, &[-1]),
        (libc::SYS_sethostname, &[]),
    ])
    .await;
    let world = World::new().await;
    assert_eq!(world.call(libc::SYS_clone3, &[]).await, "ENOSYS");
}

async fn unknown() {
    let world = World::new().await;
    // The x32 number of getpid(2), which would go around rules about the ordinary numbers.
    assert_eq!(world.call(0x4000_0000 + libc::SYS_getpid, &[]).await, "ENOSYS");
    assert_eq!(world.call(470, &[]).await, "ENOSYS");
}

#[cfg(target_arch = "x86_64")]
async fn of_32_bits() {
    if !crate::program32::runs_here() {
        return;
    }
    let world = World::new().await;
    let child = i64::from(libc::SIGCHLD);
    let calls: [(u32, &[i64]); 12] = [
        // mount, umount, umount2
        (21, &[]),
        (22, &[]),
        (52, &[]),
        // unshare, clone
        (310, &[i64::from(libc::CLONE_NEWUSER)]),
        (120, &[i64::from(libc::CLONE_NEWUSER) | child]),
        // bpf, open_by_handle_at, keyctl
        (357, &[-1]),
        (342, &[-1]),
        (288, &[0, -3, 1]),
        // ioctl TIOCSTI
        (54, &[0, 0x5412]),
        // socket; socketcall, which could hide the family
        (359, &[i64::from(libc::AF_ALG), 5]),
        (102, &[1]),
        // personality
        (136, &[6]),
    ];
    for (number, arguments) in calls {
        assert_eq!(world.call32(number, arguments).await, "EPERM", "system call {number}");
    }
    assert_eq!(world.call32(435, &[]).await, "ENOSYS");
    assert_eq!(world.call32(359, &[i64::from(libc::AF_UNIX), 1]).await, "ok");
    // getpid
    assert_eq!(world.call32(20, &[]).await, "ok");
}

#[cfg(target_arch = "x86_64")]
async fn programs_of_32_bits() {
    if !crate::program32::runs_here() {
        return;
    }
    let world = World::new().await;
    crate::program32::write(&world.bench.path("image/small"));
    let code = world.shell("/small").await.code();
    assert_eq!(code, i32::from(crate::program32::EXIT_CODE));
}

async fn changes() {
    refused(&[
        (libc::SYS_bpf, &[-1]),
        (libc::SYS_perf_event_open, &[]),
        (libc::SYS_init_module, &[]),
        (libc::SYS_finit_module, &[-1]),
        (libc::SYS_delete_module, &[]),
        (libc::SYS_kexec_load, &[0, 0, 0, -1]),
        // No magic numbers.
        (libc::SYS_reboot, &[]),
        (libc::SYS_swapon, &[]),
        (libc::SYS_syslog, &[-1]),
        (libc::SYS_acct, &[1]),
        (libc::SYS_userfaultfd, &[-1]),
        (libc::SYS_io_uring_setup, &[]),
    ])
    .await;
}

async fn keyrings() {
    refused(&[
        (libc::SYS_keyctl, &[0, -3, 1]),
        (libc::SYS_add_key, &[]),
        (libc::SYS_request_key, &[]),
    ])
    .await;
    let world = World::new().await;
    assert_eq!(world.shell("cat /proc/keys /proc/key-users").await.out(), "");
}

/// The file shows the keys that its reader has, also from outside of the machine.
async fn session_keyring() {
    let name = format!("hm-escape-{}", std::process::id());
    let c_name = CString::new(name.clone()).unwrap();
    if hold_key(&c_name).is_none() {
        return;
    }
    assert!(fs::read_to_string("/proc/keys").unwrap().contains(&name));
    let world = World::new().await;
    let done = run_with(&world.launcher, &world.machine, "cat /keys", |request| {
        request.binds.push(Bind {
            source: "/proc/keys".into(),
            target: "/keys".into(),
            read_only: true,
        });
    });
    let seen = done.await.out();
    assert!(!seen.contains(&name), "{seen}");
}

async fn handles() {
    refused(&[(libc::SYS_open_by_handle_at, &[-1]), (libc::SYS_fanotify_init, &[-1])]).await;
}

async fn typing() {
    // The standard input is /dev/null, for which this is no request at all.
    refused(&[
        (libc::SYS_ioctl, &[0, 0x5412]),
        (libc::SYS_ioctl, &[0, 0x541C]),
        // The kernel looks at the lower half only.
        (libc::SYS_ioctl, &[0, 0x1_0000_5412]),
    ])
    .await;
}

async fn sockets() {
    refused(&[
        (libc::SYS_socket, &[i64::from(libc::AF_VSOCK), 1]),
        (libc::SYS_socket, &[i64::from(libc::AF_ALG), 5]),
        (libc::SYS_socketpair, &[i64::from(libc::AF_TIPC), 1]),
    ])
    .await;
    let world = World::new().await;
    assert_eq!(world.call(libc::SYS_socket, &[i64::from(libc::AF_UNIX), 1]).await, "ok");
}

async fn personalities() {
    refused(&[(libc::SYS_personality, &[6])]).await;
    let world = World::new().await;
    assert_eq!(world.call(libc::SYS_personality, &[8]).await, "ok");
}

async fn abstract_sockets() {
    let name = format!("hm-escape-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let _listener = UnixListener::bind_addr(&address).unwrap();
    let world = World::new().await;
    assert_eq!(world.attack(&["connect", &name]).await, "EPERM");
}

async fn status() {
    let world = World::new().await;
    let command = "grep -E '^(CapInh|CapPrm|CapEff|CapBnd|CapAmb|NoNewPrivs|Seccomp):' /proc/self/status";
    let text = world.shell(command).await.out();
    let words: Vec<&str> = text.split_whitespace().collect();
    // Docker's default capabilities, which are 0xa80425fb, without MKNOD.
    let (none, kept) = ("0000000000000000", "00000000a00425fb");
    assert_eq!(
        words,
        [
            "CapInh:",
            none,
            "CapPrm:",
            kept,
            "CapEff:",
            kept,
            "CapBnd:",
            kept,
            "CapAmb:",
            none,
            "NoNewPrivs:",
            "1",
            "Seccomp:",
            "2"
        ]
    );
}
