//! `nexusbase forest`: look at the files of the trees.
//!
//! `table` and `manifest` only read. `stats` opens the database if nobody else has it, because
//! names and running figures are only known then; else it shows what the manifest says.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use nexusbase::{Database, OpenError, Options, View};
use nexusbase_db::forest_inspect::{self, Row, TableReport};
use nexusbase_db::{FOREST_DIR, ForestStats, TreeId};
use nexusbase_io::Env;

use super::Terminal;
use super::args::{FolderArgs, ForestCommand, ForestTableArgs};
use super::failure::{Failure, Outcome};
use super::output::{self, count, thousands};

/// How much of a key or value is shown.
const SHOWN_BYTES: usize = 120;

pub(super) fn run(command: &ForestCommand, terminal: Terminal) -> Outcome {
    match command {
        ForestCommand::Stats(folder) => stats(folder, terminal),
        ForestCommand::Table(table) => show_table(table),
        ForestCommand::Manifest(folder) => manifest(folder),
    }
}

/// A level of a tree, as it is shown.
struct Line {
    level: usize,
    tables: usize,
    bytes: u64,
    rows: u64,
}

fn stats(folder: &FolderArgs, terminal: Terminal) -> Outcome {
    let env = Env::os();
    let path = folder.existing(&env)?;
    let options = Options {
        env: env.clone(),
        housekeeping_thread: false,
        ..Options::default()
    };
    match Database::open_with(&path, options) {
        Ok(db) => {
            let snapshot = db.snapshot();
            let stats = db.forest_stats();
            let mut names = BTreeMap::new();
            for (name, id) in snapshot.trees("").map_err(|e| Failure::from_error(&e))? {
                names.insert(id, name);
            }
            show_opened(&stats, &names)?;
            drop(snapshot);
            Ok(db.close()?)
        }
        Err(OpenError::Locked { .. }) => {
            terminal.note(
                "another process has the folder open, so this is only what the manifest says; a \
                 server shows its running figures at /metrics",
            );
            show_levels(&env, &path)
        }
        Err(error) => Err(error.into()),
    }
}

fn show_opened(stats: &ForestStats, names: &BTreeMap<TreeId, String>) -> Outcome {
    let mut out = output::stdout();
    header(&mut out)?;
    for (id, tree) in &stats.trees {
        let name = match names.get(id) {
            Some(name) => name.as_str(),
            None if id.get() == 0 => "(catalog)",
            None => "(dropped)",
        };
        let lines = tree.levels.iter().enumerate().map(|(level, l)| Line {
            level,
            tables: l.tables,
            bytes: l.bytes,
            rows: l.rows,
        });
        show_tree(&mut out, *id, name, tree.kind, lines)?;
        writeln!(
            out,
            "{:>6}  {:>5} {:>7} {:>15} {:>13}",
            "",
            "mem",
            "",
            thousands(tree.bytes),
            thousands(tree.entries)
        )?;
    }
    writeln!(out)?;
    writeln!(out, "in tables up to entry {}", stats.flushed_through)?;
    blobs(
        &mut out,
        stats.blob_files as u64,
        stats.blob_bytes,
        stats.blob_used_bytes,
    )?;
    since_opening(&mut out, stats)?;
    Ok(out.flush()?)
}

fn since_opening(out: &mut impl Write, stats: &ForestStats) -> std::io::Result<()> {
    writeln!(out, "since it was opened:")?;
    writeln!(
        out,
        "  {}, {} written",
        count("flush", stats.flushes),
        count("byte", stats.flushed_bytes)
    )?;
    writeln!(
        out,
        "  {}, {} read, {} written",
        count("compaction", stats.compactions),
        count("byte", stats.compacted_in_bytes),
        count("byte", stats.compacted_out_bytes)
    )?;
    writeln!(out, "  write amplification: {}", amplification(stats))?;
    writeln!(
        out,
        "  cache: {} of {} in use, {} read from disk ({})",
        thousands(stats.cache.block_bytes + stats.cache.pinned_bytes),
        count("byte", stats.cache.budget_bytes),
        count("block", stats.cache.misses),
        count("byte", stats.cache.read_bytes)
    )?;
    writeln!(
        out,
        "compactions still have to rewrite about {}",
        count("byte", stats.debt_bytes)
    )?;
    if stats.weight_faults > 0 {
        let faults = count("row", stats.weight_faults);
        writeln!(
            out,
            "{faults} of counted trees did not weigh what they had to"
        )?;
    }
    Ok(())
}

