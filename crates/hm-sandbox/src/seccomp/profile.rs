//! The profile as data.

use libc::c_long;

/// The last system call that the profile was reviewed for: `file_setattr` of Linux 6.17. Numbers from 424 on are the
/// same on every architecture.
pub(super) const LAST_REVIEWED: u32 = 469;

// Numbers that libc has no name for.
const LSM_SET_SELF_ATTR: c_long = 460;
const OPEN_TREE_ATTR: c_long = 467;

/// Refused whatever the arguments are.
pub(super) const DENIED: &[c_long] = &[
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
pub(super) const NAMESPACE_FLAGS: [libc::c_int; 7] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];

/// Requests of ioctl(2) that type into somebody's terminal.
pub(super) const TYPING_REQUESTS: [u32; 2] = [TIOCSTI, TIOCLINUX];
const TIOCSTI: u32 = 0x5412;
const TIOCLINUX: u32 = 0x541C;

/// The only socket families: all others are rarely used and often broken code of the kernel, or speak to the
/// hypervisor (vsock).
pub(super) const SOCKET_FAMILIES: [libc::c_int; 5] = [
    libc::AF_UNIX,
    libc::AF_INET,
    libc::AF_INET6,
    libc::AF_NETLINK,
    libc::AF_PACKET,
];

/// Execution domains: Linux with and without `UNAME26`, 32 bits (`linux32`), no randomised addresses as gdb and
/// sanitizers ask for, and the question which one it is.
pub(super) const PERSONALITIES: [u32; 6] = [0, 0x0002_0000, 0x0008, 0x0002_0008, 0x0004_0000, 0xffff_ffff];
