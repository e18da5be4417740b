//! `nexusbase keys`: the keys that requests to a server bring, in a data folder or on a server.
//!
//! A folder is where the first key is made, before there is a server that could be asked. What a
//! key is, says [`nexusbase_server::Keyring`]; here it is the JSON object that a server shows.

pub(in crate::cli) mod args;

use std::io::Write;

use nexusbase::Database;
use nexusbase_server::{KeyError, KeyInfo, Keyring, Token};
use serde_json::{Map, Value, json};
use ureq::http::Method;

use self::args::{CreateArgs, KeysCommand, ListArgs, RevokeArgs, RotateArgs};
use super::Terminal;
use super::args::TargetArgs;
use super::failure::{Failure, Outcome};
use super::http::{Call, Client};
use super::kv::text::time;
use super::output;
use super::table::Table;
use super::target::{Missing, Target};

/// How wide a table is made where the terminal does not say how wide it is.
const WIDTH_UNKNOWN: usize = 100;
const NO_KEYS: &str = "there are no keys; `nexusbase keys create NAME --role ROLE` makes one";

/// Where the keys are.
enum Keys {
    Folder(Database, Keyring),
    Server(Client),
}

pub(super) fn run(command: &KeysCommand, terminal: Terminal) -> Outcome {
    match command {
        KeysCommand::Create(arguments) => create(arguments, terminal),
        KeysCommand::List(arguments) => list(arguments, terminal),
        KeysCommand::Rotate(arguments) => rotate(arguments, terminal),
        KeysCommand::Revoke(arguments) => revoke(arguments, terminal),
    }
}

fn create(arguments: &CreateArgs, terminal: Terminal) -> Outcome {
    let mut wanted = json!({"name": arguments.name, "role": arguments.role.name()});
    if !arguments.collections.is_empty() || !arguments.stores.is_empty() {
        let (collections, stores) = (&arguments.collections, &arguments.stores);
        wanted["scopes"] = json!({"collections": collections, "stores": stores});
    }
    if let Some(lasts) = arguments.expires_in {
        wanted["ttl"] = json!(lasts.as_secs());
    }
    if let Some(rate) = arguments.requests_per_second {
        wanted["requests_per_second"] = json!(rate);
    }
    if let Some(burst) = arguments.burst {
        wanted["burst"] = json!(burst);
    }
    let keys = Keys::open(&arguments.target, Missing::Create)?;
    let made = keys.create(&wanted)?;
    keys.close()?;
    show_secret(&made, arguments.json, terminal)
}

fn rotate(arguments: &RotateArgs, terminal: Terminal) -> Outcome {
    let keys = Keys::open(&arguments.target, Missing::Refuse)?;
    let grace = arguments.grace.map_or(0, |grace| grace.as_secs());
    let rotated = keys.rotate(&arguments.id, grace)?;
    keys.close()?;
    show_secret(&rotated, arguments.json, terminal)
}

/// The key goes where programs read it; what people should know, beside it.
fn show_secret(key: &Value, as_json: bool, terminal: Terminal) -> Outcome {
    let mut out = output::stdout();
    if as_json {
        writeln!(out, "{key}")?;
    } else {
        writeln!(out, "{}", text(key, "key"))?;
    }
    out.flush()?;
    terminal.note(format_args!(
        "this is the secret of the key {} ({}, {}); keep it, it is not shown again",
        text(key, "id"),
        text(key, "name"),
        text(key, "role")
    ));
    Ok(())
}

fn list(arguments: &ListArgs, terminal: Terminal) -> Outcome {
    let keys = Keys::open(&arguments.target, Missing::Refuse)?;
    let all = keys.list()?;
    keys.close()?;
    if arguments.json {
        let mut out = output::stdout();
        for key in &all {
            writeln!(out, "{key}")?;
        }
        return Ok(out.flush()?);
    }
    if all.is_empty() {
        terminal.note(NO_KEYS);
        return Ok(());
    }
    let width = if output::is_terminal() {
        output::width().unwrap_or(WIDTH_UNKNOWN)
    } else {
        usize::MAX
    };
    let mut table = Table::new(anstream::stdout().lock(), width);
    for key in &all {
        table.row(row(key))?;
    }
    let hidden = table.finish()?;
    if !hidden.is_empty() {
        let hidden = hidden.join(", ");
        terminal.note(format_args!("no room for: {hidden} (--json prints all)"));
    }
    Ok(())
}

