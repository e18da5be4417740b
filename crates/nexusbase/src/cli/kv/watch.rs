//! `nexusbase kv watch`: what changes on a server, one line per change, until Ctrl-C.

use serde_json::{Map, Value, json};

use super::Context;
use super::access::server::{Event, Server};
use super::args::WatchArgs;
use super::text::{escaped, from_json};
use crate::cli::failure::{Failure, Outcome};

/// Where an event names keys, and what happened to them.
const KEYS: [(&str, &str); 2] = [("put", "put"), ("deleted", "deleted")];

/// A data folder cannot be watched.
pub(super) fn needs_a_server() -> Failure {
    Failure::usage(
        "a data folder is open in one process at a time, so nobody else could change it while \
         it is watched",
    )
    .hint("watch a server: start one with `nexusbase serve --data DIR`, and add --server URL")
}

pub(super) fn run(arguments: &WatchArgs, context: &mut Context<'_>) -> Outcome {
    let client = arguments.target.server()?.ok_or_else(needs_a_server)?;
    follow(arguments, &Server::new(client), context)
}

/// Prints what `server` tells until it ends.
pub(super) fn follow(arguments: &WatchArgs, server: &Server, context: &mut Context<'_>) -> Outcome {
    let what = arguments.store.as_deref();
    let terminal = context.terminal;
    let ready = || {
        let what = what.unwrap_or("all stores");
        terminal.note(format_args!("watching {what}; Ctrl-C ends it"));
        Ok(())
    };
    server.watch(what, ready, &mut |event| {
        let wanted = wanted(event, arguments.prefix.as_deref());
        if arguments.json {
            if let Some(data) = wanted {
                context.json(&event_json(&event.kind, data))?;
            }
        } else if let Some(data) = wanted {
            lines(&event.kind, &data, context)?;
        }
        // Whoever watches wants to see it now.
        Ok(context.out.flush()?)
    })?;
    Err(Failure::new("the server has ended the connection")
        .hint("run the command again; what happens meanwhile is not shown"))
}

/// What is wanted of an event: only keys with the prefix; none if it is about others only.
fn wanted(event: &Event, prefix: Option<&str>) -> Option<Map<String, Value>> {
    let mut data = event.data.as_object().cloned().unwrap_or_default();
    let Some(prefix) = prefix.filter(|_| event.kind == "changed") else {
        return Some(data);
    };
    let mut any = false;
    for (name, _) in KEYS {
        if let Some(keys) = data.get_mut(name).and_then(Value::as_array_mut) {
            keys.retain(|key| from_json(key).is_none_or(|key| key.starts_with(prefix.as_bytes())));
            any |= !keys.is_empty();
        }
    }
    any.then_some(data)
}

fn event_json(kind: &str, data: Map<String, Value>) -> Value {
    let mut object = Map::new();
    object.insert("event".to_owned(), json!(kind));
    object.extend(data);
    Value::Object(object)
}

fn lines(kind: &str, data: &Map<String, Value>, context: &mut Context<'_>) -> Outcome {
    let shown = |text: &str| escaped(text.as_bytes());
    let store = data.get("store").and_then(Value::as_str).map(shown);
    let store = store.unwrap_or_default();
    if kind == "changed" {
        for (name, verb) in KEYS {
            let keys = data.get(name).and_then(Value::as_array);
            for key in keys.into_iter().flatten() {
                let key = from_json(key).unwrap_or_default();
                writeln!(context.out, "{store}\t{verb}\t{}", escaped(&key))?;
            }
        }
        return Ok(());
    }
    let mut line = format!("{store}\t{}", shown(kind));
    let rest = data.iter().filter(|(name, _)| *name != "store");
    let mut gap = '\t';
    for (name, value) in rest {
        let value = match value {
            Value::Null => continue,
            Value::String(text) => shown(text),
            other => shown(&other.to_string()),
        };
        line.push(gap);
        line.push_str(&format!("{}={value}", shown(name)));
        gap = ' ';
    }
    Ok(writeln!(context.out, "{line}")?)
}
