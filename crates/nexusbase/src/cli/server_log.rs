//! What a server logs, to standard error: how much of what, and written how.

use std::str::FromStr;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{fmt, registry};

/// How much is logged: a level, and levels of targets that differ, such as `info,access=off`.
#[derive(Clone, Debug)]
pub(super) struct LogFilter(Targets);

/// How a line of the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LogFormat {
    Text,
    Json,
}

impl LogFilter {
    /// One level for all.
    pub(super) fn level(level: LevelFilter) -> Self {
        Self(Targets::new().with_default(level))
    }
}

impl FromStr for LogFilter {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut targets = Targets::new().with_default(LevelFilter::INFO);
        let level = |text: &str| text.trim().parse::<LevelFilter>().map_err(|_| ());
        for part in text.split(',') {
            targets = match part.split_once('=') {
                Some((target, said)) => targets.with_target(target.trim(), level(said)?),
                None => targets.with_default(level(part)?),
            };
        }
        Ok(Self(targets))
    }
}

impl FromStr for LogFormat {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(()),
        }
    }
}

/// Sends what the server logs to standard error.
pub(super) fn start_log(filter: &LogFilter, format: LogFormat) {
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Text => {
            let choice = anstream::AutoStream::choice(&std::io::stderr());
            lines
                .with_ansi(choice != anstream::ColorChoice::Never)
                .boxed()
        }
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .boxed(),
    };
    let started = registry().with(lines).with(filter.0.clone()).try_init();
    debug_assert!(started.is_ok(), "it is started once");
}
