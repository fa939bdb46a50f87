//! Recognises secrets that were pasted together with text around them, such as quotation marks.
//!
//! A provider responds to such a token with 401, long after the start and without a reason. Nothing here refuses a
//! secret: the provider decides the form of its tokens, so a finding is only a warning. No text holds a part of a secret.

use crate::grammar::authorization::split_scheme;

/// What is odd about `secret`, and what to do about it; `None` if it looks like a token. The caller puts the subject of
/// the sentence in front, such as `env:OPENAI_API_KEY`.
pub(super) fn oddity(secret: &str) -> Option<&'static str> {
    let token = split_scheme(secret).map_or(secret, |(_, token)| token);
    FORMS
        .iter()
        .find(|(is_such, _)| is_such(token))
        .map(|(_, what)| *what)
}

type Form = (fn(&str) -> bool, &'static str);

/// The forms, the most specific first: a quoted assignment is reported as an assignment.
const FORMS: [Form; 8] = [
    (
        is_json,
        "looks like JSON, which would be sent as it is: let it hold the token alone",
    ),
    (
        is_assignment,
        "looks like `NAME=value`, of which the provider would be sent the name as well: let it hold the value alone",
    ),
    (
        is_header,
        "looks like a header with its name, which would be sent as part of the token: let it hold the value alone",
    ),
    (
        is_quoted,
        "begins or ends with a quotation mark, which would be sent as part of the token: take it out",
    ),
    (
        is_variable,
        "looks like the name of a variable that nothing has filled in: let it hold the value",
    ),
    (
        is_placeholder,
        "looks like an example, not like a token: put the token there",
    ),
    (
        ends_in_escape,
        "ends in a backslash and a letter, such as `\\n`, which would be sent as part of the token: take them out",
    ),
    (
        |token| token.contains([' ', '\t']),
        "has a space in it, which no token has: let it hold the token alone",
    ),
];

fn is_word(text: &str, takes: impl Fn(u8) -> bool) -> bool {
    !text.is_empty() && text.bytes().all(takes)
}

fn is_name(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    is_word(text, is_part) && !text.starts_with(|c: char| c.is_ascii_digit())
}

/// Whether it is JSON, such as the file with the private key of a Google service account.
fn is_json(token: &str) -> bool {
    token.starts_with(['{', '['])
}

/// Whether it is a line of an environment file. The padding at the end of base64 is not an assignment.
fn is_assignment(token: &str) -> bool {
    let unquoted = token.trim_start_matches(QUOTES);
    let line = unquoted.strip_prefix("export ").unwrap_or(unquoted);
    let (name, value) = line.split_once('=').unwrap_or_default();
    is_name(name.trim_end()) && !value.trim_start_matches('=').is_empty()
}

/// Whether it is `Authorization: Bearer ...`, or `api_key: ...` as in YAML.
fn is_header(token: &str) -> bool {
    let (name, value) = token.split_once(':').unwrap_or_default();
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    is_word(name, is_part) && value.starts_with(' ')
}

const QUOTES: [char; 3] = ['"', '\'', '`'];

fn is_quoted(token: &str) -> bool {
    token.starts_with(QUOTES) || token.ends_with(QUOTES)
}

/// Whether it is `$NAME`, `${NAME}` or `%NAME%`; `is_json` finds `{{ name }}`.
fn is_variable(token: &str) -> bool {
    let in_percent = token.strip_prefix('%').and_then(|t| t.strip_suffix('%'));
    token.starts_with('$') || in_percent.is_some_and(is_name)
}

/// Whether it is `<your key>` or `sk-...`.
fn is_placeholder(token: &str) -> bool {
    (token.starts_with('<') && token.ends_with('>')) || token.ends_with("...")
}

fn ends_in_escape(token: &str) -> bool {
    token.ends_with("\\n") || token.ends_with("\\r") || token.ends_with("\\t")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_around_a_token_is_recognised() {
        for (odd, said) in [
            ("\"sk-1\"", "quotation mark"),
            ("'sk-1'", "quotation mark"),
            ("sk-1\"", "quotation mark"),
            ("Bearer \"sk-1\"", "quotation mark"),
            ("OPENAI_API_KEY=sk-1", "NAME=value"),
            ("api_key = sk-1", "NAME=value"),
            ("export OPENAI_API_KEY=\"sk-1\"", "NAME=value"),
            ("\"OPENAI_API_KEY=sk-1\"", "NAME=value"),
            ("{\"api_key\":\"sk-1\"}", "JSON"),
            ("[\"sk-1\"]", "JSON"),
            ("{{ openai_key }}", "JSON"),
            ("Authorization: Bearer sk-1", "header"),
            ("api_key: sk-1", "header"),
            ("${OPENAI_API_KEY}", "variable"),
            ("$OPENAI_API_KEY", "variable"),
            ("%OPENAI_API_KEY%", "variable"),
            ("<your-api-key>", "example"),
            ("sk-...", "example"),
            ("sk-1\\n", "backslash"),
            ("sk-1 sk-2", "space"),
        ] {
            let found = oddity(odd).unwrap_or_default();
            assert!(found.contains(said), "{odd}: {found}");
        }
    }

    #[test]
    fn tokens_as_providers_give_them_are_not_odd() {
        for token in [
            "sk-proj-abc_DEF-123",
            "Bearer sk-1",
            "Basic dXNlcjpwYXNz",
            "sk-ant-api03-x_y-z",
            "AIzaSyA-1_2",
            "AQ.Ab8RN6",
            "hf_abcDEF",
            "ABSKQmVkcm9ja0FQSUtleS0x==",
            "bedrock-api-key-YmVkcm9jaw==",
            "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.c2ln",
            "ya29.a0AfH6SMB/x+y=",
            "user:p@ss=word",
            "0123456789abcdef",
        ] {
            assert_eq!(oddity(token), None, "{token}");
        }
    }

    proptest! {
        #[test]
        fn a_token_of_the_usual_letters_is_never_odd(token in "[A-Za-z0-9_.-]{8,80}={0,2}") {
            prop_assume!(!token.ends_with("..."));
            prop_assert_eq!(oddity(&token), None);
        }
    }
}
