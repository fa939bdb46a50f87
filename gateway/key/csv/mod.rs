//! Keys of another system as a table: `ID,SHA256` or `ID,KEY` on each line, or the columns that the first line names.
//!
//! A line that may not be a key as written is refused and never guessed at: the digest of the wrong text would never be
//! valid, and nobody would notice.
//!
//! Knows lines of text and returns keys; knows neither where the lines come from nor the key file.

mod columns;
mod field;
mod limits;
mod line;

use std::collections::HashMap;
use std::io::{self, BufRead};

use jiff::Timestamp;
use thiserror::Error;
use zeroize::Zeroizing;

use super::digest::KeyDigest;
use super::time::{self, TimeError};
use crate::limit::of_key::LimitSettings;
use columns::{COLUMNS, Column, columns_of};
use field::{read_disabled, read_id, read_secret};
use limits::read_limits;

/// The spellings of NULL in the output of databases.
const NULLS: [&str; 4] = ["", "\\N", "NULL", "null"];

/// A key of a table.
pub(crate) struct CsvKey {
    /// The id.
    pub(crate) id: String,
    /// The digest of the secret.
    pub(crate) digest: KeyDigest,
    /// Whether the table has the secret itself, and it is short enough to be guessed.
    pub(crate) weak: bool,
    /// The start of validity.
    pub(crate) not_before: Option<Timestamp>,
    /// The end of validity.
    pub(crate) expires: Option<Timestamp>,
    /// Whether the key is disabled.
    pub(crate) disabled: bool,
    /// The settings of its limits.
    pub(crate) limits: LimitSettings,
    /// A note for people.
    pub(crate) comment: Option<String>,
}

/// Why a table was not read. Never holds the text of a line, which may be a key.
#[derive(Debug, Error)]
pub(crate) enum CsvError {
    /// A line is not UTF-8.
    #[error(
        "line {line}: this is no UTF-8: save the table as CSV in UTF-8, not as UTF-16 or a spreadsheet"
    )]
    NotUtf8 {
        /// The line, from 1.
        line: usize,
    },
    /// The input could not be read.
    #[error("line {line}: standard input cannot be read: {source}")]
    Io {
        /// The line, from 1.
        line: usize,
        /// The system's error.
        source: io::Error,
    },
    /// A line is no key.
    #[error("line {line}: {reason}")]
    Invalid {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
}

impl CsvError {
    fn unread(line: usize, source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::InvalidData {
            Self::NotUtf8 { line }
        } else {
            Self::Io { line, source }
        }
    }
}

/// Reads all keys of a table.
///
/// # Errors
/// The first line that cannot be read or is no key.
pub(crate) fn read(input: impl BufRead) -> Result<Vec<CsvKey>, CsvError> {
    let mut table = Table::default();
    let mut keys = Vec::new();
    for (line, text) in (1..).zip(input.lines()) {
        let text = Zeroizing::new(text.map_err(|error| CsvError::unread(line, error))?);
        let key = table.read_line(line, &text);
        keys.extend(key.map_err(|reason| CsvError::Invalid { line, reason })?);
    }
    Ok(keys)
}

/// The state of the reader between two lines.
#[derive(Default)]
struct Table {
    separator: Option<char>,
    columns: Vec<Column>,
    /// The line of each id so far.
    ids: HashMap<String, usize>,
    /// The id of each digest so far.
    digests: HashMap<KeyDigest, String>,
}

impl Table {
    /// The key of a line; `None` if the line names the columns or is empty.
    fn read_line(&mut self, number: usize, line: &str) -> Result<Option<CsvKey>, String> {
        let line = match number {
            1 => line.trim_start_matches('\u{feff}'),
            _ => line,
        };
        let line = line.trim_end_matches('\r');
        if line.contains('\r') {
            return Err("lines end with CR alone: save the table with LF or CRLF".into());
        }
        if line.trim().is_empty() {
            return Ok(None);
        }
        if number == 1
            && let Some(separator) = line::named_separator(line)
        {
            self.separator = Some(separator?);
            return Ok(None);
        }
        let fields = self.fields(line)?;
        if fields.iter().all(|field| field.is_empty()) {
            return Ok(None);
        }
        if self.columns.is_empty() {
            if let Some(columns) = columns_of(&fields)? {
                self.columns = columns;
                return Ok(None);
            }
            self.columns = vec![Column::Id, Column::Secret];
        }
        self.check_count(fields.len())?;
        let key = read_key(&self.columns, &fields)?;
        self.remember(number, &key)?;
        Ok(Some(key))
    }

    fn fields(&mut self, line: &str) -> Result<Vec<Zeroizing<String>>, String> {
        let separator = self.separator.or_else(|| line::separator(line));
        // Without a separator, the line is one field, and `fields` reports a quote that is not closed.
        let fields = line::fields(line, separator.unwrap_or(','))?;
        self.separator = separator;
        Ok(fields)
    }

