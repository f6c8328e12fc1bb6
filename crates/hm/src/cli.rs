//! The command line as typed: flags and their help, nothing resolved.

use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{ArgAction, ArgGroup, Args, Parser, Subcommand, ValueEnum};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Yellow.on_default())
    .usage(AnsiColor::Yellow.on_default())
    .literal(AnsiColor::Green.on_default());

/// Runs your CI pipeline on the working tree as it stands, on this machine, without a daemon.
#[derive(Parser, Debug)]
#[command(name = "hm", version, styles = STYLES, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// When to colour what is shown to people
    #[arg(long, global = true, value_enum, default_value_t = ColorChoice::Auto, value_name = "WHEN")]
    pub(crate) color: ColorChoice,
}

/// When to colour.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ColorChoice {
    /// On a terminal, unless the environment says otherwise
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Run a pipeline on the working tree as it stands
    Run(Box<RunArgs>),
    /// Pull, list, remove and pin the images that steps boot from
    #[command(subcommand)]
    Image(ImageCommand),
    /// Print the pipelines of this repository as JSON
    Pipelines(SourceArgs),
    /// Print the IR of one pipeline, or the cache keys of its steps
    Render(RenderArgs),
    /// Find what is wrong with the pipelines of this repository, without running any
    Check(CheckArgs),
    /// Draw the steps of a pipeline and their order
    Graph(GraphArgs),
    /// Write a first pipeline for this repository
    Init(InitArgs),
    /// Make pipelines of another system's workflows
    #[command(subcommand)]
    Import(ImportCommand),
    /// Print a JSON Schema
    Schema(SchemaArgs),
    /// Tell what holds on this host, and what to do about what does not
    Doctor(DoctorArgs),
    /// Print the version
    Version,
}

impl Command {
    /// What a flag says about standard output; `None` where the configuration decides.
    pub(crate) fn format(&self) -> Option<Format> {
        match self {
            Self::Run(args) => args.format,
            Self::Check(args) => Some(args.format),
            Self::Render(args) => Some(args.format.unwrap_or(Format::Human)),
            Self::Doctor(args) => Some(args.format),
            Self::Image(ImageCommand::Ls(args)) => Some(args.format),
            Self::Image(ImageCommand::Pull(_) | ImageCommand::Rm(_) | ImageCommand::Lock(_)) => None,
            Self::Pipelines(_) | Self::Graph(_) | Self::Init(_) | Self::Import(_) | Self::Schema(_) | Self::Version => {
                Some(Format::Human)
            }
        }
    }
}

impl Command {
    /// As it is typed.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Run(_) => "hm run",
            Self::Image(ImageCommand::Pull(_)) => "hm image pull",
            Self::Image(ImageCommand::Ls(_)) => "hm image ls",
            Self::Image(ImageCommand::Rm(_)) => "hm image rm",
            Self::Image(ImageCommand::Lock(_)) => "hm image lock",
            Self::Pipelines(_) => "hm pipelines",
            Self::Render(args) if args.keys => "hm render --keys",
            Self::Render(_) => "hm render",
            Self::Check(_) => "hm check",
            Self::Graph(_) => "hm graph",
            Self::Init(_) => "hm init",
            Self::Import(ImportCommand::Github(_)) => "hm import github",
            Self::Schema(_) => "hm schema",
            Self::Doctor(_) => "hm doctor",
            Self::Version => "hm version",
        }
    }

    /// Whether it makes machines, or files of machines.
    pub(crate) fn makes_machines(&self) -> bool {
        match self {
            Self::Run(_) | Self::Image(_) | Self::Doctor(_) => true,
            Self::Render(args) => args.keys,
            Self::Pipelines(_)
            | Self::Check(_)
            | Self::Graph(_)
            | Self::Init(_)
            | Self::Import(_)
            | Self::Schema(_)
            | Self::Version => false,
        }
    }
}

/// Where the pipelines are looked for.
#[derive(Args, Debug)]
pub(crate) struct SourceArgs {
    /// Folder to start from; the nearest `.hm/` upward is used
    #[arg(short, long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
}

#[derive(Args, Debug)]
#[command(group = ArgGroup::new("of-keys")
    .args(["env", "backend", "image", "offline", "format"])
    .multiple(true)
    .requires("keys"))]
pub(crate) struct RenderArgs {
    #[command(flatten)]
    pub(crate) input: InputArgs,

    /// Fail on fields of the IR that this version does not know
    #[arg(long)]
    pub(crate) strict: bool,

    /// Print the cache key of each step instead, as `hm run` would look it up on the working tree as it stands
    #[arg(long)]
    pub(crate) keys: bool,

    #[command(flatten)]
    pub(crate) build: BuildArgs,

    /// What `--keys` prints on standard output
    #[arg(long, value_enum)]
    pub(crate) format: Option<Format>,
}

/// What of a build decides its keys.
#[derive(Args, Debug)]
pub(crate) struct BuildArgs {
    /// Set a variable in every step; may be repeated
    #[arg(short, long = "env", value_name = "K=V", action = ArgAction::Append)]
    pub(crate) env: Vec<String>,

    /// Where steps run
    #[arg(long, value_name = "NAME")]
    pub(crate) backend: Option<String>,

    /// Boot every root step from this image instead of its own
    #[arg(long, value_name = "REF")]
    pub(crate) image: Option<String>,

