//! `keygate completion` and `keygate man`: completion scripts and the manual page, generated from the descriptions that
//! `--help` prints.

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
    super::output::print(&String::from_utf8_lossy(&script))
}

/// The sections after the commands.
const END: &str = r#".SH "EXIT STATUS"
.TP
.B 0
done
.TP
.B 1
failed
.TP
.B 64
wrong usage
.TP
.B 74
done in part
.TP
.B 78
wrong configuration
.SH FILES
Every command uses the first of these that exists:
.B \-\-config
.IR FILE ,
.BR $KEYGATE_CONFIG ,
.I ./gateway.toml
(if it belongs to the user or to root),
.IR /etc/keygate/gateway.toml .
"#;

/// Prints one page: keygate, then each command with its options and examples in a section. There is no page per command.
pub(super) fn page(command: Command) -> Result<(), Error> {
    let failed = |error| Error::failed("write the manual page", error);
    super::output::print(&text(command).map_err(failed)?)
}

fn text(command: Command) -> std::io::Result<String> {
    // The exit codes and the commands have sections of their own below.
    let mut command = command.after_help("").subcommand_value_name("COMMAND");
    command.build();
    let mut page = Vec::new();
    let man = clap_mangen::Man::new(command.clone());
    let version = command.get_version().unwrap_or_default();
    page.extend(format!(".TH keygate 1 \"\" \"keygate {version}\"\n").bytes());
    man.render_name_section(&mut page)?;
    page.extend(b".SH SYNOPSIS\n.B keygate\n.I COMMAND\n[options]\n");
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    page.extend(b".SH COMMANDS\n");
    render_commands(&command, &mut page)?;
    page.extend(END.bytes());
    let page = String::from_utf8_lossy(&page);
    Ok(page
        .lines()
        .fold(String::new(), |page, line| page + line.trim_end() + "\n"))
}

fn render_commands(command: &Command, page: &mut Vec<u8>) -> std::io::Result<()> {
    for inner in command
        .get_subcommands()
        .filter(|inner| inner.get_name() != "help")
    {
        let name = inner.get_bin_name().unwrap_or(inner.get_name());
        let usage = inner
            .clone()
            .render_usage()
            .to_string()
            .trim_start_matches("Usage: ")
            .replace('-', "\\-");
        page.extend(format!(".SS \"{name}\"\n.B {usage}\n.PP\n").bytes());
        let man = clap_mangen::Man::new(inner.clone());
        let mut section = Vec::new();
        man.render_description_section(&mut section)?;
        if !inner.has_subcommands() {
            man.render_options_section(&mut section)?;
        }
        if inner.get_after_help().is_some() {
            man.render_extra_section(&mut section)?;
        }
        page.extend(without_headings(&String::from_utf8_lossy(&section)).bytes());
        render_commands(inner, page)?;
    }
    Ok(())
}

/// Removes the headings from a command's section: they would end the section of all commands, of which it is a part.
fn without_headings(section: &str) -> String {
    let lines = section.lines().map(|line| match line.strip_prefix(".SH ") {
        Some("EXTRA") => ".PP\n".to_owned(),
        Some(_) => String::new(),
        // Line breaks around the texts of values. Their list starts with a paragraph of its own.
        None if line == ".br" => String::new(),
        // Definitions that the page has at its beginning.
        None if line.starts_with(".ie ") || line.starts_with(".el ") => String::new(),
        None => format!("{line}\n"),
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_manual_page_has_every_command_and_refers_to_no_missing_page() {
        let mut command = crate::cli::Cli::command();
        let page = text(command.clone()).unwrap();
        assert!(!page.replace(".TH keygate 1", "").contains("(1)"), "{page}");
        command.build();
        let mut commands: Vec<&Command> = command.get_subcommands().collect();
        while let Some(inner) = commands.pop() {
            let name = inner.get_bin_name().unwrap();
            if !name.contains("help") {
                assert!(page.contains(&format!(".SS \"{name}\"\n")), "{name}");
                commands.extend(inner.get_subcommands());
            }
        }
        let sections = page.lines().filter_map(|line| line.strip_prefix(".SH "));
        let expected = [
            "NAME",
            "SYNOPSIS",
            "DESCRIPTION",
            "OPTIONS",
            "COMMANDS",
            "\"EXIT STATUS\"",
            "FILES",
        ];
        assert_eq!(sections.collect::<Vec<_>>(), expected);
    }
}
