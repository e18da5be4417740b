//! `nexusbase kv stores`, `engines`, `create`, `drop`, `rename` and `set-options`.

use std::io::{BufRead, IsTerminal, Write};

use nexusbase::kv::{CreateOptions, Retention, StoreOptions, Transactions};
use serde_json::{Map, Value, json};

use super::Context;
use super::access::{EngineShown, Kv, OptionsChange, StoreShown};
use super::args::{CreateArgs, DropArgs, EnginesArgs, RenameArgs, SetOptionsArgs, StoresArgs};
use super::text::{Setting, duration, milliseconds};
use crate::cli::failure::{Failure, Outcome};
use crate::cli::output::count;

pub(super) fn list(arguments: &StoresArgs, kv: &dyn Kv, context: &mut Context<'_>) -> Outcome {
    let stores = kv.stores()?;
    if arguments.json {
        return stores
            .iter()
            .try_for_each(|store| context.json(&store_json(store)));
    }
    if stores.is_empty() {
        context
            .terminal
            .note("there are no stores; `nexusbase kv create NAME` creates one");
        return Ok(());
    }
    context.table(stores.iter().map(row).collect())?;
    for store in &stores {
        let damage = store.stats.iter().flat_map(|stats| &stats.damage);
        for damage in damage.chain(&store.trouble) {
            context
                .terminal
                .note(format_args!("store {}: {damage}", store.info.name));
        }
    }
    Ok(())
}

/// A store as a row of a table.
fn row(store: &StoreShown) -> Map<String, Value> {
    let mut row = Map::new();
    let mut put = |name: &str, value: Value| row.insert(name.to_owned(), value);
    put("name", json!(store.info.name));
    put("engine", json!(store.info.engine));
    if let Some(stats) = &store.stats {
        let figure = |number: u64| match stats.exact {
            true => json!(number),
            false => json!(format!("~{number}")),
        };
        put("keys", figure(stats.keys));
        put("bytes", figure(stats.bytes));
        put("versions", json!(stats.versions));
    }
    put("options", json!(options_text(store).join(", ")));
    row
}

fn options_text(store: &StoreShown) -> Vec<String> {
    let options = &store.info.options;
    let mut all = Vec::new();
    if let Some(of) = store.copy_of() {
        all.push(format!("unfinished copy of {of}"));
    }
    if let Some(ttl) = options.ttl_ms {
        all.push(format!("ttl {}", duration(ttl)));
    }
    match (
        options.retention.count,
        options.retention.age_ms.map(duration),
    ) {
        (None, None) => {}
        (Some(count), None) => all.push(format!("keeps {count} versions")),
        (None, Some(age)) => all.push(format!("keeps versions for {age}")),
        (Some(count), Some(age)) => all.push(format!("keeps {count} versions for {age}")),
    }
    if options.read_only {
        all.push("read-only".to_owned());
    }
    let labels = options.labels.iter();
    all.extend(labels.map(|(name, value)| format!("{name}={value}")));
    all
}

/// A store as a server shows it.
fn store_json(store: &StoreShown) -> Value {
    let options = &store.info.options;
    let mut object = json!({
        "name": store.info.name,
        "engine": store.info.engine,
        "options": {
            "ttl_ms": options.ttl_ms,
            "keep_versions": options.retention.count,
            "keep_versions_ms": options.retention.age_ms,
            "read_only": options.read_only,
            "labels": options.labels,
        },
        "unfinished_copy_of": store.copy_of(),
    });
    if let Some(stats) = &store.stats {
        object["stats"] = json!({
            "keys": stats.keys,
            "bytes": stats.bytes,
            "exact": stats.exact,
            "disk_bytes": stats.disk_bytes,
            "versions": stats.versions,
            "damage": stats.damage,
        });
    }
    if let Some(trouble) = &store.trouble {
        object["trouble"] = json!(trouble);
    }
    object
}

pub(super) fn engines(arguments: &EnginesArgs, kv: &dyn Kv, context: &mut Context<'_>) -> Outcome {
    let engines = kv.engines()?;
    if arguments.json {
        return engines
            .iter()
            .try_for_each(|engine| context.json(&engine_json(engine)));
    }
    let rows = engines.iter().map(|engine| {
        let can = &engine.capabilities;
        let yes = |has: bool| json!(if has { "yes" } else { "no" });
        let name = match engine.is_default {
            true => format!("{} (default)", engine.name),
            false => engine.name.clone(),
        };
        let cells = [
            ("engine", json!(name)),
            ("durable", yes(can.durable)),
            ("ordered", yes(can.ordered)),
            ("transactions", json!(transactions(can.transactions))),
            ("versions", yes(can.versioned)),
            ("larger than memory", yes(can.larger_than_memory)),
            ("largest value", json!(can.limits.value_bytes)),
        ];
        cells
            .map(|(name, cell)| (name.to_owned(), cell))
            .into_iter()
            .collect()
    });
    context.table(rows.collect())
}

