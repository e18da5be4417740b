//! `nexusbase loadtest`: many users at once, and nothing may be lost.
//!
//! Each user is a thread with a connection of its own and documents that nobody else writes, so it
//! knows what every answer must be ([`model`]), even if the server is killed in between. Operations
//! begin at fixed times ([`user`]), and latency counts from there: a server that stops for a second
//! shows in every request that should have begun in that second. At the end all documents are read
//! and compared ([`verify`]).
//!
//! What it does not do: find out how fast a server can be at most with more than one machine's load.

pub(super) mod args;
mod client;
mod mix;
mod model;
mod random;
mod tally;
mod user;
mod verify;

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use nexusbase_io::Env;
use serde_json::{Value, json};
use ureq::http::Method;

use self::args::{LoadTestArgs, Rate};
use self::client::Client;
use self::model::Known;
use self::random::mix;
use self::tally::{Line, Tally};
use self::user::{Left, Plan, User};
use self::verify::{Verdict, page, verdict};
use super::Terminal;
use super::failure::{Failure, Outcome};
use super::health::SERVER;
use super::kv::interrupt;
use super::output::{self, duration, thousands};
use super::target::variable;

/// The memory of a user's thread.
const STACK_BYTES: usize = 512 << 10;

/// A run, ready to start.
struct Run {
    arguments: LoadTestArgs,
    server: String,
    api_key: Option<String>,
    collection: String,
    seed: u64,
    env: Env,
}

/// What came of a run.
struct Report {
    tally: Tally,
    all: Line,
    verdict: Verdict,
    /// How long the users worked.
    took: Duration,
}

pub(super) fn run(arguments: &LoadTestArgs, terminal: Terminal) -> Outcome {
    let run = Run::new(arguments)?;
    let stopped = Arc::new(AtomicBool::new(false));
    interrupt::listen(&stopped, terminal)?;
    terminal.note(format_args!(
        "{} users on {} for {}, collection {}, seed {}",
        arguments.users,
        run.server,
        duration(arguments.duration),
        run.collection,
        run.seed
    ));
    let report = run.execute(&stopped)?;
    run.clean_up()?;
    if arguments.json {
        let mut out = output::stdout();
        writeln!(out, "{:#}", run.to_json(&report))?;
        out.flush()?;
    } else {
        show(&report)?;
    }
    if report.verdict.is_sound() && report.verdict.findings.is_empty() {
        Ok(())
    } else {
        Err(Failure::new("integrity did not hold; see the findings above").into_answer())
    }
}

impl Run {
    fn new(arguments: &LoadTestArgs) -> Outcome<Self> {
        let env = Env::os();
        let mut random = [0; 8];
        env.random.fill(&mut random)?;
        let fresh = u64::from_le_bytes(random);
        let named = arguments.server.clone();
        let collection = arguments.collection.clone();
        Ok(Self {
            server: named
                .or_else(|| variable("NEXUSBASE_SERVER"))
                .unwrap_or_else(|| SERVER.to_owned()),
            api_key: arguments
                .api_key
                .clone()
                .or_else(|| variable("NEXUSBASE_API_KEY")),
            collection: collection.unwrap_or_else(|| format!("loadtest-{fresh:016x}")),
            seed: arguments.seed.unwrap_or(fresh >> 12),
            arguments: arguments.clone(),
            env,
        })
    }

    fn client(&self) -> Outcome<Client> {
        let timeout = self.arguments.timeout;
        Client::new(&self.server, self.api_key.as_deref(), timeout)
    }

    fn page(
        &self,
        client: &Client,
        patience: Duration,
        cursor: Option<&str>,
    ) -> Outcome<Option<Value>> {
        let clock = &*self.env.clock;
        page(client, clock, patience, &self.collection, cursor)
    }

    fn execute(&self, stopped: &AtomicBool) -> Outcome<Report> {
        let client = self.client()?;
        let there = self.page(&client, Duration::ZERO, None)?;
        let filled = there.is_some_and(|page| page["documents"] != json!([]));
        if filled {
            let message = format!("collection {:?} is not empty", self.collection);
            return Err(Failure::usage(message).hint("leave --collection out for a new one"));
        }
        let started = self.env.clock.monotonic();
        let lefts = self.users(started, stopped)?;
        let took = self.env.clock.monotonic().saturating_sub(started);
        let mut tally = new_tally()?;
        let mut expected: BTreeMap<String, Known> = BTreeMap::new();
        let mut findings = Vec::new();
        for left in lefts {
            tally.add(&left.tally);
            expected.extend(left.model.into_documents());
            findings.extend(left.findings);
        }
        let patience = self.arguments.patience;
        let mut verdict = verdict(expected, |cursor| self.page(&client, patience, cursor))?;
        findings.truncate(verify::FINDINGS_SHOWN);
        findings.append(&mut verdict.findings);
        verdict.findings = findings;
        Ok(Report {
            all: tally.all().ok_or_else(impossible)?,
            tally,
            verdict,
            took,
        })
    }

