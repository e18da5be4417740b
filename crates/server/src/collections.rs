//! Collections: list, describe, create, drop.

use axum::extract::RawQuery;
use axum::response::{IntoResponse, Response};
use hyper::{StatusCode, header};
use nexusbase_documents::json::Form;
use nexusbase_documents::store::CollectionInfo;
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::{Models, Permit, Read, Write};
use crate::extract::Segments;
use crate::indexes::Index;
use crate::negotiate::{json, put_header};
use crate::observe::Deadline;
use crate::openapi::{CollectionParameter, ReadProblems, WriteProblems};
use crate::operation::{self, Progress};
use crate::problem::{Kind, Problem};
use crate::query::Parameters;

/// All collections.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Collections {
    /// By name.
    collections: Vec<Collection>,
}

/// A collection.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "name": "packages",
    "indexes": [],
}))]
pub(crate) struct Collection {
    /// Its name.
    name: String,
    /// Its indexes, beside the one on `_id`.
    indexes: Vec<Index>,
}

impl From<CollectionInfo> for Collection {
    fn from(info: CollectionInfo) -> Self {
        let indexes = info.indexes.iter();
        Self {
            name: info.name,
            indexes: indexes
                .map(|index| Index::new(index, Form::Relaxed))
                .collect(),
        }
    }
}

/// The URL of a collection, whose name needs no encoding.
pub(crate) fn url(name: &str) -> String {
    format!("/collections/{name}")
}

/// Refuses all parameters, where a request takes none.
pub(crate) fn no_parameters(query: Option<String>) -> Result<(), Problem> {
    Parameters::parse(&query.unwrap_or_default(), &[]).map(|_| ())
}

/// A collection's description; a problem if there is none.
fn describe(models: &Models, name: &str) -> Result<Collection, Problem> {
    let info = models.collection(name)?.info()?;
    info.map(Collection::from).ok_or_else(|| missing(name))
}

/// There is no such collection.
pub(crate) fn missing(name: &str) -> Problem {
    let detail = format!("there is no collection {name:?}; the first insert creates it");
    Problem::new(Kind::NoSuchCollection, detail)
}

/// All collections
#[utoipa::path(
    get,
    path = "/collections",
    operation_id = "listCollections",
    tag = "collections",
    responses(
        (status = 200, description = "The collections by name.", body = Collections),
        ReadProblems,
    ),
)]
pub(crate) async fn list(
    permit: Permit<Read>,
    deadline: Deadline,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    no_parameters(query)?;
    let all = operation::read(permit, deadline, |models, _| models.collections()).await?;
    let collections = all.into_iter().map(Collection::from).collect();
    json(StatusCode::OK, &Collections { collections })
}

/// One collection
#[utoipa::path(
    get,
    path = "/collections/{name}",
    operation_id = "getCollection",
    tag = "collections",
    params(CollectionParameter),
    responses(
        (status = 200, description = "The collection with its indexes.", body = Collection),
        ReadProblems,
    ),
)]
pub(crate) async fn info(
    permit: Permit<Read>,
    deadline: Deadline,
    Segments([name]): Segments<1>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    no_parameters(query)?;
    let found = operation::read(permit, deadline, move |models, _| describe(models, &name)).await?;
    json(StatusCode::OK, &found)
}

/// Create a collection
///
/// Not needed before inserting: the first insert creates a collection too. A body is not read.
#[utoipa::path(
    put,
    path = "/collections/{name}",
    operation_id = "createCollection",
    tag = "collections",
    params(CollectionParameter),
    responses(
        (status = 200, description = "It was there already.", body = Collection),
        (status = 201, description = "It is there now.", body = Collection,
            headers(("Location" = String, description = "Its URL."))),
        WriteProblems,
    ),
)]
pub(crate) async fn create(
    permit: Permit<Write>,
    deadline: Deadline,
    Segments([name]): Segments<1>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    no_parameters(query)?;
    let location = url(&name);
    let work = move |models: &Models, _: &Progress| {
        let new = models.collection(&name)?.create()?;
        Ok((new, describe(models, &name)?))
    };
    let (new, collection) = operation::write(permit, deadline, work).await?;
    if !new {
        return json(StatusCode::OK, &collection);
    }
    let mut response = json(StatusCode::CREATED, &collection)?;
    put_header(&mut response, header::LOCATION, &location);
    Ok(response)
}

/// Drop a collection
///
/// With all its documents and indexes, at once.
#[utoipa::path(
    delete,
    path = "/collections/{name}",
    operation_id = "dropCollection",
    tag = "collections",
    params(CollectionParameter),
    responses((status = 204, description = "It is gone."), WriteProblems),
)]
pub(crate) async fn remove(
    permit: Permit<Write>,
    deadline: Deadline,
    Segments([name]): Segments<1>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    no_parameters(query)?;
    let work = move |models: &Models, _: &Progress| {
        if models.collection(&name)?.drop_collection()? {
            Ok(StatusCode::NO_CONTENT.into_response())
        } else {
            Err(missing(&name))
        }
    };
    operation::write(permit, deadline, work).await
}