fn amplification(stats: &ForestStats) -> String {
    if stats.flushed_bytes == 0 {
        return "unknown, as nothing was flushed".to_owned();
    }
    let written = stats.flushed_bytes + stats.compacted_out_bytes;
    format!("{:.1}", written as f64 / stats.flushed_bytes as f64)
}

fn show_levels(env: &Env, folder: &Path) -> Outcome {
    let levels = forest_inspect::levels(&*env.fs, &folder.join(FOREST_DIR))
        .map_err(|error| Failure::from_error(&error))?;
    let mut out = output::stdout();
    header(&mut out)?;
    for (id, tree) in &levels.trees {
        let name = if tree.dropped.is_some() {
            "(dropped)"
        } else {
            ""
        };
        let lines = tree.levels.iter().enumerate().map(|(level, l)| Line {
            level,
            tables: l.tables,
            bytes: l.bytes,
            rows: l.rows,
        });
        show_tree(&mut out, *id, name, &tree.kind, lines)?;
    }
    writeln!(out)?;
    writeln!(out, "in tables up to entry {}", levels.flushed_through)?;
    blobs(
        &mut out,
        levels.blob_files,
        levels.blob_bytes,
        levels.blob_used_bytes,
    )?;
    Ok(out.flush()?)
}

fn header(out: &mut impl Write) -> std::io::Result<()> {
    writeln!(
        out,
        "{:>6}  {:>5} {:>7} {:>15} {:>13}  name (kind)",
        "tree", "level", "tables", "bytes", "rows"
    )
}

fn show_tree(
    out: &mut impl Write,
    id: TreeId,
    name: &str,
    kind: &str,
    lines: impl Iterator<Item = Line>,
) -> std::io::Result<()> {
    writeln!(out, "{id:>6}  {:>43}  {name} ({kind})", "")?;
    for line in lines {
        writeln!(
            out,
            "{:>6}  {:>5} {:>7} {:>15} {:>13}",
            "",
            line.level,
            line.tables,
            thousands(line.bytes),
            thousands(line.rows)
        )?;
    }
    Ok(())
}

fn blobs(out: &mut impl Write, files: u64, bytes: u64, used: u64) -> std::io::Result<()> {
    writeln!(
        out,
        "{}, {}, {} of them in use",
        count("blob file", files),
        count("byte", bytes),
        thousands(used)
    )
}

fn manifest(folder: &FolderArgs) -> Outcome {
    let env = Env::os();
    let path = folder.existing(&env)?;
    let manifest = forest_inspect::manifest(&*env.fs, &path.join(FOREST_DIR))
        .map_err(|error| Failure::from_error(&error))?;
    let mut out = output::stdout();
    writeln!(
        out,
        "{}, {}, {}",
        manifest.path.display(),
        count("byte", manifest.bytes),
        count("edit", manifest.edits.len() as u64)
    )?;
    for (offset, lines) in &manifest.edits {
        for (number, line) in lines.iter().enumerate() {
            if number == 0 {
                writeln!(out, "{offset:>10}  {line}")?;
            } else {
                writeln!(out, "{:>10}  {line}", "")?;
            }
        }
    }
    if let Some(torn) = manifest.torn {
        writeln!(
            out,
            "{torn:>10}  the rest of a write that was never finished"
        )?;
    }
    out.flush()?;
    match &manifest.problem {
        Some(problem) => Err(Failure::from_error(problem)
            .hint("`nexusbase doctor --repair` rebuilds it if tables and log allow that")),
        None => Ok(()),
    }
}

