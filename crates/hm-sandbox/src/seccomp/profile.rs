//! The profile as data.

use std::collections::BTreeMap;

use libc::c_long;

/// What becomes of a system call; one without a rule is allowed. Arguments count from 0, and it is their lower half
/// that is looked at, as the kernel does in these calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Rule {
    /// EPERM.
    Refused,
    /// ENOSYS.
    Unknown,
    /// Refused where the argument has one of these bits.
    RefusedWithBits(u32, u32),
    /// Refused where the argument is one of these.
    RefusedFor(u32, &'static [u32]),
    /// Refused where the argument is none of these.
    RefusedBut(u32, &'static [u32]),
}

/// Rules by the number of the call. Above [`LAST_REVIEWED`] all are unknown.
pub(super) type Rules = BTreeMap<u32, Rule>;

/// The calls of this architecture.
pub(super) fn native() -> Rules {
    let special = [
        (libc::SYS_clone3, CLONE3),
        (libc::SYS_clone, CLONE),
        (libc::SYS_ioctl, IOCTL),
        (libc::SYS_socket, SOCKET),
        (libc::SYS_socketpair, SOCKET),
        (libc::SYS_personality, PERSONALITY),
    ];
    let denied = DENIED.iter().map(|number| (*number, Rule::Refused));
    denied
        .chain(special)
        .map(|(number, rule)| (u32::try_from(number).unwrap_or(u32::MAX), rule))
        .collect()
}

/// Its flags lie in memory, where no filter can look at them. Programs fall back to clone(2).
const CLONE3: Rule = Rule::Unknown;
const CLONE: Rule = Rule::RefusedWithBits(0, NAMESPACE_FLAGS.unsigned_abs());
const IOCTL: Rule = Rule::RefusedFor(1, &TYPING_REQUESTS);
const SOCKET: Rule = Rule::RefusedBut(0, &SOCKET_FAMILIES);
const PERSONALITY: Rule = Rule::RefusedBut(0, &PERSONALITIES);

/// The calls of 32-bit programs (`arch/x86/entry/syscalls/syscall_32.tbl`).
#[cfg(target_arch = "x86_64")]
pub(super) fn of_32_bits() -> Rules {
    let special = [
        (435, CLONE3),
        (120, CLONE),
        (54, IOCTL),
        (359, SOCKET),
        (360, SOCKET),
        (136, PERSONALITY),
    ];
    let denied = DENIED_OF_32_BITS.iter().map(|number| (*number, Rule::Refused));
    denied.chain(special).collect()
}

/// What [`DENIED`] has, by its numbers in 32-bit programs, and what only these have.
#[cfg(target_arch = "x86_64")]
const DENIED_OF_32_BITS: &[u32] = &[
    127, // create_module
    128, // init_module
    129, // delete_module
    167, // query_module
    350, // finit_module
    283, // kexec_load
    357, // bpf
    88,  // reboot
    25,  // stime
    79,  // settimeofday
    264, // clock_settime
    404, // clock_settime64
    87,  // swapon
    115, // swapoff
    103, // syslog
    51,  // acct
    336, // perf_event_open
    111, // vhangup
    460, // lsm_set_self_attr
    21,  // mount
    22,  // umount
    52,  // umount2
    217, // pivot_root
    428, // open_tree
    467, // open_tree_attr
    429, // move_mount
    430, // fsopen
    431, // fsconfig
    432, // fsmount
    433, // fspick
    442, // mount_setattr
    131, // quotactl
    443, // quotactl_fd
    310, // unshare
    346, // setns
    74,  // sethostname
    121, // setdomainname
    342, // open_by_handle_at
    338, // fanotify_init
    286, // add_key
    287, // request_key
    288, // keyctl
    274, // mbind
    276, // set_mempolicy
    450, // set_mempolicy_home_node
    275, // get_mempolicy
    294, // migrate_pages
    317, // move_pages
    374, // userfaultfd
    425, // io_uring_setup
    426, // io_uring_enter
    427, // io_uring_register
    349, // kcmp
    438, // pidfd_getfd
    440, // process_madvise
    110, // iopl
    101, // ioperm
    86,  // uselib
    62,  // ustat
    135, // sysfs
    113, // vm86old
    166, // vm86
    // socketcall: the family lies in memory, so it would be a way around the rule about families, also for 64-bit
    // programs. The calls it stands for are there under numbers of their own.
    102,
];

/// The last system call that the profile was reviewed for: `file_setattr` of Linux 6.17. Numbers from 424 on are the
/// same on every architecture.
pub(super) const LAST_REVIEWED: u32 = 469;

// Numbers that libc has no name for.
const LSM_SET_SELF_ATTR: c_long = 460;
const OPEN_TREE_ATTR: c_long = 467;

/// Refused whatever the arguments are.
const DENIED: &[c_long] = &[
    // The kernel itself: modules, another kernel, programs inside it, its clock, its log, its swap, its counters.
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_kexec_file_load,
    libc::SYS_bpf,
    libc::SYS_reboot,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_syslog,
    libc::SYS_acct,
    libc::SYS_perf_event_open,
    libc::SYS_vhangup,
    LSM_SET_SELF_ATTR,
    // Mounts and quotas.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_open_tree,
    OPEN_TREE_ATTR,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    // Namespaces; clone(2) is looked at more closely.
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    // Files that are reached past the root.
    libc::SYS_open_by_handle_at,
    libc::SYS_fanotify_init,
    // Keyrings: no namespace divides them.
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    // Placement of memory, by which a step could get in others' way.
    libc::SYS_mbind,
    libc::SYS_set_mempolicy,
    libc::SYS_set_mempolicy_home_node,
    libc::SYS_get_mempolicy,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
    // What kernel exploits are built with and builds do without.
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    libc::SYS_process_madvise,
    // What no other architecture ever had.
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_uselib,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ustat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_sysfs,
];

/// Bits of the first argument of clone(2), each of which makes a namespace.
const NAMESPACE_FLAGS: libc::c_int = libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET;

/// Requests of ioctl(2) that type into somebody's terminal.
const TYPING_REQUESTS: [u32; 2] = [TIOCSTI, TIOCLINUX];
const TIOCSTI: u32 = 0x5412;
const TIOCLINUX: u32 = 0x541C;

/// The only socket families: all others are rarely used and often broken code of the kernel, or speak to the
/// hypervisor (vsock).
const SOCKET_FAMILIES: [u32; 5] = [
    libc::AF_UNIX.unsigned_abs(),
    libc::AF_INET.unsigned_abs(),
    libc::AF_INET6.unsigned_abs(),
    libc::AF_NETLINK.unsigned_abs(),
    libc::AF_PACKET.unsigned_abs(),
];

/// Execution domains: Linux with and without `UNAME26`, 32 bits (`linux32`), no randomised addresses as gdb and
/// sanitizers ask for, and the question which one it is.
const PERSONALITIES: [u32; 6] = [0, 0x0002_0000, 0x0008, 0x0002_0008, 0x0004_0000, 0xffff_ffff];
