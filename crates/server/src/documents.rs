//! Documents: get, replace, delete. Finding and inserting have their own files.
//!
//! An id in a URL may mean several values (see `nexusbase_documents::id::text`): `5` is the
//! string first, then the number. Reading, replacing and deleting all take the first that exists,
//! inside one state of the database, so the same URL means the same document for all three.

use axum::extract::RawQuery;
use axum::response::{IntoResponse, Response};
use hyper::{HeaderMap, StatusCode, header};
use nexusbase_documents::bson::raw::{RawBson, RawBsonRef, RawDocument};
use nexusbase_documents::json::{Form, parse_document, to_string, write_value};
use nexusbase_documents::path::field;
use nexusbase_documents::value::compare;
use nexusbase_documents::{Error, id};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::auth::{Models, Permit, Read, Write};
use crate::collections::{missing, url};
use crate::extract::{OneDocument, Segments};
use crate::negotiate::{Media, put_header, text, wanted};
use crate::observe::Deadline;
use crate::openapi::{
    CollectionParameter, Document, IdParameter, Inserted, ReadProblems, WriteProblems,
};
use crate::operation::{self, Progress};
use crate::problem::{Kind, Problem, json_error};

/// What of an id must be encoded in a path.
pub(crate) const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');
/// Get a document
#[utoipa::path(
    get,
    path = "/collections/{name}/documents/{id}",
    operation_id = "getDocument",
    tag = "documents",
    params(CollectionParameter, IdParameter),
    responses((status = 200, description = "The document.", body = Document), ReadProblems),
)]
pub(crate) async fn get(
    permit: Permit<Read>,
    deadline: Deadline,
    Segments([name, id]): Segments<2>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let wanted = wanted(&headers, &[Media::Json])?;
    crate::collections::no_parameters(query)?;
    let work = move |models: &Models, _: &Progress| {
        let collection = models.collection(&name)?;
        let candidates = id::text::parse(&id)?;
        let snapshot = collection.snapshot();
        for candidate in &candidates {
            let found = collection.get_in(&snapshot, candidate.as_raw_bson_ref())?;
            if let Some(document) = found {
                return Ok(to_string(&document, wanted.form)?);
            }
        }
        if collection.exists_in(&snapshot)? {
            Err(no_document(&name, &id))
        } else {
            Err(missing(&name))
        }
    };
    let body = operation::read(permit, deadline, work).await?;
    Ok(text(StatusCode::OK, wanted, body))
}

/// Replace a document, or insert it
///
/// The document may leave out `_id`, but not bring another than the URL names. With an `_id`, it
/// is exactly that document which is replaced or inserted. Without one, the first of the ids that
/// the URL can mean which exists is replaced; if none exists, the document is inserted under the
/// first, which is the string (or the value, if it is written as JSON).
#[utoipa::path(
    put,
    path = "/collections/{name}/documents/{id}",
    operation_id = "replaceDocument",
    tag = "documents",
    params(CollectionParameter, IdParameter),
    request_body(content = Document, content_type = "application/json"),
    responses(
        (status = 200, description = "It was replaced.", body = Inserted),
        (status = 201, description = "It was inserted.", body = Inserted,
            headers(("Location" = String, description = "Its URL."))),
        WriteProblems,
    ),
)]
pub(crate) async fn replace(
    permit: Permit<Write>,
    deadline: Deadline,
    Segments([name, id]): Segments<2>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    OneDocument(body): OneDocument,
) -> Result<Response, Problem> {
    let wanted = wanted(&headers, &[Media::Json])?;
    crate::collections::no_parameters(query)?;
    let collection_name = name.clone();
    let work = move |models: &Models, _: &Progress| {
        let collection = models.collection(&name)?;
        let candidates = id::text::parse(&id)?;
        let document = parse_document(&body.bytes).map_err(|error| json_error(&error))?;
        let candidates = fitting(candidates, &document)?;
        models.transact(|tx| {
            let mut collection = collection.within(tx);
            let mut chosen = None;
            for candidate in &candidates {
                if collection.get(candidate.as_raw_bson_ref())?.is_some() {
                    chosen = Some(candidate);
                    break;
                }
            }
            let Some(chosen) = chosen.or(candidates.first()) else {
                return Err(Error::Id(nexusbase_documents::IdError::Empty));
            };
            let replaced = collection.replace(chosen.as_raw_bson_ref(), &document)?;
            Ok((replaced, chosen.clone()))
        })
    };
    let (replaced, id) = operation::write(permit, deadline, work).await?;
    let status = if replaced {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    };
    let mut response = text(status, wanted, one_id(id.as_raw_bson_ref(), wanted.form)?);
    if !replaced {
        let location = document_url(&collection_name, id.as_raw_bson_ref())?;
        put_header(&mut response, header::LOCATION, &location);
    }
    Ok(response)
}

