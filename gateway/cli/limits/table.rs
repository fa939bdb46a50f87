//! A table of texts.

/// The greatest width of a column in characters. A longer cell shifts the rest of its own row only.
const WIDEST: usize = 64;
/// The number of blanks between two columns.
const GAP: usize = 2;

/// The rows as lines, each column as wide as its widest cell. Not padded by `format!`, which panics for widths over
/// 65,535.
pub(super) fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let widths = cells.map(|cell| cell.chars().count());
        widths.max().unwrap_or_default().min(WIDEST)
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let lines = rows.iter().map(|row| {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            let blanks = width.saturating_sub(cell.chars().count()) + GAP;
            line.extend(std::iter::repeat_n(' ', blanks));
        }
        line.truncate(line.trim_end().len());
        line
    });
    lines.collect::<Vec<_>>().join("\n")
}
