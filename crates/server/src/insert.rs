//! Inserting: one document, an array of them, or lines.
//!
//! * One document, or an array: one transaction, all or nothing.
//! * Lines: batches of transactions, so that a body may hold more than one transaction takes.
//!   With `on_error=stop` the first line that cannot be inserted ends the request: everything
//!   before it is in, nothing behind it. With `on_error=skip` such lines are left out and
//!   reported. Either way a line is inserted wholly or not at all.

use axum::extract::RawQuery;
use hyper::{HeaderMap, StatusCode};
use nexusbase_documents::bson::raw::{RawBson, RawDocumentBuf};
use nexusbase_documents::json::{parse_document, write_value};
use nexusbase_documents::store::{Collection, OnError};
use nexusbase_documents::{CollectionTx, Error};
use serde_json::{Value, json};

use crate::auth::{Models, Permit, Write};
use crate::extract::{Documents, Segments};
use crate::negotiate::{Media, Wanted, wanted};
use crate::observe::Deadline;
use crate::openapi::{
    CollectionParameter, Documents as DocumentsSchema, InsertAnswer, InsertParameters,
    OnceParameter, PreferParameter, WriteProblems,
};
use crate::operation::{self, Progress};
use crate::problem::{Kind, Problem, json_error, of_error};
use crate::query::Parameters;
use crate::split;
use crate::writes::{Answer, Content, Once, Prefer, created};

/// How many documents one request may bring.
pub(crate) const DOCUMENTS_MAX: usize = 100_000;
/// A batch of lines ends at so many documents, or so many bytes of them.
const BATCH_DOCUMENTS: usize = 500;
const BATCH_BYTES: usize = 1 << 20;
/// How many lines that failed are reported one by one; the others are counted.
const FAILURES_LISTED: usize = 1000;

/// Insert documents
///
/// The body is one JSON object, or an array of objects (all or nothing), or one object on each
/// line (`application/x-ndjson`, inserted in batches). A document without an `_id` gets one. The
/// collection is created if need be. Answers when everything is durable. With an `Idempotency-Key`,
/// lines are one transaction, too.
#[utoipa::path(
    post,
    path = "/collections/{name}/documents",
    operation_id = "insertDocuments",
    tag = "documents",
    params(CollectionParameter, InsertParameters, PreferParameter, OnceParameter),
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
            headers(
                ("Location" = Option<String>, description = "The URL of the document, if it was \
                    one."),
                ("ETag" = Option<String>, description = "Its revision, if it was one."),
            ),
            links(
                ("getDocument" = (operation_id = "getDocument", parameters(
                    ("name" = "$request.path.name"), ("id" = "$response.body#/_id")))),
                ("replaceDocument" = (operation_id = "replaceDocument", parameters(
                    ("name" = "$request.path.name"), ("id" = "$response.body#/_id")))),
                ("changeDocument" = (operation_id = "changeDocument", parameters(
                    ("name" = "$request.path.name"), ("id" = "$response.body#/_id")))),
                ("deleteDocument" = (operation_id = "deleteDocument", parameters(
                    ("name" = "$request.path.name"), ("id" = "$response.body#/_id")))),
            )),
        WriteProblems,
    ),
)]
#[expect(
    clippy::too_many_arguments,
    reason = "each takes one part of the request"
)]
pub(crate) async fn insert(
    permit: Permit<Write>,
    deadline: Deadline,
    Segments([name]): Segments<1>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    prefer: Prefer,
    once: Once,
    Documents(payload): Documents,
) -> Result<Answer, Problem> {
    let wanted = wanted(&headers, &[Media::Json])?;
    let parameters = Parameters::parse(&query.unwrap_or_default(), &["on_error"])?;
    let words = [("stop", OnError::Stop), ("skip", OnError::Skip)];
    let on_error = parameters.word("on_error", &words)?;
    if on_error.is_some() && payload.media != Media::Ndjson {
        let detail = "on_error is for lines (Content-Type: application/x-ndjson); an array is \
                      inserted wholly or not at all";
        return Err(Problem::new(Kind::InvalidParameter, detail).parameter("on_error"));
    }
    let work = move |models: &Models, progress: &Progress| {
        let collection = models.collection(&name)?;
        let (body, content) = (payload.bytes.as_slice(), Content::of(&payload));
        if payload.media == Media::Ndjson {
            let on_error = on_error.unwrap_or(OnError::Stop);
            if once.is_keyed() {
                let lines = read_lines(body)?;
                return once.run(models, content, |tx| {
                    lines_in_one(&mut collection.within(tx), &lines, on_error, wanted)
                });
            }
            return lines(&collection, body, on_error, wanted, progress);
        }
        if split::is_array(body) {
            let documents =
                split::array(body, DOCUMENTS_MAX).map_err(|error| json_error(&error))?;
            let documents = documents.ok_or_else(too_many)?;
            return once.run(models, content, |tx| {
                array(&mut collection.within(tx), &documents, wanted)
            });
        }
        let document = parse_document(body).map_err(|error| json_error(&error))?;
        once.run(models, content, |tx| {
            let mut collection = collection.within(tx);
            let id = collection.insert(&document)?;
            created(&collection, &name, id.as_raw_bson_ref(), wanted, prefer)
        })
    };
    operation::write(permit, deadline, work).await
}

