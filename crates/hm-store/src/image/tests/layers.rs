//! What is in an unpacked layer.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use tar::EntryType;

use super::super::unpack::{UnpackSettings, unpack};
use super::super::{ImageError, ImageLimits, ImageRef, UnpackError};
use super::make::{Bench, Tar, amd64, whole};
use crate::files::{Owners, XattrNamespace};

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn mode(path: &Path) -> u32 {
    path.symlink_metadata().unwrap().mode() & 0o7777
}

fn is_whiteout(path: &Path) -> bool {
    path.symlink_metadata()
        .is_ok_and(|data| data.file_type().is_char_device() && data.rdev() == 0)
}

fn xattr(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 64];
    let length = rustix::fs::lgetxattr(path, name, &mut value).ok()?;
    value.truncate(length);
    Some(value)
}

fn opaque(bench: &Bench, path: &Path) -> bool {
    xattr(path, bench.store.xattrs().opaque().to_str().unwrap()).as_deref() == Some(b"y")
}

#[test]
fn modes_owners_times_and_links_are_kept() {
    let bench = Bench::new();
    let tar = Tar::default()
        .dir("./", 0o755)
        .dir("./closed", 0o555)
        .entry("./closed/tool", EntryType::Regular, b"tool", |header| {
            header.set_mode(0o4755);
            header.set_uid(1000);
            header.set_gid(2000);
        })
        .link(EntryType::Link, "hard", "./closed/tool")
        .link(EntryType::Symlink, "soft", "closed/none")
        .entry("pipe", EntryType::Fifo, b"", |header| header.set_mode(0o622))
        .entry("null", EntryType::Char, b"", |header| {
            header.set_mode(0o666);
            header.set_device_major(1).unwrap();
            header.set_device_minor(3).unwrap();
        })
        .file("dir-by-slash/", "")
        .end();
    let image = bench.image(&[tar]).unwrap();
    let root = &image.layers[0];
    let tool = root.join("closed/tool");
    assert_eq!(fs::read_to_string(&tool).unwrap(), "tool");
    assert_eq!(mode(&tool), 0o4755);
    assert_eq!(mode(&root.join("closed")), 0o555);
    assert_eq!(fs::metadata(&tool).unwrap().mtime(), 1_600_000_000);
    assert_eq!(fs::metadata(root.join("closed")).unwrap().mtime(), 1_600_000_000);
    assert_eq!(
        fs::metadata(root.join("hard")).unwrap().ino(),
        fs::metadata(&tool).unwrap().ino()
    );
    assert_eq!(fs::read_link(root.join("soft")).unwrap(), Path::new("closed/none"));
    assert_eq!(root.join("soft").symlink_metadata().unwrap().mtime(), 1_600_000_000);
    assert!(root.join("pipe").symlink_metadata().unwrap().file_type().is_fifo());
    assert_eq!(mode(&root.join("pipe")), 0o622);
    assert!(root.join("dir-by-slash").is_dir());
    assert_eq!(root.join("null").exists(), is_root());
    if is_root() {
        let data = fs::metadata(&tool).unwrap();
        assert_eq!((data.uid(), data.gid()), (1000, 2000));
        let null = fs::metadata(root.join("null")).unwrap();
        assert_eq!(null.rdev(), rustix::fs::makedev(1, 3));
        assert_eq!(mode(&root.join("null")), 0o666);
    }
}

#[test]
fn long_names_come_from_gnu_and_pax_headers() {
    let bench = Bench::new();
    let long = |part: &str| format!("{}/{}", part.repeat(60), part.repeat(90));
    let (gnu, pax) = (long("g"), long("p"));
    let target = format!("{gnu}\0");
    let tar = Tar::default()
        .entry("././@LongLink", EntryType::GNULongName, target.as_bytes(), |_| {})
        .file("cut", "gnu")
        .pax(&[("path", pax.as_bytes()), ("mtime", b"1500000000.5")])
        .file("cut", "pax")
        .entry("././@LongLink", EntryType::GNULongLink, target.as_bytes(), |_| {})
        .link(EntryType::Symlink, "soft", "cut")
        .end();
    let root = bench.image(&[tar]).unwrap().layers.remove(0);
    assert_eq!(fs::read_to_string(root.join(&gnu)).unwrap(), "gnu");
    assert_eq!(fs::read_to_string(root.join(&pax)).unwrap(), "pax");
    assert_eq!(fs::metadata(root.join(&pax)).unwrap().mtime_nsec(), 500_000_000);
    assert_eq!(fs::read_link(root.join("soft")).unwrap(), Path::new(&gnu));
}