    /// Touch no network for images: use those that the store holds
    #[arg(long)]
    pub(crate) offline: bool,
}

#[derive(Args, Debug)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,

    /// Fail on warnings too
    #[arg(long)]
    pub(crate) strict: bool,

    /// What is printed on standard output
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(crate) format: Format,
}

/// The document that is worked on.
#[derive(Args, Debug)]
pub(crate) struct InputArgs {
    /// Slug of the pipeline; may be left out where only one is declared
    #[arg(conflicts_with = "ir")]
    pub(crate) pipeline: Option<String>,

    #[command(flatten)]
    pub(crate) source: SourceArgs,

    /// Take this IR document instead of a pipeline of the repository; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) ir: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct GraphArgs {
    #[command(flatten)]
    pub(crate) input: InputArgs,

    /// What is printed on standard output
    #[arg(long, value_enum, default_value_t = Picture::Text)]
    pub(crate) format: Picture,
}

/// How a graph is drawn.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Picture {
    /// A tree in characters
    Text,
    /// The language of Graphviz
    Dot,
    /// The language of Mermaid
    Mermaid,
    /// A picture
    Svg,
}

/// Where pipeline files are written.
#[derive(Args, Debug)]
pub(crate) struct TargetArgs {
    /// Folder that gets a `.hm/`
    #[arg(short, long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,

    /// Write over pipelines that are there
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Args, Debug)]
pub(crate) struct InitArgs {
    /// What the repository holds; found from its files where not given
    #[arg(short = 't', long = "type", value_enum, value_name = "KIND")]
    pub(crate) kind: Option<ProjectKind>,

    #[command(flatten)]
    pub(crate) target: TargetArgs,
}

/// What a repository holds.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ProjectKind {
    /// C or C++ with cmake
    Cmake,
    /// Elixir with Mix
    Elixir,
    /// JavaScript with Next
    Nextjs,
    /// JavaScript or TypeScript
    Js,
    /// Rust with Cargo
    Rust,
    /// Zig
    Zig,
    /// Python with uv
    Python,
    /// Go
    Go,
    /// Anything
    Blank,
}

#[derive(Subcommand, Debug)]
pub(crate) enum ImportCommand {
    /// Workflows of GitHub Actions, each as a pipeline file
    Github(ImportGithubArgs),
}

#[derive(Args, Debug)]
pub(crate) struct ImportGithubArgs {
    /// Workflows; those of .github/workflows where none is named
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) target: TargetArgs,
}

#[derive(Args, Debug)]
pub(crate) struct SchemaArgs {
    /// Which document
    #[arg(value_enum)]
    pub(crate) document: SchemaDocument,
}

/// A document with a schema.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SchemaDocument {
    /// What a pipeline compiles to
    Ir,
    /// What `--format json` prints
    Events,
}

#[derive(Args, Debug)]
pub(crate) struct DoctorArgs {
    /// Look at how steps are confined
    #[arg(long)]
    pub(crate) sandbox: bool,
    /// How the report is written
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    pub(crate) format: Format,
}

#[derive(Args, Debug)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) input: InputArgs,

    /// Branch that the build is recorded under
    #[arg(short, long)]
    pub(crate) branch: Option<String>,

    /// Message that the build is recorded with
    #[arg(short, long)]
    pub(crate) message: Option<String>,

    #[command(flatten)]
    pub(crate) build: BuildArgs,

    /// Steps that run at once; the number of cores where not set
    #[arg(long, value_name = "N")]
    pub(crate) parallelism: Option<String>,

    /// Run only these steps and what they need; may be repeated
    #[arg(long, value_name = "KEY", action = ArgAction::Append)]
    pub(crate) step: Vec<String>,

    /// Go on with independent steps after a failure
    #[arg(short, long)]
    pub(crate) keep_going: bool,

    /// Run every step; good results replace cached ones
    #[arg(long)]
    pub(crate) no_cache: bool,

    /// Budget of the whole build, such as 90s, 15m or 1h30m
    #[arg(long, value_name = "DURATION")]
    pub(crate) timeout: Option<String>,

    /// What is printed on standard output
    #[arg(long, value_enum)]
    pub(crate) format: Option<Format>,
}

/// What a command with events or findings prints.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Format {
    /// Text for people
    Human,
    /// JSON for programs
    Json,
}

#[derive(Subcommand, Debug)]
pub(crate) enum ImageCommand {
    /// Pull images into the store
    Pull(ImageNames),
    /// List the images that were pulled
    Ls(ImageListArgs),
    /// Remove pulled images that no cached step stands on
    Rm(ImageNames),
    /// Write the digests of images to .hm/images.lock, so that builds get the same until it is written anew
    Lock(ImageLockArgs),
}

#[derive(Args, Debug)]
pub(crate) struct ImageNames {
    /// References, such as ubuntu:24.04
    #[arg(required = true, value_name = "REF")]
    pub(crate) images: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct ImageListArgs {
    /// What is printed on standard output
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(crate) format: Format,
}

#[derive(Args, Debug)]
pub(crate) struct ImageLockArgs {
    /// References to pin anew; all that the pipelines name where none is given
    #[arg(value_name = "REF")]
    pub(crate) images: Vec<String>,

    #[command(flatten)]
    pub(crate) source: SourceArgs,
}
