//! Keys of others as a table: `ID,SHA256` or `ID,KEY` on each line, or the columns that the first line
//! names. A line that cannot be a key as it is written is refused, never guessed at: a key whose digest
//! is of something else opens nothing, and nobody would notice.
//!
//! Knows lines of text and gives keys; knows neither where the lines come from nor the key file.

mod columns;
mod field;
mod line;

use std::collections::HashMap;
use std::io::{self, BufRead};

use jiff::Timestamp;
use zeroize::Zeroizing;

use super::digest::KeyDigest;
use super::time;
use columns::{COLUMNS, Column, columns_of};
use field::{read_disabled, read_id, read_secret};

/// What databases write where nothing stands.
const NOTHING: [&str; 4] = ["", "\\N", "NULL", "null"];

/// One key of a table.
pub struct CsvKey {
    /// Its id.
    pub id: String,
    /// The digest of its secret.
    pub digest: KeyDigest,
    /// Whether its secret was there and is short enough to be guessed.
    pub weak: bool,
    /// When it begins.
    pub not_before: Option<Timestamp>,
    /// When it ends.
    pub expires: Option<Timestamp>,
    /// Whether it opens nothing.
    pub disabled: bool,
    /// A note for people.
    pub comment: Option<String>,
}

/// Reads all keys of a table.
///
/// # Errors
/// The line that is wrong, counted from 1, and why; without its text, which may hold a key.
pub fn read(input: impl BufRead) -> Result<Vec<CsvKey>, String> {
    let mut table = Table::default();
    let mut rows = Vec::new();
    for (number, line) in (1..).zip(input.lines()) {
        let at = |why: String| format!("line {number}: {why}");
        let line = Zeroizing::new(line.map_err(|error| at(unread(&error)))?);
        rows.extend(table.row(number, &line).map_err(at)?);
    }
    Ok(rows)
}

fn unread(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::InvalidData => {
            "this is no UTF-8: save the table as CSV in UTF-8, not as UTF-16 or a spreadsheet"
                .into()
        }
        _ => format!("standard input cannot be read: {error}"),
    }
}

/// What the lines before say of the next one.
#[derive(Default)]
struct Table {
    separator: Option<char>,
    columns: Vec<Column>,
    /// The line of each id.
    ids: HashMap<String, usize>,
    /// The id of each digest.
    digests: HashMap<KeyDigest, String>,
}

impl Table {
    /// The key of a line; `None` if it names the columns, or is empty.
    fn row(&mut self, number: usize, line: &str) -> Result<Option<CsvKey>, String> {
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
        let row = read_row(&self.columns, &fields)?;
        self.note(number, &row)?;
        Ok(Some(row))
    }

    fn fields(&mut self, line: &str) -> Result<Vec<Zeroizing<String>>, String> {
        let separator = self.separator.or_else(|| line::separator(line));
        // Without one, there is one field, and a quote that is not closed is told.
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

    /// Refuses what stands in an earlier line already.
    fn note(&mut self, number: usize, row: &CsvKey) -> Result<(), String> {
        let CsvKey { id, digest, .. } = row;
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

fn read_row(columns: &[Column], fields: &[Zeroizing<String>]) -> Result<CsvKey, String> {
    let field = |wanted: Column| {
        let found = columns
            .iter()
            .zip(fields)
            .find(|(column, _)| **column == wanted);
        let text = found.map_or("", |(_, field)| field.as_str());
        if NOTHING.contains(&text) { "" } else { text }
    };
    let time = |column: Column, name, read: fn(&str) -> Result<Timestamp, String>| {
        let text = Some(field(column)).filter(|text| !text.is_empty());
        let time = text.map(read).transpose();
        time.map_err(|why| format!("{name}: {why}"))
    };
    let id = read_id(field(Column::Id))?;
    let (digest, weak) = read_secret(field(Column::Secret))?;
    Ok(CsvKey {
        id,
        digest,
        weak,
        not_before: time(Column::NotBefore, "not_before", time::parse_start)?,
        expires: time(Column::Expires, "expires", time::parse_end)?,
        disabled: read_disabled(field(Column::Disabled))?,
        comment: Some(field(Column::Comment).to_owned()).filter(|text| !text.is_empty()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The digest of `secret-of-bob-that-is-long`, by sha256sum.
    const BOBS: &str = "secret-of-bob-that-is-long";

    fn hex() -> String {
        KeyDigest::of(BOBS.as_bytes()).to_string()[7..].to_owned()
    }

    fn read_text(text: &str) -> Result<Vec<CsvKey>, String> {
        read(text.as_bytes())
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
    fn what_a_table_says_of_a_key_besides_is_kept() {
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
    fn a_line_that_is_no_key_as_it_is_written_is_refused_with_its_number_and_not_told() {
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
        let utf_16 = read(&b"\xff\xfeb\0o\0b\0,\0x\0\n\0"[..]).err().unwrap();
        assert!(utf_16.starts_with("line 1: this is no UTF-8"), "{utf_16}");
    }

    #[test]
    fn a_first_line_that_may_name_columns_is_refused_if_it_may_be_a_key_as_well() {
        for (text, lacking) in [
            (format!("name,api-key\nbob,{BOBS}\n"), "a key or a digest"),
            (format!("user,secret\nbob,{BOBS}\n"), "an id"),
            (format!("key,user\n{BOBS},bob\n"), "an id"),
            (format!("api_key,e-mail\n{BOBS},bob\n"), "an id"),
        ] {
            let error = read_text(&text).err().unwrap();
            let why = format!("line 1: no column of those that this line names is {lacking}: ");
            assert!(error.starts_with(&why) && !error.contains(BOBS), "{error}");
        }
        let rows = read_text(&format!("id,key\ntoken,{BOBS}\n")).unwrap();
        assert_eq!(rows[0].id, "token");
    }

    proptest::proptest! {
        #[test]
        fn no_name_without_quotes_takes_a_part_of_the_key_or_gives_one(
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
