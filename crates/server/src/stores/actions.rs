//! What can be done with a whole store: rename, copy, check, clear, compact.

use std::ops::ControlFlow;
use std::time::Duration;

use axum::extract::RawQuery;
use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use nexusbase_kv::{CheckMode, CheckReport, CopyProgress, CopyReport};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use utoipa::ToSchema;

use super::body::JsonBody;
use super::check as check_name;
use super::description::{StoreDescription, describe};
use super::parameters::StoreParameter;
use super::path::StorePath;
use crate::auth::{Models, Permit, Write};
use crate::collections::no_parameters;
use crate::negotiate::json;
use crate::observe::Deadline;
use crate::openapi::StoreWriteProblems;
use crate::operation::{self, Progress};
use crate::problem::Problem;

/// A copy stops so long before the request's time is up, to say how far it came; or a quarter of
/// the time, if that is shorter.
const COPY_MARGIN: Duration = Duration::from_secs(2);

/// What a store is to be called.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"to": "sessions-old"}))]
pub(crate) struct RenameStore {
    /// The new name.
    to: String,
}

/// Where a store is to be copied to.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"to": "sessions-copy", "engine": "memory"}))]
pub(crate) struct CopyStore {
    /// The name of the copy, which must not exist, or be an unfinished copy of the same store.
    to: String,
    /// On which engine; the default one if nothing is said.
    engine: Option<String>,
}

/// What a copy has done.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"rows": 1000, "bytes": 64_000, "resumed": false, "complete": true}))]
pub(crate) struct CopyAnswer {
    /// Rows copied by this request.
    rows: u64,
    /// Their bytes.
    bytes: u64,
    /// Whether an earlier copy was taken up where it had stopped.
    resumed: bool,
    /// Whether everything is copied.
    complete: bool,
}

impl From<CopyReport> for CopyAnswer {
    fn from(report: CopyReport) -> Self {
        Self {
            rows: report.copied.rows,
            bytes: report.copied.bytes,
            resumed: report.resumed,
            complete: report.complete,
        }
    }
}

/// How to check.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({"accept_edits": false}))]
pub(crate) struct CheckStore {
    /// Whether to take over what was edited by hand and makes sense. Default: no.
    accept_edits: bool,
}

/// What a check has found.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"healthy": true, "rows": 1000, "findings": []}))]
pub(crate) struct CheckAnswer {
    /// Whether everything is as it should be now.
    healthy: bool,
    /// Rows that were read and are good.
    rows: u64,
    /// What is not.
    findings: Vec<Finding>,
}

/// Something that a check has found.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Finding {
    /// Where, for people.
    place: String,
    /// What is wrong, or was and is mended.
    what: String,
    /// Whether it is as it should be now.
    mended: bool,
}

impl From<CheckReport> for CheckAnswer {
    fn from(report: CheckReport) -> Self {
        let healthy = report.is_healthy();
        let findings = report.findings.into_iter().map(|finding| Finding {
            place: finding.place,
            what: finding.what,
            mended: finding.mended,
        });
        Self {
            healthy,
            rows: report.rows,
            findings: findings.collect(),
        }
    }
}

/// What compacting has done.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"compacted": false}))]
pub(crate) struct CompactAnswer {
    /// Whether there was anything to do.
    compacted: bool,
}

/// Rename a store
///
/// On the same engine, with all that is in it. Streams of its events end.
#[utoipa::path(
    post,
    path = "/stores/{store}/rename",
    operation_id = "renameStore",
    tag = "stores",
    params(StoreParameter),
    request_body = RenameStore,
    responses(
        (status = 200, description = "The store under its new name.", body = StoreDescription),
        StoreWriteProblems,
    ),
)]
pub(crate) async fn rename(
    permit: Permit<Write>,
    deadline: Deadline,
    StorePath(name): StorePath,
    RawQuery(query): RawQuery,
    body: JsonBody,
) -> Result<Response, Problem> {
    no_parameters(query)?;
    let work = move |models: &Models, _: &Progress| {
        let RenameStore { to } = body.required()?;
        check_name(&to, "to")?;
        models.rename_store(&name, &to)?;
        json(StatusCode::OK, &describe(models, &to)?)
    };
    operation::write(permit, deadline, work).await
}

