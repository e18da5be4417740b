//! Transactions: several operations as one, in one request or over several.
//!
//! Both promise the same: all of it happens or nothing, as if nothing else had happened meanwhile
//! (serializable). A batch is one request, and is run again by itself when it conflicts with
//! another. An interactive transaction is begun, worked on, and committed; it belongs to the key
//! that has begun it, has a time limit, and ends with the first operation that fails. When it
//! conflicts, only its client knows what that means, so the client runs it again.
//!
//! Every operation is looked up in the caller's scopes and role when it comes.

mod description;
mod members;
mod operation;
mod table;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::RawQuery;
use axum::response::{IntoResponse, Response};
use hyper::{HeaderMap, StatusCode, header};
use nexusbase_documents::json::{Form, parse_document};
use nexusbase_documents::store::SessionError;
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::description::{
    CommitAnswer, OperationsAnswer, OperationsBody, TransactionBody, TransactionInfo,
    TransactionParameter,
};
use self::members::{Members, invalid};
use self::operation::{Answer, Operation, of_one, retryable};
use self::table::{Facts, Taken};
use crate::app::App;
use crate::auth::{Models, Permit, Read};
use crate::collections::no_parameters;
use crate::extract::{OneDocument, Segments};
use crate::negotiate::{Media, json as json_answer, put_header, text, wanted};
use crate::observe::Deadline;
use crate::openapi::TransactionProblems;
use crate::operation::{self as work, Progress};
use crate::problem::{Kind, Problem, json_error, of_error};
use crate::stores::JsonBody;

pub(crate) use self::table::{Ended, Table};

/// How long a transaction may be open.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
const TIMEOUT_MAX_MS: u64 = 30_000;
/// How often the table is looked through for transactions whose time is up.
const SWEEP: Duration = Duration::from_millis(250);

/// The routes of transactions, with their descriptions.
pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(batch))
        .routes(routes!(begin))
        .routes(routes!(info, remove))
        .routes(routes!(operations))
        .routes(routes!(commit))
}

/// Rolls back transactions whose time is up, and all of them when the server stops.
pub(crate) async fn sweep(app: Arc<App>) {
    let mut stopping = app.stopping.subscribe();
    let mut ticks = interval(SWEEP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            // It fails when the server is gone altogether.
            _ = stopping.wait_for(|stops| *stops) => break,
            _ = ticks.tick() => {}
        }
        if !app.transactions.is_empty() {
            app.transactions.sweep(app.clock.monotonic());
        }
    }
    app.transactions.stop();
}

/// Do several operations as one
///
/// All operations happen, in their order, or none: they are one transaction, over as many
/// collections as they name. Each sees what those before it have done. The first that fails ends
/// the batch, and `index` and `at` say which. A condition (`if`) that does not hold is answered with
/// 412. When others change the same data, the batch is run again by itself, and answered with 409
/// (`retryable`) if that does not help. A key with the role `read` may read.
#[utoipa::path(
    post,
    path = "/transactions/batch",
    operation_id = "transactionBatch",
    tag = "transactions",
    request_body = OperationsBody,
    responses(
        (status = 200, description = "All is done and durable.", body = OperationsAnswer),
        TransactionProblems,
    ),
)]
pub(crate) async fn batch(
    permit: Permit<Read>,
    deadline: Deadline,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    OneDocument(body): OneDocument,
) -> Result<Response, Problem> {
    no_parameters(query)?;
    let wanted = wanted(&headers, &[Media::Json])?;
    let work = move |models: &Models, progress: &Progress| {
        let operations = operation::read(models, &body.bytes)?;
        run_batch(models, &operations, wanted.form, progress)
    };
    let body = work::transact(permit, deadline, work).await?;
    Ok(text(StatusCode::OK, wanted, body))
}

/// The operations in one transaction, run again when it conflicts.
fn run_batch(
    models: &Models,
    operations: &[Operation],
    form: Form,
    progress: &Progress,
) -> Result<String, Problem> {
    let mut answer = Answer::new(form);
    let mut at = None;
    let ran = models.transact(|tx| {
        answer.clear();
        for (index, operation) in operations.iter().enumerate() {
            at = Some(index);
            operation.run(&mut operation.collection.within(tx), &mut answer)?;
            goes_on(progress)?;
            answer.check()?;
        }
        at = None;
        Ok(())
    });
    let Err(problem) = ran else {
        return Ok(answer.finish());
    };
    Err(match at {
        Some(index) => of_one(problem, index),
        None => retryable(problem),
    })
}

