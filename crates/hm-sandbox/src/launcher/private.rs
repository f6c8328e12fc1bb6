//! What of the host is private, by its place.

use std::fs;
use std::path::{Path, PathBuf};

use crate::request::HostView;

/// Folders that are replaced by empty ones, with their modes.
pub(super) const EMPTIED: [(&str, u32); 8] = [
    ("/home", 0o755),
    ("/root", 0o700),
    ("/run", 0o755),
    ("/tmp", 0o1777),
    ("/var/tmp", 0o1777),
    ("/mnt", 0o755),
    ("/media", 0o755),
    ("/srv", 0o755),
];

/// Files and folders that hold secrets.
const SECRET: [&str; 39] = [
    // Passwords and keys of networks.
    "/etc/NetworkManager/system-connections",
    "/etc/ppp/chap-secrets",
    "/etc/ppp/pap-secrets",
    "/etc/wireguard",
    // Keys of this machine and of its certificates.
    "/etc/krb5.keytab",
    "/etc/letsencrypt",
    "/etc/ssl/private",
    // Earlier passwords of users, and copies of the files that have them.
    "/etc/security/opasswd",
    "/var/backups",
    "/var/lib/sss",
    // Who may become whom.
    "/etc/sudoers",
    "/etc/sudoers.d",
    // Answers to questions of packages, passwords among them.
    "/var/cache/debconf/passwords.dat",
    // Keys, tokens and data of engines, clusters and virtual machines.
    "/etc/docker",
    "/etc/kubernetes",
    "/etc/rancher",
    "/var/lib/containerd",
    "/var/lib/containers",
    "/var/lib/docker",
    "/var/lib/incus",
    "/var/lib/kubelet",
    "/var/lib/libvirt",
    "/var/lib/lxc",
    "/var/lib/lxd",
    "/var/lib/machines",
    "/var/lib/rancher",
    // Data of databases, and of services that run jobs and keep their secrets.
    "/var/lib/gitlab-runner",
    "/var/lib/jenkins",
    "/var/lib/mysql",
    "/var/lib/postgresql",
    "/var/lib/private",
    "/var/lib/redis",
    // Of users: mail, jobs, what a repair of the disk found.
    "/lost+found",
    "/var/mail",
    "/var/spool/at",
    "/var/spool/cron",
    "/var/spool/mail",
    // What was said to services, and what processes held that crashed.
    "/var/crash",
    "/var/lib/systemd/coredump",
];

/// Folders with files of varying names that hold secrets.
const SECRET_PREFIXES: [(&str, &str); 4] = [
    ("/etc", "shadow"),
    ("/etc", "gshadow"),
    ("/etc", "passwd-"),
    ("/etc/ssh", "ssh_host_"),
];

/// Folders of the host's software. No home is any of them, or has one in it.
const SYSTEM: [&str; 22] = [
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/nix",
    "/opt",
    "/proc",
    "/run",
    "/sbin",
    "/snap",
    "/sys",
    "/tmp",
    "/usr",
    "/usr/local",
    "/var",
    "/var/cache",
    "/var/lib",
    "/var/tmp",
];

/// Of these, those with homes of users that are services, which hold no more than what they serve.
const SOFTWARE: [&str; 10] = [
    "/bin", "/dev", "/etc", "/lib", "/nix", "/opt", "/proc", "/sbin", "/sys", "/usr",
];

/// Users from this id on are people, and those that jobs run as (`login.defs(5)`, `UID_MIN`).
const FIRST_PERSON: u32 = 1000;

/// All that exists and is hidden, without what lies beneath another one.
pub(super) fn hidden_paths(view: &HostView) -> Vec<PathBuf> {
    let fixed = EMPTIED.iter().map(|(path, _)| *path).chain(SECRET).map(PathBuf::from);
    let found = SECRET_PREFIXES
        .iter()
        .flat_map(|(folder, prefix)| entries_starting_with(folder, prefix));
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let homes = homes_of(&users).chain(view.home.clone());
    let homes = homes
        .flat_map(|home| real_places(&home))
        .filter(|home| may_be_home(home));
    let mut paths: Vec<PathBuf> = fixed
        .chain(found)
        .chain(view.hidden.iter().cloned())
        .flat_map(|path| real_places(&path))
        .chain(homes)
        .collect();
    paths.sort();
    paths.dedup_by(|later, kept| later.starts_with(&*kept));
    paths
}

/// The homes of root and of people (`passwd(5)`).
fn homes_of(users: &str) -> impl Iterator<Item = PathBuf> {
    let home = |line: &str| {
        let mut fields = line.split(':').skip(2);
        let user: u32 = fields.next()?.parse().ok()?;
        let home = PathBuf::from(fields.nth(2)?);
        let is_service = SOFTWARE.iter().any(|folder| home.starts_with(folder));
        ((user == 0 || user >= FIRST_PERSON) && home.is_absolute() && !is_service).then_some(home)
    };
    users.lines().filter_map(home)
}

fn may_be_home(folder: &Path) -> bool {
    !SYSTEM.iter().any(|system| Path::new(system).starts_with(folder))
}

fn entries_starting_with(folder: &str, prefix: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let names = entries
        .flatten()
        .filter(|entry| entry.file_name().as_encoded_bytes().starts_with(prefix.as_bytes()));
    names.map(|entry| entry.path()).collect()
}

/// A path without links on the way, and what it links to itself. The root is never hidden.
pub(super) fn real_places(path: &Path) -> Vec<PathBuf> {
    let by_parent = match (path.parent().map(fs::canonicalize), path.file_name()) {
        (Some(Ok(parent)), Some(name)) => Some(parent.join(name)).filter(|place| place.symlink_metadata().is_ok()),
        _ => None,
    };
    let target = fs::canonicalize(path).ok();
    by_parent
        .into_iter()
        .chain(target)
        .filter(|place| place.parent().is_some())
        .collect()
}

pub(super) fn is_hidden(hidden: &[PathBuf], path: &Path) -> bool {
    hidden.iter().any(|hidden| path.starts_with(hidden))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn homes_are_those_of_people() {
        let users = "root:x:0:0::/root:/bin/sh\n\
                     daemon:x:1:1::/usr/sbin:/usr/sbin/nologin\n\
                     mail:x:8:8::/data/mail:/usr/sbin/nologin\n\
                     ann:x:1000:1000:Ann,,,:/data/ann:/bin/bash\n\
                     tomcat:x:1001:1001::/opt/tomcat:/usr/sbin/nologin\n\
                     relative:x:1002:1002::home:/bin/sh\n\
                     broken\n";
        let homes: Vec<_> = homes_of(users).collect();
        assert_eq!(homes, [Path::new("/root"), Path::new("/data/ann")]);
    }

    #[test]
    fn a_folder_of_software_is_no_home() {
        for folder in ["/", "/usr", "/usr/local", "/var", "/var/lib", "/opt", "/tmp"] {
            assert!(!may_be_home(Path::new(folder)), "{folder}");
        }
        for folder in ["/root", "/var/lib/jenkins", "/opt/runner", "/data", "/tmp/home"] {
            assert!(may_be_home(Path::new(folder)), "{folder}");
        }
    }
}
