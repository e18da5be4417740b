//! Collections: list, describe, create, rename, drop, and what is asked of who writes to them.

use axum::extract::RawQuery;
use axum::response::Response;
use hyper::{StatusCode, header};
use nexusbase_documents::CollectionTx;
use nexusbase_documents::json::Form;
use nexusbase_documents::store::CollectionInfo;
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::{Models, Permit, Read, Write};
use crate::extract::{OneChange, OneDocument, Segments};
use crate::indexes::Index;
use crate::negotiate::json;
use crate::observe::Deadline;
use crate::openapi::{
    CollectionChange, CollectionParameter, OnceParameter, ReadProblems, RenameRequest,
    WriteProblems,
};
use crate::operation::{self, Progress};
use crate::problem::{Kind, Problem, of_error};
use crate::query::Parameters;
use crate::writes::{Answer, Content, Members, Once, body_document};

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
    "has_schema": false,
    "require_conditions": false,
}))]
pub(crate) struct Collection {
    /// Its name.
    name: String,
    /// Its indexes, beside the one on `_id`.
    indexes: Vec<Index>,
    /// Whether its documents must satisfy a schema.
    has_schema: bool,
    /// Whether one document is changed only with the header If-Match or If-None-Match.
    require_conditions: bool,
}

impl From<CollectionInfo> for Collection {
    fn from(info: CollectionInfo) -> Self {
        let indexes = info.indexes.iter();
        Self {
            name: info.name,
            indexes: indexes
                .map(|index| Index::new(index, Form::Relaxed))
                .collect(),
            has_schema: info.schema.is_some(),
            require_conditions: info.require_conditions,
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

/// A collection as it is inside a transaction.
fn described(collection: &CollectionTx<'_>, name: &str) -> Result<Collection, Problem> {
    let info = collection.info()?;
    info.map(Collection::from).ok_or_else(|| missing(name))
}

/// Create a collection
///
/// Not needed before inserting: the first insert creates a collection too. A body is not read.
#[utoipa::path(
    put,
    path = "/collections/{name}",
    operation_id = "createCollection",
    tag = "collections",
    params(CollectionParameter, OnceParameter),
    responses(
        (status = 200, description = "It was there already.", body = Collection),
        (status = 201, description = "It is there now.", body = Collection,
            headers(("Location" = String, description = "Its URL.")),
            links(
                ("getCollection" = (operation_id = "getCollection",
                    parameters(("name" = "$request.path.name")))),
                ("insertDocuments" = (operation_id = "insertDocuments",
                    parameters(("name" = "$request.path.name")))),
                ("dropCollection" = (operation_id = "dropCollection",
                    parameters(("name" = "$request.path.name")))),
            )),
        WriteProblems,
    ),
)]
pub(crate) async fn create(
    permit: Permit<Write>,
    deadline: Deadline,
    Segments([name]): Segments<1>,
    RawQuery(query): RawQuery,
    once: Once,
) -> Result<Answer, Problem> {
    no_parameters(query)?;
    let work = move |models: &Models, _: &Progress| {
        let collection = models.collection(&name)?;
        once.run(models, Content::none(), |tx| {
            let mut within = collection.within(tx);
            let new = within.create()?;
            let collection = described(&within, &name)?;
            if !new {
                return Answer::json(StatusCode::OK, &collection);
            }
            let answer = Answer::json(StatusCode::CREATED, &collection)?;
            Ok(answer.with(header::LOCATION, &url(&name)))
        })
    };
    operation::write(permit, deadline, work).await
}

/// Change a collection
///
/// With `require_conditions`, one document is replaced, changed or deleted by its URL only with the
/// header If-Match or If-None-Match (428 without). Requests with a filter are taken all the same:
/// the filter is their condition.
#[utoipa::path(
    patch,
    path = "/collections/{name}",
    operation_id = "changeCollection",
    tag = "collections",
    params(CollectionParameter, OnceParameter),
    request_body(
        content(
            (CollectionChange = "application/json"),
            (CollectionChange = "application/merge-patch+json"),
        ),
    ),
    responses(
        (status = 200, description = "The collection as it is now.", body = Collection),
        WriteProblems,
    ),
)]
pub(crate) async fn change(
    permit: Permit<Write>,
    deadline: Deadline,
    Segments([name]): Segments<1>,
    RawQuery(query): RawQuery,
    once: Once,
    OneChange(body): OneChange,
) -> Result<Answer, Problem> {
    no_parameters(query)?;
    let work = move |models: &Models, _: &Progress| {
        let collection = models.collection(&name)?;
        let document = body_document(&body.bytes)?;
        let members = Members::of(&document, "", &["require_conditions"])?;
        let required = members.choice("require_conditions")?;
        once.run(models, Content::of(&body), |tx| {
            let mut within = collection.within(tx);
            let before = described(&within, &name)?;
            within.set_require_conditions(required.unwrap_or(before.require_conditions))?;
            Answer::json(StatusCode::OK, &described(&within, &name)?)
        })
    };
    operation::write(permit, deadline, work).await
}

