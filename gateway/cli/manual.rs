//! `keygate completion` and `keygate man`: what shells and `man` want to know, from the same
//! descriptions that `--help` shows.

use clap::{Args, Command};
use clap_complete::Shell;

use crate::error::Error;

/// Print a completion script for a shell.
#[derive(Args)]
#[command(after_help = "Example: keygate completion bash > /etc/bash_completion.d/keygate")]
pub(super) struct Completion {
    /// The shell
    shell: Shell,
}

pub(super) fn completion(options: &Completion, command: &mut Command) -> Result<(), Error> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, command, "keygate", &mut script);
    super::say(&String::from_utf8_lossy(&script))
}

/// One page: keygate, then each command with its options and examples.
pub(super) fn page(mut command: Command) -> Result<(), Error> {
    command.build();
    let mut page = Vec::new();
    let failed = |error| Error::failed("write the manual page", error);
    clap_mangen::Man::new(command.clone())
        .render(&mut page)
        .map_err(failed)?;
    render_commands(&command, &mut page).map_err(failed)?;
    super::say(&String::from_utf8_lossy(&page))
}

fn render_commands(command: &Command, page: &mut Vec<u8>) -> std::io::Result<()> {
    for inner in command
        .get_subcommands()
        .filter(|inner| inner.get_name() != "help")
    {
        let name = inner
            .get_bin_name()
            .unwrap_or(inner.get_name())
            .to_uppercase();
        page.extend(format!(".SH \"{name}\"\n").bytes());
        let man = clap_mangen::Man::new(inner.clone());
        man.render_description_section(&mut *page)?;
        man.render_options_section(&mut *page)?;
        man.render_extra_section(&mut *page)?;
        render_commands(inner, page)?;
    }
    Ok(())
}