/// Whether somebody still waits for the answer.
fn goes_on(progress: &Progress) -> Result<(), Problem> {
    if progress.is_given_up() {
        return Err(work::busy("nobody waits for the answer any more"));
    }
    Ok(())
}

/// Begin a transaction
///
/// It sees the state of now, and its own writes. It belongs to the key that begins it, and is rolled
/// back when its time is up: after `timeout_ms` (10,000 unless something else is said, 30,000 at
/// most). There are only so many at one time (`limits.open_transactions`); beyond that, the answer
/// is 503.
#[utoipa::path(
    post,
    path = "/transactions",
    operation_id = "beginTransaction",
    tag = "transactions",
    request_body = Option<TransactionBody>,
    responses(
        (status = 201, description = "The transaction.", body = TransactionInfo,
            headers(("Location" = String, description = "Its URL.")),
            links(
                ("run" = (operation_id = "runOperations",
                    parameters(("transaction" = "$response.body#/id")))),
                ("commit" = (operation_id = "commitTransaction",
                    parameters(("transaction" = "$response.body#/id")))),
                ("rollBack" = (operation_id = "rollBackTransaction",
                    parameters(("transaction" = "$response.body#/id")))),
            )),
        TransactionProblems,
    ),
)]
pub(crate) async fn begin(
    permit: Permit<Read>,
    deadline: Deadline,
    RawQuery(query): RawQuery,
    body: JsonBody,
) -> Result<Response, Problem> {
    no_parameters(query)?;
    let work = move |models: &Models, _: &Progress| {
        let timeout = timeout(body.bytes())?;
        let place = models.transaction_place()?;
        let id = models.new_transaction_id()?;
        let times = (models.monotonic(), timeout);
        let session = models.begin();
        let table = models.transactions();
        let facts = table.open(&id, models.owner(), session, times, place)?;
        let mut response = json_answer(StatusCode::CREATED, &described(&id, &facts))?;
        put_header(
            &mut response,
            header::LOCATION,
            &format!("/transactions/{id}"),
        );
        Ok(response)
    };
    work::transact(permit, deadline, work).await
}

fn timeout(body: &[u8]) -> Result<Duration, Problem> {
    if body.is_empty() {
        return Ok(TIMEOUT_DEFAULT);
    }
    let body = parse_document(body).map_err(|error| json_error(&error))?;
    let members = Members::of(&body, "", &["timeout_ms"])?;
    let Some(ms) = members.number("timeout_ms", 1)? else {
        return Ok(TIMEOUT_DEFAULT);
    };
    match u64::try_from(ms) {
        Ok(ms) if ms <= TIMEOUT_MAX_MS => Ok(Duration::from_millis(ms)),
        _ => {
            let detail = format!("timeout_ms is at most {TIMEOUT_MAX_MS}");
            Err(invalid(&detail, "/timeout_ms").with("limit", TIMEOUT_MAX_MS))
        }
    }
}

fn described(id: &str, facts: &Facts) -> serde_json::Value {
    json!({
        "id": id,
        "created_ms": facts.created_ms,
        "expires_ms": facts.expires_ms,
        "operations": facts.operations,
        "in_use": facts.in_use,
    })
}

/// Look at a transaction
///
/// One that has ended is answered with 410, whose `reason` is `committed`, `rolled-back`, `failed`,
/// `conflict`, `timed-out` or `stopping`; what has ended long ago, or belongs to another key, with
/// 404.
#[utoipa::path(
    get,
    path = "/transactions/{transaction}",
    operation_id = "getTransaction",
    tag = "transactions",
    params(TransactionParameter),
    responses(
        (status = 200, description = "It is open.", body = TransactionInfo),
        TransactionProblems,
    ),
)]
pub(crate) async fn info(
    permit: Permit<Read>,
    Segments([id]): Segments<1>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    no_parameters(query)?;
    let models = permit.models();
    let table = models.transactions();
    let facts = table.facts(&id, &models.owner(), models.monotonic())?;
    json_answer(StatusCode::OK, &described(&id, &facts))
}

fn take(models: &Models, id: &str) -> Result<Taken, Problem> {
    let owner = models.owner();
    models.transactions().take(id, &owner, models.monotonic())
}

