//! The difference between two states of a store, key by key.

use axum::extract::RawQuery;
use axum::response::Response;
use hyper::StatusCode;
use nexusbase_kv::{Diff, Difference, Entry, Operation, PageQuery, VersionId};
use serde::Serialize;
use utoipa::ToSchema;

use super::list::PAGE_BYTES;
use super::parameters::{
    self, DiffParameters, PageParameters, RANGE, RangeParameters, StoreParameter,
};
use super::path::StorePath;
use super::patience::Patient;
use super::text::{Text, token};
use super::versioned;
use crate::auth::{Models, Permit, Read};
use crate::negotiate::json;
use crate::observe::Deadline;
use crate::openapi::StoreReadProblems;
use crate::operation::{self, Progress};
use crate::problem::{Kind, Problem};
use crate::query::Parameters;

const KNOWN: &[&str] = &["from", "to", "prefix", "start", "end", "after", "limit"];

/// A page of differences.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "differences": [{"kind": "changed", "key": "user:1", "old": "Ada", "new": "Grace"}],
    "next": null,
}))]
pub(crate) struct DiffPage {
    /// In the order of their keys.
    differences: Vec<KeyDifference>,
    /// Where the next page begins, for the parameter `after`; null if nothing follows.
    #[schema(required)]
    next: Option<String>,
}

/// How a key differs.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeyDifference {
    /// `added`, `removed` or `changed`; changed is also what has only another media type or time.
    kind: &'static str,
    /// The key.
    key: Text,
    /// The value in the first state.
    #[serde(skip_serializing_if = "Option::is_none")]
    old: Option<Text>,
    /// The value in the second state.
    #[serde(skip_serializing_if = "Option::is_none")]
    new: Option<Text>,
    /// When the first one expires, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    old_expires_ms: Option<u64>,
    /// When the second one expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    new_expires_ms: Option<u64>,
    /// What the first one is.
    #[serde(skip_serializing_if = "Option::is_none")]
    old_media_type: Option<String>,
    /// What the second one is.
    #[serde(skip_serializing_if = "Option::is_none")]
    new_media_type: Option<String>,
}

impl From<Difference> for KeyDifference {
    fn from(difference: Difference) -> Self {
        let (kind, key, old, new) = match difference {
            Difference::Added { key, new } => ("added", key, None, Some(new)),
            Difference::Removed { key, old } => ("removed", key, Some(old), None),
            Difference::Changed { key, old, new } => ("changed", key, Some(old), Some(new)),
        };
        let expires_ms = |entry: &Option<Entry>| entry.as_ref().and_then(|e| e.expires_ms);
        let media_type = |entry: &Option<Entry>| {
            let media_type = entry.as_ref().and_then(|e| e.media_type.as_ref());
            media_type.map(ToString::to_string)
        };
        Self {
            kind,
            key: Text(key),
            old_expires_ms: expires_ms(&old),
            new_expires_ms: expires_ms(&new),
            old_media_type: media_type(&old),
            new_media_type: media_type(&new),
            old: old.map(|entry| Text(entry.value)),
            new: new.map(|entry| Text(entry.value)),
        }
    }
}

impl KeyDifference {
    fn bytes(&self) -> usize {
        let length = |text: &Option<Text>| text.as_ref().map_or(0, |text| text.0.len());
        self.key.0.len() + length(&self.old) + length(&self.new)
    }
}

fn page(mut diff: Diff<'_>, query: &PageQuery) -> Result<DiffPage, Problem> {
    let mut page = DiffPage {
        differences: Vec::new(),
        next: None,
    };
    let mut bytes = 0;
    while let Some(difference) = diff.next().transpose()? {
        if let Some(last) = page.differences.last()
            && (page.differences.len() >= query.limit || bytes >= PAGE_BYTES)
        {
            page.next = Some(token(&last.key.0));
            break;
        }
        let difference = KeyDifference::from(difference);
        bytes += difference.bytes();
        page.differences.push(difference);
    }
    Ok(page)
}

/// The difference between two versions
///
/// What has to be done to the first state to get the second, key by key. Both states are read once,
/// side by side.
#[utoipa::path(
    get,
    path = "/stores/{store}/diff",
    operation_id = "diff",
    tag = "versions",
    params(StoreParameter, DiffParameters, RangeParameters, PageParameters),
    responses(
        (status = 200, description = "A page of differences.", body = DiffPage),
        StoreReadProblems,
    ),
)]
pub(crate) async fn diff(
    permit: Permit<Read>,
    deadline: Deadline,
    StorePath(name): StorePath,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let parameters = Parameters::parse_with_bytes(&query.unwrap_or_default(), KNOWN, RANGE)?;
    let Some(from) = parameters.get("from") else {
        let detail = "from is the number or the name of the version to begin with";
        return Err(Problem::new(Kind::InvalidParameter, detail).parameter("from"));
    };
    let from = VersionId::parse(from);
    let to = parameters.get("to").map(VersionId::parse);
    let query = parameters::page(permit.limits(), &parameters)?;
    let work = move |models: &Models, progress: &Progress| {
        let store = models.store(&name)?;
        let versions = versioned(&*store, Operation::ReadVersion)?;
        let old = versions.at_version(&from)?;
        let new = match &to {
            Some(to) => versions.at_version(to)?,
            None => store.snapshot()?,
        };
        let patient = |view| Patient { view, progress };
        let (old, new) = (patient(&*old), patient(&*new));
        let diff = Diff::between(&old, &new, &query.remaining())?;
        json(StatusCode::OK, &page(diff, &query)?)
    };
    operation::read(permit, deadline, work).await
}
