//! The engine that the docker backend is tested on: the one at `DOCKER_HOST`, else at `/var/run/docker.sock`.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use bollard::errors::Error;
use bollard::query_parameters::{
    CreateImageOptionsBuilder, ImportImageOptionsBuilder, ListContainersOptionsBuilder, ListImagesOptionsBuilder,
    RemoveImageOptionsBuilder,
};
use bollard::{API_DEFAULT_VERSION, Docker, body_full};
use futures::TryStreamExt;
use hm_store::Store;
use hm_vm::{DockerBackend, DockerSettings, EngineAddress};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};
use tokio::sync::OnceCell;

const SOCKET: &str = "/var/run/docker.sock";
/// What the bodies run.
const TOOLS: &str = "sh cat chmod chown cp env find ln ls mkdir mv printf readlink rm rmdir seq sleep sort stat touch wc \
                     true false kill head grep";

pub(crate) fn host() -> String {
    std::env::var_os("DOCKER_HOST").map_or_else(|| format!("unix://{SOCKET}"), |host| host.into_string().unwrap())
}

pub(crate) fn address() -> EngineAddress {
    EngineAddress::parse(&host(), None).unwrap()
}

/// Whether no engine is named and none listens here: then there is nothing to test on. `scripts/test` starts one wherever
/// `dockerd` is installed. An engine that is named but doesn't answer is a failure.
pub(crate) fn is_impossible() -> bool {
    std::env::var_os("DOCKER_HOST").is_none() && !Path::new(SOCKET).exists()
}

pub(crate) async fn backend(store: &Store) -> DockerBackend {
    let settings = DockerSettings {
        store: store.clone(),
        address: address(),
        run: None,
        registries: hm_store::image::RegistrySettings::default(),
        observer: None,
    };
    DockerBackend::connect(settings).await.unwrap_or_else(|error| {
        panic!(
            "{error}: start dockerd, or name a running engine in DOCKER_HOST ({:?})",
            std::error::Error::source(&error).map(ToString::to_string)
        )
    })
}

pub(crate) fn client() -> Docker {
    let host = host();
    let path = host
        .strip_prefix("unix://")
        .expect("the tests reach their engine by a socket");
    Docker::connect_with_unix(path, 600, API_DEFAULT_VERSION).unwrap()
}

/// Containers and images of a store that are in the engine.
pub(crate) async fn left_of(store: &Store) -> (usize, usize) {
    let filters = filters(store.layout().root());
    let docker = client().negotiate_version().await.unwrap();
    let containers = ListContainersOptionsBuilder::default()
        .all(true)
        .filters(&filters)
        .build();
    let containers = match docker.list_containers(Some(containers)).await {
        // Podman has states that the client doesn't know.
        Err(Error::JsonDataError { contents, .. }) => serde_json::from_str::<Vec<Value>>(&contents).unwrap().len(),
        containers => containers.unwrap().len(),
    };
    (containers, images_of(&docker, &filters).await.len())
}

/// Removes the images of a store that goes.
pub(crate) async fn forget(root: &Path) {
    let docker = client().negotiate_version().await.unwrap();
    let filters = filters(root);
    loop {
        let images = images_of(&docker, &filters).await;
        if images.is_empty() {
            break;
        }
        for image in images {
            let options = RemoveImageOptionsBuilder::default().force(true).build();
            // Those that others stand on go in another round.
            drop(docker.remove_image(&image, Some(options), None).await);
        }
    }
}

async fn images_of(docker: &Docker, filters: &HashMap<&'static str, Vec<String>>) -> Vec<String> {
    let options = ListImagesOptionsBuilder::default().all(true).filters(filters).build();
    let images = docker.list_images(Some(options)).await.unwrap();
    images.into_iter().map(|image| image.id).collect()
}

fn filters(root: &Path) -> HashMap<&'static str, Vec<String>> {
    let id = fs::read_to_string(root.join("docker-id")).unwrap();
    HashMap::from([("label", vec![format!("dev.hm.store={id}")])])
}

/// An image of this machine's own tools, made once for all runs.
pub(crate) async fn image() -> &'static str {
    static MADE: OnceCell<()> = OnceCell::const_new();
    const NAME: &str = "hm-conformance:1";
    MADE.get_or_init(async || import("hm-conformance", "1", archive).await)
        .await;
    NAME
}

/// A Debian system, made once for all runs.
pub(crate) async fn debian() -> &'static str {
    let made = || {
        let mut command = Command::new("mmdebstrap");
        let output = command.args(["--quiet", "--variant=minbase", "bookworm", "-"]).output();
        let output = output.expect("install mmdebstrap: apt-get install mmdebstrap");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    import("hm-conformance-debian", "1", made).await;
    "hm-conformance-debian:1"
}