/// Rename a collection
///
/// With its documents, indexes and options, at once. With `replace`, a collection that has the new
/// name already is dropped; without, that is refused with 409.
#[utoipa::path(
    post,
    path = "/collections/{name}/rename",
    operation_id = "renameCollection",
    tag = "collections",
    params(CollectionParameter, OnceParameter),
    request_body(content = RenameRequest, content_type = "application/json"),
    responses(
        (status = 200, description = "The collection under its new name.", body = Collection,
            headers(("Location" = String, description = "Its new URL.")),
            links(("getCollection" = (operation_id = "getCollection",
                parameters(("name" = "$response.body#/name")))))),
        WriteProblems,
    ),
)]
pub(crate) async fn rename(
    permit: Permit<Write>,
    deadline: Deadline,
    Segments([name]): Segments<1>,
    RawQuery(query): RawQuery,
    once: Once,
    OneDocument(body): OneDocument,
) -> Result<Answer, Problem> {
    no_parameters(query)?;
    let work = move |models: &Models, _: &Progress| {
        let collection = models.collection(&name)?;
        let document = body_document(&body.bytes)?;
        let members = Members::of(&document, "", &["to", "replace"])?;
        let (to, replace) = (members.text("to")?, members.flag("replace")?);
        // The new name, too, must be the caller's business.
        let target = models
            .collection(to)
            .map_err(|problem| problem.in_body("/to"))?;
        once.run(models, Content::of(&body), |tx| {
            let renamed = collection.within(tx).rename(to, replace);
            if !renamed.map_err(|error| of_error(&error).within("/to"))? {
                return Err(missing(&name));
            }
            let answer = Answer::json(StatusCode::OK, &described(&target.within(tx), to)?)?;
            Ok(answer.with(header::LOCATION, &url(to)))
        })
    };
    operation::write(permit, deadline, work).await
}

/// Drop a collection
///
/// With all its documents and indexes, at once.
#[utoipa::path(
    delete,
    path = "/collections/{name}",
    operation_id = "dropCollection",
    tag = "collections",
    params(CollectionParameter, OnceParameter),
    responses((status = 204, description = "It is gone."), WriteProblems),
)]
pub(crate) async fn remove(
    permit: Permit<Write>,
    deadline: Deadline,
    Segments([name]): Segments<1>,
    RawQuery(query): RawQuery,
    once: Once,
) -> Result<Answer, Problem> {
    no_parameters(query)?;
    let work = move |models: &Models, _: &Progress| {
        let collection = models.collection(&name)?;
        once.run(models, Content::none(), |tx| {
            if collection.within(tx).drop_collection()? {
                Ok(Answer::empty(StatusCode::NO_CONTENT))
            } else {
                Err(missing(&name))
            }
        })
    };
    operation::write(permit, deadline, work).await
}