/// Those ids that the document itself does not contradict.
fn fitting(candidates: Vec<RawBson>, document: &RawDocument) -> Result<Vec<RawBson>, Problem> {
    let Some(own) = field(document, "_id")? else {
        return Ok(candidates);
    };
    let mut fitting = Vec::new();
    for candidate in &candidates {
        if compare(candidate.as_raw_bson_ref(), own)?.is_eq() {
            fitting.push(candidate.clone());
        }
    }
    if !fitting.is_empty() {
        return Ok(fitting);
    }
    id::check(own)?;
    // One that does not fit, so that the model says what is wrong.
    Ok(candidates)
}

/// Delete a document
///
/// If the id can mean several documents, only the first that exists is deleted: the string before
/// the UUID, the ObjectId and the number. Write the id as JSON to mean one exactly.
#[utoipa::path(
    delete,
    path = "/collections/{name}/documents/{id}",
    operation_id = "deleteDocument",
    tag = "documents",
    params(CollectionParameter, IdParameter),
    responses((status = 204, description = "It is gone."), WriteProblems),
)]
pub(crate) async fn remove(
    permit: Permit<Write>,
    deadline: Deadline,
    Segments([name, id]): Segments<2>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    crate::collections::no_parameters(query)?;
    let work = move |models: &Models, _: &Progress| {
        let collection = models.collection(&name)?;
        let candidates = id::text::parse(&id)?;
        let deleted = models.transact(|tx| {
            let mut collection = collection.within(tx);
            for candidate in &candidates {
                if collection.delete(candidate.as_raw_bson_ref())? {
                    return Ok(true);
                }
            }
            Ok(false)
        })?;
        if deleted {
            Ok(StatusCode::NO_CONTENT.into_response())
        } else if collection.exists_in(&collection.snapshot())? {
            Err(no_document(&name, &id))
        } else {
            Err(missing(&name))
        }
    };
    operation::write(permit, deadline, work).await
}

fn no_document(name: &str, id: &str) -> Problem {
    let detail = format!("collection {name:?} has no document with the id {id:?}");
    Problem::new(Kind::NoSuchDocument, detail)
}

/// The answer to one insert or replacement.
pub(crate) fn one_id(id: RawBsonRef<'_>, form: Form) -> Result<String, Problem> {
    let mut body = "{\"_id\":".to_owned();
    write_value(id, form, &mut body)?;
    body.push('}');
    Ok(body)
}

/// The URL that names this document and, whatever other ids there are, no other.
pub(crate) fn document_url(name: &str, id: RawBsonRef<'_>) -> Result<String, Problem> {
    let text = match id {
        // These would be taken for steps in the path.
        RawBsonRef::String(dots @ ("." | "..")) => format!("\"{dots}\""),
        RawBsonRef::Int32(number) => format!("={number}"),
        RawBsonRef::Int64(number) => format!("={number}"),
        RawBsonRef::String(_) | RawBsonRef::ObjectId(_) | RawBsonRef::Binary(_) => {
            id::text::format(id)?
        }
        _ => id::text::format_exact(id)?,
    };
    let text = utf8_percent_encode(&text, SEGMENT);
    Ok(format!("{}/documents/{text}", url(name)))
}
