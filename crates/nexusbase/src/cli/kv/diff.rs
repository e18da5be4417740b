//! `nexusbase kv diff`: what differs between two states of a store.

use anstyle::AnsiColor;
use nexusbase::kv::{Difference, Entry, VersionId};
use serde_json::{Value, json};

use super::Context;
use super::access::Kv;
use super::args::DiffArgs;
use super::text::{escaped, shortened, to_json};
use crate::cli::failure::{Failure, Outcome};

/// So many characters of a value are shown.
const VALUE_CHARS: usize = 60;

pub(super) fn run(arguments: &DiffArgs, kv: &dyn Kv, context: &mut Context<'_>) -> Outcome {
    let from = VersionId::parse(&arguments.from);
    let to = arguments.to.as_deref().map(VersionId::parse);
    let mut differs = false;
    kv.diff(&arguments.store, &from, to.as_ref(), &mut |difference| {
        differs = true;
        if arguments.json {
            context.json(&difference_json(&difference))
        } else {
            line(&difference, context)
        }
    })?;
    if differs {
        return Err(Failure::Answered);
    }
    Ok(())
}

fn line(difference: &Difference, context: &mut Context<'_>) -> Outcome {
    let key = escaped(difference.key());
    let short = |entry: &Entry| shortened(&entry.value, VALUE_CHARS);
    let (color, text) = match difference {
        Difference::Added { new, .. } => (AnsiColor::Green, format!("+ {key}\t{}", short(new))),
        Difference::Removed { old, .. } => (AnsiColor::Red, format!("- {key}\t{}", short(old))),
        Difference::Changed { old, new, .. } if old.value == new.value => {
            let what = "only its media type, or when it expires";
            let text = format!("~ {key}\t{} ({what})", short(new));
            (AnsiColor::Yellow, text)
        }
        Difference::Changed { old, new, .. } => {
            let text = format!("~ {key}\t{} -> {}", short(old), short(new));
            (AnsiColor::Yellow, text)
        }
    };
    let style = context.style(color);
    Ok(writeln!(context.out, "{style}{text}{style:#}")?)
}

/// A difference as a server shows it.
fn difference_json(difference: &Difference) -> Value {
    let key = to_json(difference.key());
    let value = |entry: &Entry| to_json(&entry.value);
    match difference {
        Difference::Added { new, .. } => {
            json!({ "kind": "added", "key": key, "new": value(new) })
        }
        Difference::Removed { old, .. } => {
            json!({ "kind": "removed", "key": key, "old": value(old) })
        }
        Difference::Changed { old, new, .. } => {
            json!({ "kind": "changed", "key": key, "old": value(old), "new": value(new) })
        }
    }
}
