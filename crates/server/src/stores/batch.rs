//! Several keys as one: set, delete, get and check, all or nothing.
//!
//! What only writes is one write of the store, and what only reads is one state of it; every engine
//! can do both. Reading and writing together needs a transaction, and an engine that has them.

use axum::extract::RawQuery;
use axum::response::Response;
use hyper::StatusCode;
use nexusbase_kv::{
    Capability, Entry, Error, ErrorKind, Operation, Put, Store, Transaction, Write, transact,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::{JsonBody, Object, present};
use super::condition::{etag, etag_of};
use super::lifetime::{Now, check_ttl};
use super::parameters::StoreParameter;
use super::path::StorePath;
use super::text::Text;
use super::unsupported;
use crate::auth::{self, Models, Permit};
use crate::collections::no_parameters;
use crate::negotiate::json;
use crate::observe::Deadline;
use crate::openapi::StoreWriteProblems;
use crate::operation::{self, Progress};
use crate::problem::{Kind, Problem};

/// So many operations may a batch have.
const OPERATIONS_MAX: usize = 10_000;
/// The values that a batch gets have at most so many bytes.
const ANSWER_BYTES: usize = 32 << 20;

/// What is to be done.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"operations": [
    {"op": "check", "key": "lock", "etag": null},
    {"op": "set", "key": "lock", "value": "mine", "ttl": 60},
    {"op": "get", "key": "user:1"},
    {"op": "delete", "key": {"base64": "AP8="}},
]}))]
pub(crate) struct Batch {
    /// In this order; at most 10,000.
    #[schema(value_type = Vec<BatchOperation>)]
    operations: Vec<Object<BatchOperation>>,
}

/// One step.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BatchOperation {
    /// What to do.
    #[schema(inline)]
    op: Op,
    /// With which key.
    key: Text,
    /// `set`: what to put there.
    value: Option<Text>,
    /// `set`: after how many seconds it is gone.
    #[schema(minimum = 1)]
    ttl: Option<u64>,
    /// `set`: what the value is.
    media_type: Option<String>,
    /// `check`: the tag of what must be there; null if nothing may be there.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    etag: Option<Option<String>>,
}

/// What to do.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Op {
    Set,
    Delete,
    Get,
    Check,
}

/// What came of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"results": [
    {}, {"etag": "\"5f0c\""}, {"value": "Ada", "etag": "\"a1b2\""}, {},
]}))]
pub(crate) struct BatchAnswer {
    /// One for each operation, in order.
    results: Vec<BatchResult>,
}

/// What came of one step.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct BatchResult {
    /// `get`: what is there; null for nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Text>)]
    value: Option<Option<Text>>,
    /// `get`, `set`: its tag; null for nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    etag: Option<Option<String>>,
    /// `get`, `set`: from when on it is gone, in milliseconds since 1970, if it will be.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_ms: Option<u64>,
    /// `get`: what the value is, if somebody said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    media_type: Option<String>,
}

/// A step that makes sense.
enum Step<'a> {
    Set(Put<'a>),
    Delete,
    Get,
    Check(Option<String>),
}

/// A step, and its key.
type Keyed<'a> = (&'a [u8], Step<'a>);

impl BatchOperation {
    fn step(&self, now: Now) -> Result<Step<'_>, String> {
        let is_set = self.op == Op::Set;
        for (name, given) in [
            ("value", self.value.is_some()),
            ("ttl", self.ttl.is_some()),
            ("media_type", self.media_type.is_some()),
        ] {
            if given && !is_set {
                return Err(format!("only set has {name}"));
            }
        }
        if self.etag.is_some() && self.op != Op::Check {
            return Err("only check has etag".to_owned());
        }
        match self.op {
            Op::Delete => Ok(Step::Delete),
            Op::Get => Ok(Step::Get),
            Op::Check => match &self.etag {
                Some(etag) => Ok(Step::Check(etag.as_deref().map(quoted))),
                None => Err("check has etag: a tag, or null for nothing".to_owned()),
            },
            Op::Set => {
                let value = self.value.as_ref().ok_or("set has value")?;
                let ttl = check_ttl(self.ttl);
                if ttl != self.ttl {
                    return Err("ttl is a number of seconds, at least 1".to_owned());
                }
                Ok(Step::Set(Put {
                    value: &value.0,
                    expires_ms: now.expires_ms(ttl),
                    media_type: self.media_type.as_deref(),
                }))
            }
        }
    }
}