/// A key as a row of a table.
fn row(key: &Value) -> Map<String, Value> {
    let mut row = Map::new();
    for name in ["id", "name", "role"] {
        row.insert(name.to_owned(), key[name].clone());
    }
    let state = if let Some(ms) = key["revoked_ms"].as_u64() {
        format!("revoked {}", time(ms))
    } else if let Some(ms) = key["expires_ms"].as_u64() {
        format!("until {}", time(ms))
    } else {
        "valid".to_owned()
    };
    row.insert("state".to_owned(), json!(state));
    for name in ["collections", "stores"] {
        row.insert(name.to_owned(), key["scopes"][name].clone());
    }
    row
}

fn revoke(arguments: &RevokeArgs, terminal: Terminal) -> Outcome {
    let keys = Keys::open(&arguments.target, Missing::Refuse)?;
    keys.revoke(&arguments.id)?;
    keys.close()?;
    Ok(terminal.done(format_args!("revoked the key {}", arguments.id))?)
}

fn text<'a>(key: &'a Value, name: &str) -> &'a str {
    key[name].as_str().unwrap_or_default()
}

impl Keys {
    fn open(target: &TargetArgs, missing: Missing) -> Outcome<Self> {
        Ok(match target.open_any(missing)? {
            Target::Folder(db, _) => {
                let keyring = Keyring::open(&db)?;
                Self::Folder(db, keyring)
            }
            Target::Server(client) => Self::Server(client),
        })
    }

    fn create(&self, wanted: &Value) -> Outcome<Value> {
        match self {
            Self::Folder(_, keyring) => {
                let wanted = serde_json::from_value(wanted.clone()).map_err(|error| {
                    Failure::usage("this cannot be a key").because(Some(&error))
                })?;
                let (info, token) = keyring.create(&wanted)?;
                with_secret(&info, &token)
            }
            Self::Server(client) => {
                answer(client, Call::new(Method::POST, &[b"keys"]).json(wanted))
            }
        }
    }

    fn list(&self) -> Outcome<Vec<Value>> {
        match self {
            Self::Folder(_, keyring) => keyring.list().iter().map(shown).collect(),
            Self::Server(client) => {
                let mut found = answer(client, Call::new(Method::GET, &[b"keys"]))?;
                match found["keys"].take() {
                    Value::Array(all) => Ok(all),
                    _ => Err(Failure::new("the server's answer has no list of keys")),
                }
            }
        }
    }

    fn rotate(&self, id: &str, grace_seconds: u64) -> Outcome<Value> {
        match self {
            Self::Folder(_, keyring) => {
                let (info, token) = keyring.rotate(id, grace_seconds)?;
                with_secret(&info, &token)
            }
            Self::Server(client) => {
                let path: [&[u8]; 3] = [b"keys", id.as_bytes(), b"rotate"];
                let call = Call::new(Method::POST, &path);
                answer(client, call.json(&json!({"grace": grace_seconds})))
            }
        }
    }

    fn revoke(&self, id: &str) -> Outcome {
        match self {
            Self::Folder(_, keyring) => keyring.revoke(id).map(drop)?,
            Self::Server(client) => {
                client
                    .send(Call::new(Method::DELETE, &[b"keys", id.as_bytes()]))?
                    .map(drop)?;
            }
        }
        Ok(())
    }

    fn close(&self) -> Outcome {
        match self {
            Self::Folder(db, _) => Ok(db.close()?),
            Self::Server(_) => Ok(()),
        }
    }
}

fn answer(client: &Client, call: Call<'_>) -> Outcome<Value> {
    client.json(client.send(call)??)
}

fn shown(info: &KeyInfo) -> Outcome<Value> {
    serde_json::to_value(info).map_err(|error| Failure::from_error(&error))
}

fn with_secret(info: &KeyInfo, token: &Token) -> Outcome<Value> {
    let mut key = shown(info)?;
    key["key"] = json!(token.reveal());
    Ok(key)
}

impl From<KeyError> for Failure {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Invalid { .. } => Self::usage(error),
            error => Self::from_error(&error),
        }
    }
}
