//! Durable inserts of package documents: each insert is a transaction of its own and is on stable
//! storage when it returns.
//!
//! Both systems get the documents as JSON text. SQLite: bundled, WAL, `synchronous=FULL`, one row
//! per document as JSONB under a text primary key; once with a connection per writer (SQLite's
//! own busy handler decides who waits), once with one connection that the writers share through a
//! mutex, which is faster for it when there are many. Prepared statements are cached.

use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use nexusbase_db::Database;
use nexusbase_documents::{Documents, Query, json};
use rusqlite::Connection;

use crate::data::packages;
use crate::report::{OURS, Report};
use crate::scratch::Scratch;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;
type Texts = [(String, String)];
/// Inserts all texts into a database in a folder with so many writers, and returns the rate.
type System = fn(&Path, &Texts, usize) -> Result<f64>;

const BENCH: &str = "documents";

/// Runs all rounds: writers × systems, alternating.
pub fn run(quick: bool, report: &mut Report) -> Result<()> {
    let rounds = if quick { 1 } else { 5 };
    for (writers, documents) in [(1, 2_000), (16, 8_000), (64, 16_000)] {
        let documents = if quick { documents / 10 } else { documents };
        let texts = packages(documents);
        let systems: [(&'static str, System); 3] = [
            (OURS, nexusbase),
            ("SQLite, connection per writer", sqlite_per_writer),
            ("SQLite, one connection in a mutex", sqlite_shared),
        ];
        let mut rates = vec![Vec::new(); systems.len()];
        for _ in 0..rounds {
            for (rates, (_, system)) in rates.iter_mut().zip(&systems) {
                let scratch = Scratch::new()?;
                rates.push(system(scratch.path(), &texts, writers)?);
            }
        }
        for (rates, (name, _)) in rates.into_iter().zip(&systems) {
            let work = format!("durable inserts, {writers} writers");
            report.add_median(BENCH, work, name, rates, "documents/s", true);
        }
    }
    report.note(format!(
        "{rounds} alternating rounds, median; SQLite {}",
        rusqlite::version()
    ));
    Ok(())
}

/// Inserts all texts with `writers` threads and returns the rate.
fn measure(
    texts: &Texts,
    writers: usize,
    insert: impl Fn(usize) -> Result<Box<dyn FnMut(&str, &str) -> Result<()>>> + Sync,
) -> Result<f64> {
    // Threads and connections are made before the clock starts.
    let ready = std::sync::Barrier::new(writers + 1);
    let elapsed = std::thread::scope(|scope| -> Result<Duration> {
        let threads: Vec<_> = (0..writers)
            .map(|writer| {
                let (ready, insert) = (&ready, &insert);
                scope.spawn(move || -> Result<()> {
                    let made = insert(writer);
                    ready.wait();
                    let mut insert = made?;
                    for (id, text) in texts.iter().skip(writer).step_by(writers) {
                        insert(id, text)?;
                    }
                    Ok(())
                })
            })
            .collect();
        ready.wait();
        let start = Instant::now();
        for thread in threads {
            thread.join().map_err(|_| "a writer panicked")??;
        }
        Ok(start.elapsed())
    })?;
    Ok(texts.len() as f64 / elapsed.as_secs_f64())
}

fn nexusbase(folder: &Path, texts: &Texts, writers: usize) -> Result<f64> {
    let db = Database::open(folder.join("data"))?;
    let packages = Documents::new(&db).collection("packages")?;
    packages.create()?;
    let rate = measure(texts, writers, |_| {
        let packages = packages.clone();
        Ok(Box::new(move |_, text| {
            packages.insert(&json::parse_document(text.as_bytes())?)?;
            Ok(())
        }))
    })?;
    let found = packages.find(&Query::default())?.len();
    check(found, texts.len())?;
    Ok(rate)
}

fn open_sqlite(file: &Path) -> Result<Connection> {
    let connection = Connection::open(file)?;
    connection.busy_timeout(Duration::from_secs(120))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute(
        "CREATE TABLE IF NOT EXISTS packages (id TEXT PRIMARY KEY, document BLOB NOT NULL)",
        [],
    )?;
    Ok(connection)
}

fn insert_sqlite(connection: &Connection, id: &str, text: &str) -> Result<()> {
    connection
        .prepare_cached("INSERT INTO packages (id, document) VALUES (?1, jsonb(?2))")?
        .execute((id, text))?;
    Ok(())
}

fn sqlite_per_writer(folder: &Path, texts: &Texts, writers: usize) -> Result<f64> {
    let file = folder.join("sqlite.db");
    open_sqlite(&file)?;
    // Opening writes; one after the other keeps that out of the busy handler.
    let opening = Mutex::new(());
    let rate = measure(texts, writers, |_| {
        let _one = opening.lock().map_err(|_| "a writer panicked")?;
        let connection = open_sqlite(&file)?;
        Ok(Box::new(move |id, text| {
            insert_sqlite(&connection, id, text)
        }))
    })?;
    check_sqlite(&file, texts.len())?;
    Ok(rate)
}

fn sqlite_shared(folder: &Path, texts: &Texts, writers: usize) -> Result<f64> {
    let file = folder.join("sqlite.db");
    let connection = std::sync::Arc::new(Mutex::new(open_sqlite(&file)?));
    let rate = measure(texts, writers, |_| {
        let connection = std::sync::Arc::clone(&connection);
        Ok(Box::new(move |id, text| {
            insert_sqlite(
                &*connection.lock().map_err(|_| "a writer panicked")?,
                id,
                text,
            )
        }))
    })?;
    check_sqlite(&file, texts.len())?;
    Ok(rate)
}

fn check_sqlite(file: &Path, expected: usize) -> Result<()> {
    let found: i64 =
        open_sqlite(file)?.query_row("SELECT count(*) FROM packages", [], |row| row.get(0))?;
    check(usize::try_from(found)?, expected)
}

fn check(found: usize, expected: usize) -> Result<()> {
    if found == expected {
        Ok(())
    } else {
        Err(format!("{found} documents are there, {expected} were inserted").into())
    }
}