#[test]
fn attributes_are_kept_and_overlay_marks_are_not_taken() {
    let bench = Bench::new();
    // Capabilities in the form of revision 2 (capabilities(7)); one byte is a line feed.
    let capability = [1, 0, 0, 2, 0x0a, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let marks: [(&str, &[u8]); 4] = [
        ("SCHILY.xattr.user.note", b"a=b\nc"),
        ("SCHILY.xattr.security.capability", &capability),
        ("SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
        ("SCHILY.xattr.user.overlay.redirect", b"/etc"),
    ];
    let tar = Tar::default()
        .pax(&marks)
        .file("ping", "x")
        .pax(&marks)
        .dir("folder", 0o700)
        .end();
    let root = bench.image(&[tar]).unwrap().layers.remove(0);
    for name in ["ping", "folder"] {
        let path = root.join(name);
        assert_eq!(xattr(&path, "user.note").unwrap(), b"a=b\nc");
        assert_eq!(xattr(&path, "trusted.overlay.redirect"), None);
        assert_eq!(xattr(&path, "user.overlay.redirect"), None);
    }
    if is_root() {
        assert_eq!(xattr(&root.join("ping"), "security.capability").unwrap(), capability);
    }
}

#[test]
fn whiteouts_become_overlay_whiteouts() {
    let bench = Bench::new();
    let below = Tar::default()
        .file("gone", "x")
        .dir("etc", 0o750)
        .file("etc/a", "x")
        .end();
    let above = Tar::default()
        .file(".wh.gone", "")
        .file("etc/.wh.a", "")
        .file("opaque/.wh..wh..opq", "")
        .file("opaque/new", "x")
        // A name that the same layer hides and has, in both orders.
        .file(".wh.anew", "")
        .file("anew/file", "x")
        .file("before/file", "x")
        .file(".wh.before", "")
        .file("plain", "x")
        .file(".wh.plain", "")
        .file(".wh..wh.plnk/123", "x")
        .file(".wh..wh.aufs", "")
        .end();
    let image = bench.image(&[below, above]).unwrap();
    assert!(image.layers[0].join("gone").is_file());
    let root = &image.layers[1];
    assert!(is_whiteout(&root.join("gone")));
    assert!(is_whiteout(&root.join("etc/a")));
    // The folder is there only because of the whiteout: it keeps the mode that it has below.
    assert_eq!(mode(&root.join("etc")), 0o750);
    for (name, hides) in [("opaque", true), ("anew", true), ("before", true), ("etc", false)] {
        assert_eq!(opaque(&bench, &root.join(name)), hides, "{name}");
    }
    assert!(root.join("anew/file").is_file() && root.join("before/file").is_file() && root.join("plain").is_file());
    let names: Vec<_> = fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(
        names.iter().all(|name| !name.to_str().unwrap().starts_with(".wh.")),
        "{names:?}"
    );
}

#[test]
fn numbers_that_are_left_out_are_zero() {
    let bench = Bench::new();
    let tar = Tar::default().entry("file", EntryType::Regular, b"x", |header| {
        let fields = header.as_old_mut();
        (fields.uid, fields.gid, fields.mtime) = ([0; 8], [b' '; 8], [0; 12]);
    });
    let image = bench.image(&[tar.end()]).unwrap();
    let data = fs::metadata(image.layers[0].join("file")).unwrap();
    assert_eq!(data.mtime(), 0);
    if is_root() {
        assert_eq!((data.uid(), data.gid()), (0, 0));
    }
}

#[test]
fn what_has_no_data_has_none_whatever_size_its_header_gives() {
    let bench = Bench::new();
    let sized = |header: &mut tar::Header| header.set_size(1024);
    let linked = |header: &mut tar::Header| {
        header.set_size(5);
        header.as_old_mut().linkname[..5].copy_from_slice(b"first");
    };
    let tar = Tar::default()
        .file("first", "12345")
        .entry("dir", EntryType::Directory, b"", sized)
        .entry("pipe", EntryType::Fifo, b"", sized)
        .entry("null", EntryType::Char, b"", |header| {
            sized(header);
            header.set_device_major(1).unwrap();
            header.set_device_minor(3).unwrap();
        })
        .entry("hard", EntryType::Link, b"", linked)
        .entry("soft", EntryType::Symlink, b"", linked)
        .pax(&[("size", b"2048")])
        .dir("told-by-pax", 0o755)
        .entry("old/", EntryType::Regular, b"", |header| {
            sized(header);
            header.as_old_mut().linkflag = [0];
        })
        .file("after", "x")
        .end();
    let root = bench.image(&[tar]).unwrap().layers.remove(0);
    for name in ["dir", "pipe", "hard", "soft", "told-by-pax", "old", "after"] {
        assert!(root.join(name).symlink_metadata().is_ok(), "{name}");
    }
}

#[test]
fn links_to_devices_that_are_left_out_are_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let settings = UnpackSettings {
        xattrs: XattrNamespace::User,
        owners: Owners::One,
        max_entries: 100,
    };
    let tar = Tar::default()
        .dir("dev", 0o755)
        .entry("dev/null", EntryType::Char, b"", |header| {
            header.set_device_major(1).unwrap();
            header.set_device_minor(3).unwrap();
        })
        .link(EntryType::Link, "dev/zero", "dev/null")
        .link(EntryType::Link, "dev/full", "./dev/zero")
        .file("after", "x");
    unpack(tar.clone().end().as_slice(), folder.path(), &settings).unwrap();
    assert!(folder.path().join("after").is_file());
    assert_eq!(fs::read_dir(folder.path().join("dev")).unwrap().count(), 0);
    let folder = tempfile::tempdir().unwrap();
    let missing = tar.link(EntryType::Link, "other", "dev/none").end();
    assert!(unpack(missing.as_slice(), folder.path(), &settings).is_err());
}

#[test]
fn a_layer_that_hides_all_below_it_is_the_lowest() {
    let bench = Bench::new();
    let layers = [
        Tar::default().file("old", "x").end(),
        Tar::default().file("new", "x").file(".wh..wh..opq", "").end(),
        Tar::default().file("top", "x").end(),
    ];
    let layout = bench.layout("hides");
    layout.index(&[layout.image(&layers, &serde_json::json!({}))]);
    let image = bench.resolve(&layout.reference()).unwrap();
    assert_eq!(image.layers.len(), 2);
    assert!(image.layers[0].join("new").is_file() && image.layers[1].join("top").is_file());
    assert_eq!(bench.resolve(&layout.reference()).unwrap(), image);
}

#[test]
fn implied_folders_look_like_those_below() {
    let bench = Bench::new();
    let below = Tar::default()
        .dir("tmp", 0o1777)
        .dir("deep", 0o711)
        .dir("deep/er", 0o701)
        .end();
    let above = Tar::default()
        .file("tmp/file", "x")
        .file("deep/er/file", "x")
        .file("new/file", "x")
        .end();
    let image = bench.image(&[below, above]).unwrap();
    let root = &image.layers[1];
    let modes = ["tmp", "deep", "deep/er", "new", ""].map(|name| mode(&root.join(name)));
    assert_eq!(modes, [0o1777, 0o711, 0o701, 0o755, 0o755]);
}

#[test]
fn later_entries_replace_earlier_ones() {
    let bench = Bench::new();
    let tar = Tar::default()
        .file("a", "one")
        .file("a", "two")
        .dir("b", 0o700)
        .file("b/inside", "x")
        .file("b", "file")
        .file("c", "file")
        .dir("c", 0o711)
        .file("d/keep", "x")
        .dir("d", 0o701)
        .link(EntryType::Symlink, "e", "/nowhere")
        .file("e", "file")
        .end();
    let root = bench.image(&[tar]).unwrap().layers.remove(0);
    assert_eq!(fs::read_to_string(root.join("a")).unwrap(), "two");
    assert_eq!(fs::read_to_string(root.join("b")).unwrap(), "file");
    assert_eq!(mode(&root.join("c")), 0o711);
    assert!(root.join("d/keep").is_file());
    assert_eq!(mode(&root.join("d")), 0o701);
    assert!(root.join("e").symlink_metadata().unwrap().is_file());
}

/// Unpacks a layer that wants out; nothing may have come out, whatever the answer is.
#[track_caller]
fn attack(tar: Tar) -> Result<std::path::PathBuf, String> {
    let bench = Bench::new();
    let victim = bench.path("victim");
    fs::create_dir(&victim).unwrap();
    fs::write(victim.join("file"), "safe").unwrap();
    let result = bench.image(&[tar.end()]);
    let names: Vec<_> = fs::read_dir(&victim)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["file"]);
    assert_eq!(fs::read_to_string(victim.join("file")).unwrap(), "safe");
    assert_eq!(fs::metadata(victim.join("file")).unwrap().nlink(), 1);
    if result.is_err() {
        assert_eq!(bench.unpacked(), 0);
    }
    let image = result.map_err(|error| whole(&error))?;
    // The bench goes away; what matters was looked at by then, or is in the names.
    let names = fs::read_dir(&image.layers[0])
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    Ok(names.collect())
}

