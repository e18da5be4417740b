//! Inserting: one document, an array of them, or lines.
//!
//! * One document, or an array: one transaction, all or nothing.
//! * Lines: batches of transactions, so that a body may hold more than one transaction takes.
//!   With `on_error=stop` the first line that cannot be inserted ends the request: everything
//!   before it is in, nothing behind it. With `on_error=skip` such lines are left out and
//!   reported. Either way a line is inserted wholly or not at all.

use axum::extract::RawQuery;
use axum::response::Response;
use hyper::{HeaderMap, StatusCode, header};
use nexusbase_documents::Error;
use nexusbase_documents::bson::raw::{RawBson, RawDocumentBuf};
use nexusbase_documents::json::{Form, parse_document, write_value};
use nexusbase_documents::store::{Collection, OnError};
use serde_json::{Value, json};

use crate::auth::{Models, Permit, Write};
use crate::documents::{document_url, one_id};
use crate::extract::{Documents, Segments};
use crate::negotiate::{Media, put_header, text, wanted};
use crate::observe::Deadline;
use crate::openapi::{
    CollectionParameter, Documents as DocumentsSchema, InsertAnswer, InsertParameters,
    WriteProblems,
};
use crate::operation::{self, Progress};
use crate::problem::{Kind, Problem, json_error, of_error};
use crate::query::Parameters;
use crate::split;

/// How many documents one request may bring.
pub(crate) const DOCUMENTS_MAX: usize = 100_000;
/// A batch of lines ends at so many documents, or so many bytes of them.
const BATCH_DOCUMENTS: usize = 500;
const BATCH_BYTES: usize = 1 << 20;
/// How many lines that failed are reported one by one; the others are counted.
const FAILURES_LISTED: usize = 1000;

/// What came of an insert.
struct Done {
    status: StatusCode,
    body: String,
    location: Option<String>,
}

/// Insert documents
///
/// The body is one JSON object, or an array of objects (all or nothing), or one object on each
/// line (`application/x-ndjson`, inserted in batches). A document without an `_id` gets one. The
/// collection is created if need be. Answers when everything is durable.
#[utoipa::path(
    post,
    path = "/collections/{name}/documents",
    operation_id = "insertDocuments",
    tag = "documents",
    params(CollectionParameter, InsertParameters),
    request_body(
        content(
            (DocumentsSchema = "application/json"),
            (String = "application/x-ndjson",
                example = "{\"_id\": 1, \"name\": \"zlib\"}\n{\"_id\": 2, \"name\": \"zstd\"}\n"),
        ),
    ),
    responses(
        (status = 200, description = "Lines, of which some were left out (`on_error=skip`).",
            body = InsertAnswer),
        (status = 201, description = "All are in.", body = InsertAnswer,
            headers(("Location" = Option<String>, description = "The URL of the document, if \
                                                               it was one."))),
        WriteProblems,
    ),
)]
pub(crate) async fn insert(
    permit: Permit<Write>,
    deadline: Deadline,
    Segments([name]): Segments<1>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    Documents(payload): Documents,
) -> Result<Response, Problem> {
    let wanted = wanted(&headers, &[Media::Json])?;
    let parameters = Parameters::parse(&query.unwrap_or_default(), &["on_error"])?;
    let words = [("stop", OnError::Stop), ("skip", OnError::Skip)];
    let on_error = parameters.word("on_error", &words)?;
    if on_error.is_some() && payload.media != Media::Ndjson {
        let detail = "on_error is for lines (Content-Type: application/x-ndjson); an array is \
                      inserted wholly or not at all";
        return Err(Problem::new(Kind::InvalidParameter, detail).parameter("on_error"));
    }
    let form = wanted.form;
    let work = move |models: &Models, progress: &Progress| {
        let collection = models.collection(&name)?;
        let body = payload.bytes.as_slice();
        match payload.media {
            Media::Ndjson => {
                let on_error = on_error.unwrap_or(OnError::Stop);
                lines(&collection, body, on_error, form, progress)
            }
            Media::Json if split::is_array(body) => array(&collection, body, form),
            Media::Json | Media::MergePatch => one(&collection, body, form),
        }
    };
    let done = operation::write(permit, deadline, work).await?;
    let mut response = text(done.status, wanted, done.body);
    if let Some(location) = done.location {
        put_header(&mut response, header::LOCATION, &location);
    }
    Ok(response)
}

fn one(collection: &Collection, body: &[u8], form: Form) -> Result<Done, Problem> {
    let document = parse_document(body).map_err(|error| json_error(&error))?;
    let id = collection.insert(&document)?;
    Ok(Done {
        status: StatusCode::CREATED,
        body: one_id(id.as_raw_bson_ref(), form)?,
        location: Some(document_url(collection.name(), id.as_raw_bson_ref())?),
    })
}

fn array(collection: &Collection, body: &[u8], form: Form) -> Result<Done, Problem> {
    let documents = split::array(body, DOCUMENTS_MAX).map_err(|error| json_error(&error))?;
    let documents = documents.ok_or_else(too_many)?;
    let ids = collection
        .insert_many(&documents)
        .map_err(|(index, error)| of_one(&error, index))?;
    let mut report = Report::new(form);
    for id in &ids {
        report.inserted(id)?;
    }
    Ok(Done {
        status: StatusCode::CREATED,
        body: format!(
            "{{\"inserted\":{},\"ids\":[{}]}}",
            report.inserted, report.ids
        ),
        location: None,
    })
}

