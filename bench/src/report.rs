//! Rows of results: a table for people, a line of JSON each for programs.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::json;

/// One figure of one system.
#[derive(Clone, Debug)]
struct Row {
    bench: &'static str,
    work: String,
    system: &'static str,
    value: f64,
    unit: &'static str,
    higher_is_better: bool,
}

/// All rows of a run.
#[derive(Debug, Default)]
pub struct Report {
    rows: Vec<Row>,
    notes: Vec<String>,
}

/// The system that all others are compared with.
pub const OURS: &str = "NexusBase";

impl Report {
    /// Adds the median of several rounds.
    pub fn add_median(
        &mut self,
        bench: &'static str,
        work: impl Into<String>,
        system: &'static str,
        mut rounds: Vec<f64>,
        unit: &'static str,
        higher_is_better: bool,
    ) {
        rounds.sort_by(f64::total_cmp);
        let value = rounds[rounds.len() / 2];
        self.rows.push(Row {
            bench,
            work: work.into(),
            system,
            value,
            unit,
            higher_is_better,
        });
    }

    /// Adds a sentence below the table.
    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Prints the table, with the ratio of NexusBase to the best other system per piece of work,
    /// then the lines of JSON.
    pub fn print(&self) {
        let mut works: BTreeMap<(usize, &str), Vec<&Row>> = BTreeMap::new();
        for row in &self.rows {
            let first = self
                .rows
                .iter()
                .position(|other| other.work == row.work)
                .unwrap_or(0);
            works.entry((first, &row.work)).or_default().push(row);
        }
        let width = works.keys().map(|(_, work)| work.chars().count()).max();
        let width = width.unwrap_or(0).max(34);
        println!(
            "{:<width$} {:<34} {:>14}  {:<12} {:>8}",
            "work", "system", "value", "unit", "ratio"
        );
        for rows in works.values() {
            let ours = rows.iter().find(|row| row.system == OURS);
            for row in rows {
                // How many times better NexusBase is than this one.
                let ratio = ours.filter(|ours| ours.system != row.system).map(|ours| {
                    if row.higher_is_better {
                        ours.value / row.value
                    } else {
                        row.value / ours.value
                    }
                });
                let ratio = ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}x"));
                let (work, system, value) = (&row.work, row.system, row.value);
                let digits = if value.abs() < 100.0 { 3 } else { 1 };
                println!(
                    "{work:<width$} {system:<34} {value:>14.digits$}  {:<12} {ratio:>8}",
                    row.unit
                );
            }
        }
        println!("(ratio: how many times better NexusBase is than the system in that row)");
        for note in &self.notes {
            println!("{note}");
        }
        println!();
        print!("{}", self.json_lines());
    }

    /// Writes the lines of JSON to a file.
    pub fn write_json(&self, file: &Path) -> std::io::Result<()> {
        std::fs::write(file, self.json_lines())
    }

    fn json_lines(&self) -> String {
        let line = |row: &Row| {
            json!({
                "bench": row.bench,
                "work": row.work,
                "system": row.system,
                "value": row.value,
                "unit": row.unit,
                "higher_is_better": row.higher_is_better,
            })
            .to_string()
                + "\n"
        };
        self.rows.iter().map(line).collect()
    }
}
