//! Layers on each other, and what is said about those that are not right.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hm_config::{
    ConfigError, ConfigFile, FlagValue, KEYS, Layers, OutputFormat, SandboxNetwork, SandboxRoots, SandboxSettings,
    Settings, WorkspaceSettings, project_config_paths, user_config_path,
};
use proptest::prelude::*;

const EVERY_KEY: &str = r#"
backend = "docker"
default_image = "host"
parallelism = 3
grace_seconds = 0
preferences.format = "json"
cache.max_bytes = "20GiB"
store = { dir = "/var/hm" }

[sandbox]
network = "none"
roots = "copies"
expose = ["~/.cargo", "/opt/tools"]
mirrors = ["docker.io=http://m.example:5000/hub", "docker.io=n.example"]
insecure_registries = ["localhost:5000"]
ca_files = ["~/ca.pem"]

[workspace]
include = [".git", ".hm"]

"#;

fn user(text: &str) -> Layers {
    let file = ConfigFile {
        path: PathBuf::from("/home/u/.config/hm/config.toml"),
        text: text.to_owned(),
    };
    Layers {
        user_file: Some(file),
        home: Some(PathBuf::from("/home/u")),
        ..Layers::default()
    }
}

fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn env(pairs: &[(&str, &str)]) -> Layers {
    Layers {
        variables: variables(pairs),
        home: Some(PathBuf::from("/home/u")),
        ..Layers::default()
    }
}

fn flag(flag: &str, key: &str, value: &str) -> FlagValue {
    FlagValue {
        flag: flag.to_owned(),
        key: key.to_owned(),
        value: value.to_owned(),
    }
}

#[expect(clippy::unwrap_used, reason = "a test stops at what it does not expect")]
fn settings(layers: &Layers) -> Settings {
    let resolved = layers.resolve().unwrap();
    assert_eq!(resolved.warnings, []);
    resolved.settings
}

