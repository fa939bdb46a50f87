//! The command line: a file or folder per command. The result of a command goes to standard output, everything else to
//! standard error.

mod admin_client;
mod advice;
mod ask;
mod check;
mod client_url;
mod config_path;
mod control;
mod demo;
mod doctor;
mod explain;
mod import;
mod init;
mod keys;
mod limits;
mod listener;
mod manual;
mod output;
mod run;
mod same_gateway;
mod schema;
mod status;
mod suggestions;
mod terminal;
mod usage;
mod wait;
mod wrap;

use std::path::Path;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Parser, Subcommand};

use crate::error::Error;
use crate::runtime::log;
use output::print;
use wrap::to_terminal;

const EXIT_CODES: &str =
    "Exit codes: 0 done, 1 failed, 64 wrong usage, 74 done in part, 78 wrong configuration.";

/// A gateway for LLM provider keys: clients hold keys that the gateway issues, and never see the
/// providers' tokens.
#[derive(Parser)]
#[command(name = "keygate", version, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Try keygate: the gateway and a built-in provider on loopback, without configuration or network
    Demo(demo::Demo),
    /// Create a first configuration: one provider, one route, one client key
    Init(init::Init),
    /// Run the gateway in the foreground
    Run(run::Run),
    /// Check a configuration: print every problem at once, with file, line and remedy
    Check(config_path::ConfigPath),
    /// Check the machine: limits, clock, names, certificates, credentials, ports; and print what to fix
    Doctor(doctor::Doctor),
    /// Create, rotate, revoke and list client keys
    #[command(subcommand)]
    Keys(keys::Keys),
    /// List limits and what is left of them; raise a budget, or reset what was used
    #[command(subcommand)]
    Limits(limits::Limits),
    /// Explain what would happen to a request, without sending anything
    Explain(explain::Explain),
    /// Convert the configuration of another gateway
    #[command(subcommand)]
    Import(import::Import),
    /// Reload a changed configuration, and report whether it was accepted
    Reload(control::Reload),
    /// Replace a running gateway with the binary that is installed now, without losing a request
    Upgrade(control::Upgrade),
    /// Show what a running gateway serves, and why something is not served
    Status(status::Status),
    /// Sum up what was used by key, route, provider, model or day: who used how much, at what cost
    Usage(usage::Usage),
    /// Print a JSON schema of the configuration, for editors
    #[command(
        after_help = "Example: keygate schema > keygate.schema.json, and as the first line of gateway.toml:\n\
                            #:schema ./keygate.schema.json\n\
                            Editors with Taplo or Tombi (\"Even Better TOML\") then complete and check the settings."
    )]
    Schema,
    /// Print the version
    Version,
    /// Print a completion script for a shell
    Completion(manual::Completion),
    /// Print the manual page
    Man,
}

/// Reads the command line and runs the command.
///
/// # Errors
/// Why the command failed, which decides the exit code.
pub fn run() -> Result<(), Error> {
    log::install_panic_hook();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => return Err(Error::Usage(misused(&error))),
        // clap returns the texts of --help and --version as errors.
        Err(text) => return print(&to_terminal(&text.to_string())),
    };
    let outcome = match cli.command {
        Command::Demo(demo) => demo::run(&demo),
        Command::Init(options) => init::run(&options),
        Command::Run(options) => run::run(&options),
        Command::Check(path) => check::run(&path),
        Command::Doctor(options) => doctor::run(&options),
        Command::Keys(keys) => keys::run(&keys),
        Command::Limits(limits) => limits::run(&limits),
        Command::Explain(explain) => explain::run(&explain),
        Command::Import(import) => import::run(&import),
        Command::Reload(options) => control::reload(&options),
        Command::Upgrade(options) => control::upgrade(&options),
        Command::Status(status) => status::run(&status),
        Command::Usage(options) => usage::run(&options),
        Command::Schema => schema::run(),
        Command::Version => print(&Cli::command().render_version()),
        Command::Completion(options) => manual::completion(&options, &mut Cli::command()),
        Command::Man => manual::page(Cli::command()),
    };
    if outcome.is_ok() {
        log::flush();
    }
    outcome
}

/// The message for a wrong command line, with a tip of keygate's own where clap has none.
fn misused(error: &clap::Error) -> String {
    let mut text = to_terminal(&error.to_string());
    let given = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(given)) => given.as_str(),
        _ => "",
    };
    let is_file = error.kind() == ErrorKind::UnknownArgument && !given.starts_with('-');
    if is_file && Path::new(given).extension().is_some_and(|it| it == "toml") {
        let tip = format!("  tip: a configuration is named by '--config {given}'\n\nUsage:");
        text = text.replacen("Usage:", &tip, 1);
    }
    text
}

/// Prints to standard error why a command failed.
pub fn print_error(error: &Error) {
    let text = match error {
        // clap's messages begin with `error:`, problems of a configuration with the file and line.
        Error::Usage(_) | Error::Config(_) => error.to_string(),
        Error::Unconfigured(_) | Error::Partial(_) | Error::Step { .. } | Error::Failed(_) => {
            format!("keygate: {error}")
        }
    };
    log::print_last(text.trim_end());
}