fn show_table(arguments: &ForestTableArgs) -> Outcome {
    let env = Env::os();
    let mut out = output::stdout();
    let mut written = Ok(());
    let mut found = Vec::new();
    let report = forest_inspect::table(
        &*env.fs,
        &arguments.file,
        &[],
        &mut |row| {
            if arguments.rows && written.is_ok() {
                written = show_row(&mut out, &row);
            }
        },
        &mut |finding| found.push(finding),
    );
    written?;
    let report = report.map_err(|error| Failure::from_error(&error))?;
    show_report(&mut out, &report)?;
    out.flush()?;
    let Some(first) = found
        .iter()
        .find(|one| one.severity == forest_inspect::Severity::Damage)
    else {
        return Ok(());
    };
    let mut failure = Failure::new(format_args!("the table is damaged: {first}"));
    for more in found.iter().filter(|one| *one != first) {
        failure = failure.with_note(more);
    }
    Err(failure)
}

fn show_row(out: &mut impl Write, row: &Row<'_>) -> std::io::Result<()> {
    write!(
        out,
        "{:>12}  {:<6} {:>2}  {}",
        row.seqno.get(),
        row.what,
        row.weight,
        escaped(row.key)
    )?;
    if let Some(value) = row.value {
        write!(out, "  = {}", escaped(value))?;
    }
    if let Some((file, offset, length)) = row.blob {
        write!(
            out,
            "  in {file:016x}.blob, offset {offset}, {length} bytes"
        )?;
    }
    writeln!(out)
}

fn escaped(bytes: &[u8]) -> String {
    let shown = bytes[..bytes.len().min(SHOWN_BYTES)].escape_ascii();
    let more = bytes.len().saturating_sub(SHOWN_BYTES);
    match more {
        0 => shown.to_string(),
        more => format!("{shown}… and {more} bytes"),
    }
}

fn show_report(out: &mut impl Write, report: &TableReport) -> std::io::Result<()> {
    let ratio = report.raw_bytes as f64 / (report.stored_bytes as f64).max(1.0);
    let bits = 8.0 * report.filter_bytes as f64 / (report.keys as f64).max(1.0);
    let per_block = report.rows.checked_div(report.blocks).unwrap_or(0);
    writeln!(out, "table          {:016x}", report.id)?;
    writeln!(
        out,
        "tree           {} (kind {:?})",
        report.tree, report.kind
    )?;
    writeln!(out, "bytes          {}", thousands(report.bytes))?;
    writeln!(
        out,
        "rows           {}: {}, {} older versions, {} tombstones, {} merges, {} in blob files",
        thousands(report.rows),
        count("key", report.keys),
        thousands(report.rows.saturating_sub(report.keys)),
        thousands(report.deletes),
        thousands(report.merges),
        thousands(report.blob_rows)
    )?;
    writeln!(out, "weight         {}", report.weight)?;
    writeln!(
        out,
        "blocks         {} of {per_block} rows; {} bytes, {} before compression ({ratio:.2} : 1)",
        thousands(report.blocks),
        thousands(report.stored_bytes),
        thousands(report.raw_bytes)
    )?;
    writeln!(
        out,
        "index          {}, {}; filters of {bits:.1} bits per key",
        count("partition", report.partitions),
        count("byte", report.index_bytes)
    )?;
    writeln!(out, "first key      {}", escaped(&report.first))?;
    writeln!(out, "last key       {}", escaped(&report.last))?;
    writeln!(
        out,
        "entries        {} to {}; purged through {}",
        report.min_seqno, report.max_seqno, report.purged_through
    )?;
    for (file, values, bytes) in &report.blobs {
        writeln!(
            out,
            "blob file      {file:016x}: {}, {}",
            count("value", *values),
            count("byte", *bytes)
        )?;
    }
    Ok(())
}
