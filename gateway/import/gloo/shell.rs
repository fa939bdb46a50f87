//! The words of a shell command, without running it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The words of a shell command up to its end. `$(echo -n $NAME | base64)` becomes a placeholder,
/// since the variable's value is not known here.
pub(super) fn words(text: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
        match c {
            '\\' if rest.starts_with('\n') => rest = rest.get(1..).unwrap_or_default(),
            '\n' | ';' | '&' | '|' => break,
            ' ' | '\t' | '\r' => words.extend(word.take()),
            '\'' => {
                let (inside, behind) = rest.split_once('\'').ok_or("a quote is not closed")?;
                word.get_or_insert_default().push_str(inside);
                rest = behind;
            }
            '"' => {
                let (inside, behind) = rest.split_once('"').ok_or("a quote is not closed")?;
                word.get_or_insert_default().push_str(inside);
                rest = behind;
            }
            '$' if rest.starts_with('(') => {
                let (inside, behind) = rest.split_once(')').ok_or("a `$(` is not closed")?;
                // The placeholder is inside JSON, where a NUL must be escaped.
                let word = word.get_or_insert_default();
                match encoded(inside.trim_start_matches('(')) {
                    Some(Echoed::Variable(name)) => word.extend(["\\u0000variable:", name]),
                    Some(Echoed::Text(text)) => word.push_str(&STANDARD.encode(text)),
                    // The message does not quote the command, which may contain a secret.
                    None => {
                        let why = "what stands in `$( )` is known to the shell only: write `$(echo -n $NAME | base64)`";
                        return Err(why);
                    }
                }
                rest = behind;
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

/// The argument of an `echo` whose output is encoded.
enum Echoed<'c> {
    Variable(&'c str),
    Text(&'c str),
}

/// The argument of `echo -n ARGUMENT | base64`; `None` for any other command.
fn encoded(command: &str) -> Option<Echoed<'_>> {
    let (echo, encode) = command.split_once('|')?;
    let echoed = echo
        .trim()
        .strip_prefix("echo")?
        .trim()
        .strip_prefix("-n")?;
    let word = echoed.trim().trim_matches(['"', '\'']);
    if word.is_empty() || word.contains(char::is_whitespace) || !encode.trim().starts_with("base64")
    {
        return None;
    }
    let Some(name) = word.strip_prefix('$') else {
        return (!word.contains(['$', '`', '\\'])).then_some(Echoed::Text(word));
    };
    let name = name.trim_matches(['{', '}']);
    let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') && !name.is_empty();
    is_name.then_some(Echoed::Variable(name))
}
