//! The attacker: `/attack call NUMBER ARGUMENT…` makes a system call, `/attack call32 …` one of 32-bit programs; `/attack connect NAME` connects to an abstract
//! socket, `/attack connect-to PATH` to one with a path; `/attack climb PATH` leaves a second chroot and looks for a path; `/attack user` tells whose
//! rights it has. Prints `ok` or the name of the error.
#![expect(unsafe_code, reason = "an attack is a raw system call")]

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::process::ExitCode;

/// Where the program lies in a machine.
pub(crate) const PLACE: &str = "/attack";

pub(crate) fn run_if_requested() -> Option<ExitCode> {
    let arguments: Vec<String> = std::env::args().collect();
    let [program, kind, rest @ ..] = arguments.as_slice() else {
        return None;
    };
    if program != PLACE {
        return None;
    }
    let result = match (kind.as_str(), rest) {
        ("call", [number, arguments @ ..]) => call(number.parse().unwrap(), arguments),
        #[cfg(target_arch = "x86_64")]
        ("call32", [number, arguments @ ..]) => call_of_32_bits(number.parse().unwrap(), arguments),
        ("connect", [name]) => connect(name),
        ("connect-to", [path]) => UnixStream::connect(path).map(drop),
        ("climb", [path]) => climb(path),
        ("user", []) => {
            let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
            println!("{} {}", user.as_raw(), group.as_raw());
            return Some(ExitCode::SUCCESS);
        }
        _ => return Some(ExitCode::FAILURE),
    };
    match result {
        Ok(()) => println!("ok"),
        Err(error) => println!("{}", name(&error)),
    }
    Some(ExitCode::SUCCESS)
}

fn call(number: libc::c_long, arguments: &[String]) -> io::Result<()> {
    let mut values = [0_i64; 4];
    for (value, argument) in values.iter_mut().zip(arguments) {
        *value = argument.parse().unwrap();
    }
    let [first, second, third, fourth, ..] = values;
    // SAFETY: tests pass numbers that are no addresses of this process, so the kernel can write to none of it. A clone
    // shares no memory, and its child goes on with the line below as its parent does.
    match unsafe { libc::syscall(number, first, second, third, fourth, 0, 0) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// A call of 32-bit programs, which every program can make.
#[cfg(target_arch = "x86_64")]
fn call_of_32_bits(number: i32, arguments: &[String]) -> io::Result<()> {
    let mut values = [0_i64; 4];
    for (value, argument) in values.iter_mut().zip(arguments) {
        *value = argument.parse().unwrap();
    }
    let mut result = number;
    // SAFETY: as in `call`. The register of the first argument belongs to the compiler, so it is put back.
    unsafe {
        std::arch::asm!(
            "xchg rbx, {first}", "int 0x80", "xchg rbx, {first}",
            first = inout(reg) values[0] => _,
            inlateout("eax") result,
            in("rcx") values[1], in("rdx") values[2], in("rsi") values[3], in("rdi") 0_i64,
            lateout("r8") _, lateout("r9") _, lateout("r10") _, lateout("r11") _,
        );
    }
    if result < 0 {
        return Err(io::Error::from_raw_os_error(-result));
    }
    Ok(())
}

/// The classic way out of chroot(2): the working folder stays outside of the new root, and leads upwards from there.
fn climb(path: &str) -> io::Result<()> {
    std::fs::create_dir_all("/jail")?;
    std::os::unix::fs::chroot("/jail")?;
    for _ in 0..64 {
        std::env::set_current_dir("..")?;
    }
    std::os::unix::fs::chroot(".")?;
    std::fs::metadata(path).map(drop)
}

/// Makes shared memory of System V with this key for everybody; gives its id.
pub(crate) fn share_memory(key: i32) -> i32 {
    // SAFETY: takes no pointers.
    let id = unsafe { libc::shmget(key, 4096, libc::IPC_CREAT | 0o666) };
    assert_ne!(id, -1, "{}", io::Error::last_os_error());
    id
}

/// Removes shared memory.
pub(crate) fn forget_memory(id: i32) {
    // SAFETY: the kernel reads nothing for this command.
    unsafe { libc::shmctl(id, libc::IPC_RMID, std::ptr::null_mut()) };
}

/// Gives this thread a session keyring with a key that only who has the keyring can see. `None` where the kernel has no
/// keyrings or lets nobody use them here.
pub(crate) fn hold_key(name: &std::ffi::CStr) -> Option<()> {
    const SESSION: i64 = -3;
    const JOIN: i64 = 1;
    const SET_PERMISSIONS: i64 = 5;
    const POSSESSOR_ONLY: i64 = 0x3f00_0000;
    // SAFETY: the pointers are to strings that live longer than the calls, or null where that is allowed.
    unsafe {
        let joined = libc::syscall(libc::SYS_keyctl, JOIN, std::ptr::null::<libc::c_char>());
        let (kind, value) = (c"user", c"secret");
        let key = libc::syscall(
            libc::SYS_add_key,
            kind.as_ptr(),
            name.as_ptr(),
            value.as_ptr(),
            6_usize,
            SESSION,
        );
        let kept = libc::syscall(libc::SYS_keyctl, SET_PERMISSIONS, key, POSSESSOR_ONLY);
        (joined != -1 && key != -1 && kept != -1).then_some(())
    }
}

fn connect(name: &str) -> io::Result<()> {
    UnixStream::connect_addr(&SocketAddr::from_abstract_name(name)?).map(drop)
}

fn name(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EPERM) => "EPERM".to_owned(),
        Some(libc::ENOSYS) => "ENOSYS".to_owned(),
        Some(libc::ESRCH) => "ESRCH".to_owned(),
        Some(libc::ENOENT) => "ENOENT".to_owned(),
        _ => error.to_string(),
    }
}
