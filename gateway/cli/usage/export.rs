//! Sums for programs, as CSV and JSON: all columns with all digits, without those of audio, images and video if they are
//! all zero.

use super::sum::{Row, SUMS, currencies, exported};
use crate::error::Error;
use crate::runtime::printable;

/// The rows as JSON: the values of the groups by name, the sums, and the costs by currency.
pub(super) fn json(names: &[&str], rows: &[Row]) -> Result<String, Error> {
    let columns = exported(rows);
    let rows: Vec<serde_json::Map<String, serde_json::Value>> = rows
        .iter()
        .map(|(group, sum)| {
            let group = names
                .iter()
                .zip(group)
                .map(|(name, value)| ((*name).to_owned(), value.as_str().into()));
            let all = sum.values();
            let values = columns.iter().filter_map(|at| {
                let name = SUMS.get(*at)?;
                Some(((*name).to_owned(), (*all.get(*at)?).into()))
            });
            let costs: serde_json::Map<String, serde_json::Value> = sum
                .costs
                .iter()
                .map(|(currency, cost)| (currency.clone(), cost.to_string().into()))
                .collect();
            let costs = ("cost".to_owned(), costs.into());
            group.chain(values).chain([costs]).collect()
        })
        .collect();
    let text = serde_json::to_string_pretty(&rows);
    Ok(text.map_err(|error| Error::failed("write JSON", error))? + "\n")
}

/// The rows as CSV, after a row of names.
pub(super) fn csv(names: &[&str], rows: &[Row]) -> Result<String, Error> {
    let failed = |error: csv::Error| Error::failed("write CSV", error);
    let mut writer = csv::Writer::from_writer(Vec::new());
    let currencies = currencies(rows);
    let costs = currencies.iter().map(|currency| cost_in(currency));
    let columns = exported(rows);
    let sums = columns.iter().filter_map(|at| SUMS.get(*at));
    let head = names.iter().chain(sums).map(|name| (*name).to_owned());
    writer.write_record(head.chain(costs)).map_err(failed)?;
    for (group, sum) in rows {
        let all = sum.values();
        let values = columns
            .iter()
            .filter_map(|at| all.get(*at))
            .map(u64::to_string);
        let costs = currencies.iter().map(|it| sum.cost(it).to_string());
        let row = group
            .iter()
            .map(|value| cell(value))
            .chain(values)
            .chain(costs);
        writer.write_record(row).map_err(failed)?;
    }
    let bytes = writer
        .into_inner()
        .map_err(|error| Error::failed("write CSV", error.into_error()))?;
    String::from_utf8(bytes).map_err(|error| Error::failed("write CSV", error))
}

/// A text as a cell that a spreadsheet reads as text: one that starts like a formula gets an apostrophe in front. So does
/// the text after a semicolon, which separates cells in the spreadsheets of many countries.
fn cell(text: &str) -> String {
    /// Includes the full-width forms, which some spreadsheets treat the same.
    const FORMULA: [char; 8] = [
        '=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}',
    ];
    let marked = text.split(';').map(|part| {
        let is_formula = part.trim_start_matches(' ').starts_with(FORMULA);
        let mark = if is_formula { "'" } else { "" };
        format!("{mark}{}", printable::line(part))
    });
    marked.collect::<Vec<_>>().join(";")
}

/// The name of the cost column of a currency.
pub(super) fn cost_in(currency: &str) -> String {
    format!("cost_{}", printable::line(currency))
}