#[test]
fn paths_with_dots_are_refused() {
    for path in ["../victim/evil", "a/../../victim/evil", "./..", "/../../victim/evil"] {
        let error = attack(Tar::default().file(path, "evil")).unwrap_err();
        assert!(
            error.ends_with(&format!("the entry {path:?} has a path that leads out of the image")),
            "{error}"
        );
    }
    let error = attack(Tar::default().file("d/.wh...", "")).unwrap_err();
    assert!(error.contains("leads out of the image"), "{error}");
    attack(Tar::default().file("d/.wh..", "")).unwrap_err();
    attack(Tar::default().file("d/.wh.", "")).unwrap_err();
}

#[test]
fn absolute_paths_stay_inside() {
    let bench = Bench::new();
    let root = bench
        .image(&[Tar::default().file("/etc/hm-test-file", "x").end()])
        .unwrap()
        .layers
        .remove(0);
    assert!(root.join("etc/hm-test-file").is_file());
    assert!(!Path::new("/etc/hm-test-file").exists());
}

#[test]
fn links_in_the_way_stay_inside() {
    // Relative to the layer while it is unpacked: live/LEASE/tmp/N.
    let out = "../../../../../victim";
    let through = |target: &str| {
        attack(
            Tar::default()
                .link(EntryType::Symlink, "way", target)
                .file("way/file", "evil")
                .file("way/evil", "evil"),
        )
    };
    through(out).unwrap_err();
    let error = through("/victim").unwrap_err();
    assert!(error.contains("cannot open the folder \"way\""), "{error}");
    // Upwards ends at the layer's own root.
    assert!(through("../../..").is_ok());
    // Where the target is there inside of the layer, that is where it goes.
    let bench = Bench::new();
    let tar = Tar::default()
        .dir("usr/lib", 0o755)
        .link(EntryType::Symlink, "lib", "/usr/lib")
        .file("lib/x", "x")
        .end();
    let root = bench.image(&[tar]).unwrap().layers.remove(0);
    assert!(root.join("usr/lib/x").is_file());
    assert!(root.join("lib").is_symlink());
    // A link in the place of a file is replaced, not written through.
    attack(
        Tar::default()
            .link(EntryType::Symlink, "f", &format!("{out}/file"))
            .file("f", "evil"),
    )
    .unwrap();
}

