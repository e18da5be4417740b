//! Many operations in one request, each with its own outcome.
//!
//! A request with an operation that makes no sense does nothing. Without an `Idempotency-Key`, the
//! model decides how many transactions an ordered or unordered list takes. With one, everything is
//! one transaction, because the answer is committed with what it tells of.

use std::collections::BTreeMap;

use axum::extract::RawQuery;
use hyper::{HeaderMap, StatusCode};
use nexusbase_db::Transaction;
use nexusbase_documents::Error;
use nexusbase_documents::ValueError;
use nexusbase_documents::bson::raw::{RawBsonRef, RawDocument, RawDocumentBuf, cstr};
use nexusbase_documents::json::{Form, write_value};
use nexusbase_documents::store::{
    BulkMode, Change, Collection, Done, Operation, Selection, UpdateOptions,
};
use serde_json::Value;

use super::body::{Members, body_document, invalid};
use super::change::refused;
use super::selected::{Update, updated};
use super::{Answer, Content, Once};
use crate::auth::{Models, Permit, Write};
use crate::extract::{Documents, Payload, Segments};
use crate::insert::{DOCUMENTS_MAX, too_many};
use crate::negotiate::{Media, wanted};
use crate::observe::Deadline;
use crate::openapi::{
    BulkAnswer, BulkParameters, BulkRequest, CollectionParameter, OnceParameter, WriteProblems,
};
use crate::operation::{self, Progress};
use crate::problem::{Kind, Problem, of_error};
use crate::query::Parameters;
use crate::split;

const MODES: &[(&str, BulkMode)] = &[
    ("ordered", BulkMode::Ordered),
    ("unordered", BulkMode::Unordered),
    ("atomic", BulkMode::Atomic),
];
const KINDS: &[&str] = &["insert", "replace", "update", "delete"];

/// Where an operation stands in the body.
struct Place {
    /// The line, of lines.
    line: Option<usize>,
    /// The object that says it, as a JSON pointer.
    at: String,
    /// The member of it that a refusal is about.
    by: &'static str,
}

/// The operations of a request.
struct Batch {
    operations: Vec<Operation>,
    places: Vec<Place>,
    mode: BulkMode,
}

type Outcome = (usize, Result<Done, Problem>);

impl Batch {
    fn of(body: &Payload, mode: Option<BulkMode>) -> Result<Self, Problem> {
        let mut batch = Self {
            operations: Vec::new(),
            places: Vec::new(),
            mode: mode.unwrap_or(BulkMode::Ordered),
        };
        if body.media == Media::Ndjson {
            for (line, text) in split::lines(&body.bytes) {
                let read = body_document(text).and_then(|one| batch.add(&one, "", Some(line)));
                read.map_err(|problem| problem.with("line", line))?;
            }
            return Ok(batch);
        }
        let document = body_document(&body.bytes)?;
        let members = Members::of(&document, "", &["operations", "mode"])?;
        batch.mode = members.word("mode", MODES)?.unwrap_or(batch.mode);
        let operations = members.array("operations")?;
        let operations =
            operations.ok_or_else(|| members.missing("operations", "an array of operations"))?;
        for (number, operation) in operations.into_iter().enumerate() {
            let at = format!("/operations/{number}");
            match operation.map_err(ValueError::from)? {
                RawBsonRef::Document(operation) => batch
                    .add(operation, &at, None)
                    .map_err(|problem| problem.with("index", number))?,
                _ => return Err(invalid(&at, "an operation is an object")),
            }
        }
        Ok(batch)
    }

    fn add(&mut self, one: &RawDocument, at: &str, line: Option<usize>) -> Result<(), Problem> {
        if self.operations.len() == DOCUMENTS_MAX {
            return Err(too_many());
        }
        let members = Members::of(one, at, KINDS)?;
        let [kind] = *members.present(KINDS).as_slice() else {
            let detail = format!("an operation is one of: {}", KINDS.join(", "));
            return Err(invalid(at, detail));
        };
        let inner = members.document(kind)?;
        let inner = inner.ok_or_else(|| members.missing(kind, "an object"))?;
        let place = members.place(kind);
        let (operation, by) = match kind {
            "insert" => (Operation::Insert(inner.to_owned()), ""),
            "replace" => (replace(inner, &place)?, "document"),
            "update" => update(inner, &place)?,
            _ => {
                let members = Members::of(inner, place.as_str(), &["filter", "many"])?;
                let (selection, many) = (members.selection()?, members.flag("many")?);
                (Operation::Delete { selection, many }, "filter")
            }
        };
        self.operations.push(operation);
        self.places.push(Place {
            line,
            at: place,
            by,
        });
        Ok(())
    }

