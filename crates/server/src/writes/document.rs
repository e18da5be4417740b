//! One document by its URL: get, replace, change, delete.
//!
//! An id in a URL may mean several values (see `nexusbase_documents::id::text`): `5` is the
//! string first, then the number. All methods take the first that exists, inside one state of the
//! database, so the same URL means the same document for all of them.
//!
//! The tag of a document is its revision, the same for both forms of extended JSON: it names what
//! is stored. Conditions are compared in the transaction that changes, so of two who change one
//! state exactly one succeeds.

use axum::extract::RawQuery;
use axum::response::{IntoResponse as _, Response};
use hyper::{HeaderMap, StatusCode, header};
use nexusbase_db::View;
use nexusbase_documents::bson::raw::{RawBson, RawBsonRef, RawDocument, RawDocumentBuf};
use nexusbase_documents::json::{parse_value, to_string};
use nexusbase_documents::path::field;
use nexusbase_documents::store::{Change, Collection, Condition, Returning, revision};
use nexusbase_documents::value::compare;
use nexusbase_documents::{CollectionTx, id};

use super::body::{body_document, invalid};
use super::{Answer, Content, Once, Prefer, Return, change};
use crate::auth::{Models, Permit, Read, Write};
use crate::collections::{missing, no_parameters};
use crate::conditions::Conditions;
use crate::documents::{document_url, one_id};
use crate::extract::{OneDocument, Patch, Payload, Segments};
use crate::negotiate::{Media, Wanted, put_header, text, wanted};
use crate::observe::Deadline;
use crate::openapi::{
    CollectionParameter, ConditionParameters, Document, IdParameter, Inserted, JsonPatchBody,
    OnceParameter, PreferParameter, ReadProblems, UpdateOperators, WriteProblems,
};
use crate::operation::{self, Progress};
use crate::problem::{Kind, Problem, json_error};

/// A document that a URL means, with its `_id`.
type Found = Option<(RawBson, RawDocumentBuf)>;

/// The strong entity tag of a document, with its quotation marks.
fn etag(document: &RawDocument) -> String {
    format!("\"{}\"", revision(document))
}

/// The first of `candidates` that exists.
fn first(
    collection: &Collection,
    view: &dyn View,
    candidates: &[RawBson],
) -> Result<Found, Problem> {
    for candidate in candidates {
        if let Some(document) = collection.get_in(view, candidate.as_raw_bson_ref())? {
            return Ok(Some((candidate.clone(), document)));
        }
    }
    Ok(None)
}

/// Holds the conditions of a request against what is there.
fn check(conditions: &Conditions, found: &Found) -> Result<(), Problem> {
    let tag = found.as_ref().map(|(_, document)| etag(document));
    if conditions.matches(tag.as_deref()) && !conditions.is_known(tag.as_deref()) {
        return Ok(());
    }
    Err(unexpected(tag))
}

/// The same for a request that changes something.
fn check_change(
    collection: &CollectionTx<'_>,
    conditions: &Conditions,
    found: &Found,
) -> Result<(), Problem> {
    if conditions.is_empty() && collection.requires_conditions()? {
        let detail = "the collection takes changes of documents only with the header If-Match or \
                      If-None-Match; get the document, and send its ETag along";
        return Err(Problem::new(Kind::PreconditionRequired, detail).with("header", "if-match"));
    }
    check(conditions, found)
}

fn unexpected(etag: Option<String>) -> Problem {
    let detail = match etag {
        Some(_) => {
            "the document is not what was expected; nothing was done. Its present ETag is in the \
             header"
        }
        None => "there is no such document, and one was expected; nothing was done",
    };
    Problem::new(Kind::PreconditionFailed, detail).with("etag", etag)
}

/// There is no document of this id, or not even the collection.
fn no_document(collection: &Collection, view: &dyn View, id: &str) -> Result<Problem, Problem> {
    let name = collection.name();
    if !collection.exists_in(view)? {
        return Ok(missing(name));
    }
    let detail = format!("collection {name:?} has no document with the id {id:?}");
    Ok(Problem::new(Kind::NoSuchDocument, detail))
}