#[test]
fn hard_links_stay_inside() {
    let hard = |target: &str| Tar::default().link(EntryType::Link, "hard", target);
    let error = attack(hard("../../../../../victim/file")).unwrap_err();
    assert!(error.contains("leads out of the image"), "{error}");
    let error = attack(hard("/etc/passwd")).unwrap_err();
    assert!(
        error.ends_with("\"hard\" is a hard link to \"/etc/passwd\", which isn't in the layer"),
        "{error}"
    );
    let way = Tar::default().link(EntryType::Symlink, "way", "../../../../../victim");
    attack(way.clone().link(EntryType::Link, "hard", "way/file")).unwrap_err();
    // A hard link to a link is the link itself; writing to it replaces it.
    attack(
        Tar::default()
            .link(EntryType::Symlink, "soft", "../../../../../victim/file")
            .link(EntryType::Link, "hard", "soft")
            .file("hard", "evil"),
    )
    .unwrap();
}

#[test]
fn folders_are_not_changed_through_links() {
    let way = "../../../../../victim";
    attack(Tar::default().dir("d", 0o777).link(EntryType::Symlink, "d", way)).unwrap();
    let bench = Bench::new();
    fs::create_dir(bench.path("victim")).unwrap();
    let before = mode(&bench.path("victim"));
    bench
        .image(&[Tar::default().dir("d", 0o777).link(EntryType::Symlink, "d", way).end()])
        .unwrap();
    assert_eq!(mode(&bench.path("victim")), before);
}

