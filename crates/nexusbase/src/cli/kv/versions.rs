//! `nexusbase kv versions`, `version take`, `version delete` and `restore`.

use nexusbase::kv::version::check_version;
use nexusbase::kv::{Version, VersionId};
use nexusbase_io::Env;
use serde_json::{Map, Value, json};

use super::Context;
use super::access::{Kv, no_version, version_name};
use super::args::{RestoreArgs, VersionCommand, VersionDeleteArgs, VersionTakeArgs, VersionsArgs};
use super::text::time;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::output::count;

pub(super) fn run(command: &VersionCommand, kv: &dyn Kv, context: &mut Context<'_>) -> Outcome {
    match command {
        VersionCommand::Take(arguments) => take(arguments, kv, context),
        VersionCommand::Delete(arguments) => delete(arguments, kv, context),
    }
}

pub(super) fn list(arguments: &VersionsArgs, kv: &dyn Kv, context: &mut Context<'_>) -> Outcome {
    let store = &arguments.store;
    let versions = kv.versions(store)?;
    if arguments.json {
        let mut all = versions.iter();
        return all.try_for_each(|version| context.json(&version_json(version)));
    }
    if versions.is_empty() {
        context.terminal.note(format_args!(
            "{store} has no versions; `nexusbase kv version take {store}` takes one"
        ));
        return Ok(());
    }
    context.table(versions.iter().map(row).collect())
}

/// A version as a row of a table.
fn row(version: &Version) -> Map<String, Value> {
    let figure = |number: u64| match version.exact {
        true => json!(number),
        false => json!(format!("~{number}")),
    };
    let cells = [
        ("version", json!(version.number)),
        ("name", json!(version.name.as_deref().unwrap_or_default())),
        ("taken", json!(time(version.time_ms))),
        ("keys", figure(version.keys)),
        ("bytes", figure(version.bytes)),
        ("note", json!(version.note)),
    ];
    let cells = cells.map(|(name, cell)| (name.to_owned(), cell));
    cells.into_iter().collect()
}

/// A version as a server shows it.
fn version_json(version: &Version) -> Value {
    json!({
        "number": version.number,
        "name": version.name,
        "note": version.note,
        "time_ms": version.time_ms,
        "keys": version.keys,
        "bytes": version.bytes,
        "exact": version.exact,
    })
}

fn take(arguments: &VersionTakeArgs, kv: &dyn Kv, context: &mut Context<'_>) -> Outcome {
    let name = arguments.name.as_deref();
    check_version(name, &arguments.note)?;
    let version = kv.take_version(&arguments.store, name, &arguments.note)?;
    let about = if version.exact { "" } else { "about " };
    context.done(format_args!(
        "took version {} of {}: {about}{}",
        version_name(&version),
        arguments.store,
        count("key", version.keys)
    ))
}

fn delete(arguments: &VersionDeleteArgs, kv: &dyn Kv, context: &mut Context<'_>) -> Outcome {
    let store = &arguments.store;
    let version = find(kv, store, &VersionId::parse(&arguments.id))?;
    kv.delete_version(store, &VersionId::Number(version.number))?;
    let name = version_name(&version);
    context.done(format_args!("deleted version {name} of {store}"))
}

/// One version.
fn find(kv: &dyn Kv, store: &str, id: &VersionId) -> Outcome<Version> {
    let all = kv.versions(store)?;
    let found = all.iter().find(|version| version.is(id)).cloned();
    found.ok_or_else(|| no_version(store, id, &all))
}

pub(super) fn restore(arguments: &RestoreArgs, kv: &dyn Kv, context: &mut Context<'_>) -> Outcome {
    let store = &arguments.store;
    // By its number from here on, and looked for before anything is taken.
    let version = find(kv, store, &VersionId::parse(&arguments.id))?;
    let saved = if arguments.no_save {
        None
    } else {
        Some(save(kv, store, &version)?)
    };
    let restored = kv.restore_version(store, &VersionId::Number(version.number));
    let restored = restored.map_err(|failure| match &saved {
        Some(saved) => failure.with_note(format_args!(
            "the state before was taken as version {}; it is still the present one",
            version_name(saved)
        )),
        None => failure,
    })?;
    context.done(format_args!(
        "{store} is what it was in version {}, taken as version {}",
        version_name(&version),
        restored.number
    ))?;
    match saved {
        Some(saved) => context.done(format_args!(
            "the state before is version {}",
            version_name(&saved)
        )),
        None => Ok(()),
    }
}

/// Takes the present state as a version that is still there when `wanted` is restored.
fn save(kv: &dyn Kv, store: &str, wanted: &Version) -> Outcome<Version> {
    let info = kv.store(store)?.info;
    if info.options.read_only {
        // It would fail afterwards, and leave a version behind.
        return Err(
            Failure::new(format_args!("the store {store:?} can only be read")).hint(format_args!(
                "`nexusbase kv set-options {store} --read-only false` allows changes"
            )),
        );
    }
    let all = kv.versions(store)?;
    let retention = info.options.retention;
    let outdated = retention.outdated(&all, Env::os().clock.unix_ms());
    if outdated
        .iter()
        .any(|version| version.number == wanted.number)
    {
        // Taking a version would be the end of the one that is wanted.
        return Err(Failure::new(format_args!(
            "version {} of {store} is no longer to be kept, as its options say: taking the \
             present state as a version would delete it",
            wanted.number
        ))
        .hint(format_args!(
            "keep more first (`nexusbase kv set-options {store} --keep-versions none \
             --keep-versions-for none`), or restore with --no-save"
        )));
    }
    // Versions with a name stay, whatever the store keeps.
    let next = all.last().map_or(0, |version| version.number) + 1;
    let name = (!retention.is_all()).then(|| format!("before-restore-{next}"));
    let note = format!("before version {} was restored", wanted.number);
    kv.take_version(store, name.as_deref(), &note)
}
