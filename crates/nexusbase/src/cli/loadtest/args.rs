//! What can be written behind `nexusbase loadtest`.

use std::time::Duration;

use clap::Args;

use super::mix::Mix;
use crate::cli::kv::text::parse_duration;

pub(in crate::cli) const EXIT_CODES: &str = "\
Each user writes documents of its own and remembers what it wrote, so every answer can be checked,
also that of a server that is killed and started again meanwhile: a write whose answer never came
may have happened or not, but nothing else may be there. At the end all documents are read and
compared.

Exit codes: 0 nothing was lost, changed or made up; 1 something was, or the server could not be
reached at the end; 2 wrong usage.

Examples:
  nexusbase loadtest --server http://127.0.0.1:7700
  nexusbase loadtest --users 16 --writes-per-minute unlimited --duration 30s
  nexusbase loadtest --mix reads=90,inserts=5,updates=4,deletes=1 --json > report.json";

/// How a load test is run.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct LoadTestArgs {
    /// The server [default: NEXUSBASE_SERVER, or http://127.0.0.1:7700]
    #[arg(long, value_name = "URL")]
    pub(super) server: Option<String>,

    /// The API key, if the server asks for one; better given as NEXUSBASE_API_KEY
    #[arg(long, value_name = "KEY")]
    pub(super) api_key: Option<String>,

    /// How many users work at the same time
    #[arg(long, value_name = "N", default_value_t = 100)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=2000))]
    pub(super) users: u16,

    /// How many writes all users together begin per minute, or `unlimited`
    #[arg(long, value_name = "N", default_value = "1000", value_parser = parse_rate)]
    pub(super) writes_per_minute: Rate,

    /// How often what is done, as weights
    #[arg(
        long,
        value_name = "WEIGHTS",
        default_value = "reads=40,inserts=30,updates=20,deletes=10"
    )]
    pub(super) mix: Mix,

    /// For how long, such as 60s or 10m
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_duration)]
    pub(super) duration: Duration,

    /// How long one request may take
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    pub(super) timeout: Duration,

    /// How long to wait for a server that does not answer, at the end
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_duration)]
    pub(super) patience: Duration,

    /// The collection, which must be empty [default: a new one for this run]
    #[arg(long, value_name = "NAME")]
    pub(super) collection: Option<String>,

    /// Leave the documents there
    #[arg(long)]
    pub(super) keep: bool,

    /// Do the same as in another run with this number
    #[arg(long, value_name = "NUMBER")]
    pub(super) seed: Option<u64>,

    /// Print the report as JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// How many operations are begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rate {
    /// So many per minute.
    PerMinute(u32),
    /// As many as the server answers.
    Unlimited,
}

fn parse_rate(text: &str) -> Result<Rate, String> {
    if text == "unlimited" {
        return Ok(Rate::Unlimited);
    }
    match text.parse() {
        Ok(0) | Err(_) => Err("write a whole number of at least 1, or `unlimited`".to_owned()),
        Ok(number) => Ok(Rate::PerMinute(number)),
    }
}
