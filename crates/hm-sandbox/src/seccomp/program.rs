//! From rules to a program for the kernel: a binary search for the call's number, then a look at an argument.
//!
//! Classic BPF jumps forward only, so a program is made from its end, and an address is a distance from there.

use rustix::io::Errno;
use seccompiler::sock_filter;

use super::profile::{LAST_REVIEWED, Rule, Rules};

/// Where things lie in `seccomp_data` (seccomp(2)).
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const JUMP: u32 = libc::BPF_JMP | libc::BPF_JA;
const JUMP_IF_AT_LEAST: u32 = libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K;
const JUMP_IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const JUMP_IF_BITS: u32 = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;
const RETURN: u32 = libc::BPF_RET | libc::BPF_K;

/// The program for these architectures (`AUDIT_ARCH_*`), the most frequent one first. Whoever makes a call of another is
/// ended.
pub(super) fn program(architectures: &[(u32, Rules)]) -> Result<Vec<sock_filter>, Errno> {
    let mut program = Backward::default();
    let mut otherwise = program.add(RETURN, libc::SECCOMP_RET_KILL_PROCESS);
    for (architecture, rules) in architectures.iter().rev() {
        let calls = program.calls(rules)?;
        // The rules of an architecture are longer than a conditional jump reaches.
        let to_next = program.jump(otherwise);
        let to_calls = program.jump(calls);
        otherwise = program.branch(JUMP_IF_EQUAL, *architecture, to_calls, to_next)?;
    }
    program.add(LOAD, ARCHITECTURE);
    Ok(program.finish())
}

/// A distance from the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Address(usize);

#[derive(Default)]
struct Backward {
    code: Vec<sock_filter>,
}

/// Where a verdict is returned.
struct Ends {
    allow: Address,
    refuse: Address,
    unknown: Address,
}

impl Backward {
    fn finish(mut self) -> Vec<sock_filter> {
        self.code.reverse();
        self.code
    }

    /// All of an architecture.
    fn calls(&mut self, rules: &Rules) -> Result<Address, Errno> {
        let errno = |number: libc::c_int| libc::SECCOMP_RET_ERRNO | number.unsigned_abs();
        let ends = Ends {
            unknown: self.add(RETURN, errno(libc::ENOSYS)),
            refuse: self.add(RETURN, errno(libc::EPERM)),
            allow: self.add(RETURN, libc::SECCOMP_RET_ALLOW),
        };
        // From where on which verdict holds.
        let mut ranges = vec![(0, ends.allow)];
        for (number, rule) in rules {
            let target = self.rule(*rule, &ends)?;
            ranges.extend([(*number, target), (*number + 1, ends.allow)]);
        }
        ranges.push((LAST_REVIEWED + 1, ends.unknown));
        // Of two that begin at the same number the later one holds; neighbours that are the same are one.
        let mut distinct: Vec<(u32, Address)> = Vec::new();
        for (from, target) in ranges {
            if distinct.last().is_some_and(|(last, _)| *last == from) {
                distinct.pop();
            }
            if distinct.last().is_none_or(|(_, last)| *last != target) {
                distinct.push((from, target));
            }
        }
        self.search(&distinct)?;
        Ok(self.add(LOAD, NUMBER))
    }

    /// Looks for the range that the number is in.
    fn search(&mut self, ranges: &[(u32, Address)]) -> Result<Address, Errno> {
        let (low, high) = ranges.split_at(ranges.len() / 2);
        match (low, high) {
            (_, []) => Err(Errno::INVAL),
            ([], [(_, target), ..]) => Ok(*target),
            (_, [(from, _), ..]) => {
                let above = self.search(high)?;
                let below = self.search(low)?;
                self.branch(JUMP_IF_AT_LEAST, *from, above, below)
            }
        }
    }

    fn rule(&mut self, rule: Rule, ends: &Ends) -> Result<Address, Errno> {
        let (argument, comparison, values, found, none): (_, _, &[u32], _, _) = match &rule {
            Rule::Refused => return Ok(ends.refuse),
            Rule::Unknown => return Ok(ends.unknown),
            Rule::RefusedWithBits(argument, bits) => (
                argument,
                JUMP_IF_BITS,
                std::slice::from_ref(bits),
                ends.refuse,
                ends.allow,
            ),
            Rule::RefusedFor(argument, values) => (argument, JUMP_IF_EQUAL, values, ends.refuse, ends.allow),
            Rule::RefusedBut(argument, values) => (argument, JUMP_IF_EQUAL, values, ends.allow, ends.refuse),
        };
        let mut next = none;
        for value in values {
            next = self.branch(comparison, *value, found, next)?;
        }
        // Both architectures that have a profile are little-endian: the lower half comes first.
        Ok(self.add(LOAD, ARGUMENTS + 8 * argument))
    }

    fn add(&mut self, code: u32, k: u32) -> Address {
        self.push(code, k, 0, 0)
    }

    fn jump(&mut self, target: Address) -> Address {
        let distance = u32::try_from(self.distance(target)).unwrap_or(u32::MAX);
        self.add(JUMP, distance)
    }

    fn branch(&mut self, code: u32, k: u32, is_true: Address, is_false: Address) -> Result<Address, Errno> {
        let distance = |target| u8::try_from(self.distance(target)).map_err(|_| Errno::TOOBIG);
        let (is_true, is_false) = (distance(is_true)?, distance(is_false)?);
        Ok(self.push(code, k, is_true, is_false))
    }

    /// Instructions between the one that is added next and another one.
    fn distance(&self, target: Address) -> usize {
        self.code.len() - target.0 - 1
    }

    fn push(&mut self, code: u32, k: u32, jt: u8, jf: u8) -> Address {
        // All codes are below 256.
        let code = u16::try_from(code).unwrap_or(u16::MAX);
        self.code.push(sock_filter { code, jt, jf, k });
        Address(self.code.len() - 1)
    }
}
