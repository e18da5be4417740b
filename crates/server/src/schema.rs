//! The JSON Schema of a collection: show, set, remove.

use std::str;

use axum::extract::RawQuery;
use axum::response::Response;
use hyper::{StatusCode, header};

use crate::auth::{Models, Permit, Read, Write};
use crate::collections::{missing, no_parameters, url};
use crate::extract::{OneDocument, Segments};
use crate::negotiate::{Media, Wanted, text};
use crate::observe::Deadline;
use crate::openapi::{
    CollectionParameter, JsonSchema, OnceParameter, ReadProblems, SchemaParameters, WriteProblems,
};
use crate::operation::{self, Progress};
use crate::problem::{Kind, Problem};
use crate::query::Parameters;
use crate::writes::{Answer, Content, Once};
use nexusbase_documents::json::Form;

const JSON: Wanted = Wanted {
    media: Media::Json,
    form: Form::Relaxed,
};

fn no_schema(name: &str) -> Problem {
    let detail = format!("collection {name:?} has no schema; its documents can be of any shape");
    Problem::new(Kind::NoSuchSchema, detail)
}

/// The schema of a collection
#[utoipa::path(
    get,
    path = "/collections/{name}/schema",
    operation_id = "getSchema",
    tag = "collections",
    params(CollectionParameter),
    responses(
        (status = 200, description = "What its documents must satisfy, as it was set.",
            body = JsonSchema),
        ReadProblems,
    ),
)]
pub(crate) async fn get(
    permit: Permit<Read>,
    deadline: Deadline,
    Segments([name]): Segments<1>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    no_parameters(query)?;
    let work = move |models: &Models, _: &Progress| {
        let info = models.collection(&name)?.info()?;
        let schema = info.ok_or_else(|| missing(&name))?.schema;
        schema.ok_or_else(|| no_schema(&name))
    };
    let schema = operation::read(permit, deadline, work).await?;
    Ok(text(StatusCode::OK, JSON, schema))
}

/// Set the schema of a collection
///
/// Every document that is written from now on must satisfy it: a JSON Schema of the drafts 4 to
/// 2020-12, of one piece (references lead to its own parts only). What is stored stays; with
/// `check=true` the schema is refused (409) if a stored document does not satisfy it, and up to 20
/// of those are named. The collection is created if need be.
#[utoipa::path(
    put,
    path = "/collections/{name}/schema",
    operation_id = "setSchema",
    tag = "collections",
    params(CollectionParameter, SchemaParameters, OnceParameter),
    request_body(content = JsonSchema, content_type = "application/json"),
    responses(
        (status = 200, description = "It replaces another.", body = JsonSchema),
        (status = 201, description = "There was none before.", body = JsonSchema,
            headers(("Location" = String, description = "Its URL.")),
            links(("getSchema" = (operation_id = "getSchema",
                parameters(("name" = "$request.path.name")))))),
        WriteProblems,
    ),
)]
pub(crate) async fn set(
    permit: Permit<Write>,
    deadline: Deadline,
    Segments([name]): Segments<1>,
    RawQuery(query): RawQuery,
    once: Once,
    OneDocument(body): OneDocument,
) -> Result<Answer, Problem> {
    let parameters = Parameters::parse(&query.unwrap_or_default(), &["check"])?;
    let check = parameters.word("check", &[("true", true), ("false", false)])?;
    let check = check.unwrap_or(false);
    let work = move |models: &Models, _: &Progress| {
        let collection = models.collection(&name)?;
        let schema = str::from_utf8(&body.bytes).map_err(|_| {
            Problem::new(Kind::InvalidJson, "the schema is not UTF-8").with("at", "")
        })?;
        once.run(models, Content::of(&body), |tx| {
            let mut within = collection.within(tx);
            let info = within.info()?;
            let replaces = info.is_some_and(|info| info.schema.is_some());
            within.set_schema(Some(schema), check)?;
            if replaces {
                return Ok(Answer::text(StatusCode::OK, JSON, schema.to_owned()));
            }
            let answer = Answer::text(StatusCode::CREATED, JSON, schema.to_owned());
            Ok(answer.with(header::LOCATION, &format!("{}/schema", url(&name))))
        })
    };
    operation::write(permit, deadline, work).await
}

/// Remove the schema of a collection
#[utoipa::path(
    delete,
    path = "/collections/{name}/schema",
    operation_id = "removeSchema",
    tag = "collections",
    params(CollectionParameter, OnceParameter),
    responses((status = 204, description = "Its documents can be of any shape."), WriteProblems),
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
            let mut within = collection.within(tx);
            let info = within.info()?.ok_or_else(|| missing(&name))?;
            if info.schema.is_none() {
                return Err(no_schema(&name));
            }
            within.set_schema(None, false)?;
            Ok(Answer::empty(StatusCode::NO_CONTENT))
        })
    };
    operation::write(permit, deadline, work).await
}
