//! `keygate import`: converts the configuration of another gateway.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::run::root_flag;
use crate::config::{ConfigErrors, Purpose, Resolved};
use crate::error::Error;
use crate::import::gloo::{self, Input};
use crate::import::{self, Plan, litellm};
use crate::runtime::printable::count;

/// Convert the configuration of another gateway.
#[derive(Subcommand)]
pub(super) enum Import {
    /// From objects of Gloo Gateway, Gloo Platform, kgateway or agentgateway, as YAML
    Gloo(Gloo),
    /// From LiteLLM's config.yaml
    Litellm(Litellm),
}

#[derive(Args)]
struct Target {
    /// The folder for gateway.toml, keys.toml and secrets/; no file in it is overwritten
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Fail, and write nothing, if something cannot be converted
    #[arg(long)]
    strict: bool,
}

/// From objects of Gloo Gateway, Gloo Platform, kgateway or agentgateway.
#[derive(Args)]
#[command(after_help = "Example: keygate import gloo --out imported all.yaml\n\
                        where all.yaml contains the routes, their backends, the secrets, and EVERY policy on them")]
pub(super) struct Gloo {
    /// YAML files; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// JSON patches to apply first: `kubectl patch` commands, or documents of `target` and `patch`
    #[arg(long, value_name = "FILE")]
    patch: Vec<PathBuf>,
    /// Leave routes open to everybody if nothing in the files requires a key; by default they require any valid key
    #[arg(long)]
    allow_open: bool,
    #[command(flatten)]
    target: Target,
}

/// From LiteLLM's config.yaml.
#[derive(Args)]
#[command(
    after_help = "Example: keygate import litellm config.yaml --keys tokens.csv --teams teams.csv --users users.csv --members members.csv --out imported\n\
                        The tables: \\copy \"LiteLLM_VerificationToken\" to 'tokens.csv' csv header\n\
                        \\copy \"LiteLLM_TeamTable\" to 'teams.csv' csv header\n\
                        \\copy \"LiteLLM_UserTable\" to 'users.csv' csv header\n\
                        \\copy \"LiteLLM_TeamMembership\" to 'members.csv' csv header"
)]
pub(super) struct Litellm {
    /// config.yaml; `-` is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The table LiteLLM_VerificationToken, as CSV with a header
    #[arg(long, value_name = "CSV")]
    keys: Option<PathBuf>,
    /// The table of LiteLLM's teams, as CSV with a header; without it, keys of teams are disabled
    #[arg(long, value_name = "CSV", requires = "keys")]
    teams: Option<PathBuf>,
    /// The table of LiteLLM's users, as CSV with a header; without it, keys of users are disabled
    #[arg(long, value_name = "CSV", requires = "keys")]
    users: Option<PathBuf>,
    /// The table of the members of LiteLLM's teams, as CSV with a header; without it, keys of users in teams are disabled
    #[arg(long, value_name = "CSV", requires = "keys")]
    members: Option<PathBuf>,
    #[command(flatten)]
    target: Target,
}

pub(super) fn run(import: &Import) -> Result<(), Error> {
    let (plan, target) = match import {
        Import::Gloo(options) => {
            let inputs = |files: &[PathBuf]| {
                files
                    .iter()
                    .map(|file| input(file))
                    .collect::<Result<Vec<_>, _>>()
            };
            let (files, patches) = (inputs(&options.files)?, inputs(&options.patch)?);
            (
                gloo::read(&files, &patches, options.allow_open),
                &options.target,
            )
        }
        Import::Litellm(options) => {
            let config = input(&options.file)?;
            let keys = options.keys.as_deref().map(input).transpose()?;
            let teams = options.teams.as_deref().map(input).transpose()?;
            let users = options.users.as_deref().map(input).transpose()?;
            let members = options.members.as_deref().map(input).transpose()?;
            let tables = litellm::Tables {
                keys: table(keys.as_ref()),
                teams: table(teams.as_ref()),
                users: table(users.as_ref()),
                members: table(members.as_ref()),
            };
            (
                litellm::read(&config.name, &config.text, &tables),
                &options.target,
            )
        }
    };
    write(
        &plan.map_err(|error| Error::Failed(error.to_string()))?,
        target,
    )
}

/// The name and the text of a table.
fn table(input: Option<&Input>) -> Option<(&str, &str)> {
    let input = input?;
    Some((&input.name, &input.text))
}

fn input(path: &Path) -> Result<Input, Error> {
    let mut text = String::new();
    let name = if path == Path::new("-") {
        let read = std::io::stdin().lock().read_to_string(&mut text);
        read.map_err(|error| Error::failed("read standard input", error))?;
        "(standard input)".to_owned()
    } else {
        let read = std::fs::read_to_string(path);
        text =
            read.map_err(|error| Error::failed(format_args!("read {}", path.display()), error))?;
        path.display().to_string()
    };
    Ok(Input { name, text })
}

fn write(plan: &Plan, target: &Target) -> Result<(), Error> {
    for note in &plan.notes {
        super::output::eprint(&note.to_string());
    }
    let lost = plan.notes.iter().filter(|note| note.lost).count();
    if target.strict && lost > 0 {
        return Err(Error::Failed(format!(
            "{} cannot be carried over: nothing was written (--strict)",
            count(lost, "thing")
        )));
    }
    let folder = target.out.display();
    let mut warnings = Vec::new();
    let check = |new: &Path| {
        let config = Resolved::load(&new.join("gateway.toml"), Purpose::Start)?;
        let here = format!("{}/", new.display());
        warnings.extend(
            config
                .warnings
                .iter()
                .map(|warning| warning.to_string().replace(&here, "")),
        );
        Ok(())
    };
    import::write(plan, &target.out, check).map_err(|error| match error {
        Failure::Io(error) => Error::failed(format_args!("write {folder}"), error),
        Failure::Config(errors) => Error::Config(errors),
    })?;
    for warning in warnings {
        super::output::eprint(&warning);
    }
    let config = target.out.join("gateway.toml");
    let root = root_flag();
    super::output::print(&format!(
        "{folder}: {}, {}, {}, {}; {} not carried over\n\
         keygate run{root} --config {}",
        count(plan.routes.len(), "route"),
        count(plan.providers.len(), "provider"),
        count(plan.keys.len(), "key"),
        count(plan.secrets.len(), "secret"),
        count(lost, "thing"),
        config.display(),
    ))
}

/// Why nothing was written.
enum Failure {
    Io(std::io::Error),
    /// The check refused the configuration. That is a bug: an import must write a valid one.
    Config(ConfigErrors),
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<ConfigErrors> for Failure {
    fn from(errors: ConfigErrors) -> Self {
        Self::Config(errors)
    }
}
