//! Documents as a table for a person, as wide as the terminal.
//!
//! The first rows decide which columns there are and how wide they become; the rest streams
//! through. What does not fit is cut with an ellipsis, and columns that do not fit at all are
//! named below the table. Control characters are never sent to the terminal.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{self, Write};

use anstyle::Style;
use nexusbase::documents::{id, json};
use serde_json::{Map, Value};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// How many rows decide about the columns.
const SAMPLE_ROWS: usize = 100;
/// The widest a column becomes while others want room.
const COLUMN_WIDTH_MAX: usize = 60;
/// The narrowest a column is made.
const COLUMN_WIDTH_MIN: usize = 12;
/// The same for `_id`, which is what one has to recognise.
const ID_WIDTH_MIN: usize = 32;
/// Between columns.
const GAP: &str = "  ";

type Row = Map<String, Value>;

/// A table that is being written.
pub(super) struct Table<W> {
    out: W,
    width: usize,
    /// Rows that wait for the columns to be decided.
    sample: Vec<Row>,
    columns: Option<Vec<Column>>,
    hidden: BTreeSet<String>,
}

struct Column {
    name: String,
    width: usize,
    /// Numbers stand on the right.
    right: bool,
}

impl<W: Write> Table<W> {
    pub(super) fn new(out: W, width: usize) -> Self {
        Self {
            out,
            width,
            sample: Vec::new(),
            columns: None,
            hidden: BTreeSet::new(),
        }
    }

    /// Adds a row.
    pub(super) fn row(&mut self, row: Row) -> io::Result<()> {
        if self.columns.is_some() {
            return self.write(&row);
        }
        self.sample.push(row);
        if self.sample.len() >= SAMPLE_ROWS {
            self.decide()?;
        }
        Ok(())
    }

    /// Writes what is left. Returns the names of fields that had no room.
    pub(super) fn finish(mut self) -> io::Result<Vec<String>> {
        if !self.sample.is_empty() {
            self.decide()?;
        }
        self.out.flush()?;
        Ok(self.hidden.into_iter().collect())
    }

    fn decide(&mut self) -> io::Result<()> {
        let sample = std::mem::take(&mut self.sample);
        let columns = fit(natural(&sample), self.width);
        let bold = Style::new().bold();
        let mut header = String::new();
        for column in &columns {
            put(&mut header, &column.name, column);
        }
        writeln!(self.out, "{bold}{}{bold:#}", header.trim_end())?;
        self.columns = Some(columns);
        sample.iter().try_for_each(|row| self.write(row))
    }

    fn write(&mut self, row: &Row) -> io::Result<()> {
        let columns = self.columns.as_deref().unwrap_or_default();
        let mut line = String::new();
        for column in columns {
            let text = row.get(&column.name).map(cell).unwrap_or_default();
            put(&mut line, &text, column);
        }
        let hidden = row
            .keys()
            .filter(|name| !columns.iter().any(|c| c.name == **name));
        for name in hidden {
            if !self.hidden.contains(name) {
                self.hidden.insert(printable(name));
            }
        }
        writeln!(self.out, "{}", line.trim_end())
    }
}

/// The columns of these rows, each as wide as it would like to be.
fn natural(rows: &[Row]) -> Vec<Column> {
    let mut columns: Vec<Column> = Vec::new();
    for row in rows {
        for (name, value) in row {
            let width = cell(value).width();
            let is_number = value.is_number();
            match columns.iter_mut().find(|column| column.name == *name) {
                Some(column) => {
                    column.width = column.width.max(width);
                    column.right &= is_number;
                }
                None => columns.push(Column {
                    name: name.clone(),
                    width: width.max(printable(name).width()),
                    right: is_number,
                }),
            }
        }
    }
    columns
}

/// Makes columns narrower until they fit, the widest first; then leaves out the last ones.
fn fit(mut columns: Vec<Column>, width: usize) -> Vec<Column> {
    while columns.len() > 1 {
        let total = |cap: usize| {
            let widths: usize = columns.iter().map(|column| column.capped(cap)).sum();
            widths + GAP.len() * (columns.len() - 1)
        };
        let caps = (COLUMN_WIDTH_MIN..=COLUMN_WIDTH_MAX).rev();
        let mut caps = std::iter::once(usize::MAX).chain(caps);
        if let Some(cap) = caps.find(|cap| total(*cap) <= width) {
            for column in &mut columns {
                column.width = column.capped(cap);
            }
            return columns;
        }
        columns.pop();
    }
    for column in &mut columns {
        column.width = column.width.min(width).max(1);
    }
    columns
}

