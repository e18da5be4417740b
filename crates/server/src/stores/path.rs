//! Paths of stores: names that are checked, and keys that may be any bytes.
//!
//! The router decodes what it finds, and refuses what is not UTF-8 then. Keys are therefore read
//! from the path as it came: everything behind `/keys/`, slashes included.

use axum::extract::FromRequestParts;
use hyper::http::request::Parts;
use nexusbase_kv::VersionId;

use super::check;
use crate::problem::{Kind, Problem};
use crate::query::{percent_bytes, percent_text};

/// `/stores/{store}…`
pub(super) struct StorePath(pub(super) String);
/// `/stores/{store}/versions/{version}…`
pub(super) struct VersionPath(pub(super) String, pub(super) VersionId);
/// `/stores/{store}/keys/{key}`
pub(super) struct KeyPath(pub(super) String, pub(super) Vec<u8>);
/// `/stores/{store}/versions/{version}/keys/{key}`
pub(super) struct VersionKeyPath(pub(super) String, pub(super) VersionId, pub(super) Vec<u8>);

fn bad(detail: String) -> Problem {
    Problem::new(Kind::BadRequest, detail)
}

/// The part of a path at `index`; with `rest`, with all that follows it.
fn part(parts: &Parts, index: usize, rest: bool) -> Result<&str, Problem> {
    // The first one is empty, before the first slash.
    let (path, index) = (parts.uri.path(), index + 1);
    let found = if rest {
        path.splitn(index + 1, '/').nth(index)
    } else {
        path.split('/').nth(index)
    };
    found.ok_or_else(|| bad("the path has another number of parts".to_owned()))
}

fn store(parts: &Parts) -> Result<String, Problem> {
    let name = percent_text(part(parts, 1, false)?, "the path").map_err(bad)?;
    check(&name, "store")?;
    Ok(name)
}

fn version(parts: &Parts) -> Result<VersionId, Problem> {
    let text = percent_text(part(parts, 3, false)?, "the path").map_err(bad)?;
    Ok(VersionId::parse(&text))
}

fn key(parts: &Parts, index: usize) -> Result<Vec<u8>, Problem> {
    percent_bytes(part(parts, index, true)?, "the key").map_err(bad)
}

impl<S: Sync> FromRequestParts<S> for StorePath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        store(parts).map(Self)
    }
}

impl<S: Sync> FromRequestParts<S> for VersionPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Self(store(parts)?, version(parts)?))
    }
}

impl<S: Sync> FromRequestParts<S> for KeyPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Self(store(parts)?, key(parts, 3)?))
    }
}

impl<S: Sync> FromRequestParts<S> for VersionKeyPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Self(store(parts)?, version(parts)?, key(parts, 5)?))
    }
}
