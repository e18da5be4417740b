//! From the errors of key-value stores to problems.

use nexusbase_db::{CommitError, Error as DbError};
use nexusbase_kv::{Error, ErrorKind};

use super::from::{damaged, internal, of_commit, of_database};
use super::{Kind, Problem};

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let problem = of_kind(&error);
        // Which store it is about, so that a program need not read the sentence.
        match error.store_name() {
            Some(store) => problem.with("store", store),
            None => problem,
        }
    }
}

/// What of an error is not the caller's business (paths, the inside of failures) goes to the log.
fn of_kind(error: &Error) -> Problem {
    let of = |kind| Problem::new(kind, error.to_string());
    match error.kind() {
        ErrorKind::KeyNotFound => of(Kind::NoSuchKey),
        ErrorKind::StoreNotFound => of(Kind::NoSuchStore),
        ErrorKind::StoreExists => of(Kind::StoreExists),
        ErrorKind::EngineNotFound { known } => {
            of(Kind::NoSuchEngine).with("known", known.as_slice())
        }
        ErrorKind::VersionNotFound(_) => of(Kind::NoSuchVersion),
        ErrorKind::VersionExists(_) => of(Kind::VersionExists),
        ErrorKind::Conflict => of(Kind::Conflict),
        ErrorKind::ReadOnly(_) => of(Kind::ReadOnly),
        ErrorKind::Unsupported(capability) => {
            of(Kind::Unsupported).with("capability", capability.to_string())
        }
        ErrorKind::Corrupt { .. } => damaged(&error.to_string()),
        ErrorKind::TooLarge { limit, .. } => of(Kind::EntryTooLarge).with("limit", *limit),
        ErrorKind::Invalid(_) => of(Kind::BadRequest),
        ErrorKind::UnfinishedCopy { of: source } => {
            of(Kind::UnfinishedCopy).with("of", source.as_str())
        }
        ErrorKind::Closed => {
            let detail = "the store is closed, or the server is stopping; nothing was written";
            Problem::new(Kind::StoresClosed, detail)
        }
        ErrorKind::Io(io) if io.is_no_space() => {
            tracing::error!(%error, "the disk is full");
            let detail = "the disk that holds the store is full; nothing was written. Free some \
                          space and try again";
            Problem::new(Kind::DiskFull, detail)
        }
        ErrorKind::Failed(inner) => match inner.downcast_ref::<DbError>() {
            Some(below) => of_database(below),
            None => match inner.downcast_ref::<CommitError>() {
                Some(below) => of_commit(below),
                None => failed(error),
            },
        },
        _ => failed(error),
    }
}

fn failed(error: &Error) -> Problem {
    tracing::error!(%error, "a store failed");
    internal()
}
