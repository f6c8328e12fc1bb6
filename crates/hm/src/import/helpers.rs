//! Functions that the generated files call, each written only where it is used.

use std::cell::RefCell;
use std::collections::BTreeSet;

/// A function of the generated file, in the order they are written.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Helper {
    Images,
    Runner,
    Script,
    Filled,
    Path,
    SetupNode,
    SetupPython,
    SetupGo,
    SetupRust,
}

/// Names that the generated file has already: no job is called so.
pub(super) const NAMES: [&str; 23] = [
    "env",
    "filled",
    "functools",
    "hm",
    "images",
    "m",
    "min",
    "mounts",
    "name",
    "os",
    "path",
    "pipeline",
    "re",
    "runner",
    "script",
    "services",
    "setup_go",
    "setup_node",
    "setup_python",
    "setup_rust",
    "shlex",
    "step",
    "str",
];

impl Helper {
    fn source(self) -> &'static str {
        match self {
            Self::Images => IMAGES,
            Self::Runner => RUNNER,
            Self::Script => SCRIPT,
            Self::Filled => FILLED,
            Self::Path => PATH,
            Self::SetupNode => SETUP_NODE,
            Self::SetupPython => SETUP_PYTHON,
            Self::SetupGo => SETUP_GO,
            Self::SetupRust => SETUP_RUST,
        }
    }

    fn modules(self) -> &'static [&'static str] {
        match self {
            Self::Runner => &["functools"],
            Self::Script => &["shlex"],
            Self::Filled => &["re"],
            Self::SetupPython => &["shlex"],
            Self::Images | Self::Path | Self::SetupNode | Self::SetupGo | Self::SetupRust => &[],
        }
    }
}

/// What a generated file uses.
#[derive(Default, Debug)]
pub(super) struct Helpers {
    used: RefCell<BTreeSet<Helper>>,
    environment: RefCell<bool>,
}

impl Helpers {
    pub(super) fn using(&self, helper: Helper) {
        let mut used = self.used.borrow_mut();
        if matches!(helper, Helper::SetupPython | Helper::SetupGo | Helper::SetupRust) {
            used.insert(Helper::Path);
        }
        if helper == Helper::Filled {
            used.insert(Helper::Script);
        }
        used.insert(helper);
    }

    /// Remembers whether that source reads the environment of who evaluates the pipeline.
    pub(super) fn look_at(&self, source: &str) {
        if source.contains("os.environ") {
            *self.environment.borrow_mut() = true;
        }
    }

    /// The modules to import, sorted.
    pub(super) fn modules(&self) -> Vec<&'static str> {
        let used = self.used.borrow();
        let mut modules: BTreeSet<&str> = used.iter().flat_map(|helper| helper.modules()).copied().collect();
        if *self.environment.borrow() {
            modules.insert("os");
        }
        modules.into_iter().collect()
    }

    /// The functions, each with two empty lines before it.
    pub(super) fn source(&self) -> String {
        let used = self.used.borrow();
        used.iter().flat_map(|helper| ["\n\n", helper.source()]).collect()
    }
}

const IMAGES: &str = r#"images = {
    "ubuntu-latest": "ubuntu:24.04",
    "ubuntu-24.04": "ubuntu:24.04",
    "ubuntu-22.04": "ubuntu:22.04",
    "ubuntu-20.04": "ubuntu:20.04",
}
"#;

const RUNNER: &str = r#"@functools.cache
def runner(image):
    """A little of what a hosted runner has. Add what your steps use."""
    packages = (
        "build-essential", "ca-certificates", "curl", "git", "jq", "python3", "python3-pip", "python3-venv",
        "sudo", "unzip", "wget", "xz-utils", "zip",
    )
    return hm.apt_base(packages=packages, image=image, label=f"runner {image}")
"#;

const SCRIPT: &str = r#"def script(text, shell="bash -e"):
    """The lines as a workflow runs them: the first that fails is the last."""
    margin = text.rpartition("\n")[2]  # of the closing quotes: the lines stand four deeper, values do not
    if margin.isspace():
        text = f"\n{text}".replace(f"\n{margin}    ", "\n")
    return f"{shell} -c {shlex.quote(text.strip())}"
"#;

const FILLED: &str = r#"def filled(text, shell="bash -e"):
    """As `script`; `${{ NAME }}` is the value of that variable as text, whatever quotes stand around it."""
    return re.sub(r"\$\{\{ (\w+) \}\}", r"""'"${\1}"'""", script(text, shell))
"#;

const PATH: &str = r#"path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"#;

const SETUP_NODE: &str = r#"def setup_node(step, env, version):
    """The newest Node of a major version, by the packages of NodeSource."""
    major = version.lstrip("v").split(".")[0]
    url = f"https://deb.nodesource.com/setup_{major}.x"
    command = f"curl -fsSL {url} | bash - && apt-get install -y nodejs"
    return step.sh(command, label=f"Node {version}", cache=hm.forever()), env
"#;

const SETUP_PYTHON: &str = r#"def setup_python(step, env, version):
    """A Python with pip in /opt/python, by uv."""
    wanted = shlex.quote(version.removesuffix(".x"))
    command = (
        "curl -LsSf https://astral.sh/uv/install.sh | UV_INSTALL_DIR=/usr/local/bin sh"
        f" && uv venv --seed --python {wanted} /opt/python"
    )
    env = {**env, "PATH": f"/opt/python/bin:{env.get('PATH', path)}"}
    return step.sh(command, label=f"Python {version}", cache=hm.forever()), env
"#;

const SETUP_GO: &str = r#"def setup_go(step, env, version):
    """Go in /usr/local/go; `stable` is the newest."""
    version = version.removeprefix("go").removesuffix(".x")
    if version[:1].isdigit():
        release = f"go{version}" if version.count(".") > 1 else f"go{version}.0"
    else:
        release = "$(curl -fsSL 'https://go.dev/VERSION?m=text' | head -n 1)"
    command = (
        f"curl -fsSL https://go.dev/dl/{release}.linux-$(dpkg --print-architecture).tar.gz -o /tmp/go.tgz"
        " && rm -rf /usr/local/go && tar -C /usr/local -xzf /tmp/go.tgz"
    )
    env = {**env, "PATH": f"/usr/local/go/bin:/root/go/bin:{env.get('PATH', path)}"}
    return step.sh(command, label=f"Go {version}", cache=hm.forever()), env
"#;

const SETUP_RUST: &str = r#"def setup_rust(step, env, toolchain, components="", targets=""):
    """Rust in /usr/local, by rustup."""
    options = f"--profile minimal --default-toolchain {toolchain}"
    options += f" --component {components}" if components else ""
    options += f" --target {targets}" if targets else ""
    env = {
        **env,
        "CARGO_HOME": "/usr/local/cargo",
        "RUSTUP_HOME": "/usr/local/rustup",
        "PATH": f"/usr/local/cargo/bin:{env.get('PATH', path)}",
    }
    command = f"curl -fsSL https://sh.rustup.rs | sh -s -- -y --no-modify-path {options}"
    return step.sh(command, label=f"Rust {toolchain}", env=env, cache=hm.forever()), env
"#;