#[expect(clippy::unwrap_used, reason = "a test stops at what it does not expect")]
fn warnings(layers: &Layers) -> Vec<String> {
    layers
        .resolve()
        .unwrap()
        .warnings
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn problems(layers: &Layers) -> Vec<String> {
    match layers.resolve() {
        Err(ConfigError::Invalid(problems)) => problems.iter().map(ToString::to_string).collect(),
        Err(error @ ConfigError::Read { .. }) => panic!("{error}"),
        Ok(resolved) => panic!("resolved to {resolved:?}"),
    }
}

fn every_key() -> Settings {
    Settings {
        backend: "docker".to_owned(),
        default_image: "host".to_owned(),
        parallelism: NonZeroU32::new(3),
        grace: Duration::ZERO,
        format: OutputFormat::Json,
        store_dir: Some(PathBuf::from("/var/hm")),
        cache_max_bytes: Some(20 << 30),
        sandbox: SandboxSettings {
            network: Some(SandboxNetwork::None),
            roots: SandboxRoots::Copies,
            expose: vec![PathBuf::from("/home/u/.cargo"), PathBuf::from("/opt/tools")],
            mirrors: vec![
                ("docker.io".to_owned(), "http://m.example:5000/hub".to_owned()),
                ("docker.io".to_owned(), "n.example".to_owned()),
            ],
            insecure_registries: vec!["localhost:5000".to_owned()],
            ca_files: vec![PathBuf::from("/home/u/ca.pem")],
        },
        workspace: WorkspaceSettings {
            include_git: true,
            include_hm: true,
        },
    }
}

#[test]
fn nothing_gives_the_defaults() {
    assert_eq!(settings(&Layers::default()), Settings::default());
    assert_eq!(settings(&user("")), Settings::default());
}

#[test]
fn a_file_sets_every_key() {
    assert_eq!(settings(&user(EVERY_KEY)), every_key());
}

#[test]
fn variables_set_every_key() {
    let layers = env(&[
        ("HM_BACKEND", "docker"),
        ("HM_DEFAULT_IMAGE", "host"),
        ("HM_PARALLELISM", "3"),
        ("HM_GRACE_SECONDS", "0"),
        ("HM_PREFERENCES__FORMAT", "json"),
        ("HM_CACHE__MAX_BYTES", "20GiB"),
        ("HM_STORE__DIR", "/var/hm"),
        ("HM_SANDBOX__NETWORK", "none"),
        ("HM_SANDBOX__ROOTS", "copies"),
        ("HM_SANDBOX__EXPOSE", "~/.cargo, /opt/tools"),
        (
            "HM_SANDBOX__MIRRORS",
            "docker.io=http://m.example:5000/hub,docker.io=n.example",
        ),
        ("HM_SANDBOX__INSECURE_REGISTRIES", "localhost:5000"),
        ("HM_SANDBOX__CA_FILES", "~/ca.pem"),
        ("HM_WORKSPACE__INCLUDE", ".git,.hm"),
    ]);
    assert_eq!(settings(&layers), every_key());
}

#[test]
fn later_layers_win() {
    let mut layers = user("parallelism = 1\nbackend = \"a\"\ndefault_image = \"a\"\nsandbox.expose = [\"/a\", \"/b\"]");
    layers.project_file = Some(ConfigFile {
        path: PathBuf::from("/p/.hm/config.toml"),
        text: "parallelism = 2\nbackend = \"b\"\nsandbox.expose = [\"/c\"]".to_owned(),
    });
    layers.variables = variables(&[("HM_PARALLELISM", "3")]);
    let resolved = settings(&layers);
    assert_eq!((resolved.backend.as_str(), resolved.default_image.as_str()), ("b", "a"));
    assert_eq!(resolved.sandbox.expose, [PathBuf::from("/c")]);
    assert_eq!(resolved.parallelism, NonZeroU32::new(3));
    layers.flags = vec![flag("--parallelism", "parallelism", "4")];
    assert_eq!(settings(&layers).parallelism, NonZeroU32::new(4));
}

#[test]
fn an_empty_variable_is_absent_and_those_of_others_are_left_alone() {
    let layers = env(&[
        ("HM_BACKEND", ""),
        ("HM_ORG", "o"),
        ("HM_API_URL", "u"),
        ("HM_PYTHON", "p"),
    ]);
    let resolved = layers.resolve().expect("nothing is wrong");
    assert_eq!(
        (resolved.settings.backend.as_str(), resolved.warnings.len()),
        ("sandbox", 0)
    );
}

#[test]
fn variables_that_are_no_keys_are_left_alone() {
    let layers = env(&[
        ("HM_API_TOKEN", "t"),
        ("HM_PYTHON", "p"),
        ("HM_SDK", "installed"),
        ("HMX", "1"),
        ("PATH", "/"),
    ]);
    assert_eq!(settings(&layers), Settings::default());
}

#[test]
fn unknown_keys_are_warnings_with_the_nearest_name() {
    let mut layers = user("default_imgae = \"x\"\n\n[sandbox]\nnetwrok = \"none\"\n[quite.another]\nthing = 1\n");
    layers.variables = variables(&[("HM_PARALELISM", "3")]);
    let known = KEYS.join(", ");
    assert_eq!(
        warnings(&layers),
        [
            "/home/u/.config/hm/config.toml:1: unknown key `default_imgae` (did you mean `default_image`?)".to_owned(),
            "/home/u/.config/hm/config.toml:4: unknown key `sandbox.netwrok` (did you mean `sandbox.network`?)"
                .to_owned(),
            format!("/home/u/.config/hm/config.toml:6: unknown key `quite.another.thing` (known keys: {known})"),
            "HM_PARALELISM: unknown key `paralelism` (did you mean `parallelism`?)".to_owned(),
        ]
    );
}

#[test]
fn every_problem_comes_with_its_file_and_line() {
    let mut layers = user(
        "backend = 1\nparallelism = 0\n\nsandbox = \"none\"\ndefault_image = \"\"\n[store]\ndir = \"cache\"\n\
         [workspace]\ninclude = [\".svn\"]\n[preferences]\nformat = true\n",
    );
    layers.project_file = Some(ConfigFile {
        path: PathBuf::from("/p/.hm/config.toml"),
        text: "[backend]\nname = \"x\"\n[sandbox]\nnetwork = \"moon\"\nexpose = \"/a\"\n".to_owned(),
    });
    layers.variables = variables(&[("HM_GRACE_SECONDS", "soon")]);
    layers.flags = vec![flag("--parallelism", "parallelism", "-1")];
    let file = "/home/u/.config/hm/config.toml";
    assert_eq!(
        problems(&layers),
        [
            format!("{file}:1: `backend` must be a string, not an integer (write a string)"),
            format!("{file}:2: `parallelism` can't be 0 (write an integer from 1 to 100000)"),
            format!("{file}:4: `sandbox` must be a table (write `[sandbox]` and its keys below)"),
            format!("{file}:5: `default_image` is empty (write a value or leave it out)"),
            format!(
                "{file}:7: `store.dir` can't be the relative path \"cache\" \
                 (write an absolute path, or one that begins with `~/`)"
            ),
            format!("{file}:9: `workspace.include` can't be \".svn\" (one of: .git, .hm)"),
            format!("{file}:11: `preferences.format` must be a string, not a boolean (write a string)"),
            "/p/.hm/config.toml:2: `backend` can't be a table (write a value for `backend`)".to_owned(),
            "/p/.hm/config.toml:4: `sandbox.network` can't be \"moon\" (one of: host, isolated, none)".to_owned(),
            "/p/.hm/config.toml:5: `sandbox.expose` must be an array of strings, not a string \
             (write an array of strings)"
                .to_owned(),
            "HM_GRACE_SECONDS: `grace_seconds` must be an integer, not a string (write an integer)".to_owned(),
            "--parallelism: `parallelism` can't be -1 (write an integer from 1 to 100000)".to_owned(),
        ]
    );
}

#[test]
fn what_is_not_toml_is_said_with_its_line() {
    let said = problems(&user("backend = \"a\"\nparallelism = = 2\n"));
    assert!(
        said[0].starts_with("/home/u/.config/hm/config.toml:2: not TOML: "),
        "{said:?}"
    );
}

#[test]
fn a_home_that_is_not_known_is_a_problem_only_where_it_is_needed() {
    let mut layers = user("sandbox.expose = [\"~/x\", \"~\"]\nstore.dir = \"/abs\"\n");
    assert_eq!(
        settings(&layers).sandbox.expose,
        [PathBuf::from("/home/u/x"), PathBuf::from("/home/u")]
    );
    layers.home = None;
    assert_eq!(
        problems(&layers),
        [
            "/home/u/.config/hm/config.toml:1: `sandbox.expose` is \"~/x\", and no home folder is known \
          (set HOME, or write an absolute path)"
        ]
    );
    let other = problems(&user("store.dir = \"~other/x\""));
    assert!(
        other[0].contains("can't be the relative path \"~other/x\""),
        "{other:?}"
    );
}

#[test]
fn isolated_is_a_network() {
    assert_eq!(
        settings(&env(&[("HM_SANDBOX__NETWORK", "isolated")])).sandbox.network,
        Some(SandboxNetwork::Isolated)
    );
}

#[test]
fn the_users_file_is_where_xdg_says() {
    let home = Some(Path::new("/home/u"));
    let at = |xdg: &str| user_config_path(&variables(&[("XDG_CONFIG_HOME", xdg)]), home);
    assert_eq!(at("/x"), Some(PathBuf::from("/x/hm/config.toml")));
    assert_eq!(at("relative"), Some(PathBuf::from("/home/u/.config/hm/config.toml")));
    assert_eq!(at(""), Some(PathBuf::from("/home/u/.config/hm/config.toml")));
    assert_eq!(user_config_path(&BTreeMap::new(), None), None);
}

#[test]
fn the_projects_file_is_the_nearest_upward() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("a/b");
    fs::create_dir_all(&inner).unwrap();
    fs::create_dir(folder.path().join(".hm")).unwrap();
    fs::create_dir(folder.path().join("a/.hm")).unwrap();
    fs::write(folder.path().join(".hm/config.toml"), "backend = \"outer\"").unwrap();
    let found = ConfigFile::read_first(project_config_paths(&inner)).unwrap().unwrap();
    assert_eq!(found.text, "backend = \"outer\"");
    fs::write(folder.path().join("a/.hm/config.toml"), "backend = \"near\"").unwrap();
    let found = ConfigFile::read_first(project_config_paths(&inner)).unwrap().unwrap();
    assert_eq!(found.path, folder.path().join("a/.hm/config.toml"));
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    fs::write(&path, b"backend = \"\xff\"").unwrap();
    let error = ConfigFile::read(&path).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("can't read the configuration file {}", path.display())
    );
    assert!(std::error::Error::source(&error).is_some());
    assert_eq!(ConfigFile::read(&folder.path().join("none.toml")).unwrap(), None);
    assert_eq!(ConfigFile::read(&path.join("below-a-file.toml")).unwrap(), None);
}

