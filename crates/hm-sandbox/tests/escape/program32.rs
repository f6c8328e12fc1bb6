//! A program of 32 bits that ends with a code of its own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

pub(crate) const EXIT_CODE: u8 = 42;
/// Where it is loaded.
const BASE: u32 = 0x0804_8000;
/// Bytes of its headers (elf(5)).
const HEADERS: u32 = 52 + 32;

/// Whether this machine's kernel runs such programs.
pub(crate) fn runs_here() -> bool {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("program");
    write(&path);
    Command::new(path)
        .status()
        .is_ok_and(|status| status.code() == Some(EXIT_CODE.into()))
}

pub(crate) fn write(path: &Path) {
    // mov eax, 1 (exit); mov ebx, CODE; int 0x80
    let code = [0xb8, 1, 0, 0, 0, 0xbb, EXIT_CODE, 0, 0, 0, 0xcd, 0x80];
    let length = HEADERS + 12;
    let mut bytes = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    // An executable for i386.
    bytes.extend([2_u16, 3].iter().flat_map(|half| half.to_le_bytes()));
    bytes.extend(
        [1, BASE + HEADERS, 52, 0, 0]
            .iter()
            .flat_map(|word: &u32| word.to_le_bytes()),
    );
    bytes.extend([52_u16, 32, 1, 0, 0, 0].iter().flat_map(|half| half.to_le_bytes()));
    // One segment, readable and executable.
    let segment = [1, 0, BASE, BASE, length, length, 5, 0x1000];
    bytes.extend(segment.iter().flat_map(|word| word.to_le_bytes()));
    bytes.extend(code);
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}
