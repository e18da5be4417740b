//! Indexes of a collection: list, show, create and drop.

mod describe;

use std::ops::ControlFlow;

use axum::extract::RawQuery;
use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use hyper::header::{self, HeaderMap, HeaderName};
use nexusbase_documents::Collection;
use nexusbase_documents::store::{Built, IndexInfo, IndexSpec};
use percent_encoding::utf8_percent_encode;
use tokio::sync::oneshot;

use crate::auth::{Models, Permit, Read, Write};
use crate::collections::{missing, no_parameters, url};
use crate::documents::SEGMENT;
use crate::extract::{OneDocument, Segments};
use crate::negotiate::{Media, Wanted, put_header, text, wanted};
use crate::observe::Deadline;
use crate::openapi::{CollectionParameter, IndexParameter, ReadProblems, WriteProblems};
use crate::operation::{self, Progress};
use crate::problem::{Kind, Problem};

pub(crate) use describe::Index;
use describe::{IndexBody, Indexes};

/// What a caller prefers, and what of it was done (RFC 7240).
const PREFER: HeaderName = HeaderName::from_static("prefer");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
const RESPOND_ASYNC: &str = "respond-async";

/// The indexes of a collection
///
/// Beside the one on `_id`, which every collection has.
#[utoipa::path(
    get,
    path = "/collections/{name}/indexes",
    operation_id = "listIndexes",
    tag = "indexes",
    params(CollectionParameter),
    responses(
        (status = 200, description = "The indexes.", body = Indexes,
            links(("index" = (
                operation_id = "getIndex",
                parameters(("name" = "$request.path.name"),
                    ("index" = "$response.body#/indexes/0/name")),
                description = "The first of them.",
            )))),
        ReadProblems,
    ),
)]
pub(crate) async fn list(
    permit: Permit<Read>,
    deadline: Deadline,
    Segments([name]): Segments<1>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    no_parameters(query)?;
    let wanted = wanted(&headers, &[Media::Json])?;
    let work = move |models: &Models, _: &Progress| infos(&models.collection(&name)?);
    let infos = operation::read(permit, deadline, work).await?;
    let indexes = infos.iter().map(|info| Index::new(info, wanted.form));
    let indexes = Indexes {
        indexes: indexes.collect(),
    };
    shown(StatusCode::OK, wanted, &indexes)
}

/// One index
///
/// Whether it is ready, how far its build has come, how large it is and how much it is used.
#[utoipa::path(
    get,
    path = "/collections/{name}/indexes/{index}",
    operation_id = "getIndex",
    tag = "indexes",
    params(CollectionParameter, IndexParameter),
    responses(
        (status = 200, description = "The index.", body = Index),
        ReadProblems,
    ),
)]
pub(crate) async fn info(
    permit: Permit<Read>,
    deadline: Deadline,
    Segments([name, index]): Segments<2>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    no_parameters(query)?;
    let wanted = wanted(&headers, &[Media::Json])?;
    let work = move |models: &Models, _: &Progress| find(&models.collection(&name)?, &index);
    let info = operation::read(permit, deadline, work).await?;
    shown(StatusCode::OK, wanted, &Index::new(&info, wanted.form))
}

/// Create an index
///
/// Answers when the index is ready, or, with `Prefer: respond-async`, when its build has begun.
/// Others read and write meanwhile. If the time limit ends the request first, the index goes on
/// being built: `GET …/indexes/{index}` shows how far it has come, and repeating the request waits
/// for it again. A build that the end of the server interrupts goes on when it starts again. The
/// collection is created if need be.
#[utoipa::path(
    post,
    path = "/collections/{name}/indexes",
    operation_id = "createIndex",
    tag = "indexes",
    params(CollectionParameter, ("Prefer" = Option<String>, Header,
        description = "`respond-async`: do not wait until the index is ready.",
        example = "respond-async")),
    request_body(content = IndexBody, content_type = "application/json"),
    responses(
        (status = 200, description = "It was there already.", body = Index),
        (status = 201, description = "It is ready.", body = Index,
            headers(("Location" = String, description = "Its URL.")),
            links(("index" = (
                operation_id = "getIndex",
                parameters(("name" = "$request.path.name"), ("index" = "$response.body#/name")),
                description = "The index.",
            )))),
        (status = 202, description = "Its build has begun and goes on.", body = Index,
            headers(("Location" = String, description = "Its URL."),
                ("Preference-Applied" = String, description = "`respond-async`.")),
            links(("index" = (
                operation_id = "getIndex",
                parameters(("name" = "$request.path.name"), ("index" = "$response.body#/name")),
                description = "How far it has come.",
            )))),
        WriteProblems,
    ),
)]
pub(crate) async fn create(
    permit: Permit<Write>,
    deadline: Deadline,
    Segments([name]): Segments<1>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    OneDocument(body): OneDocument,
) -> Result<Response, Problem> {
    no_parameters(query)?;
    let wanted = wanted(&headers, &[Media::Json])?;
    let spec = describe::spec(&body.bytes)?;
    build(permit, deadline, name, spec, wanted, waits(&headers)).await
}