#[test]
fn layers_that_never_end_are_stopped() {
    let bench = Bench::new();
    let limits = ImageLimits {
        layer_bytes: 64 * 1024,
        layer_entries: 10,
    };
    let within = |tar: Vec<u8>, limits: &ImageLimits| {
        let layout = bench.layout(&format!("layout-{}", tar.len()));
        let stored = (super::make::gzip(&tar), super::make::digest(&tar));
        layout.index(&[layout.stored_image(&[stored], "amd64", &serde_json::json!({}))]);
        let reference = ImageRef::parse(&layout.reference()).unwrap();
        let error = bench.store.resolve_archive(&reference, &amd64(), limits).unwrap_err();
        assert!(matches!(error, ImageError::Unpack { .. }));
        assert!(
            !matches!(
                &error,
                ImageError::Unpack {
                    source: UnpackError::Limit { .. },
                    ..
                }
            ) || error.fix().is_some()
        );
        whole(&error)
    };
    let resolve = |tar| within(tar, &limits);
    let large = "0".repeat(100_000);
    assert!(resolve(Tar::default().file("large", &large).end()).ends_with("unpacks to more than 65536 bytes"));
    let after = Tar::default()
        .file("small", "x")
        .raw(&[0; 1024])
        .raw(&vec![7; 200_000])
        .0;
    assert!(resolve(after).ends_with("unpacks to more than 65536 bytes"));
    let many = (0..11)
        .fold(Tar::default(), |tar, n| tar.file(&format!("f{n}"), ""))
        .end();
    assert!(resolve(many).ends_with("unpacks to more than 10 entries"));
    let name = Tar::default()
        .entry("x", EntryType::GNULongName, large.as_bytes(), |_| {})
        .file("y", "")
        .end();
    assert!(
        within(name, &ImageLimits::default())
            .contains("the long name at byte 512 is 100000 bytes long; at most 65536 are read")
    );
    assert_eq!(bench.unpacked(), 0);
    assert_eq!(
        fs::read_dir(bench.store.temporary().parent().unwrap()).unwrap().count(),
        0
    );
}

#[test]
fn damaged_archives_are_refused() {
    let bench = Bench::new();
    let whole_tar = Tar::default().file("file", &"x".repeat(2000)).end();
    let error = bench.image(&[whole_tar[..1000].to_vec()]).unwrap_err();
    assert!(whole(&error).contains("can't be read at byte"), "{}", whole(&error));
    let mut flipped = whole_tar;
    flipped[10] ^= 1;
    let error = bench.image(&[flipped]).unwrap_err();
    assert!(
        whole(&error).ends_with("no valid tar header at byte 0"),
        "{}",
        whole(&error)
    );
}
