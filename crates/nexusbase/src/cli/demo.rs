//! `nexusbase demo`: a small database, served, with commands to try.
//!
//! The data set is built into the binary. A second run finds the folder of the first and changes
//! nothing in it; a first run that was interrupted is finished by the next. The commands that are
//! printed name this very executable and the address that is really listened on, so that they
//! work when pasted; a test pastes them.

use std::net::{SocketAddr, TcpListener};

use anstyle::Style;
use indicatif::ProgressBar;
use nexusbase::{Database, Documents, IndexSpec};
use nexusbase_io::Env;
use nexusbase_server::{AuthMode, ServerConfig};
use tracing_subscriber::filter::LevelFilter;

use super::Terminal;
use super::args::{DemoArgs, OnError};
use super::failure::{Failure, Outcome};
use super::output::{count, duration};
use super::serve::{link, serve};
use super::server_log::{LogFilter, LogFormat, start_log};
use super::shell::{program, quote};
use super::store::{Line, Store};

const DATA: &str = include_str!("../../data/packages.jsonl");
const COLLECTION: &str = "packages";
const INDEXES: [&str; 2] = ["section", "depends"];
const BATCH_LINES: usize = 100;

pub(super) fn run(arguments: &DemoArgs, terminal: Terminal) -> Outcome {
    let config = config(arguments, terminal)?;
    start_log(&LogFilter::level(LevelFilter::WARN), LogFormat::Text);
    let db = Database::open(&arguments.data)?;
    let documents = Documents::new(&db);
    prepare(arguments, &documents, terminal)?;
    drop(documents);
    serve(config, db, &arguments.data, |address| {
        let commands = commands(&program(&*Env::os().fs), address);
        // A failure to print is no reason to stop serving.
        let _ = terminal.done(guide(&commands, address));
    })
}

/// Where to listen: where the user says, or the usual port, or a free one if that is taken.
fn config(arguments: &DemoArgs, terminal: Terminal) -> Outcome<ServerConfig> {
    // To be tried at once: whoever is on this machine may, and nobody else.
    let mut config = ServerConfig {
        auth: AuthMode::Off,
        ..ServerConfig::default()
    };
    if let Some(listen) = &arguments.listen {
        config.listen = listen.parse().map_err(|_| {
            Failure::usage(format_args!("{listen:?} is not an address to listen on"))
                .hint("write it like --listen 127.0.0.1:7700")
        })?;
    } else if TcpListener::bind(config.listen).is_err() {
        terminal.note(format_args!(
            "port {} is taken, so another one is used",
            config.listen.port()
        ));
        config.listen.set_port(0);
    }
    Ok(config)
}

/// Puts the data set into the database, unless it is there.
fn prepare(arguments: &DemoArgs, documents: &Documents, terminal: Terminal) -> Outcome {
    let folder = arguments.data.display();
    let collection = documents.collection(COLLECTION)?;
    // The indexes come last: where they are ready, everything is there.
    let is_ready = collection.info()?.is_some_and(|info| {
        let ready = |path: &&str| {
            info.indexes
                .iter()
                .any(|i| i.spec.text() == **path && i.ready)
        };
        INDEXES.iter().all(ready)
    });
    if is_ready {
        terminal.done(format_args!(
            "using the database in {folder}, made by an earlier run"
        ))?;
        return Ok(());
    }
    let clock = Env::os().clock;
    let started = clock.monotonic();
    let bar = terminal.bytes_progress("importing", Some(DATA.len() as u64));
    let imported = import(documents, &bar);
    bar.finish_and_clear();
    let imported = imported?;
    for path in INDEXES {
        let bar = terminal.document_progress("indexing");
        collection.create_index(&IndexSpec::on(path)?, |done| bar.set_position(done))?;
        bar.finish_and_clear();
    }
    let elapsed = clock.monotonic().saturating_sub(started);
    Ok(terminal.done(format_args!(
        "made a database in {folder}: {} imported into {COLLECTION}, indexes on {}, in {}",
        count("document", imported),
        INDEXES.join(" and "),
        duration(elapsed)
    ))?)
}