    /// Lets all users work until the time is up.
    fn users(&self, started: Duration, stopped: &AtomicBool) -> Outcome<Vec<Left>> {
        let users = u32::from(self.arguments.users);
        let interval = self.interval();
        let plan = Plan {
            collection: &self.collection,
            mix: self.arguments.mix,
            interval,
            end: started + self.arguments.duration,
            clock: &*self.env.clock,
            stopped,
        };
        std::thread::scope(|scope| {
            let mut threads = Vec::new();
            for number in 0..self.arguments.users {
                let seed = mix(self.seed ^ mix(u64::from(number)));
                let user = User::new(&plan, self.client()?, number, seed, new_tally()?);
                // Spread evenly over the time between two operations of one user.
                let first = started + interval.unwrap_or_default() / users * u32::from(number);
                let thread = std::thread::Builder::new()
                    .name(format!("user-{number}"))
                    .stack_size(STACK_BYTES)
                    .spawn_scoped(scope, move || user.run(first));
                threads.push(thread.map_err(|e| {
                    Failure::new("cannot start a thread for a user").because(Some(&e))
                })?);
            }
            let join = |thread: std::thread::ScopedJoinHandle<'_, Left>| {
                thread
                    .join()
                    .map_err(|_| Failure::new("a user's thread has panicked"))
            };
            threads.into_iter().map(join).collect()
        })
    }

    /// The time between two operations of one user.
    fn interval(&self) -> Option<Duration> {
        match self.arguments.writes_per_minute {
            Rate::Unlimited => None,
            Rate::PerMinute(writes) => {
                let per_second = f64::from(writes) / 60.0 / self.arguments.mix.write_share();
                let users = f64::from(self.arguments.users);
                Some(Duration::from_secs_f64(users / per_second))
            }
        }
    }

    /// Takes the collection of this run away again.
    fn clean_up(&self) -> Outcome {
        if self.arguments.keep || self.arguments.collection.is_some() {
            return Ok(());
        }
        let path = format!("/collections/{}", self.collection);
        let answer = self.client()?.send(&Method::DELETE, &path, None);
        match answer.map(|answer| answer.status) {
            Ok(204 | 404) => Ok(()),
            other => Err(Failure::new(format_args!(
                "collection {} could not be dropped ({other:?})",
                self.collection
            ))),
        }
    }

    fn to_json(&self, report: &Report) -> Value {
        let Report {
            tally,
            all,
            verdict,
            took,
        } = report;
        let by_kind = tally
            .lines()
            .map(|(kind, line)| (kind.name().to_owned(), line.to_json()));
        json!({
            "server": self.server,
            "seed": self.seed,
            "users": self.arguments.users,
            "mix": self.arguments.mix.to_string(),
            "seconds": took.as_secs_f64(),
            "operations_per_second": all.total() as f64 / took.as_secs_f64().max(1e-9),
            "operations": by_kind.collect::<serde_json::Map<_, _>>(),
            "all": all.to_json(),
            "integrity": {
                "held": verdict.is_sound() && verdict.findings.is_empty(),
                "documents_expected": verdict.expected,
                "documents_undecided": verdict.undecided,
                "documents_found": verdict.found,
                "lost": verdict.lost,
                "changed": verdict.changed,
                "made_up": verdict.made_up,
                "findings": verdict.findings,
            },
        })
    }
}

fn new_tally() -> Outcome<Tally> {
    Tally::new().ok_or_else(impossible)
}

fn impossible() -> Failure {
    Failure::new("the table of latencies cannot be made")
}

/// Prints the report for a person.
fn show(report: &Report) -> Outcome {
    let Report {
        tally,
        all,
        verdict,
        took,
    } = report;
    let mut out = output::stdout();
    writeln!(
        out,
        "{:<10} {:>9} {:>9} {:>9} {:>9} {:>10} {:>10} {:>10} {:>10}",
        "", "count", "success", "errors", "timeouts", "p50", "p99", "p99.9", "max"
    )?;
    let lines = tally.lines().map(|(kind, line)| (kind.name(), line));
    for (name, line) in lines.chain([("all", all)]) {
        let timed_out = line.count(tally::Outcome::TimedOut);
        let errors = line.total() - line.count(tally::Outcome::Ok) - timed_out;
        writeln!(
            out,
            "{name:<10} {:>9} {:>8.2}% {:>9} {:>9} {:>10} {:>10} {:>10} {:>10}",
            thousands(line.total()),
            line.success_rate() * 100.0,
            thousands(errors),
            thousands(timed_out),
            duration(line.quantile(0.5)),
            duration(line.quantile(0.99)),
            duration(line.quantile(0.999)),
            duration(line.max()),
        )?;
    }
    writeln!(
        out,
        "\n{:.0} operations per second for {}",
        all.total() as f64 / took.as_secs_f64().max(1e-9),
        duration(*took)
    )?;
    writeln!(
        out,
        "documents: {} expected, {} undecided, {} found; {} lost, {} changed, {} made up",
        thousands(verdict.expected),
        thousands(verdict.undecided),
        thousands(verdict.found),
        verdict.lost,
        verdict.changed,
        verdict.made_up
    )?;
    for finding in &verdict.findings {
        writeln!(out, "  {finding}")?;
    }
    if verdict.is_sound() && verdict.findings.is_empty() {
        writeln!(out, "integrity held")?;
    }
    Ok(out.flush()?)
}
