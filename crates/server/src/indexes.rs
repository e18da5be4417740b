//! Indexes of a collection: create and drop. Listing them is part of describing a collection.

use axum::extract::RawQuery;
use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use nexusbase_documents::store::{self, IndexSpec};

use crate::auth::{Models, Permit, Write};
use crate::collections::{Collection, create_with, missing, no_parameters};
use crate::extract::Segments;
use crate::observe::Deadline;
use crate::openapi::{CollectionParameter, IndexParameter, WriteProblems};
use crate::operation::{self, Progress};
use crate::problem::{Kind, Problem};

/// Create an index
///
/// Answers when the index is ready. Others read and write meanwhile. If the time limit ends the
/// request first, the index goes on being built: `GET /collections/{name}` shows when it is
/// ready, and repeating the request waits for it again. The collection is created if need be.
#[utoipa::path(
    put,
    path = "/collections/{name}/indexes/{path}",
    operation_id = "createIndex",
    tag = "indexes",
    params(CollectionParameter, IndexParameter),
    responses(
        (status = 200, description = "It was there already.", body = Collection),
        (status = 201, description = "It is ready.", body = Collection,
            headers(("Location" = String, description = "The URL of the collection."))),
        WriteProblems,
    ),
)]
pub(crate) async fn create(
    permit: Permit<Write>,
    deadline: Deadline,
    Segments([name, path]): Segments<2>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    no_parameters(query)?;
    let create = move |collection: &store::Collection| {
        collection.create_index(&IndexSpec::on(&path)?, |_| {})
    };
    create_with(permit, deadline, name, create).await
}

/// Drop an index
#[utoipa::path(
    delete,
    path = "/collections/{name}/indexes/{path}",
    operation_id = "dropIndex",
    tag = "indexes",
    params(CollectionParameter, IndexParameter),
    responses((status = 204, description = "It is gone."), WriteProblems),
)]
pub(crate) async fn remove(
    permit: Permit<Write>,
    deadline: Deadline,
    Segments([name, path]): Segments<2>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    no_parameters(query)?;
    let work = move |models: &Models, _: &Progress| {
        let collection = models.collection(&name)?;
        if collection.drop_index(&path)? {
            return Ok(StatusCode::NO_CONTENT.into_response());
        }
        if collection.info()?.is_none() {
            return Err(missing(&name));
        }
        let detail = format!("collection {name:?} has no index on {path:?}");
        Err(Problem::new(Kind::NoSuchIndex, detail))
    };
    operation::write(permit, deadline, work).await
}