/// Work in a transaction
///
/// The operations are done in their order; nobody else sees them before the commit. If one fails,
/// the transaction is rolled back and has ended. A request that cannot be read, or asks for what the
/// key is not for, changes nothing, and the transaction goes on. One request at a time: a second one
/// is answered with 409.
#[utoipa::path(
    post,
    path = "/transactions/{transaction}/operations",
    operation_id = "runOperations",
    tag = "transactions",
    params(TransactionParameter),
    request_body = OperationsBody,
    responses(
        (status = 200, description = "All is done, but not committed.", body = OperationsAnswer,
            links(
                ("commit" = (operation_id = "commitTransaction",
                    parameters(("transaction" = "$request.path.transaction")))),
                ("rollBack" = (operation_id = "rollBackTransaction",
                    parameters(("transaction" = "$request.path.transaction")))),
            )),
        TransactionProblems,
    ),
)]
pub(crate) async fn operations(
    permit: Permit<Read>,
    deadline: Deadline,
    Segments([id]): Segments<1>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    OneDocument(body): OneDocument,
) -> Result<Response, Problem> {
    no_parameters(query)?;
    let wanted = wanted(&headers, &[Media::Json])?;
    let work = move |models: &Models, progress: &Progress| {
        let operations = operation::read(models, &body.bytes)?;
        let mut taken = take(models, &id)?;
        let mut answer = Answer::new(wanted.form);
        for (index, operation) in operations.iter().enumerate() {
            let ran = run_one(&mut taken, operation, &mut answer);
            if let Err(problem) = ran.and_then(|()| goes_on(progress)) {
                taken.roll_back(Ended::Failed);
                return Err(of_one(problem, index));
            }
        }
        taken.give_back(models.monotonic());
        Ok(answer.finish())
    };
    let body = work::transact(permit, deadline, work).await?;
    Ok(text(StatusCode::OK, wanted, body))
}

fn run_one(taken: &mut Taken, operation: &Operation, answer: &mut Answer) -> Result<(), Problem> {
    let session = taken.session()?;
    let ran = session.run(&operation.collection, |tx| operation.run(tx, answer));
    ran.map_err(|error| of_session(&error))?;
    answer.check()
}

fn of_session(error: &SessionError) -> Problem {
    match error {
        SessionError::Operation(error) => of_error(error),
        SessionError::Failed | SessionError::TooManyOperations => {
            Problem::new(Kind::TransactionTooLarge, error.to_string())
        }
    }
}

/// Commit a transaction
///
/// All of it happens, or nothing. If others have changed what it has read, the answer is 409 with
/// `retryable`: begin a new transaction, and read again.
#[utoipa::path(
    post,
    path = "/transactions/{transaction}/commit",
    operation_id = "commitTransaction",
    tag = "transactions",
    params(TransactionParameter),
    responses(
        (status = 200, description = "All is done and durable.", body = CommitAnswer),
        TransactionProblems,
    ),
)]
pub(crate) async fn commit(
    permit: Permit<Read>,
    deadline: Deadline,
    Segments([id]): Segments<1>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    no_parameters(query)?;
    let work = move |models: &Models, _: &Progress| {
        let (session, ending) = take(models, &id)?.into_session()?;
        match session.commit() {
            Ok(index) => {
                ending.is(Ended::Committed);
                json_answer(StatusCode::OK, &json!({"index": index.get()}))
            }
            Err(error) => {
                let problem = retryable(of_session(&error));
                let is_conflict = problem.kind() == Kind::Conflict;
                ending.is(if is_conflict {
                    Ended::Conflict
                } else {
                    Ended::Failed
                });
                Err(problem)
            }
        }
    };
    work::transact(permit, deadline, work).await
}

/// Roll a transaction back
#[utoipa::path(
    delete,
    path = "/transactions/{transaction}",
    operation_id = "rollBackTransaction",
    tag = "transactions",
    params(TransactionParameter),
    responses((status = 204, description = "Nothing of it was done."), TransactionProblems),
)]
pub(crate) async fn remove(
    permit: Permit<Read>,
    Segments([id]): Segments<1>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    no_parameters(query)?;
    take(permit.models(), &id)?.roll_back(Ended::RolledBack);
    Ok(StatusCode::NO_CONTENT.into_response())
}
