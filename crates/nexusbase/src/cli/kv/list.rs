//! `nexusbase kv list`: keys, and values if wanted; one row at a time, however many there are.

use nexusbase::kv::VersionId;

use super::Context;
use super::access::{Keys, Kv, Listing};
use super::args::ListArgs;
use super::text::{escaped, hex, key, shortened};
use super::values::row_json;
use crate::cli::failure::Outcome;

/// The least room that a value gets on a terminal, in characters.
const VALUE_CHARS_MIN: usize = 20;
/// Room for what is said of a value that was cut.
const CUT_CHARS: usize = 20;

pub(super) fn run(arguments: &ListArgs, kv: &dyn Kv, context: &mut Context<'_>) -> Outcome {
    let read = |text: &Option<String>| {
        let key = text.as_ref().map(|text| key(text, arguments.hex));
        key.transpose()
    };
    let keys = Keys {
        prefix: read(&arguments.prefix)?,
        start: read(&arguments.start)?,
        end: read(&arguments.end)?,
    };
    let version = arguments.version.as_deref().map(VersionId::parse);
    if arguments.count {
        let count = kv.count(&arguments.store, &keys, version.as_ref())?;
        return Ok(writeln!(context.out, "{count}")?);
    }
    let listing = Listing {
        keys,
        version,
        limit: arguments.limit,
        reverse: arguments.reverse,
        values: arguments.values || arguments.json,
    };
    kv.list(&arguments.store, &listing, &mut |row| {
        if arguments.json {
            return context.json(&row_json(&row));
        }
        let key = if arguments.hex {
            hex(row.key)
        } else {
            escaped(row.key)
        };
        if !arguments.values {
            return Ok(writeln!(context.out, "{key}")?);
        }
        let value = if context.is_terminal {
            let room = context
                .width
                .saturating_sub(key.chars().count() + CUT_CHARS);
            shortened(row.value, room.max(VALUE_CHARS_MIN))
        } else {
            escaped(row.value)
        };
        Ok(writeln!(context.out, "{key}\t{value}")?)
    })
}
