//! From the errors of the floors below to problems.

use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use nexusbase_db::{CommitError, Error as DbError, WriteError};
use nexusbase_documents::error::ParseErrorKind;
use nexusbase_documents::store::idempotency::IdempotencyError;
use nexusbase_documents::store::{ChangesError, NameError};
use nexusbase_documents::{
    DocumentError, Error, FilterError, IdError, ParseError, ProjectionError, SortError, ValueError,
};
use serde_json::Value;

use super::change::{of_change, of_schema, violated};
use super::{Kind, Problem};
use crate::auth::KeyError;

/// An error of the document model. What of it is not the caller's business goes to the log.
pub(crate) fn of_error(error: &Error) -> Problem {
    let text = error.to_string();
    match error {
        Error::Name(_) => Problem::new(Kind::InvalidName, text).parameter("name"),
        Error::NoSuchCollection { .. } => Problem::new(Kind::NoSuchCollection, text),
        Error::Document(e) => of_document(e),
        Error::Id(e) => of_id(e),
        Error::DuplicateId { id, .. } => {
            Problem::new(Kind::DuplicateId, text).with("id", id.as_str())
        }
        Error::IdChanged { .. } => Problem::new(Kind::IdChanged, text).with("at", "/_id"),
        Error::KeyTooLarge { path, limit, .. } => {
            // An _id is too long whatever the collection; other values are for an index.
            let kind = if path == "_id" {
                Kind::InvalidDocument
            } else {
                Kind::DocumentRefused
            };
            let problem = Problem::new(kind, text).with("limit", *limit);
            problem.with("path", path.as_str())
        }
        Error::ParallelArrays { index } => {
            Problem::new(Kind::DocumentRefused, text).with("index_name", index.as_str())
        }
        Error::IndexPath { .. } => Problem::new(Kind::InvalidIndex, text).parameter("index"),
        Error::IndexSpec { index, .. } => {
            Problem::new(Kind::InvalidIndex, text).with("index_name", index.as_str())
        }
        Error::TooManyIndexes { limit, .. } => {
            Problem::new(Kind::InvalidIndex, text).with("limit", *limit)
        }
        Error::IndexExists { index, .. } => {
            Problem::new(Kind::IndexExists, text).with("index_name", index.as_str())
        }
        Error::DuplicateKey {
            index, values, id, ..
        } => Problem::new(Kind::DuplicateKey, text)
            .with("index_name", index.as_str())
            .with(
                "key",
                serde_json::from_str::<Value>(values).unwrap_or_default(),
            )
            .with("id", id.as_str()),
        Error::DuplicateKeys { index, .. } => {
            Problem::new(Kind::DuplicateKey, text).with("index_name", index.as_str())
        }
        Error::NoSuchIndex { .. } => Problem::new(Kind::NoSuchIndex, text),
        Error::Filter(e) => of_filter(e),
        Error::Sort(SortError::Value(e))
        | Error::Projection(ProjectionError::Value(e))
        | Error::Value(e) => of_value(e),
        Error::Sort(_) => Problem::new(Kind::InvalidSort, text).parameter("sort"),
        Error::Projection(_) => Problem::new(Kind::InvalidFields, text).parameter("fields"),
        Error::TooManyWords { index, limit } => Problem::new(Kind::InvalidDocument, text)
            .with("index", index.as_str())
            .with("limit", *limit),
        Error::NoTextScore { asked_in } => {
            let kind = match *asked_in {
                "sort" => Kind::InvalidSort,
                _ => Kind::InvalidFields,
            };
            Problem::new(kind, text)
        }
        Error::Hint { .. } => Problem::new(Kind::InvalidParameter, text).parameter("hint"),
        Error::NoTextIndex { .. }
        | Error::TooManyValues { .. }
        | Error::Changes(ChangesError::TextFilter) => {
            Problem::new(Kind::InvalidFilter, text).parameter("filter")
        }
        Error::Cursor(_) => Problem::new(Kind::InvalidCursor, text).parameter("cursor"),
        Error::Pipeline(e) => super::pipeline::refused(e),
        Error::Aggregate(e) => super::pipeline::stopped(e),
        Error::Precondition { current, .. } => {
            let etag = current.map(|revision| format!("\"{revision}\""));
            Problem::new(Kind::PreconditionFailed, text).with("etag", etag)
        }
        Error::CollectionExists { .. } => Problem::new(Kind::CollectionExists, text),
        Error::Change(e) => of_change(e),
        Error::SchemaRefused(e) => of_schema(e),
        Error::Schema { violations, .. } => violated(violations, text),
        Error::Idempotency(IdempotencyError::Damaged)
        | Error::Changes(ChangesError::Damaged { .. })
        | Error::Damaged { .. } => damaged(&text),
        Error::Idempotency(_) => {
            Problem::new(Kind::InvalidHeader, text).with("header", "idempotency-key")
        }
        Error::Changes(ChangesError::HistoryGone { oldest, .. }) => {
            Problem::new(Kind::HistoryGone, text).with("oldest", oldest.to_string())
        }
        Error::Changes(ChangesError::Ahead { .. }) => {
            Problem::new(Kind::InvalidCursor, text).parameter("since")
        }
        Error::Database(e) => of_database(e),
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        of_error(&error)
    }
}

