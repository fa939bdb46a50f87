//! Sums as a table for people: the columns that are not empty, within the width of the terminal, with a total.

use super::export::cost_in;
use super::sum::{Row, SUMS, Sum, currencies, total};
use crate::runtime::printable;
use crate::usage::Cost;

/// The number of blanks between two columns.
const GAP: usize = 2;
/// The least width to which a column of names is shortened, in characters.
const NARROWEST: usize = 12;
/// The number of decimals of a cost.
const DECIMALS: usize = 4;
/// Columns that are left out if the table is too wide, in this order.
const OPTIONAL: [&str; 16] = [
    "cache_read_video_tokens",
    "output_video_tokens",
    "input_video_tokens",
    "cache_read_image_tokens",
    "output_image_tokens",
    "input_image_tokens",
    "cache_read_audio_tokens",
    "output_audio_tokens",
    "input_audio_tokens",
    "metered",
    "estimated",
    "reasoning_tokens",
    "cache_creation_tokens",
    "cache_read_tokens",
    "aborted",
    "refused",
];

struct Column {
    name: String,
    /// The cells of all rows, and of the total.
    cells: Vec<String>,
    is_number: bool,
}

/// A table as text.
pub(super) struct Table {
    /// The lines of the table.
    pub(super) text: String,
    /// The names of the columns that were left out.
    pub(super) left_out: Vec<String>,
}

impl Table {
    /// Makes a table of `rows`, with one more row for the sum of `others` if there are any, at most `width` characters wide.
    pub(super) fn of(names: &[&str], rows: &[Row], others: &[Row], width: Option<usize>) -> Self {
        let mut shown: Vec<Row> = rows.to_vec();
        if !others.is_empty() {
            shown.push((
                named(names, &format!("({} others)", others.len())),
                total(others),
            ));
        }
        let all = total(&shown);
        if shown.len() != 1 {
            shown.push((named(names, "TOTAL"), all.clone()));
        }
        let mut columns: Vec<Column> = groups(names, &shown);
        columns.extend(sums(&shown, &all));
        columns.extend(costs(&shown));
        let left_out = width
            .map(|width| fit(&mut columns, width))
            .unwrap_or_default();
        let lines = (0..=shown.len()).map(|row| line(&columns, row));
        Self {
            text: lines.collect::<Vec<_>>().join("\n"),
            left_out,
        }
    }
}

/// The names of a summary row: a word in the first column, and blanks in the others.
fn named(names: &[&str], word: &str) -> Vec<String> {
    let rest = names.iter().skip(1).map(|_| " ".to_owned());
    std::iter::once(word.to_owned()).chain(rest).collect()
}

fn groups(names: &[&str], rows: &[Row]) -> Vec<Column> {
    let column = |(at, name): (usize, &&str)| {
        let cell = |row: &Row| match row.0.get(at).map(String::as_str) {
            None | Some("") => "-".to_owned(),
            // The provider chose the name of a model: it may contain control characters.
            Some(name) => printable::line(name).into_owned(),
        };
        Column {
            name: name.to_uppercase(),
            cells: rows.iter().map(cell).collect(),
            is_number: false,
        }
    };
    names.iter().enumerate().map(column).collect()
}

/// The columns of sums that are not all zero. The column of requests is always shown, that of metered requests only if it
/// differs.
fn sums(rows: &[Row], all: &Sum) -> Vec<Column> {
    let totals = all.values();
    let requests = totals.first().copied().unwrap_or_default();
    let is_shown = |name: &str, total: u64| match name {
        "requests" => true,
        "metered" => total != requests,
        _ => total > 0,
    };
    let columns = SUMS
        .iter()
        .zip(totals)
        .enumerate()
        .filter(|(_, (name, total))| is_shown(name, *total));
    let column = |(at, (name, _)): (usize, (&&str, u64))| {
        let cell = |row: &Row| {
            grouped(
                &row.1
                    .values()
                    .get(at)
                    .copied()
                    .unwrap_or_default()
                    .to_string(),
            )
        };
        Column {
            name: heading(name),
            cells: rows.iter().map(cell).collect(),
            is_number: true,
        }
    };
    columns.map(column).collect()
}

fn heading(name: &str) -> String {
    name.trim_end_matches("_tokens").to_uppercase()
}

fn costs(rows: &[Row]) -> Vec<Column> {
    let column = |currency: &String| Column {
        name: cost_in(currency).to_uppercase(),
        cells: rows
            .iter()
            .map(|(_, sum)| rounded(sum.cost(currency)))
            .collect(),
        is_number: true,
    };
    currencies(rows).iter().map(column).collect()
}

/// Shortens names and leaves out columns until the table fits, if possible. Returns the names of the columns left out.
fn fit(columns: &mut Vec<Column>, width: usize) -> Vec<String> {
    let mut left_out = Vec::new();
    for name in OPTIONAL {
        if total_width(columns) <= width {
            return left_out;
        }
        // Names are shortened before a column is left out.
        shorten(columns, width);
        let name = heading(name);
        if total_width(columns) > width
            && let Some(at) = columns
                .iter()
                .position(|column| column.is_number && column.name == name)
        {
            columns.remove(at);
            left_out.push(name.to_lowercase());
        }
    }
    left_out
}

