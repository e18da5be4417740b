//! What URLs of stores may hold, for the description, and the ranges of keys that they ask for.

#![expect(
    unused_qualifications,
    reason = "the derives repeat the types of fields with their path"
)]

use std::ops::Bound;

use nexusbase_kv::{Direction, KeyRange, PageQuery};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType};
use utoipa::{IntoParams, PartialSchema, ToSchema};

use super::text::from_token;
use crate::config::Limits;
use crate::problem::{Kind, Problem};
use crate::query::Parameters;

/// The parameters that say which keys.
pub(super) const RANGE: &[&str] = &["prefix", "start", "end"];
/// The parameters that say which page of keys.
pub(super) const PAGE: &[&str] = &[
    "prefix", "start", "end", "after", "limit", "order", "values",
];

/// The store in a URL.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "only its description is used")]
pub(super) struct StoreParameter {
    /// The store's name.
    #[param(
        example = "sessions",
        min_length = 1,
        max_length = 100,
        pattern = "^[A-Za-z0-9_][A-Za-z0-9_.\\-]*$"
    )]
    store: String,
}

/// The key in a URL.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "only its description is used")]
pub(super) struct KeyParameter {
    /// The key: any bytes, percent-encoded. Slashes may stand as they are. Many clients take `.`
    /// and `..` between slashes for steps in the path; a batch has no such keys, and the empty key
    /// is reached by a batch only.
    #[param(example = "user:1", min_length = 1)]
    key: String,
}

/// The version in a URL.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "only its description is used")]
pub(super) struct VersionParameter {
    /// The version's number, or its name.
    #[param(example = "1", min_length = 1)]
    version: String,
}

/// Which keys.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its description is used")]
pub(super) struct RangeParameters {
    /// Only keys that begin with this; percent-encoded bytes.
    #[param(required = false, example = "user:")]
    prefix: Option<String>,
    /// Only keys from this one on; percent-encoded bytes.
    #[param(required = false, example = "user:1")]
    start: Option<String>,
    /// Only keys before this one; percent-encoded bytes.
    #[param(required = false, example = "user:9")]
    end: Option<String>,
}

/// Which page.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its description is used")]
pub(super) struct PageParameters {
    /// Where the page before ended: its `next`.
    #[param(required = false, pattern = "^[A-Za-z0-9_\\-]*$")]
    after: Option<String>,
    /// How many at most; more than the server's limit (1000 unless configured otherwise) mean
    /// that limit.
    #[param(required = false, minimum = 1, example = 100)]
    limit: Option<i64>,
}

/// How keys are listed.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its description is used")]
pub(super) struct ListParameters {
    /// Whether keys come in their order (`asc`, the default) or against it (`desc`).
    #[param(required = false, inline)]
    order: Option<Order>,
    /// Whether values come with their keys. Default: no.
    #[param(required = false, example = false)]
    values: Option<bool>,
}

/// Between which states.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its description is used")]
pub(super) struct DiffParameters {
    /// The number or name of the version to begin with.
    #[param(example = "1")]
    from: String,
    /// The number or name of the version to end with. Without it: what is there now.
    #[param(required = false, example = "2")]
    to: Option<String>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "only its description is used")]
enum Order {
    Asc,
    Desc,
}

/// A value: any bytes.
pub(crate) struct StoredValue;

impl PartialSchema for StoredValue {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(SchemaType::AnyValue)
            .description(Some("Any bytes."))
            .into()
    }
}

impl ToSchema for StoredValue {}

/// A page that is asked for.
pub(super) struct PageQuestion {
    pub(super) query: PageQuery,
    pub(super) values: bool,
}

impl PageQuestion {
    pub(super) fn read(limits: &Limits, query: &str) -> Result<Self, Problem> {
        let parameters = Parameters::parse_with_bytes(query, PAGE, RANGE)?;
        let orders = [("asc", Direction::Forward), ("desc", Direction::Reverse)];
        let direction = parameters.word("order", &orders)?;
        let values = parameters.word("values", &[("true", true), ("false", false)])?;
        let mut query = page(limits, &parameters)?;
        query.direction = direction.unwrap_or(Direction::Forward);
        Ok(Self {
            query,
            values: values.unwrap_or(false),
        })
    }
}

/// The keys that a count is asked for.
pub(super) fn range_question(query: &str) -> Result<KeyRange, Problem> {
    Ok(range(&Parameters::parse_with_bytes(query, RANGE, RANGE)?))
}

/// The page that `parameters` ask for, in the order of the keys.
pub(super) fn page(limits: &Limits, parameters: &Parameters) -> Result<PageQuery, Problem> {
    let limit = parameters.number("limit", 1)?;
    let limit = limit.unwrap_or(limits.page_default);
    let after = match parameters.get("after") {
        None => None,
        Some(token) => Some(from_token(token).ok_or_else(|| {
            let detail = "after is the next of the page before, as it was answered";
            Problem::new(Kind::InvalidCursor, detail).parameter("after")
        })?),
    };
    Ok(PageQuery {
        limit: limit.min(limits.page_max),
        after,
        ..PageQuery::new(range(parameters))
    })
}

/// The keys that fit all of `prefix`, `start` and `end`.
fn range(parameters: &Parameters) -> KeyRange {
    let prefix = parameters
        .bytes("prefix")
        .map_or_else(KeyRange::all, KeyRange::prefix);
    let mut start = prefix.start().map(<[u8]>::to_vec);
    let mut end = prefix.end().map(<[u8]>::to_vec);
    if let Some(wanted) = parameters.bytes("start")
        && !matches!(&start, Bound::Included(start) if start.as_slice() > wanted)
    {
        start = Bound::Included(wanted.to_vec());
    }
    if let Some(wanted) = parameters.bytes("end")
        && !matches!(&end, Bound::Excluded(end) if end.as_slice() < wanted)
    {
        end = Bound::Excluded(wanted.to_vec());
    }
    KeyRange::from_bounds(start, end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_fits_prefix_start_and_end() {
        let contains = |query: &str, key: &[u8]| range_question(query).unwrap().contains(key);
        assert!(contains("", b"\xff"));
        assert!(contains("prefix=a&start=ab&end=ad", b"ac"));
        for (query, key) in [
            ("prefix=a&start=ab&end=ad", b"aa"),
            ("prefix=a&start=ab&end=ad", b"ad"),
            ("prefix=b&start=a", b"aa"),
            ("prefix=b&end=z", b"ca"),
            ("start=b&end=a", b"ab"),
        ] {
            assert!(!contains(query, key), "{query}");
        }
        assert!(contains("start=%FF%00&prefix=%FF", b"\xff\x00\x01"));
    }
}