impl Column {
    fn capped(&self, cap: usize) -> usize {
        let min = if self.name == "_id" { ID_WIDTH_MIN } else { 0 };
        self.width.min(cap.max(min))
    }
}

fn put(line: &mut String, text: &str, column: &Column) {
    if !line.is_empty() {
        line.push_str(GAP);
    }
    let text = cut(&printable(text), column.width);
    let pad = " ".repeat(column.width.saturating_sub(text.width()));
    if column.right {
        line.push_str(&pad);
        line.push_str(&text);
    } else {
        line.push_str(&text);
        line.push_str(&pad);
    }
}

/// A value as it stands in a cell: text without quotes, everything else as JSON.
fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => printable(text),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            let items: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
            printable(&items.join(", "))
        }
        Value::Object(fields) if fields.len() == 1 => extended(value, fields),
        other => printable(&other.to_string()),
    }
}

/// What extended JSON stands for, where that has a shorter text: ids and dates.
fn extended(value: &Value, fields: &Row) -> String {
    let text = value.to_string();
    let short = match fields.iter().next() {
        Some((name, Value::String(date))) if name == "$date" => Some(date.clone()),
        Some((name, _)) if matches!(name.as_str(), "$oid" | "$binary") => {
            let id = json::parse_value(text.as_bytes()).ok();
            id.and_then(|id| id::text::format(id.as_raw_bson_ref()).ok())
        }
        _ => None,
    };
    printable(&short.unwrap_or(text))
}

/// The text without anything that a terminal would obey.
fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        // Beside the control characters: marks that turn the direction of writing.
        let turns = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || turns {
            // Writing to a string cannot fail.
            let _ = write!(out, "{}", c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used >= width {
            break;
        }
        out.push(c);
    }
    out.push('…');
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn show(width: usize, rows: &[Value]) -> (String, Vec<String>) {
        let mut out = Vec::new();
        let mut table = Table::new(&mut out, width);
        for row in rows {
            table.row(row.as_object().unwrap().clone()).unwrap();
        }
        let hidden = table.finish().unwrap();
        let plain = anstream::adapter::strip_bytes(&out).into_vec();
        (String::from_utf8(plain).unwrap(), hidden)
    }

    #[test]
    fn numbers_stand_on_the_right_and_missing_fields_are_blank() {
        let rows = [
            json!({"_id": "a", "n": 5}),
            json!({"_id": "bbb", "n": 12345, "t": ["x", "y"]}),
        ];
        let (text, hidden) = show(80, &rows);
        assert_eq!(text, "_id      n  t\na        5\nbbb  12345  x, y\n");
        assert!(hidden.is_empty());
    }

    #[test]
    fn ids_and_dates_are_short() {
        let uuid = json!({"$binary": {"base64": "AaH4hshjciatYUNGO2jvLQ==", "subType": "04"}});
        let date = json!({"$date": "2026-01-01T00:00:00Z"});
        let (text, _) = show(80, &[json!({"_id": uuid, "d": date, "o": {"a": 1}})]);
        let line = text.lines().nth(1).unwrap();
        let expected = "01a1f886-c863-7226-ad61-43463b68ef2d  2026-01-01T00:00:00Z  {\"a\":1}";
        assert_eq!(line, expected);
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let row = json!({
            "_id": "日本語の名前がここにある", "a": "x".repeat(200), "b": "y".repeat(50), "c": 1,
            "a rather long field name": true, "d": {"deep": [1, 2, {"x": "é"}]},
        });
        for width in 1..150 {
            let (text, hidden) = show(width, std::slice::from_ref(&row));
            for line in text.lines() {
                assert!(line.width() <= width.max(2), "{width}: {line:?}");
            }
            let shown = text.lines().next().unwrap().split_whitespace().count();
            assert!(
                shown >= 1 && (width > 140) == hidden.is_empty() || width > 50,
                "{width}"
            );
        }
    }

    #[test]
    fn a_terminal_gets_no_commands_from_documents() {
        let (text, _) = show(80, &[json!({"_id": "\u{1b}[2J\u{202e}", "\u{7}": "\r"})]);
        assert!(
            !text.chars().any(|c| c.is_control() && c != '\n'),
            "{text:?}"
        );
        assert!(text.contains("\\u{1b}[2J"), "{text:?}");
    }
}
