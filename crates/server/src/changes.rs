//! Changes of documents and collections, as server-sent events or as pages.
//!
//! Both are read from the log, in the order of the commits, once each and without a gap, from any
//! position that the log still has. A reader gives the position of the last change that it has dealt
//! with; a stream gives it as the id of each event, so that a browser goes on by itself. Nothing is
//! kept for a reader: one that is slow finds the rest in the log, as long as it is there.
//!
//! A key sees changes of those collections that it is for, as it is when the change is sent.

mod description;
mod feed;
mod stream;

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::RawQuery;
use axum::response::Response;
use hyper::{HeaderMap, StatusCode, header};
use nexusbase_documents::filter::Filter;
use nexusbase_documents::json::{Form, parse_document};
use nexusbase_documents::{Error, store::Position};
use tokio::time::{Instant, timeout_at};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::description::{ChangesPage, ChangesParameters};
use self::feed::{Feed, Taken, parse_position, position_text};
use crate::app::App;
use crate::auth::{Models, Permit, Read};
use crate::extract::Segments;
use crate::negotiate::{Media, NDJSON, Wanted, text, wanted};
use crate::observe::Deadline;
use crate::openapi::{ChangesProblems, CollectionParameter};
use crate::operation::{self, Progress};
use crate::problem::{Kind, Problem};
use crate::query::Parameters;

const KNOWN: &[&str] = &["since", "filter", "documents", "limit", "wait_ms"];
/// How long a request for a page of changes may wait for the first.
const WAIT_MAX_MS: usize = 30_000;
/// A page of changes ends when its text has reached this many bytes.
const PAGE_BYTES: usize = 8 << 20;
const EVENT_STREAM: &str = "text/event-stream";
const LAST_EVENT_ID: &str = "last-event-id";

/// The routes of changes, with their descriptions.
pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(of_collection))
        .routes(routes!(of_all))
}

/// What a request for changes asks.
struct Question {
    collection: Option<String>,
    since: Option<Position>,
    filter: Option<Filter>,
    with_documents: bool,
    limit: usize,
    wait: Duration,
    /// The page that is wanted; none for a stream.
    page: Option<Wanted>,
}

/// Changes of a collection
///
/// As server-sent events, or with `Accept: application/json` as a page, which waits for the first
/// change for up to `wait_ms`. They come in the order of the commits, each once, without a gap:
/// `created`, `dropped`, `renamed` (with `from`) and `options` of the collection; `put` (with the
/// `document`), `delete`, and `unmatched` (put, but it does not match the filter) of documents, by
/// `_id`. The id of an event is its position: with `since`, or the header `Last-Event-ID`, which
/// wins, the changes behind it are sent; without either, those from now on. The collection is
/// followed by its name, whether it exists already or not. When changes are no longer in the log,
/// the answer is 410, and on a stream the event `history-gone`; both name the `oldest` position that
/// can be asked for: read the collection anew. Every 15 seconds there is a comment at least, which
/// has the position. A stream ends when the server stops, and when the key is changed, revoked or
/// expired.
#[utoipa::path(
    get,
    path = "/collections/{name}/changes",
    operation_id = "collectionChanges",
    tag = "changes",
    params(CollectionParameter, ChangesParameters),
    responses(
        (status = 200, description = "Changes as they happen, or a page of them.",
            content(
                (String = "text/event-stream", example = "id: 12.1\nevent: put\ndata: \
                    {\"position\":\"12.1\",\"time_ms\":1790000000000,\"collection\":\"c\",\
                    \"event\":\"put\",\"_id\":1,\"document\":{\"_id\":1}}\n\n"),
                (ChangesPage = "application/json"),
            )),
        ChangesProblems,
    ),
)]
pub(crate) async fn of_collection(
    permit: Permit<Read>,
    deadline: Deadline,
    Segments([name]): Segments<1>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    answer(permit, deadline, Some(name), query, &headers).await
}

/// Changes of all collections
///
/// As for one collection, and of all that the key is for.
#[utoipa::path(
    get,
    path = "/changes",
    operation_id = "changes",
    tag = "changes",
    params(ChangesParameters),
    responses(
        (status = 200, description = "Changes as they happen, or a page of them.",
            content(
                (String = "text/event-stream", example = "id: 12.1\nevent: delete\ndata: \
                    {\"position\":\"12.1\",\"time_ms\":1790000000000,\"collection\":\"c\",\
                    \"event\":\"delete\",\"_id\":1}\n\n"),
                (ChangesPage = "application/json"),
            )),
        ChangesProblems,
    ),
)]
pub(crate) async fn of_all(
    permit: Permit<Read>,
    deadline: Deadline,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    answer(permit, deadline, None, query, &headers).await
}

async fn answer(
    permit: Permit<Read>,
    deadline: Deadline,
    collection: Option<String>,
    query: Option<String>,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let models = permit.models().clone();
    let query = query.unwrap_or_default();
    let question = Question::read(&models, collection, &query, headers)?;
    let place = models.stream_place()?;
    let (page, limit, wait) = (question.page, question.limit, question.wait);
    let open = move |models: &Models, _: &Progress| Feed::open(models, question);
    let feed = operation::read(permit, deadline, open).await?;
    match page {
        None => Ok(stream::respond(models, feed, place)),
        Some(wanted) => {
            let body = page_of(&models, feed, limit, wait).await?;
            Ok(text(StatusCode::OK, wanted, body))
        }
    }
}

