//! Documents: find, get, replace, delete. Inserting has its own file.
//!
//! An id in a URL may mean several values (see `nexusbase_documents::id::text`): `5` is the
//! string first, then the number. Reading, replacing and deleting all take the first that exists,
//! inside one state of the database, so the same URL means the same document for all three.

use axum::extract::RawQuery;
use axum::response::{IntoResponse, Response};
use hyper::{HeaderMap, StatusCode, header};
use nexusbase_documents::bson::raw::{RawBson, RawBsonRef, RawDocument};
use nexusbase_documents::json::{Form, parse_document, to_string, write_document, write_value};
use nexusbase_documents::path::field;
use nexusbase_documents::query::{Access, Cursor, Explain, Query, SortKind};
use nexusbase_documents::value::compare;
use nexusbase_documents::{Error, id};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use crate::auth::{Models, Permit, Read, Write};
use crate::collections::{missing, url};
use crate::config::Limits;
use crate::extract::{OneDocument, Segments};
use crate::negotiate::{Media, Wanted, put_header, text, wanted};
use crate::observe::Deadline;
use crate::openapi::{
    CollectionParameter, Document, FindParameters, IdParameter, Inserted, Page, ReadProblems,
    WriteProblems,
};
use crate::operation::{self, Progress};
use crate::problem::{Kind, Problem, json_error};
use crate::query::Parameters;
use crate::slow::QueryShape;

/// A page ends when its text has reached this many bytes, whatever the limit says.
const PAGE_BYTES: usize = 8 << 20;
/// What of an id must be encoded in a path.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');
/// What of a query must be encoded inside a Link header.
const QUERY: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'{')
    .add(b'}')
    .add(b'&')
    .add(b'+')
    .add(b'%')
    .add(b'=')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'|');

const KNOWN: &[&str] = &[
    "filter", "sort", "limit", "skip", "cursor", "fields", "explain",
];

/// What a request for documents asks.
struct Question {
    query: Query,
    limit: usize,
    explain: bool,
    wanted: Wanted,
    /// The URL of the next page, up to the cursor.
    next_url: String,
}

/// The text of a page, and where the next one begins.
struct Answer {
    body: String,
    next: Option<String>,
}

/// Find documents
///
/// Pages are taken by cursor: `next` is null exactly when nothing follows. Each document that is
/// there all the time is on exactly one page, whatever is written meanwhile. A page may have
/// fewer documents than `limit` asks for, because its size in bytes is bounded too.
#[utoipa::path(
    get,
    path = "/collections/{name}/documents",
    operation_id = "findDocuments",
    tag = "documents",
    params(CollectionParameter, FindParameters),
    responses(
        (status = 200, description = "A page of documents; as lines (`application/x-ndjson`), \
                                      the cursor is in the headers only.",
            content((Page = "application/json"), (String = "application/x-ndjson")),
            headers(
                ("Link" = Option<String>, description = "The next page, with `rel=\"next\"`."),
                ("X-Next-Cursor" = Option<String>, description = "The cursor of the next page."),
            )),
        ReadProblems,
    ),
)]
pub(crate) async fn find(
    permit: Permit<Read>,
    deadline: Deadline,
    Segments([name]): Segments<1>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let wanted = wanted(&headers, &[Media::Json, Media::Ndjson])?;
    let parameters = Parameters::parse(&query.unwrap_or_default(), KNOWN)?;
    let question = question(permit.limits(), &name, &parameters, wanted)?;
    let next_url = question.next_url.clone();
    let shape = QueryShape::of(&question.query);
    let work = move |models: &Models, progress: &Progress| page(models, &name, &question, progress);
    let answer = match operation::read(permit, deadline, work).await {
        Ok(answer) => answer,
        Err(problem) => return Ok(shape.on(problem)),
    };
    let mut response = text(StatusCode::OK, wanted, answer.body);
    if let Some(cursor) = answer.next {
        let link = format!("<{next_url}cursor={cursor}>; rel=\"next\"");
        put_header(&mut response, header::LINK, &link);
        let name = header::HeaderName::from_static("x-next-cursor");
        put_header(&mut response, name, &cursor);
    }
    Ok(shape.on(response))
}