    /// Why an operation was refused.
    fn problem(&self, number: usize, error: &Error) -> Problem {
        match self.places.get(number) {
            None => of_error(error),
            // The document is the operation.
            Some(Place { at, by: "", .. }) => match at.rsplit_once('/') {
                Some((at, name)) => refused(error, at, name),
                None => of_error(error),
            },
            Some(Place { at, by, .. }) => refused(error, at, by),
        }
    }

    /// The same as the problem of the whole request.
    fn failure(&self, number: usize, problem: Problem) -> Problem {
        let problem = problem.with("index", number);
        match self.places.get(number).and_then(|place| place.line) {
            Some(line) => problem.with("line", line),
            None => problem,
        }
    }
}

fn replace(inner: &RawDocument, at: &str) -> Result<Operation, Problem> {
    let members = Members::of(inner, at, &["_id", "filter", "document", "upsert"])?;
    let selection = match members.get("_id") {
        None => members.selection()?,
        Some(_) if members.get("filter").is_some() => {
            let detail = "either \"_id\" or \"filter\" says which document is replaced";
            return Err(invalid(&members.place("filter"), detail));
        }
        Some(id) => of_id(id)?,
    };
    let document = members.document("document")?;
    let document = document.ok_or_else(|| members.missing("document", "an object"))?;
    let options = UpdateOptions {
        upsert: members.flag("upsert")?,
        ..UpdateOptions::default()
    };
    Ok(Operation::Update {
        selection,
        change: Box::new(Change::Replacement(document.to_owned())),
        options,
    })
}

/// The document with this `_id`.
fn of_id(id: RawBsonRef<'_>) -> Result<Selection, Problem> {
    let mut equal = RawDocumentBuf::new();
    equal.append(cstr!("$eq"), id);
    let mut filter = RawDocumentBuf::new();
    filter.append(cstr!("_id"), equal);
    Ok(Selection::new(&filter).map_err(Error::Filter)?)
}

fn update(inner: &RawDocument, at: &str) -> Result<(Operation, &'static str), Problem> {
    const KNOWN: &[&str] = &[
        "filter",
        "update",
        "replacement",
        "merge_patch",
        "json_patch",
        "array_filters",
        "many",
        "upsert",
        "sort",
    ];
    let update = Update::of(&Members::of(inner, at, KNOWN)?)?;
    let operation = Operation::Update {
        selection: update.selection,
        change: Box::new(update.change),
        options: update.options,
    };
    Ok((operation, update.by))
}

/// Do many operations
///
/// Each is one of `insert`, `replace`, `update` and `delete`. With `ordered` (the default) the
/// first that is refused is the last that is tried; with `unordered` all are tried; with `atomic`
/// all are done or none, and the answer is the problem of the one that was refused. Otherwise the
/// answer is 200, and says of each operation what came of it. As lines
/// (`application/x-ndjson`), each operation has a line, and the mode stands in the URL.
///
/// As JSON, all operations together have at most 16 MiB; lines go as far as a body may. With an
/// `Idempotency-Key` they must all go into one transaction.
#[utoipa::path(
    post,
    path = "/collections/{name}/bulk",
    operation_id = "bulkWrite",
    tag = "documents",
    params(CollectionParameter, BulkParameters, OnceParameter),
    request_body(
        content(
            (BulkRequest = "application/json"),
            (String = "application/x-ndjson",
                example = "{\"insert\": {\"_id\": 1}}\n{\"delete\": {\"filter\": {\"_id\": 2}}}\n"),
        ),
    ),
    responses(
        (status = 200, description = "What came of each operation.", body = BulkAnswer),
        WriteProblems,
    ),
)]
pub(crate) async fn bulk(
    permit: Permit<Write>,
    deadline: Deadline,
    Segments([name]): Segments<1>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    once: Once,
    Documents(body): Documents,
) -> Result<Answer, Problem> {
    let wanted = wanted(&headers, &[Media::Json])?;
    let parameters = Parameters::parse(&query.unwrap_or_default(), &["mode"])?;
    let mode = parameters.word("mode", MODES)?;
    if mode.is_some() && body.media != Media::Ndjson {
        let detail = "the mode of a JSON body stands in it, as the member \"mode\"";
        return Err(Problem::new(Kind::InvalidParameter, detail).parameter("mode"));
    }
    let work = move |models: &Models, progress: &Progress| {
        let collection = models.collection(&name)?;
        let batch = Batch::of(&body, mode)?;
        let tell = |outcomes: &[Outcome]| {
            let body = told(&batch, outcomes, wanted.form)?;
            Ok(Answer::text(StatusCode::OK, wanted, body))
        };
        if once.is_keyed() {
            let content = Content::of(&body);
            return keyed(models, &once, content, &collection, &batch, progress, tell);
        }
        let located = |(number, done): (usize, Result<Done, Error>)| {
            (number, done.map_err(|error| batch.problem(number, &error)))
        };
        let outcomes = match collection.bulk(&batch.operations, batch.mode) {
            Ok(outcomes) => outcomes,
            Err(interrupted) => {
                let done = interrupted.done.into_iter().enumerate().map(located);
                let done = told(&batch, &done.collect::<Vec<_>>(), Form::Relaxed)?;
                let done = serde_json::from_str::<Value>(&done).unwrap_or_default();
                return Err(of_error(&interrupted.error).with("done", done));
            }
        };
        if batch.mode == BulkMode::Atomic
            && let Some((number, Err(error))) = outcomes.first()
        {
            return Err(batch.failure(*number, batch.problem(*number, error)));
        }
        tell(&outcomes.into_iter().map(located).collect::<Vec<_>>())
    };
    operation::write(permit, deadline, work).await
}