/// A tag as it stands in a header; its quotation marks may be left out.
fn quoted(tag: &str) -> String {
    if tag.starts_with('"') {
        tag.to_owned()
    } else {
        format!("\"{tag}\"")
    }
}

fn steps(batch: &Batch, now: Now) -> Result<Vec<Keyed<'_>>, Problem> {
    if batch.operations.len() > OPERATIONS_MAX {
        let detail = format!("a batch has at most {OPERATIONS_MAX} operations; send several");
        return Err(Problem::new(Kind::BodyTooLarge, detail).with("limit", OPERATIONS_MAX));
    }
    let mut steps = Vec::with_capacity(batch.operations.len());
    for (index, Object(operation)) in batch.operations.iter().enumerate() {
        let step = operation.step(now).map_err(|detail| {
            let problem = Problem::new(Kind::InvalidBody, detail).with("index", index);
            problem.within(&format!("/operations/{index}"))
        })?;
        steps.push((&*operation.key.0, step));
    }
    Ok(steps)
}

fn got(found: Option<Entry>) -> BatchResult {
    let Some(entry) = found else {
        return BatchResult {
            value: Some(None),
            etag: Some(None),
            ..BatchResult::default()
        };
    };
    BatchResult {
        etag: Some(Some(etag(&entry))),
        value: Some(Some(Text(entry.value))),
        expires_ms: entry.expires_ms,
        media_type: entry.media_type.map(|text| text.to_string()),
    }
}

fn set(put: &Put<'_>) -> BatchResult {
    BatchResult {
        etag: Some(Some(etag_of(put))),
        expires_ms: put.expires_ms,
        ..BatchResult::default()
    }
}

/// Counts what is answered, and refuses what would be too much.
#[derive(Default)]
struct Answered(usize);

impl Answered {
    fn get(&mut self, found: Option<Entry>) -> Result<BatchResult, Problem> {
        self.0 += found.as_ref().map_or(0, |entry| entry.value.len());
        if self.0 > ANSWER_BYTES {
            let detail = format!(
                "the values that the batch gets have more than {ANSWER_BYTES} bytes; nothing was \
                 done. Get fewer at a time"
            );
            return Err(Problem::new(Kind::EntryTooLarge, detail).with("limit", ANSWER_BYTES));
        }
        Ok(got(found))
    }
}

fn check_failed(index: usize, found: Option<&str>) -> Problem {
    let detail = format!(
        "operation {index} has found something else under its key than was expected; nothing was \
         done"
    );
    let problem = Problem::new(Kind::PreconditionFailed, detail);
    let problem = problem.with("index", index).with("etag", found);
    problem.within(&format!("/operations/{index}"))
}

