//! The program that a step runs under.

use rustix::io::Errno;
use seccompiler::BpfProgram;

use super::profile::{self, Rules};
use super::program::program;

/// Compiled once; installing it copies it into the kernel.
#[derive(Debug)]
pub(crate) struct Filter {
    program: BpfProgram,
}

/// `AUDIT_ARCH_*` (linux/audit.h).
#[cfg(target_arch = "x86_64")]
const NATIVE: u32 = 0xc000_003e;
#[cfg(target_arch = "x86_64")]
const OF_32_BITS: u32 = 0x4000_0003;
#[cfg(target_arch = "aarch64")]
const NATIVE: u32 = 0xc000_00b7;

impl Filter {
    pub(crate) fn compile() -> Result<Self, Errno> {
        Ok(Self {
            program: program(&architectures())?,
        })
    }

    /// Puts this thread, and all it starts, under the filter for good. Needs `no_new_privs`.
    pub(crate) fn install(&self) -> Result<(), Errno> {
        seccompiler::apply_filter(&self.program).map_err(|error| match error {
            seccompiler::Error::Prctl(error) | seccompiler::Error::Seccomp(error) => {
                Errno::from_io_error(&error).unwrap_or(Errno::IO)
            }
            seccompiler::Error::Backend(_) | seccompiler::Error::EmptyFilter | seccompiler::Error::ThreadSync(_) => {
                Errno::IO
            }
        })
    }
}

fn architectures() -> Vec<(u32, Rules)> {
    vec![
        (NATIVE, profile::native()),
        #[cfg(target_arch = "x86_64")]
        (OF_32_BITS, profile::of_32_bits()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seccomp::profile::{LAST_REVIEWED, Rule};

    /// What the kernel does with the program (its interpreter of classic BPF), as far as it is used.
    fn run(program: &BpfProgram, architecture: u32, number: u32, arguments: [u64; 6]) -> u32 {
        let mut data = [number, architecture, 0, 0].map(u32::to_le_bytes).concat();
        data.extend(arguments.map(u64::to_le_bytes).concat());
        let (mut at, mut value) = (0, 0);
        loop {
            let instruction = &program[at];
            at += 1;
            let k = instruction.k;
            let holds = match u32::from(instruction.code) {
                0x20 => {
                    let from = k as usize;
                    value = u32::from_le_bytes(data[from..from + 4].try_into().unwrap());
                    continue;
                }
                0x05 => {
                    at += k as usize;
                    continue;
                }
                0x06 => return k,
                0x15 => value == k,
                0x35 => value >= k,
                0x45 => value & k != 0,
                code => panic!("{code:#x}"),
            };
            at += usize::from(if holds { instruction.jt } else { instruction.jf });
        }
    }

    /// What the program has to return (seccomp(2), "Filter mode").
    const ALLOWED: u32 = 0x7fff_0000;
    const REFUSED: u32 = 0x0005_0000 + libc::EPERM.unsigned_abs();
    const UNKNOWN: u32 = 0x0005_0000 + libc::ENOSYS.unsigned_abs();

    fn wanted(rule: Option<&Rule>, number: u32, arguments: [u64; 6]) -> u32 {
        let argument = |place: u32| u32::try_from(arguments[place as usize] & 0xffff_ffff).unwrap();
        let is_refused = match rule {
            None if number > LAST_REVIEWED => return UNKNOWN,
            None => return ALLOWED,
            Some(Rule::Refused) => true,
            Some(Rule::Unknown) => return UNKNOWN,
            Some(Rule::RefusedWithBits(place, bits)) => argument(*place) & bits != 0,
            Some(Rule::RefusedFor(place, values)) => values.contains(&argument(*place)),
            Some(Rule::RefusedBut(place, values)) => !values.contains(&argument(*place)),
        };
        if is_refused { REFUSED } else { ALLOWED }
    }

    #[test]
    fn every_call_gets_the_verdict_of_the_profile() {
        let filter = Filter::compile().unwrap();
        let mut values: Vec<u64> = (0..64).map(|bit| 1 << bit).collect();
        values.extend((0..64).chain([0x5412, 0x541c, 0x1_0000_5412, 0x2_0008, u64::MAX]));
        for (architecture, rules) in architectures() {
            for number in (0..600).chain([0x4000_0000, 0x4000_0027, u32::MAX]) {
                for value in &values {
                    for place in 0..2 {
                        let mut arguments = [0; 6];
                        arguments[place] = *value;
                        let verdict = wanted(rules.get(&number), number, arguments);
                        let found = run(&filter.program, architecture, number, arguments);
                        assert_eq!(found, verdict, "{architecture:#x} {number} {arguments:x?}");
                    }
                }
            }
        }
    }

    #[test]
    fn calls_of_other_architectures_end_the_process() {
        let filter = Filter::compile().unwrap();
        // 32-bit ARM.
        assert_eq!(run(&filter.program, 0x4000_0028, 39, [0; 6]), 0x8000_0000);
    }

    /// The kernel runs the program for each number when it is installed, so what counts is the longest way through it.
    #[test]
    fn the_way_to_a_verdict_is_short() {
        let filter = Filter::compile().unwrap();
        assert!(filter.program.len() < 400, "{}", filter.program.len());
        let comparisons = |from: usize| {
            let mut longest = vec![0_u32; filter.program.len() + 1];
            for (at, instruction) in filter.program.iter().enumerate().rev() {
                let next = |by: usize| longest.get(at + 1 + by).copied().unwrap_or(0);
                longest[at] = match u32::from(instruction.code) {
                    0x06 => 0,
                    0x20 => next(0),
                    0x05 => next(instruction.k as usize),
                    _ => 1 + next(instruction.jt.into()).max(next(instruction.jf.into())),
                };
            }
            longest[from]
        };
        assert!(comparisons(0) <= 16, "{}", comparisons(0));
    }

    #[test]
    fn the_profile_is_reviewed_as_far_as_it_says() {
        for (_, rules) in architectures() {
            assert!(rules.keys().all(|number| *number <= LAST_REVIEWED));
        }
    }
}