/// Changes that are there, or that come while there is time to wait.
async fn page_of(
    models: &Models,
    mut feed: Feed,
    limit: usize,
    wait: Duration,
) -> Result<String, Problem> {
    let end = Instant::now() + wait;
    let mut stopping = models.until_stopping();
    loop {
        let Taken { feed: after, found } = feed.take(limit, PAGE_BYTES).await?;
        feed = after;
        let found = found?;
        if !found.is_empty() || Instant::now() >= end {
            let all: Vec<&str> = found.iter().map(|change| change.data.as_str()).collect();
            let next = position_text(feed.position());
            return Ok(format!(
                "{{\"changes\":[{}],\"next\":\"{next}\"}}",
                all.join(",")
            ));
        }
        let ready = timeout_at(end, poll_fn(|context| feed.poll_ready(context)));
        let stops = tokio::select! {
            _ = stopping.wait_for(|stops| *stops) => true,
            closed = ready => closed.unwrap_or(false),
        };
        if stops || !models.is_current() {
            let next = position_text(feed.position());
            return Ok(format!("{{\"changes\":[],\"next\":\"{next}\"}}"));
        }
    }
}

impl Question {
    fn read(
        models: &Models,
        collection: Option<String>,
        query: &str,
        headers: &HeaderMap,
    ) -> Result<Self, Problem> {
        let page = page(headers)?;
        let parameters = Parameters::parse(query, KNOWN)?;
        for name in ["limit", "wait_ms"] {
            if page.is_none() && parameters.get(name).is_some() {
                let detail = format!("{name} is for pages; ask for Accept: application/json");
                return Err(Problem::new(Kind::InvalidParameter, detail).parameter(name));
            }
        }
        let limits = models.limits();
        let limit = parameters
            .number("limit", 1)?
            .unwrap_or(limits.page_default);
        let wait = parameters.number("wait_ms", 0)?.unwrap_or(0);
        if wait > WAIT_MAX_MS {
            let detail = format!("wait_ms is at most {WAIT_MAX_MS}");
            let problem = Problem::new(Kind::InvalidParameter, detail).parameter("wait_ms");
            return Err(problem.with("limit", WAIT_MAX_MS));
        }
        let words = [("true", true), ("false", false)];
        Ok(Self {
            collection,
            since: since(&parameters, headers)?,
            filter: filter(&parameters)?,
            with_documents: parameters.word("documents", &words)?.unwrap_or(true),
            limit: limit.min(limits.page_max),
            wait: Duration::from_millis(u64::try_from(wait).unwrap_or_default()),
            page,
        })
    }

    fn form(&self) -> Form {
        self.page.map_or(Form::Relaxed, |wanted| wanted.form)
    }
}

/// What is wanted: a page, or a stream, which is what who accepts anything gets.
fn page(headers: &HeaderMap) -> Result<Option<Wanted>, Problem> {
    let accepted = headers.get_all(header::ACCEPT).iter();
    let accepted: Vec<&str> = accepted.filter_map(|value| value.to_str().ok()).collect();
    let accepted = accepted.join(",").to_ascii_lowercase();
    let anything = accepted.is_empty() || accepted.contains("*/*");
    if accepted.contains(EVENT_STREAM) || (anything && !accepted.contains("application/json")) {
        return Ok(None);
    }
    if accepted.contains(NDJSON) {
        let detail = "changes are text/event-stream or application/json";
        return Err(Problem::new(Kind::NotAcceptable, detail).with("header", "accept"));
    }
    wanted(headers, &[Media::Json]).map(Some)
}

fn since(parameters: &Parameters, headers: &HeaderMap) -> Result<Option<Position>, Problem> {
    let shape = "the id of an event, such as 12 or 12.3";
    if let Some(value) = headers.get(LAST_EVENT_ID).filter(|value| !value.is_empty()) {
        let position = value.to_str().ok().and_then(parse_position);
        return position.map(Some).ok_or_else(|| {
            let detail = format!("the header Last-Event-ID is {shape}");
            Problem::new(Kind::InvalidHeader, detail).with("header", LAST_EVENT_ID)
        });
    }
    let Some(text) = parameters.get("since") else {
        return Ok(None);
    };
    parse_position(text).map(Some).ok_or_else(|| {
        let detail = format!("since is {shape}");
        Problem::new(Kind::InvalidParameter, detail).parameter("since")
    })
}

fn filter(parameters: &Parameters) -> Result<Option<Filter>, Problem> {
    let Some(filter) = parameters.get("filter") else {
        return Ok(None);
    };
    let filter = parse_document(filter.as_bytes()).map_err(|error| {
        let problem = Problem::new(Kind::InvalidFilter, error.to_string());
        let problem = problem.with("at", error.at).with("column", error.column);
        problem.with("line", error.line).parameter("filter")
    })?;
    Ok(Some(Filter::parse(&filter).map_err(Error::from)?))
}