/// Makes an image of an archive, where the engine has none of this name.
pub(crate) async fn import(name: &str, tag: &str, archive: impl FnOnce() -> Vec<u8>) {
    let docker = client().negotiate_version().await.unwrap();
    // Each test may be a process of its own: the first one imports.
    let lock = fs::File::create(std::env::temp_dir().join("hm-conformance.lock")).unwrap();
    tokio::task::block_in_place(|| lock.lock()).unwrap();
    let options = CreateImageOptionsBuilder::default()
        .from_src("-")
        // Podman's import does not look at a tag beside it.
        .repo(&format!("{name}:{tag}"))
        .build();
    if docker.inspect_image(&format!("{name}:{tag}")).await.is_ok() {
        return;
    }
    let imported = docker.create_image(Some(options), Some(body_full(archive().into())), None);
    imported.try_for_each(async |_| Ok(())).await.unwrap();
}

/// Loads files as an image with this configuration; its architecture is the engine's where none is named.
pub(crate) async fn load(name: &str, layer: Vec<u8>, config: Value, architecture: Option<&str>) {
    let docker = client().negotiate_version().await.unwrap();
    let own = docker.version().await.unwrap().arch;
    let diff_id = Sha256::digest(&layer)
        .iter()
        .fold(String::from("sha256:"), |text, byte| format!("{text}{byte:02x}"));
    let rootfs = json!({ "type": "layers", "diff_ids": [diff_id] });
    let architecture = architecture.map(ToOwned::to_owned).or(own);
    let config =
        json!({ "architecture": architecture, "os": "linux", "config": config, "rootfs": rootfs, "history": [{}] });
    let manifest = json!([{ "Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"] }]);
    let mut all = Builder::new(Vec::new());
    for (path, content) in [
        ("manifest.json", manifest.to_string().into_bytes()),
        ("config.json", config.to_string().into_bytes()),
        ("layer.tar", layer),
    ] {
        let mut header = header(EntryType::Regular, 0o644, content.len());
        all.append_data(&mut header, path, &content[..]).unwrap();
    }
    let options = ImportImageOptionsBuilder::default().quiet(true).build();
    let body = body_full(all.into_inner().unwrap().into());
    let loaded = docker.import_image(options, body, None);
    loaded.try_for_each(async |_| Ok(())).await.unwrap();
}

pub(crate) fn archive() -> Vec<u8> {
    archive_with(&[])
}

/// With these files too, which all hold `x`.
pub(crate) fn archive_with(more: &[&str]) -> Vec<u8> {
    let mut archive = Builder::new(Vec::new());
    for path in more {
        let mut header = header(EntryType::Regular, 0o644, 1);
        archive.append_data(&mut header, path, &b"x"[..]).unwrap();
    }
    let mut folders: BTreeSet<PathBuf> = ["etc", "proc", "dev", "sys", "tmp", "root", "usr/bin"]
        .map(PathBuf::from)
        .into();
    let tools: Vec<PathBuf> = TOOLS.split_whitespace().filter_map(find).collect();
    let mut files: BTreeSet<PathBuf> = tools.iter().flat_map(|tool| libraries(tool)).collect();
    files.extend(tools);
    for file in &files {
        let above = file.strip_prefix("/").unwrap().ancestors().skip(1);
        folders.extend(above.filter(|above| !above.as_os_str().is_empty()).map(Path::to_owned));
    }
    for folder in &folders {
        let mut header = header(
            EntryType::Directory,
            if folder.ends_with("tmp") { 0o1777 } else { 0o755 },
            0,
        );
        archive.append_data(&mut header, folder, &[][..]).unwrap();
    }
    let mut link = header(EntryType::Symlink, 0o777, 0);
    archive.append_link(&mut link, "bin", "usr/bin").unwrap();
    for file in &files {
        let content = fs::read(file).unwrap();
        let mut header = header(EntryType::Regular, 0o755, content.len());
        archive
            .append_data(&mut header, file.strip_prefix("/").unwrap(), &content[..])
            .unwrap();
    }
    let passwd = b"root:x:0:0:root:/root:/bin/sh\nbuild:x:1000:1001::/home/build:/bin/sh\n";
    let mut header = header(EntryType::Regular, 0o644, passwd.len());
    archive.append_data(&mut header, "etc/passwd", &passwd[..]).unwrap();
    archive.into_inner().unwrap()
}

fn header(kind: EntryType, mode: u32, size: usize) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size as u64);
    header
}

fn find(tool: &str) -> Option<PathBuf> {
    let found = Path::new("/usr/bin").join(tool);
    let runs = fs::metadata(&found).is_ok_and(|found| found.permissions().mode() & 0o111 != 0);
    runs.then_some(found)
}

/// What a program is linked to, by the names it is found under.
fn libraries(tool: &Path) -> Vec<PathBuf> {
    let listed = Command::new("ldd").arg(tool).output().unwrap();
    let text = String::from_utf8(listed.stdout).unwrap();
    text.split_whitespace()
        .filter(|word| word.starts_with('/'))
        .map(PathBuf::from)
        .collect()
}
