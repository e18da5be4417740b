//! Finding documents: a question in the URL or in a body, answered page by page.

pub(crate) mod describe;
pub(crate) mod question;

use std::sync::{Arc, OnceLock};

use axum::extract::RawQuery;
use axum::response::{IntoResponse, Response};
use hyper::{HeaderMap, StatusCode, header};
use nexusbase_db::Snapshot;
use nexusbase_documents::Collection;
use nexusbase_documents::json::write_document;
use nexusbase_documents::projection::Projection;
use nexusbase_documents::query::Query;

use crate::auth::{Models, Permit, Read};
use crate::collections::missing;
use crate::config::Limits;
use crate::extract::{OneDocument, Segments};
use crate::negotiate::{Media, Wanted, put_header, text, wanted};
use crate::observe::Deadline;
use crate::openapi::{CollectionParameter, FindParameters, Page, QueryProblems, ReadProblems};
use crate::operation::{self, Progress};
use crate::problem::Problem;
use crate::slow::QueryShape;
use describe::QueryBody;
use question::Question;

/// A page ends when its text has reached this many bytes, whatever the limit says.
const PAGE_BYTES: usize = 8 << 20;
/// A total is counted up to here.
const TOTAL_MAX: usize = 100_000;

/// The text of a page, and where the next one begins.
struct Answer {
    body: String,
    next: Option<String>,
    /// The URL of the next page, up to the cursor, if it fits into a header.
    next_url: Option<String>,
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
            ),
            links(
                ("document" = (
                    operation_id = "getDocument",
                    parameters(("name" = "$request.path.name"),
                        ("id" = "$response.body#/documents/0/_id")),
                    description = "The first document of the page, by its id.",
                )),
                ("next" = (
                    operation_id = "findDocuments",
                    parameters(("name" = "$request.path.name"),
                        ("cursor" = "$response.body#/next")),
                    description = "The next page; filter and sort stay as they are.",
                )),
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
    let ask = move |name: &str, limits: &Limits| {
        question::from_url(name, &query.unwrap_or_default(), limits, wanted)
    };
    answer(permit, deadline, name, wanted, ask, |problem| problem).await
}

/// Find documents by a question in the body
///
/// The same as `GET …/documents`, for questions that are too long or too complex for a URL. The
/// body is Extended JSON in either form. With `cursor`, filter and sort must be what they were.
/// `total` counts the documents that match, on all pages together, up to 100,000; it costs as much
/// as looking at them.
#[utoipa::path(
    post,
    path = "/collections/{name}/query",
    operation_id = "queryDocuments",
    tag = "documents",
    params(CollectionParameter),
    request_body(content = QueryBody, content_type = "application/json"),
    responses(
        (status = 200, description = "A page of documents; as lines (`application/x-ndjson`), \
                                      the cursor is in the headers only.",
            content((Page = "application/json"), (String = "application/x-ndjson")),
            headers(
                ("Link" = Option<String>, description = "The next page as a URL for GET, with \
                                            `rel=\"next\"`, unless it would be very long."),
                ("X-Next-Cursor" = Option<String>, description = "The cursor of the next page."),
            ),
            links(
                ("document" = (
                    operation_id = "getDocument",
                    parameters(("name" = "$request.path.name"),
                        ("id" = "$response.body#/documents/0/_id")),
                    description = "The first document of the page, by its id.",
                )),
            )),
        QueryProblems,
    ),
)]
pub(crate) async fn query(
    permit: Permit<Read>,
    deadline: Deadline,
    Segments([name]): Segments<1>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    OneDocument(body): OneDocument,
) -> Result<Response, Problem> {
    crate::collections::no_parameters(query)?;
    let wanted = wanted(&headers, &[Media::Json, Media::Ndjson])?;
    let ask =
        move |name: &str, limits: &Limits| question::from_body(name, &body.bytes, limits, wanted);
    answer(permit, deadline, name, wanted, ask, Problem::by_member).await
}

