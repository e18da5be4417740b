//! How indexes look in JSON, and how they are asked for in a body.

use nexusbase_documents::bson::raw::RawBsonRef;
use nexusbase_documents::json::{Form, to_string};
use nexusbase_documents::store::{EXPIRE_SECONDS_MAX, IndexInfo, IndexSpec};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::members::{Members, mistaken, refused};
use crate::problem::Problem;

/// All indexes of a collection, beside the one on `_id`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Indexes {
    /// In the order in which they were created.
    pub(super) indexes: Vec<Index>,
}

/// An index.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "name": "section,-size",
    "path": "section,-size",
    "unique": false,
    "sparse": false,
    "multikey": false,
    "ready": true,
    "size": {"rows": 1000, "bytes": 32_000},
    "uses": {"count": 12, "last_unix_ms": 1_767_225_600_000_u64},
}))]
pub(crate) struct Index {
    /// Its name within the collection.
    name: String,
    /// The path that it orders documents by, or several with commas between them, `-` for
    /// descending.
    path: String,
    /// No two documents may have the same values.
    unique: bool,
    /// Documents that have none of the fields are not in it.
    sparse: bool,
    /// Only documents that match this filter are in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    partial: Option<Value>,
    /// Documents are deleted so many seconds after the date that they have there.
    #[serde(skip_serializing_if = "Option::is_none")]
    expire_after_seconds: Option<u32>,
    /// Some document has none or several values there.
    multikey: bool,
    /// Queries may use it: every document is in it.
    ready: bool,
    /// How far its build has come, as long as it is not ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<IndexProgress>,
    /// About how large it is.
    size: IndexSize,
    /// How much it was used since the server has started.
    uses: IndexUses,
}

/// How far the build of an index has come.
#[derive(Debug, Serialize, ToSchema)]
struct IndexProgress {
    /// Documents that are in it.
    done: u64,
    /// About how many there are.
    total: u64,
}

/// About how large an index is.
#[derive(Debug, Serialize, ToSchema)]
struct IndexSize {
    /// Rows.
    rows: u64,
    /// Bytes.
    bytes: u64,
}

/// How much an index was used.
#[derive(Debug, Serialize, ToSchema)]
struct IndexUses {
    /// Queries that have read it.
    count: u64,
    /// When the last of them began, in milliseconds since 1970; null for never.
    last_unix_ms: Option<u64>,
}

impl Index {
    pub(crate) fn new(info: &IndexInfo, form: Form) -> Self {
        let spec = &info.spec;
        let partial = spec.partial_filter().and_then(|filter| {
            // It was read from JSON once.
            let text = to_string(filter, form).ok()?;
            serde_json::from_str(&text).ok()
        });
        Self {
            name: spec.name().to_owned(),
            path: spec.text(),
            unique: spec.is_unique(),
            sparse: spec.is_sparse(),
            partial,
            expire_after_seconds: spec.expiry_seconds(),
            multikey: info.multikey,
            ready: info.ready,
            progress: info.progress.map(|progress| IndexProgress {
                done: progress.done,
                total: progress.total,
            }),
            size: IndexSize {
                rows: info.size.rows,
                bytes: info.size.bytes,
            },
            uses: IndexUses {
                count: info.uses.count,
                last_unix_ms: info.uses.last_unix_ms,
            },
        }
    }
}

/// An index that is asked for. Either `on` or `keys` says what it is on.
#[derive(ToSchema)]
#[schema(example = json!({"on": "section,-size", "name": "by_section", "unique": false}))]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct IndexBody {
    /// The path, or several with commas between them, `-` for descending.
    #[schema(example = "section,-size")]
    on: Option<String>,
    /// The same as an object, whose order counts: 1 for ascending, -1 for descending.
    #[schema(value_type = Option<Object>)]
    keys: (),
    /// What it is called; without it, the text of its paths.
    #[schema(max_length = 128)]
    name: Option<String>,
    /// Whether no two documents may have the same values.
    unique: Option<bool>,
    /// Whether documents that have none of the fields are left out.
    sparse: Option<bool>,
    /// Only documents that match this filter are in it: `$eq`, `$gt`, `$gte`, `$lt`, `$lte`,
    /// `$in`, `$all`, `$type`, `$exists: true`, `$and` and `$or`.
    #[schema(value_type = Option<Object>)]
    partial: (),
    /// Delete documents so many seconds after the date that they have under the only path.
    #[schema(minimum = 0, maximum = 2_147_483_647_i64)]
    expire_after_seconds: Option<i64>,
}

/// Reads what index a body asks for.
pub(super) fn spec(body: &[u8]) -> Result<IndexSpec, Problem> {
    let members = Members::parse(
        body,
        &[
            "on",
            "keys",
            "name",
            "unique",
            "sparse",
            "partial",
            "expire_after_seconds",
        ],
    )?;
    let mut spec = match (members.text("on")?, members.get("keys")?) {
        (Some(text), None) => IndexSpec::on(text).map_err(|error| at(error, "/on"))?,
        (None, Some(RawBsonRef::Document(keys))) => {
            IndexSpec::on_keys(keys).map_err(|error| at(error, "/keys"))?
        }
        (None, Some(other)) => {
            return Err(mistaken("keys", "an object such as {\"size\": -1}", other));
        }
        _ => {
            let detail = "the body says what the index is on by one of the members \"on\" and \
                          \"keys\"";
            return Err(refused(detail, ""));
        }
    };
    if let Some(name) = members.text("name")? {
        spec = spec.named(name);
    }
    if members.flag("unique")? {
        spec = spec.unique();
    }
    if members.flag("sparse")? {
        spec = spec.sparse();
    }
    match members.get("partial")? {
        None | Some(RawBsonRef::Null) => {}
        Some(RawBsonRef::Document(filter)) => {
            spec = spec
                .partial(filter)
                .map_err(|error| at(error, "/partial"))?;
        }
        Some(other) => return Err(mistaken("partial", "an object with conditions", other)),
    }
    if let Some(seconds) = members.number("expire_after_seconds", 0)? {
        // What is too much stays too much, and is refused by name.
        let seconds = u32::try_from(seconds).unwrap_or(EXPIRE_SECONDS_MAX.saturating_add(1));
        spec = spec.expire_after(seconds);
    }
    Ok(spec)
}

/// What is wrong with a member of the body.
fn at(error: nexusbase_documents::Error, member: &str) -> Problem {
    Problem::from(error).without_parameter().within(member)
}