fn import(documents: &Documents, bar: &ProgressBar) -> Outcome<u64> {
    let store = Store::Folder(documents.clone());
    let mut imported = 0;
    let mut lines = (1..).zip(DATA.lines()).peekable();
    while lines.peek().is_some() {
        let batch: Vec<Line> = lines
            .by_ref()
            .take(BATCH_LINES)
            .map(|(number, text)| Line {
                number,
                text: text.as_bytes().to_vec(),
            })
            .collect();
        // What an interrupted run has imported already is refused as a duplicate, and skipped.
        imported += store.insert(COLLECTION, &batch, OnError::Skip)?.inserted;
        bar.inc(batch.iter().map(|line| line.text.len() as u64 + 1).sum());
        bar.set_message(count("document", imported));
    }
    Ok(imported)
}

/// Something to try.
struct Example {
    about: &'static str,
    commands: Vec<String>,
}

/// A question, for both ways to ask it.
struct Ask {
    about: &'static str,
    filter: &'static str,
    parameters: &'static [(&'static str, &'static str)],
}

const ASKS: [Ask; 3] = [
    Ask {
        about: "The five largest database packages",
        filter: r#"{"section": "database"}"#,
        parameters: &[
            ("sort", "-size"),
            ("limit", "5"),
            ("fields", "size,version"),
        ],
    },
    Ask {
        about: "What needs PostgreSQL 15 and is smaller than 40 kB (depends is an array, indexed)",
        filter: r#"{"depends": "postgresql-15", "size": {"$lt": 40000}}"#,
        parameters: &[
            ("sort", "section,-size"),
            ("fields", "section,size,depends"),
        ],
    },
    Ask {
        about: "Games and editors of at least a megabyte",
        filter: r#"{"section": {"$in": ["games", "editors"]}, "size": {"$gte": 1000000}}"#,
        parameters: &[
            ("sort", "-size"),
            ("limit", "8"),
            ("fields", "section,size,maintainer"),
        ],
    },
];

fn commands(program: &str, address: SocketAddr) -> Vec<Example> {
    let server = format!("http://{address}");
    let documents = format!("{server}/collections/{COLLECTION}/documents");
    let mut examples: Vec<Example> = ASKS
        .iter()
        .map(|ask| Example {
            about: ask.about,
            commands: vec![ask.by_program(program, &server), ask.by_curl(&documents)],
        })
        .collect();
    let explained = quote(ASKS[1].filter);
    examples.push(Example {
        about: "How such an answer is found",
        commands: vec![format!(
            "{program} query {COLLECTION} {explained} --explain --server {server}"
        )],
    });
    examples.push(Example {
        about: "One document by its _id",
        commands: vec![format!("curl -s {documents}/sqlite3 -w '\\n'")],
    });
    examples.push(Example {
        about: "A document of your own, in a collection of your own",
        commands: vec![
            format!(
                "curl -s {server}/collections/notes/documents -H 'Content-Type: \
                 application/json' -d '{{\"text\": \"hello\", \"tags\": [\"first\"]}}' -w '\\n'"
            ),
            format!("{program} query notes --server {server}"),
        ],
    });
    examples
}

impl Ask {
    fn by_program(&self, program: &str, server: &str) -> String {
        let mut command = format!("{program} query {COLLECTION} {}", quote(self.filter));
        for (name, value) in self.parameters {
            command.push_str(&format!(" --{name} {}", quote(value)));
        }
        format!("{command} --server {server}")
    }

    fn by_curl(&self, documents: &str) -> String {
        let mut command = format!("curl -sG {documents} -H 'Accept: application/x-ndjson'");
        let filter = [("filter", self.filter)];
        for (name, value) in filter.iter().chain(self.parameters) {
            let parameter = quote(&format!("{name}={value}"));
            command.push_str(&format!(" --data-urlencode {parameter}"));
        }
        command
    }
}

fn guide(examples: &[Example], address: SocketAddr) -> String {
    let (bold, link) = (Style::new().bold(), link());
    let mut text =
        format!("\nserving on {link}http://{address}{link:#}. To try in another terminal:\n");
    for Example { about, commands } in examples {
        text.push_str(&format!("\n{bold}# {about}{bold:#}\n"));
        for command in commands {
            text.push_str(&format!("{command}\n"));
        }
    }
    text.push_str("\nCtrl-C stops the server; the data stays.");
    text
}