/// The problem of one document among several; a problem of the database is nobody's fault.
fn of_one(error: &Error, index: usize) -> Problem {
    let problem = of_error(error);
    if matches!(error, Error::Database(_) | Error::Damaged { .. }) {
        return problem;
    }
    problem.with("index", index).within(&format!("/{index}"))
}

fn too_many() -> Problem {
    let detail = format!("a request may bring at most {DOCUMENTS_MAX} documents; send several");
    Problem::new(Kind::BodyTooLarge, detail).with("limit", DOCUMENTS_MAX)
}

/// What came of the lines so far.
struct Report {
    form: Form,
    inserted: usize,
    ids: String,
    failed: usize,
    failures: Vec<Value>,
    /// The first that failed.
    first: Option<Problem>,
}

impl Report {
    fn new(form: Form) -> Self {
        Self {
            form,
            inserted: 0,
            ids: String::new(),
            failed: 0,
            failures: Vec::new(),
            first: None,
        }
    }

    fn inserted(&mut self, id: &RawBson) -> Result<(), Problem> {
        if self.inserted > 0 {
            self.ids.push(',');
        }
        self.inserted += 1;
        Ok(write_value(id.as_raw_bson_ref(), self.form, &mut self.ids)?)
    }

    fn failed(&mut self, line: usize, problem: Problem) {
        self.failed += 1;
        if self.failures.len() < FAILURES_LISTED {
            let error = problem.to_json(None);
            self.failures.push(json!({"line": line, "error": error}));
        }
        self.first.get_or_insert_with(|| problem.with("line", line));
    }

    /// The answer of a request that went to its end.
    fn done(self) -> Done {
        let (inserted, ids, failed) = (self.inserted, self.ids, self.failed);
        let status = if failed == 0 {
            StatusCode::CREATED
        } else {
            StatusCode::OK
        };
        let failures = Value::from(self.failures);
        let body = format!(
            "{{\"inserted\":{inserted},\"failed\":{failed},\"ids\":[{ids}],\
             \"failures\":{failures}}}"
        );
        Done {
            status,
            body,
            location: None,
        }
    }

    /// What to say when the request ended early.
    fn interrupted(self, problem: Problem) -> Problem {
        let problem = problem.with("inserted", self.inserted);
        let ids = serde_json::from_str(&format!("[{}]", self.ids));
        let problem = problem.with("ids", ids.unwrap_or(Value::Null));
        problem
            .with("failed", self.failed)
            .with("failures", self.failures)
    }
}

/// Lines that wait for their transaction.
#[derive(Default)]
struct Batch {
    lines: Vec<(usize, RawDocumentBuf)>,
    bytes: usize,
}

fn lines(
    collection: &Collection,
    body: &[u8],
    on_error: OnError,
    form: Form,
    progress: &Progress,
) -> Result<Done, Problem> {
    if split::lines(body).nth(DOCUMENTS_MAX).is_some() {
        return Err(too_many());
    }
    let mut report = Report::new(form);
    let mut batch = Batch::default();
    let stops = |report: &Report| on_error == OnError::Stop && report.failed > 0;
    for (number, line) in split::lines(body) {
        match parse_document(line) {
            Ok(document) => {
                batch.bytes += document.as_bytes().len();
                batch.lines.push((number, document));
            }
            Err(error) => {
                // What stands before it comes first.
                flush(collection, &mut batch, on_error, &mut report)?;
                if !stops(&report) {
                    report.failed(number, json_error(&error));
                }
            }
        }
        if batch.lines.len() >= BATCH_DOCUMENTS || batch.bytes >= BATCH_BYTES {
            flush(collection, &mut batch, on_error, &mut report)?;
        }
        if progress.is_given_up() {
            return Err(operation::busy("nobody waits for the answer any more"));
        }
        if stops(&report) {
            break;
        }
    }
    if !stops(&report) {
        flush(collection, &mut batch, on_error, &mut report)?;
    }
    match report.first.clone() {
        Some(first) if on_error == OnError::Stop => Err(report.interrupted(first)),
        _ => Ok(report.done()),
    }
}

/// Inserts what is in the batch, and leaves it empty.
///
/// A problem is returned only if it is the database's; it says what is in by then.
fn flush(
    collection: &Collection,
    batch: &mut Batch,
    on_error: OnError,
    report: &mut Report,
) -> Result<(), Problem> {
    let (numbers, documents): (Vec<_>, Vec<_>) = batch.lines.drain(..).unzip();
    batch.bytes = 0;
    match collection.insert_each(&documents, on_error) {
        Ok(outcomes) => {
            for (outcome, line) in outcomes.into_iter().zip(numbers) {
                match outcome {
                    Ok(id) => report.inserted(&id)?,
                    Err(error) => report.failed(line, of_error(&error)),
                }
            }
            Ok(())
        }
        Err(error) => {
            let report = std::mem::replace(report, Report::new(report.form));
            let line = numbers.first().copied().unwrap_or(0);
            Err(report.interrupted(of_error(&error).with("line", line)))
        }
    }
}
