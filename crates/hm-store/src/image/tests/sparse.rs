//! Sparse files in the forms that GNU tar writes.

use std::fs;
use std::os::unix::fs::MetadataExt;

use tar::EntryType;

use super::make::{Bench, Tar, whole};

const SIZE: usize = 1 << 20;

/// Two pieces: at 0 and at 512 KiB; the rest are holes.
fn expected() -> Vec<u8> {
    let mut content = vec![0; SIZE];
    content[..512].fill(b'a');
    content[SIZE / 2..SIZE / 2 + 600].fill(b'b');
    content
}

fn data() -> Vec<u8> {
    [vec![b'a'; 512], vec![b'b'; 600]].concat()
}

#[track_caller]
fn check(tar: Tar) {
    let bench = Bench::new();
    let root = bench
        .image(&[tar.file("after", "after").end()])
        .unwrap()
        .layers
        .remove(0);
    assert!(fs::read(root.join("sparse")).unwrap() == expected());
    assert!(fs::metadata(root.join("sparse")).unwrap().blocks() < 512);
    assert_eq!(fs::read_to_string(root.join("after")).unwrap(), "after");
}

#[test]
fn gnu_sparse_headers() {
    check(Tar::default().entry("sparse", EntryType::GNUSparse, &data(), |header| {
        let gnu = header.as_gnu_mut().unwrap();
        gnu.set_real_size(SIZE as u64);
        gnu.sparse[0].set_offset(0);
        gnu.sparse[0].set_length(512);
        gnu.sparse[1].set_offset((SIZE / 2) as u64);
        gnu.sparse[1].set_length(600);
        gnu.sparse[2].set_offset(SIZE as u64);
        gnu.sparse[2].set_length(0);
    }));
}

#[test]
fn pax_sparse_0_1() {
    let records: [(&str, &[u8]); 4] = [
        ("GNU.sparse.size", b"1048576"),
        ("GNU.sparse.numblocks", b"2"),
        ("GNU.sparse.name", b"sparse"),
        ("GNU.sparse.map", b"0,512,524288,600"),
    ];
    check(
        Tar::default()
            .pax(&records)
            .entry("GNUSparseFile.0/sparse", EntryType::Regular, &data(), |_| {}),
    );
}

#[test]
fn pax_sparse_0_0() {
    let records: [(&str, &[u8]); 5] = [
        ("GNU.sparse.size", b"1048576"),
        ("GNU.sparse.offset", b"0"),
        ("GNU.sparse.numbytes", b"512"),
        ("GNU.sparse.offset", b"524288"),
        ("GNU.sparse.numbytes", b"600"),
    ];
    check(
        Tar::default()
            .pax(&records)
            .entry("sparse", EntryType::Regular, &data(), |_| {}),
    );
}

#[test]
fn pax_sparse_1_0() {
    let records: [(&str, &[u8]); 4] = [
        ("GNU.sparse.major", b"1"),
        ("GNU.sparse.minor", b"0"),
        ("GNU.sparse.name", b"sparse"),
        ("GNU.sparse.realsize", b"1048576"),
    ];
    let mut map = b"2\n0\n512\n524288\n600\n".to_vec();
    map.resize(512, 0);
    let stored = [map, data()].concat();
    check(
        Tar::default()
            .pax(&records)
            .entry("GNUSparseFile.0/sparse", EntryType::Regular, &stored, |_| {}),
    );
}

#[test]
fn maps_that_do_not_fit_are_refused() {
    for map in [
        "0,512,256,600",
        "0,512,524288,601",
        "0,512,1048000,600",
        "0,512,18446744073709551615,600",
        "0,512,1",
    ] {
        let bench = Bench::new();
        let records: [(&str, &[u8]); 3] = [
            ("GNU.sparse.size", b"1048576"),
            ("GNU.sparse.name", b"sparse"),
            ("GNU.sparse.map", map.as_bytes()),
        ];
        let tar = Tar::default()
            .pax(&records)
            .entry("x", EntryType::Regular, &data(), |_| {})
            .end();
        let error = whole(&bench.image(&[tar]).unwrap_err());
        assert!(error.ends_with("has a bad map of a sparse file"), "{map}: {error}");
    }
}
