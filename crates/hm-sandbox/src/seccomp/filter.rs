//! From the profile to programs for the kernel.

use std::collections::BTreeMap;
use std::env::consts::ARCH;

use libc::c_long;
use rustix::io::Errno;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, sock_filter,
};

use super::profile;

/// Where a program finds the number of the system call: `seccomp_data.nr` (seccomp(2)).
const NUMBER: u32 = 0;

/// The programs that a step runs under. Compiled once; installing them copies them into the kernel.
#[derive(Debug)]
pub(crate) struct Filters {
    unknown: BpfProgram,
    denied: BpfProgram,
}

impl Filters {
    pub(crate) fn compile() -> Result<Self, Errno> {
        Ok(Self {
            unknown: unknown_calls(),
            denied: denied_calls().map_err(|_| Errno::OPNOTSUPP)?,
        })
    }

    /// Puts this thread, and all it starts, under the filters for good. Needs `no_new_privs`.
    ///
    /// Of two filters that refuse a call the one installed last gives the error.
    pub(crate) fn install(&self) -> Result<(), Errno> {
        for program in [&self.unknown, &self.denied] {
            seccompiler::apply_filter(program).map_err(|error| match error {
                seccompiler::Error::Prctl(error) | seccompiler::Error::Seccomp(error) => {
                    Errno::from_io_error(&error).unwrap_or(Errno::IO)
                }
                seccompiler::Error::Backend(_)
                | seccompiler::Error::EmptyFilter
                | seccompiler::Error::ThreadSync(_) => Errno::IO,
            })?;
        }
        Ok(())
    }
}

/// ENOSYS for what the profile does not know, so that programs fall back to an older call. This takes in the x32
/// numbers, which have bit 30 set. clone3(2) is among them: its flags lie in memory, where no filter can look at them.
fn unknown_calls() -> BpfProgram {
    let load_number = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    let jump_if_greater = libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K;
    let jump_if_equal = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    let clone3 = u32::try_from(libc::SYS_clone3).unwrap_or(u32::MAX);
    let return_enosys = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs();
    vec![
        instruction(load_number, NUMBER, 0, 0),
        instruction(jump_if_greater, profile::LAST_REVIEWED, 2, 0),
        instruction(jump_if_equal, clone3, 1, 0),
        instruction(libc::BPF_RET, libc::SECCOMP_RET_ALLOW, 0, 0),
        instruction(libc::BPF_RET, return_enosys, 0, 0),
    ]
}

fn instruction(code: u32, k: u32, jump_if_true: u8, jump_if_false: u8) -> sock_filter {
    sock_filter {
        // All codes are below 256.
        code: u16::try_from(code).unwrap_or(u16::MAX),
        jt: jump_if_true,
        jf: jump_if_false,
        k,
    }
}

/// EPERM for what the profile denies. Programs of another architecture, whose numbers mean other calls, are ended.
fn denied_calls() -> Result<BpfProgram, BackendError> {
    let mut rules: BTreeMap<c_long, Vec<SeccompRule>> =
        profile::DENIED.iter().map(|number| (*number, Vec::new())).collect();
    let namespaces = profile::NAMESPACE_FLAGS
        .iter()
        .map(|flag| {
            let flag = u64::from(flag.unsigned_abs());
            rule([(0, SeccompCmpOp::MaskedEq(flag), flag)])
        })
        .collect::<Result<_, _>>()?;
    rules.insert(libc::SYS_clone, namespaces);
    let typing = profile::TYPING_REQUESTS
        .iter()
        .map(|request| rule([(1, SeccompCmpOp::Eq, u64::from(*request))]))
        .collect::<Result<_, _>>()?;
    rules.insert(libc::SYS_ioctl, typing);
    let families = profile::SOCKET_FAMILIES.map(|family| (0, SeccompCmpOp::Ne, u64::from(family.unsigned_abs())));
    rules.insert(libc::SYS_socket, vec![rule(families.clone())?]);
    rules.insert(libc::SYS_socketpair, vec![rule(families)?]);
    let personalities = profile::PERSONALITIES.map(|persona| (0, SeccompCmpOp::Ne, u64::from(persona)));
    rules.insert(libc::SYS_personality, vec![rule(personalities)?]);
    let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    SeccompFilter::new(rules, SeccompAction::Allow, refuse, TargetArch::try_from(ARCH)?)?.try_into()
}

/// All of the conditions (argument, comparison, value), on the lower half of the argument, which is all that the kernel
/// looks at in these calls.
fn rule<const COUNT: usize>(conditions: [(u8, SeccompCmpOp, u64); COUNT]) -> Result<SeccompRule, BackendError> {
    let conditions = conditions
        .into_iter()
        .map(|(argument, operator, value)| SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value))
        .collect::<Result<_, _>>()?;
    SeccompRule::new(conditions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profile_is_reviewed_as_far_as_it_says() {
        let last = c_long::from(profile::LAST_REVIEWED);
        assert!(profile::DENIED.iter().all(|number| (0..=last).contains(number)));
    }

    #[test]
    fn the_profile_names_nothing_twice() {
        let mut numbers = profile::DENIED.to_vec();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), profile::DENIED.len());
    }

    #[test]
    fn the_programs_are_small() {
        let filters = Filters::compile().unwrap();
        assert!(filters.denied.len() < 500, "{}", filters.denied.len());
    }
}