impl From<CommitError> for Problem {
    fn from(error: CommitError) -> Self {
        of_commit(&error)
    }
}

impl From<KeyError> for Problem {
    fn from(error: KeyError) -> Self {
        let text = error.to_string();
        match &error {
            KeyError::Invalid { at, .. } => {
                Self::new(Kind::InvalidBody, text).with("at", at.as_str())
            }
            KeyError::NoSuchKey { .. } => Self::new(Kind::NoSuchApiKey, text),
            KeyError::Revoked { .. } => Self::new(Kind::ApiKeyRevoked, text),
            KeyError::TooMany => Self::new(Kind::TooManyApiKeys, text),
            KeyError::Damaged { .. } => damaged(&text),
            KeyError::Database(error) => of_database(error),
            KeyError::Random(_) => {
                tracing::error!(%error, "no random bytes");
                internal()
            }
        }
    }
}

impl From<NameError> for Problem {
    fn from(error: NameError) -> Self {
        of_error(&Error::Name(error))
    }
}

impl From<IdError> for Problem {
    fn from(error: IdError) -> Self {
        of_id(&error)
    }
}

impl From<ValueError> for Problem {
    fn from(error: ValueError) -> Self {
        of_value(&error)
    }
}

pub(super) fn of_document(error: &DocumentError) -> Problem {
    let kind = match error {
        DocumentError::TooLarge { .. } => Kind::DocumentTooLarge,
        DocumentError::Id(e) => return of_id(e),
        _ => Kind::InvalidDocument,
    };
    let problem = Problem::new(kind, error.to_string());
    match error {
        DocumentError::Damaged { at, .. }
        | DocumentError::TooDeep { at }
        | DocumentError::DuplicateName { at, .. }
        | DocumentError::Name { at, .. } => problem.with("at", at.as_str()),
        DocumentError::TooLarge { .. } | DocumentError::Id(_) => problem,
    }
}

pub(super) fn of_id(error: &IdError) -> Problem {
    let problem = Problem::new(Kind::InvalidId, error.to_string());
    match error {
        IdError::Type { .. } => problem.with("at", "/_id"),
        IdError::Json(e) => problem.with("column", e.column),
        IdError::Empty | IdError::Value(_) => problem,
    }
}

pub(super) fn of_filter(error: &FilterError) -> Problem {
    let problem = Problem::new(Kind::InvalidFilter, error.to_string()).parameter("filter");
    problem.with("at", super::pipeline::in_filter(error))
}

pub(super) fn of_value(error: &ValueError) -> Problem {
    match error {
        ValueError::TooDeep => Problem::new(Kind::InvalidDocument, error.to_string()),
        ValueError::Damaged(_) => damaged(&error.to_string()),
        ValueError::Pattern { .. } | ValueError::TextSearch { .. } => {
            Problem::new(Kind::InvalidFilter, error.to_string()).parameter("filter")
        }
    }
}