/// Writes only: one write.
fn write(store: &dyn Store, steps: &[Keyed<'_>]) -> Result<Vec<BatchResult>, Problem> {
    let (mut writes, mut results) = (Vec::new(), Vec::new());
    for (key, step) in steps {
        if let Step::Set(put) = step {
            writes.push(Write::Put(key, *put));
            results.push(set(put));
        } else {
            writes.push(Write::Delete(key));
            results.push(BatchResult::default());
        }
    }
    store.write(&writes)?;
    Ok(results)
}

/// Reads only: one state.
fn read(store: &dyn Store, steps: &[Keyed<'_>]) -> Result<Vec<BatchResult>, Problem> {
    let keys: Vec<&[u8]> = steps.iter().map(|(key, _)| *key).collect();
    let entries = store.entries(&keys)?;
    let mut answered = Answered::default();
    let step = |(index, (found, (_, step))): (usize, (Option<Entry>, &Keyed<'_>))| match step {
        Step::Check(expected) => check(index, expected.as_deref(), found.as_ref()),
        _ => answered.get(found),
    };
    entries
        .into_iter()
        .zip(steps)
        .enumerate()
        .map(step)
        .collect()
}

fn check(
    index: usize,
    expected: Option<&str>,
    found: Option<&Entry>,
) -> Result<BatchResult, Problem> {
    let found = found.map(etag);
    if found.as_deref() == expected {
        Ok(BatchResult::default())
    } else {
        Err(check_failed(index, found.as_deref()))
    }
}

/// Why a transaction was given up: the store's reason, or ours.
enum Stop {
    Store(Error),
    Ours(Problem),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

fn in_transaction(tx: &mut dyn Transaction, steps: &[Keyed<'_>]) -> Result<Vec<BatchResult>, Stop> {
    let mut answered = Answered::default();
    let mut results = Vec::with_capacity(steps.len());
    for (index, (key, step)) in steps.iter().enumerate() {
        results.push(match step {
            Step::Set(put) => {
                tx.put(key, *put)?;
                set(put)
            }
            Step::Delete => {
                tx.delete(key)?;
                BatchResult::default()
            }
            Step::Get => answered.get(tx.entry(key)?).map_err(Stop::Ours)?,
            Step::Check(expected) => {
                let found = tx.entry(key)?;
                check(index, expected.as_deref(), found.as_ref()).map_err(Stop::Ours)?
            }
        });
    }
    Ok(results)
}

fn run(
    store: &dyn Store,
    steps: &[Keyed<'_>],
    progress: &Progress,
) -> Result<Vec<BatchResult>, Problem> {
    let is_write = |(_, step): &Keyed<'_>| matches!(step, Step::Set(_) | Step::Delete);
    if steps.iter().all(is_write) {
        return write(store, steps);
    }
    if !steps.iter().any(is_write) {
        return read(store, steps);
    }
    let Some(transactional) = store.transactional() else {
        let capability = Capability::Transactions;
        return Err(unsupported(Operation::Begin, capability, store));
    };
    let mut ours = None;
    // Rolls the transaction back; what is said to the caller lies in `ours`.
    let abandoned = || Error::new(Operation::Commit, ErrorKind::Closed);
    let outcome = transact(transactional, |tx| {
        if progress.is_given_up() {
            return Err(abandoned());
        }
        in_transaction(tx, steps).map_err(|stop| match stop {
            Stop::Store(error) => error,
            Stop::Ours(problem) => {
                ours = Some(problem);
                abandoned()
            }
        })
    });
    match (outcome, ours) {
        (Err(_), Some(problem)) => Err(problem),
        (outcome, _) => Ok(outcome?),
    }
}

/// Work on several keys as one
///
/// All operations happen, in their order, or none. Values are read as the batch has left them so
/// far. A `check` whose key has another tag ends the batch with 412, and `index` says which.
/// Batches that only set and delete, or only get and check, work on every engine; the others need
/// transactions.
#[utoipa::path(
    post,
    path = "/stores/{store}/batch",
    operation_id = "batch",
    tag = "keys",
    params(StoreParameter),
    request_body = Batch,
    responses(
        (status = 200, description = "All is done.", body = BatchAnswer),
        StoreWriteProblems,
    ),
)]
pub(crate) async fn batch(
    permit: Permit<auth::Write>,
    deadline: Deadline,
    StorePath(name): StorePath,
    RawQuery(query): RawQuery,
    body: JsonBody,
) -> Result<Response, Problem> {
    no_parameters(query)?;
    let work = move |models: &Models, progress: &Progress| {
        let batch: Batch = body.required()?;
        let store = models.store(&name)?;
        let steps = steps(&batch, Now::of(models, &name)?)?;
        let results = run(&*store, &steps, progress)?;
        json(StatusCode::OK, &BatchAnswer { results })
    };
    operation::write(permit, deadline, work).await
}
