//! Whether the service works, and whether it should be sent requests.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use hyper::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::negotiate::json;
use crate::openapi::{HealthProblems, ReadyProblems};
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
    state(&app)
}

/// Whether the service should be sent requests
///
/// Answers 503 when the server is stopping, and when the database accepts no more writes. Before
/// it has started, connections are refused or wait. Takes no place among the operations.
#[utoipa::path(
    get,
    path = "/ready",
    operation_id = "ready",
    tag = "service",
    responses((status = 200, description = "It should.", body = Health), ReadyProblems),
)]
pub(crate) async fn ready(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    if *app.stopping.borrow() {
        let detail = "the server is stopping: what is under way is answered, and nothing new taken";
        return Err(Problem::new(Kind::Stopping, detail));
    }
    state(&app)
}

fn state(app: &App) -> Result<Response, Problem> {
    if app.vault.is_stopped() {
        let detail = "the database accepts no more writes; reads may still be answered";
        return Err(Problem::new(Kind::DatabaseStopped, detail));
    }
    let index = app.vault.index();
    let status = "ok";
    json(StatusCode::OK, &Health { status, index })
}

#[cfg(test)]
mod tests {
    use nexusbase_db::Database;

    use super::*;
    use crate::config::ServerConfig;
    use crate::server::Service;

    #[tokio::test]
    async fn a_server_that_stops_is_healthy_but_not_ready() {
        let db = Database::in_memory().unwrap();
        let config = ServerConfig::default();
        let stores = nexusbase_kv::stores(db.env());
        let service = Service { db, stores };
        let app = App::new(config.clone(), config.listen, &service).unwrap();
        assert!(ready(State(Arc::clone(&app))).await.is_ok());
        app.stopping.send_replace(true);
        let problem = ready(State(Arc::clone(&app))).await.unwrap_err();
        assert_eq!(problem.kind(), Kind::Stopping);
        assert!(health(State(app)).await.is_ok());
    }
}
