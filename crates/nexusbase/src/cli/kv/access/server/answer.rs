//! What a server says about key-value stores, from JSON.
//!
//! What must be there and is not, is an error; what is not known is passed over, so that a newer
//! server may say more.

use std::collections::BTreeMap;
use std::sync::Arc;

use nexusbase::kv::engine::CopyMark;
use nexusbase::kv::{
    Bytes, Capabilities, CheckFinding, CheckReport, CopyProgress, CopyReport, Difference, Entry,
    Limits, Retention, Row, RowRef, StoreInfo, StoreOptions, StoreStats, Transactions, Version,
};
use serde_json::Value;

use super::{BYTES, odd};
use crate::cli::failure::{Failure, Outcome};
use crate::cli::kv::access::{EngineShown, StoreShown};
use crate::cli::kv::text::from_json;

fn lacks(name: &str) -> Failure {
    odd(&format!("no {name:?} that can be read"))
}

fn text(value: &Value, name: &str) -> Outcome<String> {
    optional_text(value, name).ok_or_else(|| lacks(name))
}

fn optional_text(value: &Value, name: &str) -> Option<String> {
    Some(value.get(name)?.as_str()?.to_owned())
}

pub(super) fn number(value: &Value, name: &str) -> Outcome<u64> {
    optional_number(value, name).ok_or_else(|| lacks(name))
}

fn optional_number(value: &Value, name: &str) -> Option<u64> {
    value.get(name)?.as_u64()
}

fn size(value: &Value, name: &str) -> Outcome<usize> {
    let number = number(value, name)?;
    Ok(usize::try_from(number).unwrap_or(usize::MAX))
}

fn flag(value: &Value, name: &str) -> bool {
    value.get(name).and_then(Value::as_bool).unwrap_or(false)
}

/// The items under `name`, each as `item` reads it.
pub(super) fn list<T>(
    value: &Value,
    name: &str,
    item: impl Fn(&Value) -> Outcome<T>,
) -> Outcome<Vec<T>> {
    let items = value.get(name).and_then(Value::as_array);
    items.ok_or_else(|| lacks(name))?.iter().map(item).collect()
}

/// Where the next page begins.
pub(super) fn next(page: &Value) -> Option<String> {
    optional_text(page, "next")
}

pub(super) fn store(value: &Value) -> Outcome<StoreShown> {
    let options = value.get("options").ok_or_else(|| lacks("options"))?;
    let labels = options.get("labels").and_then(Value::as_object);
    let labels: BTreeMap<String, String> = labels
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .collect();
    let copy_of = optional_text(value, "unfinished_copy_of").map(|store| CopyMark {
        store,
        version: None,
        // The server does not tell it.
        token: String::new(),
    });
    let info = StoreInfo {
        name: text(value, "name")?,
        engine: text(value, "engine")?,
        options: StoreOptions {
            ttl_ms: optional_number(options, "ttl_ms"),
            retention: Retention {
                count: optional_number(options, "keep_versions"),
                age_ms: optional_number(options, "keep_versions_ms"),
            },
            read_only: flag(options, "read_only"),
            copy_of,
            labels,
        },
    };
    let stats = value.get("stats").filter(|stats| stats.is_object());
    Ok(StoreShown {
        info,
        stats: stats.map(self::stats).transpose()?,
        trouble: None,
    })
}

fn stats(value: &Value) -> Outcome<StoreStats> {
    let damage = value.get("damage").and_then(Value::as_array);
    let damage = damage.into_iter().flatten().filter_map(Value::as_str);
    Ok(StoreStats {
        keys: number(value, "keys")?,
        bytes: number(value, "bytes")?,
        exact: flag(value, "exact"),
        disk_bytes: optional_number(value, "disk_bytes"),
        versions: optional_number(value, "versions").unwrap_or_default(),
        damage: damage.map(str::to_owned).collect(),
    })
}

pub(super) fn engine(value: &Value) -> Outcome<EngineShown> {
    let can = value.get("capabilities");
    let can = can.ok_or_else(|| lacks("capabilities"))?;
    let limits = can.get("limits").ok_or_else(|| lacks("limits"))?;
    Ok(EngineShown {
        name: text(value, "name")?,
        is_default: flag(value, "default"),
        capabilities: Capabilities {
            durable: flag(can, "durable"),
            ordered: flag(can, "ordered"),
            transactions: match can.get("transactions").and_then(Value::as_str) {
                Some("one-store") => Transactions::OneStore,
                Some("across-stores") => Transactions::AcrossStores,
                _ => Transactions::None,
            },
            versioned: flag(can, "versioned"),
            larger_than_memory: flag(can, "larger_than_memory"),
            limits: Limits {
                key_bytes: size(limits, "key_bytes")?,
                value_bytes: size(limits, "value_bytes")?,
                batch_bytes: size(limits, "batch_bytes")?,
            },
        },
    })
}

pub(super) fn copy(value: &Value) -> Outcome<CopyReport> {
    Ok(CopyReport {
        copied: CopyProgress {
            rows: number(value, "rows")?,
            bytes: number(value, "bytes")?,
        },
        resumed: flag(value, "resumed"),
        complete: flag(value, "complete"),
    })
}

pub(super) fn check(value: &Value) -> Outcome<CheckReport> {
    Ok(CheckReport {
        rows: number(value, "rows")?,
        findings: list(value, "findings", |finding| {
            Ok(CheckFinding {
                place: text(finding, "place")?,
                what: text(finding, "what")?,
                mended: flag(finding, "mended"),
            })
        })?,
    })
}

pub(super) fn version(value: &Value) -> Outcome<Version> {
    Ok(Version {
        number: number(value, "number")?,
        name: optional_text(value, "name"),
        note: optional_text(value, "note").unwrap_or_default(),
        time_ms: number(value, "time_ms")?,
        keys: number(value, "keys")?,
        bytes: number(value, "bytes")?,
        exact: flag(value, "exact"),
    })
}

fn bytes(value: &Value, name: &str) -> Outcome<Bytes> {
    let bytes = value.get(name).and_then(from_json);
    bytes.map(Bytes::from).ok_or_else(|| lacks(name))
}

pub(super) fn row(value: &Value) -> Outcome<Row> {
    let has_value = value.get("value").is_some_and(|value| !value.is_null());
    // A value of which nothing was said may be called that.
    let media_type = optional_text(value, "media_type").filter(|media| media != BYTES);
    Ok(Row {
        key: bytes(value, "key")?,
        entry: Entry {
            value: if has_value {
                bytes(value, "value")?
            } else {
                Bytes::new()
            },
            expires_ms: optional_number(value, "expires_ms"),
            media_type: media_type.map(Arc::from),
        },
    })
}

pub(super) fn row_ref(row: &Row) -> RowRef<'_> {
    RowRef {
        key: &row.key,
        value: &row.entry.value,
        expires_ms: row.entry.expires_ms,
        media_type: row.entry.media_type.as_deref(),
    }
}

pub(super) fn difference(value: &Value) -> Outcome<Difference> {
    let entry = |name: &str| {
        Ok::<_, Failure>(Entry {
            value: bytes(value, name)?,
            expires_ms: None,
            media_type: None,
        })
    };
    let key = bytes(value, "key")?;
    Ok(match text(value, "kind")?.as_str() {
        "added" => Difference::Added {
            key,
            new: entry("new")?,
        },
        "removed" => Difference::Removed {
            key,
            old: entry("old")?,
        },
        "changed" => Difference::Changed {
            key,
            old: entry("old")?,
            new: entry("new")?,
        },
        _ => return Err(lacks("kind")),
    })
}