/// Does all of a batch in one transaction, with its answer.
///
/// An operation that was refused after it had begun to write spoils the transaction, which is then
/// done again without it.
fn keyed(
    models: &Models,
    once: &Once,
    content: Content,
    collection: &Collection,
    batch: &Batch,
    progress: &Progress,
    tell: impl Fn(&[Outcome]) -> Result<Answer, Problem>,
) -> Result<Answer, Problem> {
    let mut spoilers = BTreeMap::new();
    loop {
        let mut spoiler = None;
        let done = once.run(models, content, |tx| {
            let outcomes = in_one(tx, collection, batch, &spoilers, &mut spoiler)?;
            tell(&outcomes)
        });
        match spoiler {
            None => return done,
            Some((number, problem)) => spoilers.insert(number, problem),
        };
        if progress.is_given_up() {
            return Err(operation::busy("nobody waits for the answer any more"));
        }
    }
}

/// Does the operations but for the `spoilers`. One that spoils the transaction becomes `spoiler`,
/// and the transaction must not be committed.
fn in_one(
    tx: &mut Transaction,
    collection: &Collection,
    batch: &Batch,
    spoilers: &BTreeMap<usize, Problem>,
    spoiler: &mut Option<(usize, Problem)>,
) -> Result<Vec<Outcome>, Problem> {
    *spoiler = None;
    let mut within = collection.within(tx);
    let mut outcomes = Vec::with_capacity(batch.operations.len());
    for (number, operation) in batch.operations.iter().enumerate() {
        let outcome = match spoilers.get(&number) {
            Some(problem) => Err(problem.clone()),
            None => match operation.run(&mut within) {
                Ok(done) => Ok(done),
                Err(error) => {
                    let problem = batch.problem(number, &error);
                    if batch.mode == BulkMode::Atomic || !error.is_refusal() {
                        return Err(batch.failure(number, problem));
                    }
                    if !error.leaves_no_trace(operation.is_single()) {
                        *spoiler = Some((number, problem.clone()));
                        return Err(problem);
                    }
                    Err(problem)
                }
            },
        };
        let stops = batch.mode == BulkMode::Ordered && outcome.is_err();
        outcomes.push((number, outcome));
        if stops {
            break;
        }
    }
    Ok(outcomes)
}

/// The body of the answer: sums, and what came of each operation.
fn told(batch: &Batch, outcomes: &[Outcome], form: Form) -> Result<String, Problem> {
    let (mut inserted, mut matched, mut modified, mut deleted) = (0_u64, 0_u64, 0_u64, 0_u64);
    let (mut upserted, mut failed) = (0_u64, 0_u64);
    let mut list = String::new();
    for (number, outcome) in outcomes {
        if !list.is_empty() {
            list.push(',');
        }
        list.push_str(&format!("{{\"index\":{number}"));
        if let Some(line) = batch.places.get(*number).and_then(|place| place.line) {
            list.push_str(&format!(",\"line\":{line}"));
        }
        match outcome {
            Ok(Done::Inserted(id)) => {
                inserted += 1;
                list.push_str(",\"status\":201,\"_id\":");
                write_value(id.as_raw_bson_ref(), form, &mut list)?;
            }
            Ok(Done::Updated(done)) => {
                matched += done.matched;
                modified += done.modified;
                upserted += u64::from(done.upserted.is_some());
                let status = if done.upserted.is_some() { 201 } else { 200 };
                let done = updated(done, form)?;
                list.push_str(&format!(",\"status\":{status},{done}"));
            }
            Ok(Done::Deleted(done)) => {
                deleted += done.deleted;
                let done = done.deleted;
                list.push_str(&format!(",\"status\":200,\"deleted\":{done}"));
            }
            Err(problem) => {
                failed += 1;
                let (status, error) = (problem.kind().status().as_u16(), problem.to_json(None));
                list.push_str(&format!(",\"status\":{status},\"error\":{error}"));
            }
        }
        list.push('}');
    }
    Ok(format!(
        "{{\"inserted\":{inserted},\"matched\":{matched},\"modified\":{modified},\
         \"upserted\":{upserted},\"deleted\":{deleted},\"failed\":{failed},\
         \"outcomes\":[{list}]}}"
    ))
}