/// How a written document is answered.
struct Shown {
    wanted: Wanted,
    prefer: Prefer,
    /// Without a preference.
    usual: Usual,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Usual {
    Id,
    Document,
}

impl Shown {
    /// The answer about a document that is stored now.
    fn answer(
        &self,
        name: &str,
        id: RawBsonRef<'_>,
        stored: &RawDocument,
        created: bool,
    ) -> Result<Answer, Problem> {
        let status = if created {
            StatusCode::CREATED
        } else if self.prefer.0 == Some(Return::Minimal) {
            StatusCode::NO_CONTENT
        } else {
            StatusCode::OK
        };
        let form = self.wanted.form;
        let mut answer = match (self.prefer.0, self.usual) {
            (Some(Return::Minimal), _) => Answer::empty(status),
            (None, Usual::Id) => Answer::text(status, self.wanted, one_id(id, form)?),
            (Some(Return::Representation), _) | (None, Usual::Document) => {
                Answer::text(status, self.wanted, to_string(stored, form)?)
            }
        };
        if created {
            answer = answer.with(header::LOCATION, &document_url(name, id)?);
        }
        Ok(self
            .prefer
            .applied(answer.with(header::ETAG, &etag(stored))))
    }
}

/// The answer about a document that was inserted just now.
pub(crate) fn created(
    collection: &CollectionTx<'_>,
    name: &str,
    id: RawBsonRef<'_>,
    wanted: Wanted,
    prefer: Prefer,
) -> Result<Answer, Problem> {
    let shown = Shown {
        wanted,
        prefer,
        usual: Usual::Id,
    };
    shown.answer(name, id, &stored(collection, id)?, true)
}

fn stored(collection: &CollectionTx<'_>, id: RawBsonRef<'_>) -> Result<RawDocumentBuf, Problem> {
    let found = collection.get(id)?;
    found.ok_or_else(|| Problem::new(Kind::Internal, "a document that was written is not there"))
}

/// Get a document
///
/// `If-None-Match` with the tag of what the caller has is answered with 304.
#[utoipa::path(
    get,
    path = "/collections/{name}/documents/{id}",
    operation_id = "getDocument",
    tag = "documents",
    params(CollectionParameter, IdParameter, ConditionParameters),
    responses(
        (status = 200, description = "The document.", body = Document,
            headers(("ETag" = String, description = "Its revision: a strong tag, the same for \
                both forms of extended JSON."))),
        (status = 304, description = "The caller has it already.",
            headers(("ETag" = String, description = "Its revision."))),
        ReadProblems,
    ),
)]
pub(crate) async fn get(
    permit: Permit<Read>,
    deadline: Deadline,
    Segments([name, id]): Segments<2>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let wanted = wanted(&headers, &[Media::Json])?;
    no_parameters(query)?;
    let conditions = Conditions::read(&headers)?;
    let work = move |models: &Models, _: &Progress| {
        let collection = models.collection(&name)?;
        let candidates = id::text::parse(&id)?;
        let snapshot = collection.snapshot();
        let found = first(&collection, &snapshot, &candidates)?;
        let tag = found.as_ref().map(|(_, document)| etag(document));
        if !conditions.matches(tag.as_deref()) {
            return Err(unexpected(tag));
        }
        let (Some((_, document)), Some(tag)) = (found, tag) else {
            return Err(no_document(&collection, &snapshot, &id)?);
        };
        let mut response = if conditions.is_known(Some(&tag)) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            text(StatusCode::OK, wanted, to_string(&document, wanted.form)?)
        };
        put_header(&mut response, header::ETAG, &tag);
        Ok(response)
    };
    operation::read(permit, deadline, work).await
}

