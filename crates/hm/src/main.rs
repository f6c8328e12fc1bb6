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
mod output;
mod process;
mod pulls;
mod settings;
mod signals;
mod wiring;

use std::io::{Write, stderr};
use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};
use crate::error::CliError;
use crate::exit::Exit;
use crate::process::Process;

fn main() -> ExitCode {
    // First of all: this process may have been started to be a sandbox launcher.
    hm_sandbox::run_launcher_if_requested();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(told) => return tell_usage(&told),
    };
    let told_in_color;
    let end = match Process::read() {
        Ok(process) => {
            told_in_color = process.colors_stderr(cli.color);
            dispatch(&cli, &process)
        }
        Err(error) => {
            told_in_color = false;
            Err(error)
        }
    };
    let exit = end.unwrap_or_else(|error| {
        tell(&error, &cli, told_in_color);
        error.exit()
    });
    exit.code().into()
}

fn dispatch(cli: &Cli, process: &Process) -> Result<Exit, CliError> {
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
        Command::Doctor(_) => commands::doctor(),
        Command::Version => {
            output::result(concat!("hm ", env!("CARGO_PKG_VERSION"), "\n"))?;
            Ok(Exit::Success)
        }
    }
}

/// Help and version are results; everything else that clap says is a usage error.
fn tell_usage(told: &clap::Error) -> ExitCode {
    drop(told.print());
    if told.use_stderr() {
        Exit::Usage.code().into()
    } else {
        Exit::Success.code().into()
    }
}

/// An error goes to standard error as text, or to standard output as JSON where that is what was asked for.
fn tell(error: &CliError, cli: &Cli, colored: bool) {
    // Where the result can't be told either, it is at least told to people.
    if !cli.command.wants_json() || output::result(&error.to_json()).is_err() {
        drop(stderr().lock().write_all(error.to_text(colored).as_bytes()));
    }
}