/// A text that is not JSON, with where it stops to be.
pub(crate) fn json_error(error: &ParseError) -> Problem {
    let kind = match error.kind {
        ParseErrorKind::TooLarge => Kind::DocumentTooLarge,
        _ => Kind::InvalidJson,
    };
    Problem::new(kind, error.to_string())
        .with("at", error.at.as_str())
        .with("line", error.line)
        .with("column", error.column)
}

pub(super) fn of_database(error: &DbError) -> Problem {
    match error {
        DbError::Write(WriteError::TransactionTooLarge { .. }) => {
            Problem::new(Kind::TransactionTooLarge, error.to_string())
        }
        DbError::Write(WriteError::ValueTooLarge { .. }) => {
            Problem::new(Kind::DocumentTooLarge, error.to_string())
        }
        DbError::Write(WriteError::KeyTooLarge { .. }) => {
            Problem::new(Kind::InvalidDocument, error.to_string())
        }
        DbError::Write(WriteError::NoSuchTree(_) | WriteError::TreeExists(_)) => {
            tracing::warn!(%error, "the catalog changed under a transaction");
            let detail = "the collection or index was created or dropped meanwhile; try again";
            Problem::new(Kind::Conflict, detail)
        }
        DbError::Commit(e) => of_commit(e),
        DbError::Open(_) | DbError::Read(_) | DbError::Write(_) => {
            tracing::error!(%error, "the database failed");
            internal()
        }
    }
}

pub(super) fn of_commit(error: &CommitError) -> Problem {
    match error {
        CommitError::Conflict { .. } | CommitError::TooManyConflicts { .. } => {
            Problem::new(Kind::Conflict, error.to_string())
        }
        CommitError::NoSpace(_) => {
            tracing::error!(%error, "the disk is full");
            let detail = "the disk that holds the database is full; nothing was written. Free \
                          some space and try again";
            Problem::new(Kind::DiskFull, detail)
        }
        CommitError::Stopped(_) => {
            tracing::error!(%error, "the database has stopped");
            let detail = "the database accepts no more writes until it is opened again, because \
                          its log has failed; whether this write was done is not known until \
                          then. The server's log says more";
            Problem::new(Kind::DatabaseStopped, detail)
        }
        CommitError::Closed => Problem::new(
            Kind::DatabaseStopped,
            "the server is stopping; nothing was written. Try again when it runs again",
        ),
    }
}

/// Stored data that makes no sense.
pub(super) fn damaged(reason: &str) -> Problem {
    tracing::error!(reason, "stored data is damaged");
    let detail = "stored data cannot be read; the server's log says which, under this request id";
    Problem::new(Kind::Damaged, detail)
}

pub(super) fn internal() -> Problem {
    let detail = "the server failed; its log says more, under this request id";
    Problem::new(Kind::Internal, detail)
}

/// A problem for an answer that something else than a handler made.
pub(crate) fn foreign(response: &Response) -> Problem {
    let known = |kind: &&Kind| kind.status() == response.status();
    match response.status() {
        StatusCode::NOT_FOUND => Problem::new(
            Kind::NoSuchRoute,
            "nothing is served at this path; /openapi.json lists what is",
        ),
        StatusCode::METHOD_NOT_ALLOWED => Problem::new(
            Kind::MethodNotAllowed,
            "this path has other methods; the header Allow lists them",
        ),
        status if status.is_server_error() => internal(),
        status => match Kind::ALL.iter().find(known) {
            Some(kind) => Problem::new(*kind, kind.title()),
            None => Problem::new(Kind::BadRequest, status.to_string()),
        },
    }
}

/// The answer when a handler panics, which is always a defect of this program.
pub(crate) fn panicked(payload: Box<dyn std::any::Any + Send>) -> Response {
    let message = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned());
    drop(payload);
    tracing::error!(
        ?message,
        "a handler panicked; this is a defect, please report it"
    );
    internal().into_response()
}
