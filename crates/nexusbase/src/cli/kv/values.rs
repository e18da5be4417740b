//! `nexusbase kv get`, `set` and `del`.

use std::io::Read;
use std::path::Path;

use nexusbase::kv::{CreateOptions, RowRef, VersionId};
use nexusbase_io::user_file;
use serde_json::{Value, json};

use super::Context;
use super::access::{Condition, Kv, NewValue, no_key};
use super::args::{DelArgs, GetArgs, SetArgs};
use super::text::{escaped, key, to_json};
use crate::cli::failure::{Failure, Outcome};
use crate::cli::output::count;

pub(super) fn get(arguments: &GetArgs, kv: &dyn Kv, context: &mut Context<'_>) -> Outcome {
    let store = &arguments.store;
    let key = key(&arguments.key, arguments.hex)?;
    let version = arguments.version.as_deref().map(VersionId::parse);
    let missing = || no_key(store, &key);
    if arguments.json {
        let entry = kv.entry(store, &key, version.as_ref())?;
        let entry = entry.ok_or_else(missing)?;
        return context.json(&row_json(&RowRef {
            key: &key,
            value: &entry.value,
            expires_ms: entry.expires_ms,
            media_type: entry.media_type.as_deref(),
        }));
    }
    let value = kv.value(store, &key, version.as_ref())?;
    let value = value.ok_or_else(missing)?;
    match &arguments.output {
        Some(path) if path != Path::new("-") => Ok(user_file::write(path, &value)?),
        _ => {
            context.out.write_all(&value)?;
            if context.is_terminal {
                writeln!(context.out)?;
            }
            Ok(())
        }
    }
}

/// A row as a server shows it.
pub(super) fn row_json(row: &RowRef<'_>) -> Value {
    let mut object = json!({ "key": to_json(row.key), "value": to_json(row.value) });
    if let Some(expires_ms) = row.expires_ms {
        object["expires_ms"] = json!(expires_ms);
    }
    if let Some(media_type) = row.media_type {
        object["media_type"] = json!(media_type);
    }
    object
}

pub(super) fn set(arguments: &SetArgs, kv: &dyn Kv, context: &mut Context<'_>) -> Outcome {
    let store = &arguments.store;
    let key = key(&arguments.key, arguments.hex)?;
    let value = new_value(arguments)?;
    if arguments.create && !is_there(store, kv)? {
        match kv.create(store, &CreateOptions::default()) {
            Ok(()) => context
                .terminal
                .note(format_args!("created the store {store}")),
            // Another was faster.
            Err(_) if is_there(store, kv)? => {}
            Err(failure) => return Err(failure),
        }
    }
    let condition = match &arguments.if_value {
        Some(old) => Condition::Value(old.as_bytes()),
        None if arguments.if_absent => Condition::Absent,
        None => Condition::Any,
    };
    let new = NewValue {
        key: &key,
        value: &value,
        media_type: arguments.media_type.as_deref(),
        ttl: arguments.ttl,
    };
    if kv.set(store, new, condition)? {
        return context.done(format_args!("set {} in {store}", escaped(&key)));
    }
    let key = escaped(&key);
    Err(if arguments.if_absent {
        Failure::new(format_args!(
            "{key} is in {store} already; it was not changed"
        ))
        .hint("without --if-absent it is replaced")
    } else {
        Failure::new(format_args!(
            "{key} in {store} has not the value that --if-value says; it was not changed"
        ))
        .hint(format_args!(
            "`nexusbase kv get {store} {key}` shows what it has"
        ))
    })
}

fn is_there(store: &str, kv: &dyn Kv) -> Outcome<bool> {
    let mut names = kv.names()?.into_iter();
    Ok(names.any(|name| name == store))
}

fn new_value(arguments: &SetArgs) -> Outcome<Vec<u8>> {
    let path = match (&arguments.value, &arguments.file) {
        (Some(value), _) if value != "-" => return Ok(value.as_bytes().to_vec()),
        (_, Some(file)) => file.as_path(),
        _ => Path::new("-"),
    };
    let mut input = user_file::open_input(path)?;
    let mut value = Vec::new();
    input.reader.read_to_end(&mut value).map_err(|e| {
        let name = match path == Path::new("-") {
            true => "standard input".to_owned(),
            false => path.display().to_string(),
        };
        Failure::new(format_args!("cannot read the value from {name}")).because(Some(&e))
    })?;
    Ok(value)
}

pub(super) fn delete(arguments: &DelArgs, kv: &dyn Kv, context: &mut Context<'_>) -> Outcome {
    let keys = arguments.keys.iter();
    let keys: Vec<Vec<u8>> = keys
        .map(|text| key(text, arguments.hex))
        .collect::<Outcome<_>>()?;
    let mut deleted = 0;
    for key in &keys {
        let there = kv.delete(&arguments.store, key).map_err(|failure| {
            failure.with_note(format_args!("before that, {} deleted", were(deleted)))
        })?;
        deleted += u64::from(there);
    }
    let missing = keys.len() as u64 - deleted;
    let rest = match missing {
        0 => String::new(),
        1 => "; 1 was not there".to_owned(),
        missing => format!("; {missing} were not there"),
    };
    context.done(format_args!(
        "deleted {} from {}{rest}",
        count("key", deleted),
        arguments.store
    ))
}

fn were(keys: u64) -> String {
    let verb = if keys == 1 { "was" } else { "were" };
    format!("{} {verb}", count("key", keys))
}