proptest! {
    #[test]
    fn no_file_and_no_variable_makes_it_panic(text in "(\\PC|[\n=.\\[\\]\"'{},~/])*", value in "\\PC*") {
        let mut layers = user(&text);
        layers.variables = KEYS.iter().map(|key| (format!("HM_{}", key.to_uppercase().replace('.', "__")), value.clone())).collect();
        drop(layers.resolve());
    }
}

#[test]
fn a_mirror_belongs_to_a_registry() {
    let told = problems(&user("sandbox.mirrors = [\"mirror.example\"]"));
    assert_eq!(told.len(), 1);
    assert!(
        told[0].contains("mirror.example") && told[0].contains("docker.io="),
        "{}",
        told[0]
    );
}

#[test]
fn bytes_have_units() {
    let read = |text: &str| settings(&user(&format!("cache.max_bytes = {text}\n"))).cache_max_bytes;
    for (text, bytes) in [
        ("0", 0),
        ("123456789012", 123_456_789_012),
        ("\"7\"", 7),
        ("\"20GiB\"", 20 << 30),
        ("\"500 MB\"", 500_000_000),
    ] {
        assert_eq!(read(text), Some(bytes), "{text}");
    }
    for text in ["-1", "\"GiB\"", "\"1.5GiB\"", "\"20 gigs\"", "\"99999999TiB\"", "[1]"] {
        let said = problems(&user(&format!("cache.max_bytes = {text}\n")));
        assert!(said[0].contains("`cache.max_bytes` "), "{text}: {said:?}");
    }
}