const fn transactions(transactions: Transactions) -> &'static str {
    match transactions {
        Transactions::None => "none",
        Transactions::OneStore => "one-store",
        Transactions::AcrossStores => "across-stores",
    }
}

/// An engine as a server shows it.
fn engine_json(engine: &EngineShown) -> Value {
    let can = &engine.capabilities;
    json!({
        "name": engine.name,
        "default": engine.is_default,
        "capabilities": {
            "durable": can.durable,
            "ordered": can.ordered,
            "transactions": transactions(can.transactions),
            "versioned": can.versioned,
            "larger_than_memory": can.larger_than_memory,
            "limits": {
                "key_bytes": can.limits.key_bytes,
                "value_bytes": can.limits.value_bytes,
                "batch_bytes": can.limits.batch_bytes,
            },
        },
    })
}

pub(super) fn create(arguments: &CreateArgs, kv: &dyn Kv, context: &mut Context<'_>) -> Outcome {
    let labels = arguments.labels.iter();
    let options = CreateOptions {
        engine: arguments.engine.clone(),
        options: StoreOptions {
            ttl_ms: arguments.ttl.map(milliseconds),
            retention: Retention {
                count: arguments.keep_versions,
                age_ms: arguments.keep_versions_for.map(milliseconds),
            },
            read_only: arguments.read_only,
            copy_of: None,
            labels: labels
                .map(|label| (label.name.clone(), label.value.clone()))
                .collect(),
        },
    };
    kv.create(&arguments.store, &options)?;
    let engine = match &arguments.engine {
        Some(engine) => engine.clone(),
        None => kv.store(&arguments.store)?.info.engine,
    };
    context.done(format_args!(
        "created the store {} on engine {engine}",
        arguments.store
    ))
}

pub(super) fn drop(arguments: &DropArgs, kv: &dyn Kv, context: &mut Context<'_>) -> Outcome {
    let name = &arguments.store;
    let shown = kv.store(name)?;
    if !arguments.yes && !confirmed(&shown)? {
        context.terminal.note(format_args!("{name} stays"));
        return Err(Failure::Answered);
    }
    kv.drop_store(name)?;
    context.done(format_args!("dropped the store {name}"))
}

/// Asks whether to drop a store.
fn confirmed(store: &StoreShown) -> Outcome<bool> {
    let name = &store.info.name;
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(Failure::usage(format_args!(
            "{name} would be gone for ever, with its versions, and nobody is there to be asked"
        ))
        .hint("add --yes if that is what you want"));
    }
    let what = match &store.stats {
        Some(stats) => format!(
            " ({}, {})",
            count("key", stats.keys),
            count("version", stats.versions)
        ),
        None => String::new(),
    };
    let mut err = anstream::stderr().lock();
    write!(err, "drop the store {name}{what} for ever? [y/N] ")?;
    err.flush()?;
    let mut answer = String::new();
    stdin
        .lock()
        .read_line(&mut answer)
        .map_err(|e| Failure::new("cannot read the answer").because(Some(&e)))?;
    let answer = answer.trim().to_lowercase();
    Ok(answer == "y" || answer == "yes")
}

pub(super) fn rename(arguments: &RenameArgs, kv: &dyn Kv, context: &mut Context<'_>) -> Outcome {
    let RenameArgs { from, to, .. } = arguments;
    kv.rename(from, to)?;
    context.done(format_args!("the store {from} is called {to} now"))
}

pub(super) fn set_options(
    arguments: &SetOptionsArgs,
    kv: &dyn Kv,
    context: &mut Context<'_>,
) -> Outcome {
    let in_ms = |setting: Setting<std::time::Duration>| match setting {
        Setting::None => Setting::None,
        Setting::Some(time) => Setting::Some(milliseconds(time)),
    };
    let label = |label: &super::text::Label| {
        let value = Some(label.value.clone()).filter(|value| !value.is_empty());
        (label.name.clone(), value)
    };
    let change = OptionsChange {
        ttl_ms: arguments.ttl.map(in_ms),
        keep_versions: arguments.keep_versions,
        keep_versions_ms: arguments.keep_versions_for.map(in_ms),
        read_only: arguments.read_only,
        labels: arguments.labels.iter().map(label).collect(),
    };
    if change.is_nothing() {
        return Err(Failure::usage("it is not said what to change")
            .hint("`nexusbase kv set-options --help` lists the options"));
    }
    kv.set_options(&arguments.store, &change)?;
    let options = options_text(&kv.store(&arguments.store)?);
    let options = match options.is_empty() {
        true => "none".to_owned(),
        false => options.join(", "),
    };
    context.done(format_args!("options of {}: {options}", arguments.store))
}

impl OptionsChange {
    fn is_nothing(&self) -> bool {
        self.ttl_ms.is_none()
            && self.keep_versions.is_none()
            && self.keep_versions_ms.is_none()
            && self.read_only.is_none()
            && self.labels.is_empty()
    }
}