/// Create an index by its name
///
/// The short form: the name is what the index is on, such as `section,-size`. Otherwise as
/// `POST …/indexes`. A body is not read.
#[utoipa::path(
    put,
    path = "/collections/{name}/indexes/{index}",
    operation_id = "createIndexByName",
    tag = "indexes",
    params(CollectionParameter, IndexParameter, ("Prefer" = Option<String>, Header,
        description = "`respond-async`: do not wait until the index is ready.",
        example = "respond-async")),
    responses(
        (status = 200, description = "It was there already.", body = Index),
        (status = 201, description = "It is ready.", body = Index,
            headers(("Location" = String, description = "Its URL."))),
        (status = 202, description = "Its build has begun and goes on.", body = Index,
            headers(("Location" = String, description = "Its URL."),
                ("Preference-Applied" = String, description = "`respond-async`."))),
        WriteProblems,
    ),
)]
pub(crate) async fn create_named(
    permit: Permit<Write>,
    deadline: Deadline,
    Segments([name, index]): Segments<2>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    no_parameters(query)?;
    let wanted = wanted(&headers, &[Media::Json])?;
    let spec = IndexSpec::on(&index)?;
    build(permit, deadline, name, spec, wanted, waits(&headers)).await
}

/// Drop an index
#[utoipa::path(
    delete,
    path = "/collections/{name}/indexes/{index}",
    operation_id = "dropIndex",
    tag = "indexes",
    params(CollectionParameter, IndexParameter),
    responses((status = 204, description = "It is gone."), WriteProblems),
)]
pub(crate) async fn remove(
    permit: Permit<Write>,
    deadline: Deadline,
    Segments([name, index]): Segments<2>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    no_parameters(query)?;
    let work = move |models: &Models, _: &Progress| {
        let collection = models.collection(&name)?;
        if collection.drop_index(&index)? {
            return Ok(StatusCode::NO_CONTENT.into_response());
        }
        if collection.info()?.is_none() {
            return Err(missing(&name));
        }
        Err(no_index(&name, &index))
    };
    operation::write(permit, deadline, work).await
}

/// Builds an index. If the caller does not wait, the answer comes when the build has begun.
async fn build(
    permit: Permit<Write>,
    deadline: Deadline,
    name: String,
    spec: IndexSpec,
    wanted: Wanted,
    waits: bool,
) -> Result<Response, Problem> {
    let index = utf8_percent_encode(spec.name(), SEGMENT);
    let location = format!("{}/indexes/{index}", url(&name));
    let (begun, has_begun) = oneshot::channel();
    let mut begun = Some(begun).filter(|_| !waits);
    let work = move |models: &Models, _: &Progress| {
        let collection = models.collection(&name)?;
        let built = collection.build_index(&spec, |_| {
            if let Some(begun) = begun.take() {
                // Who asked may be gone, and the index is built all the same.
                let _ = begun.send(find(&collection, spec.name()));
            }
            if models.is_stopping() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        let built = built.inspect_err(|error| {
            let (collection, index) = (collection.name(), spec.name());
            tracing::warn!(collection, index, %error, "an index was not built");
        })?;
        if built == Built::Paused {
            let detail = "the server is stopping; the index goes on being built when it runs again";
            return Err(Problem::new(Kind::Stopping, detail));
        }
        Ok((built, find(&collection, spec.name())?))
    };
    // A task of its own, which goes on when the answer has been given.
    let mut task = tokio::spawn(operation::write(permit, deadline, work));
    let ended = tokio::select! {
        Ok(info) = has_begun => {
            let index = Index::new(&info?, wanted.form);
            let mut response = shown(StatusCode::ACCEPTED, wanted, &index)?;
            put_header(&mut response, header::LOCATION, &location);
            put_header(&mut response, PREFERENCE_APPLIED, RESPOND_ASYNC);
            return Ok(response);
        }
        ended = &mut task => ended,
    };
    let (built, info) = match ended {
        Ok(result) => result?,
        Err(join) if join.is_panic() => std::panic::resume_unwind(join.into_panic()),
        Err(_) => return Err(operation::busy("the server is stopping")),
    };
    let index = Index::new(&info, wanted.form);
    if built == Built::Already {
        return shown(StatusCode::OK, wanted, &index);
    }
    let mut response = shown(StatusCode::CREATED, wanted, &index)?;
    put_header(&mut response, header::LOCATION, &location);
    Ok(response)
}

/// Whether the caller waits for the end.
fn waits(headers: &HeaderMap) -> bool {
    let values = headers.get_all(PREFER).iter();
    let mut preferences = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    !preferences.any(|preference| preference.trim().eq_ignore_ascii_case(RESPOND_ASYNC))
}

/// All indexes of a collection.
fn infos(collection: &Collection) -> Result<Vec<IndexInfo>, Problem> {
    let info = collection.info()?;
    let info = info.ok_or_else(|| missing(collection.name()))?;
    Ok(info.indexes)
}

/// The index of this name.
fn find(collection: &Collection, index: &str) -> Result<IndexInfo, Problem> {
    let mut all = infos(collection)?.into_iter();
    let found = all.find(|info| info.spec.name() == index);
    found.ok_or_else(|| no_index(collection.name(), index))
}

fn no_index(name: &str, index: &str) -> Problem {
    let detail = format!("collection {name:?} has no index {index:?}");
    Problem::new(Kind::NoSuchIndex, detail)
}

fn shown(
    status: StatusCode,
    wanted: Wanted,
    value: &impl serde::Serialize,
) -> Result<Response, Problem> {
    let body = serde_json::to_string(value);
    let body = body.map_err(|error| Problem::new(Kind::Internal, error.to_string()))?;
    Ok(text(status, wanted, body))
}
