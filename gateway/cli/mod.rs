//! The command line: one small file per command. What a command finds out goes to standard output,
//! everything else to standard error.

mod admin_client;
mod ask;
mod check;
mod config_path;
mod control;
mod cure;
mod demo;
mod doctor;
mod explain;
mod fitted;
mod foreign;
mod hint;
mod import;
mod init;
mod keys;
mod listener;
mod manual;
mod run;
mod schema;
mod status;
mod terminal;
mod usage;
mod wait;

use std::io::Write;
use std::path::Path;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Parser, Subcommand};

use crate::error::Error;
use crate::runtime::log;
use crate::runtime::printable;

const EXIT_CODES: &str =
    "Exit codes: 0 done, 1 failed, 64 wrong usage, 74 done in part, 78 wrong configuration.";

/// A gateway for LLM provider keys: clients hold keys of the gateway's own, the providers' tokens
/// never leave it.
#[derive(Parser)]
#[command(name = "keygate", version, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Try it: the gateway and a built-in provider on loopback, no configuration, no network
    Demo(demo::Demo),
    /// Make a first configuration: one provider, one route, one client key
    Init(init::Init),
    /// Run the gateway in the foreground
    Run(run::Run),
    /// Check a configuration: every problem at once, with file, line and cure
    Check(config_path::ConfigPath),
    /// Look at the machine: limits, clock, names, certificates, credentials, ports; and say what to mend
    Doctor(doctor::Doctor),
    /// Make, rotate, revoke and list client keys
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Say what would become of a request, without sending anything
    Explain(explain::Explain),
    /// Make a configuration out of somebody else's
    #[command(subcommand)]
    Import(import::Import),
    /// Take a changed configuration over, and say whether it was
    Reload(control::Reload),
    /// Replace a running gateway by the binary that is installed now, without losing a request
    Upgrade(control::Upgrade),
    /// Show what a running gateway serves, and why not
    Status(status::Status),
    /// Sum up access lines by key, route, provider, model or day: who used what, and what it cost
    Usage(usage::Usage),
    /// Print a JSON schema of the configuration, for editors
    #[command(
        after_help = "Example: keygate schema > keygate.schema.json, and as the first line of gateway.toml:\n\
                            #:schema ./keygate.schema.json\n\
                            Editors with Taplo or Tombi (\"Even Better TOML\") complete and check it then."
    )]
    Schema,
    /// Print the version
    Version,
    /// Print a completion script for a shell
    Completion(manual::Completion),
    /// Print the manual page
    Man,
}

/// Reads the command line and does what it says.
pub fn run() -> Result<(), Error> {
    log::install_panic_hook();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => return Err(Error::Usage(misused(&error))),
        // --help and --version.
        Err(text) => return say(&fitted(&text.to_string())),
    };
    let outcome = match cli.command {
        Command::Demo(demo) => demo::run(&demo),
        Command::Init(options) => init::run(&options),
        Command::Run(options) => run::run(&options),
        Command::Check(path) => check::run(&path),
        Command::Doctor(options) => doctor::run(&options),
        Command::Keys(keys) => keys::run(&keys),
        Command::Explain(explain) => explain::run(&explain),
        Command::Import(import) => import::run(&import),
        Command::Reload(options) => control::reload(&options),
        Command::Upgrade(options) => control::upgrade(&options),
        Command::Status(status) => status::run(&status),
        Command::Usage(options) => usage::run(&options),
        Command::Schema => schema::run(),
        Command::Version => say(&Cli::command().render_version()),
        Command::Completion(options) => manual::completion(&options, &mut Cli::command()),
        Command::Man => manual::page(Cli::command()),
    };
    if outcome.is_ok() {
        log::flush();
    }
    outcome
}

/// A text in lines that the terminal has room for.
fn fitted(text: &str) -> String {
    terminal::width().map_or_else(|| text.to_owned(), |width| fitted::to_width(text, width))
}

/// What is wrong with a command line, with a tip where its parser has none.
fn misused(error: &clap::Error) -> String {
    let mut text = fitted(&error.to_string());
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

/// Says on standard error why a command failed.
pub fn print_error(error: &Error) {
    let text = match error {
        Error::Failed(why) | Error::Partial(why) | Error::Unconfigured(why) => {
            format!("keygate: {why}")
        }
        other => other.to_string(),
    };
    log::print_last(text.trim_end());
}

/// Writes to standard output. Whatever others named (a model, a key's comment) moves no cursor there.
fn say(text: &str) -> Result<(), Error> {
    say_or_stop(text).map(drop)
}

/// Likewise, and gives whether somebody still reads.
fn say_or_stop(text: &str) -> Result<bool, Error> {
    let mut output = std::io::stdout().lock();
    match writeln!(output, "{}", printable::lines(text.trim_end())).and_then(|()| output.flush()) {
        // `keygate status | head -1` is no failure.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Error::failed("write to standard output", error)),
        Ok(()) => Ok(true),
    }
}

/// Says something to the person at the terminal that is not the command's result.
fn eprint(text: &str) {
    let _ = writeln!(std::io::stderr(), "{}", printable::lines(text));
}
