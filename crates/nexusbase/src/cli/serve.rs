//! `nexusbase serve`: a data folder over HTTP, until the process is told to stop.

use std::net::SocketAddr;
use std::path::Path;

use anstyle::{AnsiColor, Style};
use nexusbase::db::ForestOptions;
use nexusbase::{Database, Options, RecoveryReport};
use nexusbase_io::os::raise_file_limit;
use nexusbase_server::{AdminKey, ServeError, ServerConfig, Service, run_blocking};

use super::Terminal;
use super::args::SettingsArgs;
use super::config::{Values, environment};
use super::failure::{Failure, Outcome};
use super::output::{count, duration};
use super::server_log::start_log;

/// The variable with the admin key.
pub(super) const ADMIN_KEY: &str = "NEXUSBASE_ADMIN_KEY";

pub(super) fn run(arguments: &SettingsArgs, terminal: Terminal) -> Outcome {
    let values = Values::collect(arguments, environment()?.into_iter())?;
    for warning in &values.warnings {
        terminal.note(format_args!("warning: {warning}"));
    }
    let settings = values.check()?;
    let Some(data) = &settings.data else {
        return Err(Failure::usage("it is not said which folder to serve")
            .hint("add --data DIR; a missing or empty folder becomes a new database"));
    };
    start_log(&settings.log_level, settings.log_format);
    let options = Options {
        durability: settings.durability,
        forest: ForestOptions {
            memory_bytes: settings.memory_bytes,
            ..Options::default().forest
        },
        ..Options::default()
    };
    // Where it cannot be raised, opening many tables says so.
    let _ = raise_file_limit();
    let db = Database::open_with(data, options)?;
    let recovered = recovered(db.recovery());
    let server = ServerConfig {
        admin_key: admin_key()?,
        ..settings.server.clone()
    };
    let encrypted = server.tls.is_some();
    serve(server, db, data, |address| {
        let (link, plain) = (link(), Style::new());
        let scheme = if encrypted { "https" } else { "http" };
        // A failure to say so is no reason to stop serving.
        let _ = terminal.done(format_args!(
            "serving {} on {link}{scheme}://{address}{link:#}{plain:#} ({recovered})",
            data.display()
        ));
    })
}

/// The admin key of the environment, which is no setting, so that nothing shows it.
fn admin_key() -> Outcome<Option<AdminKey>> {
    let Ok(text) = std::env::var(ADMIN_KEY) else {
        return Ok(None);
    };
    if text.is_empty() {
        return Ok(None);
    }
    let key = AdminKey::new(&text);
    key.map(Some)
        .map_err(|error| Failure::usage(format_args!("the variable {ADMIN_KEY}: {error}")))
}

/// How an address is shown.
pub(super) const fn link() -> Style {
    Style::new()
        .fg_color(Some(anstyle::Color::Ansi(AnsiColor::Cyan)))
        .underline()
}

/// What opening had to do, in a few words.
pub(super) fn recovered(report: &RecoveryReport) -> String {
    let mut text = format!(
        "{} recovered in {}",
        count("entry", report.entries),
        duration(report.duration)
    );
    if let Some(torn) = &report.torn {
        text.push_str(&format!(
            "; an unfinished write was cut off {} at offset {}: {}",
            torn.path.display(),
            torn.offset,
            torn.reason
        ));
    }
    text
}

/// Serves the database in `folder` and the stores beside it until a signal says to stop, and closes
/// them.
pub(super) fn serve(
    config: ServerConfig,
    db: Database,
    folder: &Path,
    on_ready: impl FnOnce(SocketAddr),
) -> Outcome {
    let stores =
        nexusbase_kv::standard(&db, folder).map_err(|error| Failure::from_error(&error))?;
    let service = Service { db, stores };
    run_blocking(config, service, on_ready).map_err(|error| {
        let failure = Failure::from_error(&error);
        match &error {
            ServeError::Remote { .. } => failure.hint("--allow-remote, if that is what you want"),
            ServeError::Unprotected { .. } => {
                failure.hint("make a key with `nexusbase keys create`, and leave --auth away")
            }
            ServeError::Listen { .. } => failure.hint("--listen 127.0.0.1:0 takes any free port"),
            _ => failure,
        }
    })
}