/// Copy a store
///
/// One state of it, to a new store, perhaps on another engine. Versions are not copied. A copy that
/// takes longer than a request may ends with `complete: false` (202), and the same request goes on
/// where it stopped; until it is complete, the new store cannot be used, only dropped.
#[utoipa::path(
    post,
    path = "/stores/{store}/copy",
    operation_id = "copyStore",
    tag = "stores",
    params(StoreParameter),
    request_body = CopyStore,
    responses(
        (status = 200, description = "Everything is copied.", body = CopyAnswer),
        (status = 202, description = "A part is copied; ask again to go on.", body = CopyAnswer),
        StoreWriteProblems,
    ),
)]
pub(crate) async fn copy(
    permit: Permit<Write>,
    deadline: Deadline,
    StorePath(name): StorePath,
    RawQuery(query): RawQuery,
    body: JsonBody,
) -> Result<Response, Problem> {
    no_parameters(query)?;
    let left = deadline.0.saturating_duration_since(Instant::now());
    let until = deadline.0 - COPY_MARGIN.min(left / 4);
    let work = move |models: &Models, progress: &Progress| {
        let CopyStore { to, engine } = body.required()?;
        check_name(&to, "to")?;
        let mut go_on = |_: CopyProgress| {
            let stops = Instant::now() >= until || progress.is_given_up() || models.is_stopping();
            if stops {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        let report = models.copy_store(&name, &to, engine.as_deref(), &mut go_on)?;
        let status = if report.complete {
            StatusCode::OK
        } else {
            StatusCode::ACCEPTED
        };
        json(status, &CopyAnswer::from(report))
    };
    operation::write(permit, deadline, work).await
}

/// Check a store
///
/// Reads all of it. What is wrong with it is an answer, not an error.
#[utoipa::path(
    post,
    path = "/stores/{store}/check",
    operation_id = "checkStore",
    tag = "stores",
    params(StoreParameter),
    request_body = Option<CheckStore>,
    responses(
        (status = 200, description = "What was found.", body = CheckAnswer),
        StoreWriteProblems,
    ),
)]
pub(crate) async fn check(
    permit: Permit<Write>,
    deadline: Deadline,
    StorePath(name): StorePath,
    RawQuery(query): RawQuery,
    body: JsonBody,
) -> Result<Response, Problem> {
    no_parameters(query)?;
    let work = move |models: &Models, _: &Progress| {
        let CheckStore { accept_edits } = body.optional()?;
        let mode = if accept_edits {
            CheckMode::AcceptEdits
        } else {
            CheckMode::Look
        };
        let report = models.check_store(&name, mode)?;
        json(StatusCode::OK, &CheckAnswer::from(report))
    };
    operation::write(permit, deadline, work).await
}

/// Take away all keys
///
/// At once. Versions stay.
#[utoipa::path(
    post,
    path = "/stores/{store}/clear",
    operation_id = "clearStore",
    tag = "stores",
    params(StoreParameter),
    responses((status = 204, description = "It is empty."), StoreWriteProblems),
)]
pub(crate) async fn clear(
    permit: Permit<Write>,
    deadline: Deadline,
    StorePath(name): StorePath,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    no_parameters(query)?;
    let work = move |models: &Models, _: &Progress| {
        models.store(&name)?.clear()?;
        Ok(StatusCode::NO_CONTENT.into_response())
    };
    operation::write(permit, deadline, work).await
}

/// Compact a store
///
/// Brings what is on disk into its shortest form, where the engine does not do that by itself all
/// the time.
#[utoipa::path(
    post,
    path = "/stores/{store}/compact",
    operation_id = "compactStore",
    tag = "stores",
    params(StoreParameter),
    responses(
        (status = 200, description = "It is compact.", body = CompactAnswer),
        StoreWriteProblems,
    ),
)]
pub(crate) async fn compact(
    permit: Permit<Write>,
    deadline: Deadline,
    StorePath(name): StorePath,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    no_parameters(query)?;
    let work = move |models: &Models, _: &Progress| {
        let compacted = models.store(&name)?.compact()?;
        json(StatusCode::OK, &CompactAnswer { compacted })
    };
    operation::write(permit, deadline, work).await
}