fn array(
    collection: &mut CollectionTx<'_>,
    documents: &[RawDocumentBuf],
    wanted: Wanted,
) -> Result<Answer, Problem> {
    let mut report = Report::new(wanted);
    for (index, document) in documents.iter().enumerate() {
        let inserted = collection.insert(document);
        report.inserted(&inserted.map_err(|error| of_one(&error, index))?)?;
    }
    let body = format!(
        "{{\"inserted\":{},\"ids\":[{}]}}",
        report.inserted, report.ids
    );
    Ok(Answer::text(StatusCode::CREATED, wanted, body))
}

/// The problem of one document among several; a problem of the database is nobody's fault.
fn of_one(error: &Error, index: usize) -> Problem {
    let problem = of_error(error);
    if !error.is_refusal() {
        return problem;
    }
    problem.with("index", index).within(&format!("/{index}"))
}

pub(crate) fn too_many() -> Problem {
    let detail = format!("a request may bring at most {DOCUMENTS_MAX} documents; send several");
    Problem::new(Kind::BodyTooLarge, detail).with("limit", DOCUMENTS_MAX)
}

/// What came of the lines so far.
struct Report {
    wanted: Wanted,
    inserted: usize,
    ids: String,
    failed: usize,
    failures: Vec<Value>,
    /// The first that failed.
    first: Option<Problem>,
}

impl Report {
    fn new(wanted: Wanted) -> Self {
        Self {
            wanted,
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
        let form = self.wanted.form;
        Ok(write_value(id.as_raw_bson_ref(), form, &mut self.ids)?)
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
    fn done(self) -> Answer {
        let wanted = self.wanted;
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
        Answer::text(status, wanted, body)
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

/// A line, read or not.
type Line = (usize, Result<RawDocumentBuf, Problem>);

fn read_lines(body: &[u8]) -> Result<Vec<Line>, Problem> {
    if split::lines(body).nth(DOCUMENTS_MAX).is_some() {
        return Err(too_many());
    }
    let lines = split::lines(body);
    let read = |(number, line)| {
        let document = parse_document(line);
        (number, document.map_err(|error| json_error(&error)))
    };
    Ok(lines.map(read).collect())
}

/// Inserts lines in one transaction, which keeps what stands before a line that stops it.
fn lines_in_one(
    collection: &mut CollectionTx<'_>,
    lines: &[Line],
    on_error: OnError,
    wanted: Wanted,
) -> Result<Answer, Problem> {
    let mut report = Report::new(wanted);
    for (number, line) in lines {
        let refused = match line {
            Err(problem) => problem.clone(),
            Ok(document) => match collection.insert(document) {
                Ok(id) => {
                    report.inserted(&id)?;
                    continue;
                }
                Err(error) if error.leaves_no_trace(true) => of_error(&error),
                Err(error) => return Err(of_error(&error).with("line", *number)),
            },
        };
        report.failed(*number, refused);
        if on_error == OnError::Stop {
            break;
        }
    }
    Ok(match report.first.clone() {
        Some(first) if on_error == OnError::Stop => Answer::problem(report.interrupted(first)),
        _ => report.done(),
    })
}

fn lines(
    collection: &Collection,
    body: &[u8],
    on_error: OnError,
    wanted: Wanted,
    progress: &Progress,
) -> Result<Answer, Problem> {
    if split::lines(body).nth(DOCUMENTS_MAX).is_some() {
        return Err(too_many());
    }
    let mut report = Report::new(wanted);
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
            let report = std::mem::replace(report, Report::new(report.wanted));
            let line = numbers.first().copied().unwrap_or(0);
            Err(report.interrupted(of_error(&error).with("line", line)))
        }
    }
}