    fn check_count(&self, found: usize) -> Result<(), String> {
        if found == self.columns.len() {
            return Ok(());
        }
        let wanted = match &*self.columns {
            [Column::Id, Column::Secret] => "expected ID,SHA256 or ID,KEY".to_owned(),
            columns => format!("expected {} fields, as the first line", columns.len()),
        };
        if found < self.columns.len() {
            return Err(wanted);
        }
        let separator = self.separator.unwrap_or(',').escape_default();
        Err(format!(
            "{wanted}, found {found} fields: a field that holds `{separator}` goes in double quotes, and for more \
             columns the first line gives their names, of {COLUMNS}"
        ))
    }

    /// Refuses a key whose id or digest is in an earlier line.
    fn remember(&mut self, number: usize, key: &CsvKey) -> Result<(), String> {
        let CsvKey { id, digest, .. } = key;
        if let Some(line) = self.ids.insert(id.clone(), number) {
            return Err(format!("key `{id}` is in line {line} already"));
        }
        match self.digests.insert(*digest, id.clone()) {
            Some(first) => Err(format!(
                "keys `{first}` and `{id}` have the same secret: one secret, two names"
            )),
            None => Ok(()),
        }
    }
}

fn read_key(columns: &[Column], fields: &[Zeroizing<String>]) -> Result<CsvKey, String> {
    let field = |wanted: Column| {
        let found = columns
            .iter()
            .zip(fields)
            .find(|(column, _)| **column == wanted);
        let text = found.map_or("", |(_, field)| field.as_str());
        if NULLS.contains(&text) { "" } else { text }
    };
    let optional = |column: Column| Some(field(column)).filter(|text| !text.is_empty());
    let read_time = |column: Column, name, read: fn(&str) -> Result<Timestamp, TimeError>| {
        let time = optional(column).map(read).transpose();
        time.map_err(|why| format!("{name}: {why}"))
    };
    let id = read_id(field(Column::Id))?;
    let (digest, weak) = read_secret(field(Column::Secret))?;
    Ok(CsvKey {
        id,
        digest,
        weak,
        not_before: read_time(Column::NotBefore, "not_before", time::parse_start)?,
        expires: read_time(Column::Expires, "expires", time::parse_end)?,
        disabled: read_disabled(field(Column::Disabled))?,
        limits: read_limits(optional)?,
        comment: optional(Column::Comment).map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limit::amount::money;

    /// The digest of `secret-of-bob-that-is-long`, by sha256sum.
    const BOBS: &str = "secret-of-bob-that-is-long";

    fn hex() -> String {
        KeyDigest::of(BOBS.as_bytes()).to_string()[7..].to_owned()
    }

    fn read_text(text: &str) -> Result<Vec<CsvKey>, String> {
        read(text.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn one_key_is_read_however_its_table_is_written() {
        let hex = hex();
        for text in [
            format!("bob,{BOBS}\n"),
            format!("bob,{hex}"),
            format!("bob,{}\n", hex.to_uppercase()),
            format!("bob,sha256:{hex}\n"),
            format!("bob;{hex}\n"),
            format!("bob|{hex}\n"),
            format!("bob\t{hex}\r\n"),
            format!("\"bob\",\"{BOBS}\"\r\n\r\n"),
            format!("\u{feff}bob,{hex}\n"),
            format!("\u{feff}\"bob\";\"{hex}\"\n;\n"),
            format!("id,key\nbob,{BOBS}\n"),
            format!("sep=,\r\nid,key\r\nbob,{BOBS}\r\n"),
            format!("\u{feff}sep=;\r\nid;key;expires\r\nbob;{hex};\r\n"),
            format!("\u{feff}SEP=\t\nbob\t{hex}\n"),
            format!("\"sep=|\"\nbob|{hex}\n"),
            format!("\u{feff}Id;Key;Expires;Comment\r\nbob;{hex};;\"a;b\"\r\n"),
            format!("\"key_alias\",\"token\"\n\"bob\",\"{hex}\"\n"),
            format!("user,token\nbob,{hex}\n"),
            format!("user,api_key\nbob,{BOBS}\n"),
            format!("e-mail;Digest\nbob;{hex}\n"),
            format!("Token;Key_Alias\n{hex};bob\n"),
            format!("key_alias|expires|token|blocked\nbob||{hex}|f\n"),
            format!("key_alias,token,expires\nbob,{hex},\\N\n"),
        ] {
            let rows = read_text(&text).unwrap();
            assert_eq!(rows.len(), 1, "{text}");
            assert_eq!(rows[0].id, "bob", "{text}");
            assert!(rows[0].digest == KeyDigest::of(BOBS.as_bytes()), "{text}");
            assert!(!rows[0].weak && !rows[0].disabled && rows[0].expires.is_none());
        }
        assert!(read_text("").unwrap().is_empty());
        assert!(read_text("bob,short\n").unwrap()[0].weak);
        // In quotes, a key may hold anything that a client can send.
        let row = &read_text("bob,\"a;b,c|d \"\"e\"\" f-and-more\"\n").unwrap()[0];
        assert!(row.digest == KeyDigest::of(b"a;b,c|d \"e\" f-and-more"));
    }

    #[test]
    fn every_column_of_a_table_is_kept() {
        let rows = read_text(&format!(
            "key_alias,token,expires,blocked,comment,not_before\n\
             a,{},2027-01-31 12:00:00.5,t,\"of a, and b\",2026-01-31\n\
             b,{BOBS},2027-01-31,,,\n",
            "0".repeat(64)
        ))
        .unwrap();
        let time = |time: Option<Timestamp>| time.map(|time| time.to_string());
        let (a, b) = (&rows[0], &rows[1]);
        assert_eq!(time(a.expires).unwrap(), "2027-01-31T12:00:00.5Z");
        assert_eq!(time(a.not_before).unwrap(), "2026-01-31T00:00:00Z");
        assert_eq!(
            (a.disabled, a.comment.as_deref()),
            (true, Some("of a, and b"))
        );
        let never = read_text(&format!("id,key,expires\nc,{BOBS},9999-12-31\n")).unwrap();
        assert_eq!(time(never[0].expires).unwrap(), "9999-12-30T22:00:00Z");
        assert_eq!(time(b.expires).unwrap(), "2027-01-31T23:59:59Z");
        assert_eq!((b.disabled, &b.comment, b.not_before), (false, &None, None));
    }

    #[test]
    fn limits_are_columns_and_an_empty_field_is_none() {
        let rows = read_text(&format!(
            "id,key,rpm_limit,tpm_limit,max_parallel_requests,max_budget,soft_budget\n\
             a,{},600,2M,20,50.00 per month,80%\nb,{BOBS},,\\N,NULL,12.5,\n",
            "0".repeat(64)
        ))
        .unwrap();
        let limits = LimitSettings {
            rpm_limit: Some(600),
            tpm_limit: Some(2_000_000),
            max_parallel_requests: Some(20),
            max_budget: vec![money("50 per month").unwrap()],
            soft_budget: vec![80],
        };
        assert_eq!(rows[0].limits, limits);
        let limits = LimitSettings {
            max_budget: vec![money("12.50").unwrap()],
            ..LimitSettings::default()
        };
        assert_eq!(rows[1].limits, limits);
    }

    #[test]
    fn a_limit_that_cannot_be_meant_is_refused_by_line_and_column() {
        let hex = hex();
        for (text, why) in [
            (
                format!("id,key,rpm_limit\na,{hex},0\n"),
                "line 2: rpm_limit must not be zero",
            ),
            (
                format!("id,key,tpm_limit\na,{hex},many\n"),
                "line 2: tpm_limit must be a whole number",
            ),
            (
                format!("id,key,max_parallel_requests\na,{hex},-1\n"),
                "line 2: max_parallel_requests must not be negative",
            ),
            (
                format!("id,key,max_budget\na,{hex},50 per moon\n"),
                "line 2: max_budget has an unknown period",
            ),
            (
                format!("id,key,max_budget,soft_budget\na,{hex},50,40.0\n"),
                "line 2: soft_budget must be a percentage",
            ),
            (
                format!("id,key,max_budget,soft_budget\na,{hex},,80%\n"),
                "line 2: soft_budget needs a max_budget",
            ),
            (
                format!("id,key,max_budget,budget_duration\na,{hex},50,30d\n"),
                "line 1: column `budget_duration` is not known",
            ),
        ] {
            let error = read_text(&text).err().unwrap();
            assert!(error.starts_with(why), "{text}\n{error}");
            assert!(!error.contains(&hex[1..]), "{text}\n{error}");
        }
    }

    #[test]
    fn a_line_that_is_no_key_is_refused_by_number_and_never_quoted() {
        let hex = hex();
        for (text, why) in [
            (
                format!("Smith, Bob,{hex}\n"),
                "line 1: expected ID,SHA256 or ID,KEY, found 3 fields",
            ),
            (
                format!("sep=:\nbob:{hex}\n"),
                "line 1: `sep=` names a separator",
            ),
            (format!("id,key\nsep=,\nbob,{hex}\n"), "line 2: an id has"),
            (
                format!("sep=;\nbob,{hex}\n"),
                "line 2: there are both `;` and `,`",
            ),
            (
                format!("a,{hex}\nSmith, Bob,{BOBS}\n"),
                "line 2: expected ID,SHA256 or ID,KEY, found 3",
            ),
            (
                format!("Smith; Bob,{hex}\n"),
                "line 1: there are both `;` and `,`",
            ),
            (format!("Smith|Bob,{hex}\n"), "line 1: there are both"),
            (format!("\"Smith, Bob\",{hex}\n"), "line 1: an id has"),
            (format!("O'Brien,{hex}\n"), "line 1: an id has"),
            (
                format!("a,{hex}\nb;{BOBS}\n"),
                "line 2: there are both `,` and `;`",
            ),
            (
                "secret-in-here\n".into(),
                "line 1: expected ID,SHA256 or ID,KEY",
            ),
            ("(1 row)\n".into(), "line 1: expected ID,SHA256 or ID,KEY"),
            (format!(",{hex}\n"), "line 1: there is no id"),
            ("bob,\n".into(), "line 1: there is no key"),
            ("bob,\"\"\n".into(), "line 1: there is no key"),
            (
                format!("bob,\"{BOBS}\n"),
                "line 1: a double quote is not closed",
            ),
            (
                format!("bob,{hex}\rcarl,{BOBS}\r"),
                "line 1: lines end with CR alone",
            ),
            (
                format!("bob,sha256:{}\n", &hex[1..]),
                "line 1: a digest is 64",
            ),
            (format!("bob,\\x{hex}\n"), "line 1: a digest is 64"),
            ("bob,kg_bob_cut\n".into(), "line 1: the key begins like one"),
            (
                "bob,\"secret\u{7}in-here\"\n".into(),
                "line 1: the key holds a control character",
            ),
            (format!("{hex},bob\n"), "line 1: the id looks like a key"),
            (
                "sk-secret-in-here-0123,bob\n".into(),
                "line 1: the id looks like a key",
            ),
            (
                format!("a,{hex}\na,{BOBS}x\n"),
                "line 2: key `a` is in line 1 already",
            ),
            (
                format!("a,{hex}\n\nb,{BOBS}\n"),
                "line 3: keys `a` and `b` have the same secret",
            ),
            ("key_alias,spend\nbob,1\n".into(), "line 1: no column"),
            (
                "id,key,spend\n".into(),
                "line 1: column `spend` is not known",
            ),
            (
                "id,key,token\n".into(),
                "line 1: column `token` is there twice",
            ),
            (
                format!("id,key,expires\na,{hex}\n"),
                "line 2: expected 3 fields",
            ),
            (
                format!("id,key,expires\na,{hex},soon\n"),
                "line 2: expires: expected a time",
            ),
            (
                format!("id,key,blocked\na,{hex},perhaps\n"),
                "line 2: disabled: expected",
            ),
        ] {
            let error = read_text(&text).err().unwrap();
            assert!(error.starts_with(why), "{text}\n{error}");
            for secret in [&hex[1..], BOBS, "secret-in-here"] {
                assert!(!error.contains(secret), "{text}\n{error}");
            }
        }
    }

    #[test]
    fn a_table_in_another_encoding_is_refused() {
        let utf_16 = read(&b"\xff\xfeb\0o\0b\0,\0x\0\n\0"[..])
            .err()
            .unwrap()
            .to_string();
        assert!(utf_16.starts_with("line 1: this is no UTF-8"), "{utf_16}");
    }

    #[test]
    fn a_first_line_that_may_name_columns_is_refused_if_it_may_be_a_key_as_well() {
        for (text, missing) in [
            (format!("name,api-key\nbob,{BOBS}\n"), "a key or a digest"),
            (format!("user,secret\nbob,{BOBS}\n"), "an id"),
            (format!("key,user\n{BOBS},bob\n"), "an id"),
            (format!("api_key,e-mail\n{BOBS},bob\n"), "an id"),
        ] {
            let error = read_text(&text).err().unwrap();
            let why = format!("line 1: no column of those that this line names is {missing}: ");
            assert!(error.starts_with(&why) && !error.contains(BOBS), "{error}");
        }
        let rows = read_text(&format!("id,key\ntoken,{BOBS}\n")).unwrap();
        assert_eq!(rows[0].id, "token");
    }

    proptest::proptest! {
        #[test]
        fn an_unquoted_name_never_changes_the_key(
            name in "[a-z ,;|\t\"]{1,12}",
            separator in proptest::sample::select(&[',', ';', '|', '\t'][..]),
        ) {
            if let Ok(rows) = read_text(&format!("{name}{separator}{}\n", hex())) {
                for row in rows {
                    proptest::prop_assert!(row.digest == KeyDigest::of(BOBS.as_bytes()));
                }
            }
        }
    }
}