/// Replace a document, or insert it
///
/// The document may leave out `_id`, but not bring another than the URL names. With an `_id`, it
/// is exactly that document which is replaced or inserted. Without one, the first of the ids that
/// the URL can mean which exists is replaced; if none exists, the document is inserted under the
/// first, which is the string (or the value, if it is written as JSON).
///
/// `If-Match` replaces only what the caller has seen; `If-None-Match: *` only inserts.
#[utoipa::path(
    put,
    path = "/collections/{name}/documents/{id}",
    operation_id = "replaceDocument",
    tag = "documents",
    params(CollectionParameter, IdParameter, ConditionParameters, PreferParameter, OnceParameter),
    request_body(content = Document, content_type = "application/json"),
    responses(
        (status = 200, description = "It was replaced. The body is its id, or the document with \
            `Prefer: return=representation`.", body = Inserted,
            headers(("ETag" = String, description = "Its revision."))),
        (status = 201, description = "It was inserted.", body = Inserted,
            headers(("Location" = String, description = "Its URL."),
                ("ETag" = String, description = "Its revision."))),
        (status = 204, description = "It was replaced (`Prefer: return=minimal`).",
            headers(("ETag" = String, description = "Its revision."))),
        WriteProblems,
    ),
)]
#[expect(
    clippy::too_many_arguments,
    reason = "each takes one part of the request"
)]
pub(crate) async fn replace(
    permit: Permit<Write>,
    deadline: Deadline,
    Segments([name, id]): Segments<2>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    prefer: Prefer,
    once: Once,
    OneDocument(body): OneDocument,
) -> Result<Answer, Problem> {
    let shown = Shown {
        wanted: wanted(&headers, &[Media::Json])?,
        prefer,
        usual: Usual::Id,
    };
    no_parameters(query)?;
    let conditions = Conditions::read(&headers)?;
    let work = move |models: &Models, _: &Progress| {
        let collection = models.collection(&name)?;
        let candidates = id::text::parse(&id)?;
        let document = body_document(&body.bytes)?;
        let candidates = fitting(candidates, &document)?;
        once.run(models, Content::of(&body), |tx| {
            let found = first(&collection, tx, &candidates)?;
            let mut within = collection.within(tx);
            check_change(&within, &conditions, &found)?;
            let existing = found.as_ref().map(|(id, _)| id);
            let Some(id) = existing.or(candidates.first()) else {
                return Err(nexusbase_documents::IdError::Empty.into());
            };
            let id = id.as_raw_bson_ref();
            let replaced = within.replace(id, &document)?;
            let stored = stored(&within, id)?;
            shown.answer(&name, id, &stored, !replaced)
        })
    };
    operation::write(permit, deadline, work).await
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

/// Change a document
///
/// The body is a merge patch (`application/merge-patch+json`, RFC 7396), a JSON Patch
/// (`application/json-patch+json`, RFC 6902), or update operators such as `$set`
/// (`application/json`). A patch is carried out wholly or not at all. A `test` that fails is
/// answered with 409. A document that does not exist is not created: 404.
#[utoipa::path(
    patch,
    path = "/collections/{name}/documents/{id}",
    operation_id = "changeDocument",
    tag = "documents",
    params(CollectionParameter, IdParameter, ConditionParameters, PreferParameter, OnceParameter),
    request_body(
        content(
            (UpdateOperators = "application/json"),
            (Document = "application/merge-patch+json",
                example = json!({"version": "1.3.2", "obsolete": null})),
            (JsonPatchBody = "application/json-patch+json"),
        ),
    ),
    responses(
        (status = 200, description = "The document as it is now.", body = Document,
            headers(("ETag" = String, description = "Its revision."))),
        (status = 204, description = "It was changed (`Prefer: return=minimal`).",
            headers(("ETag" = String, description = "Its revision."))),
        WriteProblems,
    ),
)]
#[expect(
    clippy::too_many_arguments,
    reason = "each takes one part of the request"
)]
pub(crate) async fn change(
    permit: Permit<Write>,
    deadline: Deadline,
    Segments([name, id]): Segments<2>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    prefer: Prefer,
    once: Once,
    Patch(body): Patch,
) -> Result<Answer, Problem> {
    let shown = Shown {
        wanted: wanted(&headers, &[Media::Json])?,
        prefer,
        usual: Usual::Document,
    };
    no_parameters(query)?;
    let conditions = Conditions::read(&headers)?;
    let work = move |models: &Models, _: &Progress| {
        let collection = models.collection(&name)?;
        let candidates = id::text::parse(&id)?;
        let change = change_of(&body)?;
        once.run(models, Content::of(&body), |tx| {
            let found = first(&collection, tx, &candidates)?;
            check_change(&collection.within(tx), &conditions, &found)?;
            let Some((found, before)) = found else {
                return Err(no_document(&collection, tx, &id)?);
            };
            let mut within = collection.within(tx);
            let found = found.as_raw_bson_ref();
            let done = within.change(found, &change, &Condition::Any, false, Returning::After)?;
            let after = done.document.unwrap_or(before);
            shown.answer(&name, found, &after, false)
        })
    };
    operation::write(permit, deadline, work).await
}

/// The change that the body of a PATCH is.
fn change_of(body: &Payload) -> Result<Change, Problem> {
    match body.media {
        Media::MergePatch => Ok(Change::MergePatch(body_document(&body.bytes)?)),
        Media::JsonPatch => {
            let patch = parse_value(&body.bytes).map_err(|error| json_error(&error))?;
            match &patch {
                RawBson::Array(patch) => change::json_patch(patch),
                _ => Err(invalid("", "a JSON Patch is an array of operations")),
            }
        }
        Media::Json | Media::Ndjson => change::operators(&body_document(&body.bytes)?),
    }
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
    params(CollectionParameter, IdParameter, ConditionParameters, PreferParameter, OnceParameter),
    responses(
        (status = 200, description = "The document that is gone (`Prefer: \
            return=representation`).", body = Document),
        (status = 204, description = "It is gone."),
        WriteProblems,
    ),
)]
pub(crate) async fn remove(
    permit: Permit<Write>,
    deadline: Deadline,
    Segments([name, id]): Segments<2>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    prefer: Prefer,
    once: Once,
) -> Result<Answer, Problem> {
    let wanted = wanted(&headers, &[Media::Json])?;
    no_parameters(query)?;
    let conditions = Conditions::read(&headers)?;
    let work = move |models: &Models, _: &Progress| {
        let collection = models.collection(&name)?;
        let candidates = id::text::parse(&id)?;
        once.run(models, Content::none(), |tx| {
            let found = first(&collection, tx, &candidates)?;
            check_change(&collection.within(tx), &conditions, &found)?;
            let Some((found, document)) = found else {
                return Err(no_document(&collection, tx, &id)?);
            };
            collection.within(tx).delete(found.as_raw_bson_ref())?;
            let answer = if prefer.0 == Some(Return::Representation) {
                let body = to_string(&document, wanted.form)?;
                Answer::text(StatusCode::OK, wanted, body)
            } else {
                Answer::empty(StatusCode::NO_CONTENT)
            };
            Ok(prefer.applied(answer))
        })
    };
    operation::write(permit, deadline, work).await
}
