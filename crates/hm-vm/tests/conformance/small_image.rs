//! A little image, made of this machine's own shell.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use hm_store::{ContentHash, Platform};
use serde_json::json;
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nbuild:x:1000:1001::/home/build:/bin/sh\n";

/// Writes an archive as `docker save` does into the folder, with this user in its configuration; the image's reference.
pub(crate) fn small_image(folder: &Path, name: &str, user: &str) -> String {
    small_image_with(
        folder,
        name,
        Small {
            user,
            ..Small::default()
        },
    )
}

/// What a small image may have besides its shell.
#[derive(Clone, Copy, Default)]
pub(crate) struct Small<'a> {
    pub(crate) user: &'a str,
    pub(crate) workdir: &'a str,
    /// Files, by path; all hold `x`.
    pub(crate) files: &'a [&'a str],
    /// What `/etc` is a link to.
    pub(crate) etc: Option<&'a str>,
}

/// As [`small_image`], with more in it.
pub(crate) fn small_image_with(folder: &Path, name: &str, small: Small<'_>) -> String {
    let Small { user, workdir, .. } = small;
    let layer = layer(small);
    let hex = |bytes: &[u8]| ContentHash::new(Sha256::digest(bytes).into()).to_hex();
    let config = json!({
        "architecture": Platform::of_this_machine().architecture,
        "os": "linux",
        "config": { "User": user, "WorkingDir": workdir, "Env": ["FROM_IMAGE=yes", "PATH=/bin"] },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", hex(&layer))] },
    });
    let config = config.to_string();
    let config_name = format!("{}.json", hex(config.as_bytes()));
    let manifest = json!([{ "Config": config_name, "RepoTags": null, "Layers": ["layer.tar"] }]).to_string();
    let mut archive = Builder::new(Vec::new());
    add(&mut archive, "layer.tar", EntryType::Regular, 0o644, &layer);
    add(&mut archive, &config_name, EntryType::Regular, 0o644, config.as_bytes());
    add(
        &mut archive,
        "manifest.json",
        EntryType::Regular,
        0o644,
        manifest.as_bytes(),
    );
    let path = folder.join(name);
    fs::File::create(&path)
        .unwrap()
        .write_all(&archive.into_inner().unwrap())
        .unwrap();
    format!("docker-archive:{}", path.display())
}

fn layer(small: Small<'_>) -> Vec<u8> {
    let mut layer = Builder::new(Vec::new());
    let etc = small.etc.map_or("etc", |target| target.trim_start_matches('/'));
    let mut folders = BTreeSet::from([
        "bin".into(),
        etc.into(),
        "proc".into(),
        "dev".into(),
        "sys".into(),
        "tmp".into(),
    ]);
    let libraries = libraries();
    for library in &libraries {
        folders.extend(
            library
                .ancestors()
                .skip(1)
                .map(below_root)
                .filter(|folder| !folder.as_os_str().is_empty()),
        );
    }
    for folder in &folders {
        add(
            &mut layer,
            &format!("{}/", folder.display()),
            EntryType::Directory,
            0o755,
            b"",
        );
    }
    add(
        &mut layer,
        "bin/sh",
        EntryType::Regular,
        0o755,
        &fs::read("/bin/sh").unwrap(),
    );
    for library in &libraries {
        add(
            &mut layer,
            &below_root(library).display().to_string(),
            EntryType::Regular,
            0o755,
            &fs::read(library).unwrap(),
        );
    }
    let passwd = format!("{etc}/passwd");
    add(&mut layer, &passwd, EntryType::Regular, 0o644, PASSWD.as_bytes());
    if let Some(target) = small.etc {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Symlink);
        header.set_mode(0o777);
        header.set_size(0);
        layer.append_link(&mut header, "etc", target).unwrap();
    }
    for path in small.files {
        add(&mut layer, path, EntryType::Regular, 0o644, b"x");
    }
    layer.into_inner().unwrap()
}

/// What the shell is linked to, by the names it is found under.
fn libraries() -> Vec<PathBuf> {
    let listed = Command::new("ldd").arg("/bin/sh").output().unwrap();
    let text = String::from_utf8(listed.stdout).unwrap();
    text.split_whitespace()
        .filter(|word| word.starts_with('/'))
        .map(PathBuf::from)
        .collect()
}

fn below_root(path: &Path) -> PathBuf {
    path.strip_prefix("/").unwrap_or(path).to_owned()
}

fn add(archive: &mut Builder<Vec<u8>>, path: &str, kind: EntryType, mode: u32, content: &[u8]) {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(content.len() as u64);
    archive.append_data(&mut header, path, content).unwrap();
}