/// Shortens the widest columns of names, as far as necessary and possible.
fn shorten(columns: &mut [Column], width: usize) {
    loop {
        let excess = total_width(columns).saturating_sub(width);
        let names = columns.iter_mut().filter(|column| !column.is_number);
        let Some(widest) = names.max_by_key(|column| column.width()) else {
            return;
        };
        let now = widest.width();
        let to = now.saturating_sub(excess).max(NARROWEST);
        if excess == 0 || now <= to {
            return;
        }
        for cell in &mut widest.cells {
            if cell.chars().count() > to {
                *cell = cell.chars().take(to - 1).chain(['\u{2026}']).collect();
            }
        }
        if widest.width() >= now {
            return;
        }
    }
}

fn total_width(columns: &[Column]) -> usize {
    let widths = columns.iter().map(|column| column.width() + GAP);
    widths.sum::<usize>().saturating_sub(GAP)
}

impl Column {
    fn width(&self) -> usize {
        let cells = self.cells.iter().chain([&self.name]);
        cells
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or_default()
    }
}

/// A line of the table: the heading, or a row. Not padded by `format!`, which panics for widths over 65,535.
fn line(columns: &[Column], row: usize) -> String {
    let mut line = String::new();
    for column in columns {
        let cell = match row.checked_sub(1) {
            None => column.name.as_str(),
            Some(row) => column.cells.get(row).map_or("", String::as_str),
        };
        let missing = column.width().saturating_sub(cell.chars().count());
        let blanks = std::iter::repeat_n(' ', missing);
        if column.is_number {
            line.extend(blanks);
            line.push_str(cell);
        } else {
            line.push_str(cell);
            line.extend(blanks);
        }
        line.extend(std::iter::repeat_n(' ', GAP));
    }
    line.truncate(line.trim_end().len());
    line
}

/// Inserts a comma before each three digits.
fn grouped(digits: &str) -> String {
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A cost with four decimals, rounded half up. A smaller cost is not shown as zero.
fn rounded(cost: Cost) -> String {
    let text = cost.to_string();
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let digits = fraction.chars().chain(std::iter::repeat('0'));
    let kept: String = digits.take(DECIMALS).collect();
    let up = fraction
        .as_bytes()
        .get(DECIMALS)
        .is_some_and(|digit| *digit >= b'5');
    let Ok(number) = format!("{whole}{kept}").parse::<u128>() else {
        return text;
    };
    let number = number.saturating_add(up.into());
    if number == 0 && !fraction.is_empty() {
        return "<0.0001".to_owned();
    }
    let digits = format!("{number:0>width$}", width = DECIMALS + 1);
    let (whole, fraction) = digits.split_at(digits.len() - DECIMALS);
    format!("{}.{fraction}", grouped(whole))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cli::usage::access_line::AccessLine;

    #[test]
    fn numbers_are_grouped_and_costs_are_rounded() {
        for (digits, shown) in [
            ("0", "0"),
            ("999", "999"),
            ("1000", "1,000"),
            ("1234567", "1,234,567"),
        ] {
            assert_eq!(grouped(digits), shown);
        }
        for (cost, shown) in [
            ("0", "0.0000"),
            ("0.000000000003", "<0.0001"),
            ("0.00005", "0.0001"),
            ("1234.56784", "1,234.5678"),
            ("0.99995", "1.0000"),
            ("12", "12.0000"),
        ] {
            assert_eq!(rounded(cost.parse().unwrap()), shown, "{cost}");
        }
    }

    fn row(name: &str, tokens: u64) -> Row {
        let line = serde_json::json!({
            "time": "2026-01-01T00:00:00Z", "request_id": "r", "refused_by": "gateway", "aborted": true,
            "input_tokens": tokens, "output_tokens": tokens, "reasoning_tokens": tokens,
            "cost": "123.456", "currency": "USD",
        });
        let line: AccessLine = serde_json::from_value(line).unwrap();
        let mut sum = Sum::default();
        sum.add(&line, None);
        (
            vec![
                name.to_owned(),
                "a-model-with-a-long-name-of-a-provider".to_owned(),
            ],
            sum,
        )
    }

    proptest! {
        #[test]
        fn a_table_fits_the_terminal_if_its_required_columns_do(
            names in prop::collection::vec("[a-z\u{e9}]{0,90}", 1..6),
            tokens in any::<u32>(),
            width in 0..300_usize,
        ) {
            let rows: Vec<Row> = names.iter().map(|name| row(name, tokens.into())).collect();
            let table = Table::of(&["key", "model"], &rows, &[], Some(width));
            let widest = table.text.lines().map(|line| line.chars().count()).max().unwrap();
            // The columns that are never left out: two names, requests, input, output and the cost.
            prop_assert!(widest <= width.max(2 * (NARROWEST + 2) + 10 + 2 * 16 + 12), "{widest}\n{}", table.text);
            prop_assert!(table.text.starts_with("KEY"));
            prop_assert!(table.text.contains("COST_USD") && table.text.contains("OUTPUT"));
            let whole = Table::of(&["key", "model"], &rows, &[], None);
            prop_assert!(whole.left_out.is_empty());
        }
    }

    #[test]
    fn optional_columns_are_left_out_first() {
        let rows = [row("alice", 1_000_000), row("bob", 2)];
        let table = Table::of(&["key", "model"], &rows, &[], Some(80));
        assert_eq!(table.left_out, ["reasoning"]);
        let wide = Table::of(&["key"], &rows, &[row("c", 1), row("d", 1)], None);
        let last: Vec<_> = wide.text.lines().rev().take(2).collect();
        assert!(
            last[0].starts_with("TOTAL") && last[0].contains("1,000,004"),
            "{}",
            wide.text
        );
        assert!(last[1].starts_with("(2 others)"), "{}", wide.text);
    }
}