/// Reads a question, on a thread that may take its time, and answers it.
async fn answer(
    permit: Permit<Read>,
    deadline: Deadline,
    name: String,
    wanted: Wanted,
    ask: impl FnOnce(&str, &Limits) -> Result<Question, Problem> + Send + 'static,
    about: fn(Problem) -> Problem,
) -> Result<Response, Problem> {
    let limits = permit.limits().clone();
    let asked = Arc::new(OnceLock::new());
    let shape = Arc::clone(&asked);
    let work = move |models: &Models, progress: &Progress| {
        let question = ask(&name, &limits)?;
        // Set once, here.
        let _ = shape.set(QueryShape::of(&question.query));
        page(models, &name, question, wanted, progress)
    };
    let answer = operation::read(permit, deadline, work).await;
    let response = match answer.map_err(about) {
        Ok(answer) => shown(answer, wanted),
        Err(problem) => problem.into_response(),
    };
    // Known also of what took too long.
    Ok(match asked.get().cloned() {
        Some(shape) => shape.on(response),
        None => response,
    })
}

fn shown(answer: Answer, wanted: Wanted) -> Response {
    let mut response = text(StatusCode::OK, wanted, answer.body);
    if let Some(cursor) = answer.next {
        if let Some(next_url) = answer.next_url {
            let link = format!("<{next_url}cursor={cursor}>; rel=\"next\"");
            put_header(&mut response, header::LINK, &link);
        }
        let name = header::HeaderName::from_static("x-next-cursor");
        put_header(&mut response, name, &cursor);
    }
    response
}

fn page(
    models: &Models,
    name: &str,
    question: Question,
    wanted: Wanted,
    progress: &Progress,
) -> Result<Answer, Problem> {
    let collection = models.collection(name)?;
    let snapshot = collection.snapshot();
    if !collection.exists_in(&snapshot)? {
        return Err(missing(name));
    }
    let mut answers = collection.find_in(&snapshot, &question.query)?;
    let (lines, form) = (wanted.media == Media::Ndjson, wanted.form);
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
        go_on(progress)?;
    }
    let next = cursor.filter(|_| follows).map(|cursor| cursor.to_string());
    if !lines {
        let next = next
            .as_ref()
            .map_or_else(|| "null".to_owned(), |next| format!("\"{next}\""));
        body.push_str(&format!("],\"next\":{next}"));
        if question.total {
            let total = count_matching(&collection, &snapshot, &question.query, progress)?;
            let (total, exact) = (total.min(TOTAL_MAX), total <= TOTAL_MAX);
            body.push_str(&format!(",\"total\":{total},\"total_exact\":{exact}"));
        }
        if question.explain {
            let returned = u64::try_from(count).unwrap_or(u64::MAX);
            let explain = describe::explain(&answers.explain(), returned)?;
            body.push_str(&format!(",\"explain\":{explain}"));
        }
        body.push('}');
    }
    Ok(Answer {
        body,
        next,
        next_url: question.next_url,
    })
}

/// How many documents match; what is more than the largest total is one more than that.
fn count_matching(
    collection: &Collection,
    snapshot: &Snapshot,
    query: &Query,
    progress: &Progress,
) -> Result<usize, Problem> {
    let query = Query {
        filter: query.filter.clone(),
        limit: Some(TOTAL_MAX + 1),
        projection: Some(Projection::parse("_id").map_err(nexusbase_documents::Error::from)?),
        ..Query::default()
    };
    let mut count = 0;
    for document in collection.find_in(snapshot, &query)? {
        document?;
        count += 1;
        go_on(progress)?;
    }
    Ok(count)
}

fn go_on(progress: &Progress) -> Result<(), Problem> {
    if progress.is_given_up() {
        return Err(operation::busy("nobody waits for the answer any more"));
    }
    Ok(())
}
