//! Wraps help texts and usage errors to the width of a terminal: lines break between words, and a continued line starts
//! below the text of its option. Examples are not wrapped, so that they can be pasted.

use super::terminal;

/// The least width of the text column. A narrower one is not used: continued lines then start where their line does.
const MIN_TEXT_WIDTH: usize = 24;

/// Wraps a text to the width of the terminal, if there is one.
pub(super) fn to_terminal(text: &str) -> String {
    terminal::width().map_or_else(|| text.to_owned(), |width| wrap(text, width))
}

/// Wraps a text to lines of at most `width` characters, as far as its words allow it.
fn wrap(text: &str, width: usize) -> String {
    let mut wrapped = String::with_capacity(text.len());
    let mut is_example = false;
    for line in text.lines() {
        is_example = line.starts_with("Example") || is_example && line.starts_with("    ");
        let is_command = line.starts_with('\\') || line.starts_with("The tables:");
        if is_example || is_command || line.chars().count() <= width {
            wrapped.push_str(line);
        } else {
            push_wrapped(&mut wrapped, line, width);
        }
        wrapped.push('\n');
    }
    wrapped
}

fn push_wrapped(wrapped: &mut String, line: &str, width: usize) {
    let own = line.len() - line.trim_start().len();
    let below = Some(column(line))
        .filter(|column| column + MIN_TEXT_WIDTH <= width)
        .unwrap_or(own);
    let (start, text) = line.split_at_checked(below).unwrap_or(("", line));
    wrapped.push_str(start);
    let mut used = below;
    let mut is_first = true;
    for word in text.split(' ') {
        let length = word.chars().count();
        if !is_first && used + 1 + length > width {
            wrapped.push('\n');
            wrapped.extend(std::iter::repeat_n(' ', below));
            used = below;
            is_first = true;
        }
        if !is_first {
            wrapped.push(' ');
            used += 1;
        }
        wrapped.push_str(word);
        used += length;
        is_first = false;
    }
}

/// The column at which the text of an option or command starts: after the last two blanks in a row. Everything before it
/// is ASCII.
fn column(line: &str) -> usize {
    let own = line.len() - line.trim_start().len();
    let rest = line.get(own..).unwrap_or_default();
    let gap = rest.find("  ").map(|gap| own + gap);
    let behind = gap.and_then(|gap| line.get(gap..)).unwrap_or_default();
    gap.map_or(own, |gap| gap + behind.len() - behind.trim_start().len())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn a_wrapped_line_continues_below_its_own_text() {
        let text = "  -c, --config <FILE>  The file that is read\nsome words\n";
        assert_eq!(
            wrap(text, 47),
            "  -c, --config <FILE>  The file that is read\nsome words\n"
        );
        let text = "  -c, --config <FILE>  The configuration file; left out, the first\n";
        assert_eq!(
            wrap(text, 48),
            "  -c, --config <FILE>  The configuration file;\n                       left out, the first\n"
        );
        let example = "Example: keygate keys create --id alice --label team=search --expires 30d\n         keygate keys \
                       create --id bob --label team=search --expires 30d\n";
        assert_eq!(wrap(example, 40), example);
        assert_eq!(wrap("a\u{e4}\u{e4} b", 3), "a\u{e4}\u{e4}\nb\n");
    }

    #[test]
    fn help_of_every_command_fits_80_columns_and_keeps_its_words() {
        let mut command = crate::cli::Cli::command();
        command.build();
        let mut commands = vec![command];
        while let Some(mut command) = commands.pop() {
            for help in [command.render_help(), command.render_long_help()] {
                let whole = help.to_string();
                let wrapped = wrap(&whole, 80);
                let words = |text: &str| {
                    text.split_whitespace()
                        .map(str::to_owned)
                        .collect::<Vec<_>>()
                };
                assert_eq!(words(&whole), words(&wrapped));
                let mut is_example = false;
                for line in wrapped.lines() {
                    is_example =
                        line.starts_with("Example") || is_example && line.starts_with("    ");
                    let fits = line.chars().count() <= 80 || is_example;
                    assert!(fits || line.contains("\\copy"), "{line}");
                }
            }
            commands.extend(command.get_subcommands().cloned());
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_keeps_its_words(text in "[ a\u{e4}b\\-\n<>]{0,200}", width in 0_usize..100) {
            let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            proptest::prop_assert_eq!(words(&text), words(&wrap(&text, width)));
        }
    }
}
