//! The `hm` command: arguments to settings, wiring, signals, error text, exit codes.

mod append;
mod build;
mod cli;
mod commands;
mod duration;
mod engine;
mod error;
mod exit;
mod graph;
mod images;
mod import;
mod init;
mod limits;
mod network;
mod open_files;
mod output;
mod process;
mod pulls;
mod settings;
mod signals;
mod usage;
mod users;
mod wiring;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command, Format};
use crate::error::CliError;
use crate::exit::Exit;
use crate::process::Process;
use crate::settings::preferred_format;

fn main() -> ExitCode {
    // First of all: this process may have been started to be a sandbox launcher.
    hm_sandbox::run_launcher_if_requested();
    let process = Process::read();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(told) => return usage::tell(&told, process.as_ref().ok()).code().into(),
    };
    let end = match &process {
        Ok(process) => dispatch(&cli, process).map_err(|error| tell(error, &cli, process)),
        Err(error) => {
            output::error(error, Format::Human, false);
            Err(error.exit())
        }
    };
    end.unwrap_or_else(|exit| exit).code().into()
}

fn dispatch(cli: &Cli, process: &Process) -> Result<Exit, CliError> {
    if cli.command.makes_machines() {
        // Before any thread: files of machines belong to more users than the caller.
        hm_sandbox::take_subordinate_ids();
    }
    match &cli.command {
        Command::Run(args) => commands::run(args, process, cli.color),
        Command::Image(command) => commands::image(command, process),
        Command::Pipelines(args) => commands::pipelines(args, process),
        Command::Render(args) => commands::render(args, process),
        Command::Check(args) => commands::check(args, process),
        Command::Graph(args) => commands::graph(args, process),
        Command::Init(args) => commands::init(args, process),
        Command::Import(command) => commands::import(command, process),
        Command::Schema(args) => commands::schema(args),
        Command::Doctor(args) => commands::doctor(args, process),
        Command::Version => {
            output::result(concat!("hm ", env!("CARGO_PKG_VERSION"), "\n"))?;
            Ok(Exit::Success)
        }
    }
}

fn tell(error: CliError, cli: &Cli, process: &Process) -> Exit {
    let error = error.of_command(cli.command.name());
    let format = cli.command.format().unwrap_or_else(|| preferred_format(process));
    output::error(&error, format, process.colors_stderr(cli.color));
    error.exit()
}