fn question(
    limits: &Limits,
    name: &str,
    parameters: &Parameters,
    wanted: Wanted,
) -> Result<Question, Problem> {
    let limit = parameters.number("limit", 1)?;
    let limit = limit.unwrap_or(limits.page_default).min(limits.page_max);
    let explain = parameters.word("explain", &[("true", true), ("false", false)])?;
    let explain = explain.unwrap_or(false);
    if explain && wanted.media == Media::Ndjson {
        let detail = "explain is part of a JSON answer; ask for Accept: application/json";
        return Err(Problem::new(Kind::InvalidParameter, detail).parameter("explain"));
    }
    let mut query = match parameters.get("filter") {
        None => Query::default(),
        Some(filter) => {
            let filter = parse_document(filter.as_bytes()).map_err(|error| {
                let problem = Problem::new(Kind::InvalidFilter, error.to_string());
                let problem = problem.with("at", error.at).with("column", error.column);
                problem.with("line", error.line).parameter("filter")
            })?;
            Query::new(&filter)?
        }
    };
    query = query.sort(parameters.get("sort").unwrap_or_default())?;
    if let Some(fields) = parameters.get("fields") {
        query = query.fields(fields)?;
    }
    if let Some(cursor) = parameters.get("cursor") {
        query.after = Some(cursor.parse::<Cursor>().map_err(Error::from)?);
    }
    query.skip = parameters.number("skip", 0)?.unwrap_or(0);
    if query.skip > 0 && query.after.is_some() {
        // Each page would leave out some more, which nobody means.
        let detail = "skip counts from the first document, and a cursor starts behind a later one; \
                      leave skip out of all pages but the first";
        return Err(Problem::new(Kind::InvalidParameter, detail).parameter("skip"));
    }
    // One more than asked for tells whether something follows.
    query.limit = Some(limit.saturating_add(1));

    let mut next_url = format!("{}/documents?", url(name));
    for name in ["filter", "sort", "limit", "fields", "explain"] {
        if let Some(value) = parameters.get(name) {
            let value = utf8_percent_encode(value, QUERY);
            next_url.push_str(&format!("{name}={value}&"));
        }
    }
    Ok(Question {
        query,
        limit,
        explain,
        wanted,
        next_url,
    })
}

fn page(
    models: &Models,
    name: &str,
    question: &Question,
    progress: &Progress,
) -> Result<Answer, Problem> {
    let collection = models.collection(name)?;
    let snapshot = collection.snapshot();
    if !collection.exists_in(&snapshot)? {
        return Err(missing(name));
    }
    let mut answers = collection.find_in(&snapshot, &question.query)?;
    let (lines, form) = (question.wanted.media == Media::Ndjson, question.wanted.form);
    let mut body = String::new();
    if !lines {
        body.push_str("{\"documents\":[");
    }
    let (mut count, mut cursor, mut follows) = (0, None, false);
    while let Some(document) = answers.next() {
        let document = document?;
        if count == question.limit || body.len() >= PAGE_BYTES {
            follows = true;
            break;
        }
        if !lines && count > 0 {
            body.push(',');
        }
        write_document(&document, form, &mut body)?;
        if lines {
            body.push('\n');
        }
        count += 1;
        cursor = answers.cursor();
        if progress.is_given_up() {
            return Err(operation::busy("nobody waits for the answer any more"));
        }
    }
    let next = cursor.filter(|_| follows).map(|cursor| cursor.to_string());
    if !lines {
        let next = next
            .as_ref()
            .map_or_else(|| "null".to_owned(), |next| format!("\"{next}\""));
        body.push_str(&format!("],\"next\":{next}"));
        if question.explain {
            let explain = explain(&answers.explain(), count);
            body.push_str(&format!(",\"explain\":{explain}"));
        }
        body.push('}');
    }
    Ok(Answer { body, next })
}

fn explain(explain: &Explain, returned: usize) -> serde_json::Value {
    let access = match &explain.access {
        Access::Collection => json!({"kind": "collection"}),
        Access::Id { bounds } => json!({"kind": "id", "path": "_id", "bounds": bounds}),
        Access::Index { path, bounds } => {
            json!({"kind": "index", "path": path, "bounds": bounds})
        }
    };
    let sort = match explain.sort {
        SortKind::None => "none",
        SortKind::ByAccess => "by-access",
        SortKind::InMemory => "in-memory",
    };
    json!({
        "access": access,
        "sort": sort,
        "index_rows_read": explain.index_rows_read,
        "documents_read": explain.documents_read,
        "documents_returned": returned,
        "micros": explain.micros,
    })
}

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
