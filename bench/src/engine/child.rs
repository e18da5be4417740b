//! The process of one system: does the work it is told on its standard input, a line for each, and
//! answers with a line of JSON. That one system lives in one process gives each its own figures of
//! memory and of bytes written, and lets rounds alternate while all databases stay open.

use std::io::BufRead;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use serde_json::{Value, json};

use super::Result;
use super::data::Sum;
use super::options::{EngineOptions, Size};
use super::reads::{Gets, Keys, measure_scans};
use super::system::{Engine, Order, Settings, System};
use super::work::Work;
use super::{commits, fill, mixed, usage};

/// Rows of the database that durable commits go to, before the first.
const DURABLE_ROWS: u64 = 100_000;

struct Child {
    system: System,
    size: Size,
    folder: PathBuf,
    filled: Option<Box<dyn Engine>>,
    durable: Option<Box<dyn Engine>>,
    warm: bool,
}

/// Serves until its input ends.
pub fn serve(options: &EngineOptions, quick: bool) -> Result<()> {
    let [system] = options.systems[..] else {
        return Err("a process of its own is for one system".into());
    };
    let [size] = options.sizes(quick)[..] else {
        return Err("a process of its own has one size".into());
    };
    let mut child = Child {
        system,
        size,
        folder: options.folder.clone().ok_or("no folder")?,
        filled: None,
        durable: None,
        warm: false,
    };
    for line in std::io::stdin().lock().lines() {
        let answer = match child.answer(&line?) {
            Ok((figures, sum)) => json!({
                "figures": figures,
                "check": [sum.rows, sum.bytes],
            }),
            Err(error) => json!({ "error": error.to_string() }),
        };
        println!("{answer}");
    }
    Ok(())
}

/// What a child answers: the figures of the work in their order, and what was read.
pub fn parse(answer: &str) -> Result<(Vec<f64>, Vec<u64>)> {
    let answer: Value = serde_json::from_str(answer)?;
    if let Some(error) = answer["error"].as_str() {
        return Err(error.into());
    }
    let (figures, check) = (answer["figures"].as_array(), answer["check"].as_array());
    let (figures, check) = figures.zip(check).ok_or("an incomplete answer")?;
    let figures = figures.iter().filter_map(Value::as_f64).collect();
    Ok((figures, check.iter().filter_map(Value::as_u64).collect()))
}

impl Child {
    fn answer(&mut self, line: &str) -> Result<(Vec<f64>, Sum)> {
        let (work, round) = line.split_once(' ').ok_or("a line is WORK ROUND")?;
        let work = Work::from_str(work, false)?;
        self.run(work, round.parse()?)
    }

    fn run(&mut self, work: Work, round: u64) -> Result<(Vec<f64>, Sum)> {
        let keys = self.size.keys;
        let (gets, scans, seconds) = if self.size.quick {
            (50_000, 2_000, 2)
        } else {
            (500_000, 20_000, 10)
        };
        let gets = Gets {
            keys: Keys::Present,
            stored: keys,
            count: gets,
            seed: 10 * round,
        };
        let unread = |figures| (figures, Sum::default());
        Ok(match work {
            Work::Fill => unread(self.fill()?),
            Work::Get => gets.measure(self.warm()?)?,
            Work::Absent => Gets {
                keys: Keys::Absent,
                ..gets
            }
            .measure(self.warm()?)?,
            Work::Scan => measure_scans(self.warm()?, Order::Forward, keys, scans, round)?,
            Work::ScanReverse => measure_scans(self.warm()?, Order::Reverse, keys, scans, round)?,
            Work::Readers => gets.measure_two(self.warm()?)?,
            Work::Mixed => unread(mixed::measure(self.warm()?, keys, seconds, round)?),
            Work::Memory => unread(vec![usage::peak_memory_bytes()? as f64 / 1e6]),
            Work::Commits1 | Work::Commits16 | Work::Commits64 => {
                let time = Duration::from_millis(if self.size.quick { 500 } else { 2_000 });
                let threads = work.writers().unwrap_or(1);
                let rate = commits::measure(self.durable()?, threads, time, round)?;
                unread(vec![rate])
            }
        })
    }

    fn open(&self, name: &str, durable: bool) -> Result<(Box<dyn Engine>, PathBuf)> {
        let folder = self.folder.join(name);
        std::fs::create_dir_all(&folder)?;
        let settings = Settings {
            durable,
            cache_bytes: self.size.cache_mb << 20,
        };
        Ok((self.system.open(&folder, settings)?, folder))
    }

    fn fill(&mut self) -> Result<Vec<f64>> {
        let before = usage::written_bytes()?;
        let (engine, folder) = self.open("filled", false)?;
        let engine = self.filled.insert(engine);
        fill::measure(engine.as_ref(), &folder, self.size.keys, before)
    }

    /// The filled database, after one pass of gets at random when it is first asked for.
    fn warm(&mut self) -> Result<&dyn Engine> {
        let engine = self.filled.as_deref().ok_or("nothing has been filled")?;
        if !self.warm {
            let gets = Gets {
                keys: Keys::Present,
                stored: self.size.keys,
                count: self.size.keys.min(1_000_000),
                seed: 1_000_000,
            };
            gets.run(engine)?;
            self.warm = true;
        }
        Ok(engine)
    }

    /// The database for durable commits.
    fn durable(&mut self) -> Result<&dyn Engine> {
        if self.durable.is_none() {
            let (engine, _) = self.open("durable", true)?;
            fill::put_all(engine.as_ref(), DURABLE_ROWS.min(self.size.keys))?;
            engine.caught_up()?;
            self.durable = Some(engine);
        }
        Ok(self.durable.as_deref().ok_or("it was just opened")?)
    }
}
