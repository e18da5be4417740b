//! Whether the service works.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use hyper::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::negotiate::json;
use crate::openapi::HealthProblems;
use crate::problem::{Kind, Problem};

/// How the service is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"status": "ok", "index": 1042}))]
pub(crate) struct Health {
    /// `ok`.
    status: &'static str,
    /// The newest visible commit.
    index: u64,
}

/// Whether the service can read and write
///
/// Answers 503 when the database accepts no more writes, because its log has failed or because
/// it is being closed. Takes no place among the operations, so it answers under load too.
#[utoipa::path(
    get,
    path = "/health",
    operation_id = "health",
    tag = "service",
    responses((status = 200, description = "It can.", body = Health), HealthProblems),
)]
pub(crate) async fn health(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let db = app.documents.database();
    if db.stopped().is_some() {
        let detail = "the database accepts no more writes; reads may still be answered";
        return Err(Problem::new(Kind::DatabaseStopped, detail));
    }
    let index = db.snapshot().index().get();
    let status = "ok";
    json(StatusCode::OK, &Health { status, index })
}
