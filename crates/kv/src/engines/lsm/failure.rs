//! What the database says when something goes wrong, in the words of the interfaces.

use nexusbase_db::{DiskError, ReadError, WriteError};

use crate::domain::{Error, ErrorKind, Operation};

/// Why something failed; what was to be done is added where that is known.
#[derive(Debug)]
pub(super) struct Fault(pub(super) ErrorKind);

impl Fault {
    pub(super) fn error(self, operation: Operation) -> Error {
        Error::new(operation, self.0)
    }

    /// A row of the engine that makes no sense.
    pub(super) fn nonsense(what: impl Into<String>) -> Self {
        Self(ErrorKind::Failed(what.into().into()))
    }
}

impl From<ErrorKind> for Fault {
    fn from(kind: ErrorKind) -> Self {
        Self(kind)
    }
}

impl From<DiskError> for Fault {
    fn from(error: DiskError) -> Self {
        match &error {
            DiskError::Corrupt(found) => Self(ErrorKind::Corrupt {
                file: found.path.clone(),
                offset: found.offset,
                expected: found.expected.clone(),
                found: found.found.clone(),
            }),
            DiskError::Io(_) => Self(ErrorKind::Failed(Box::new(error))),
        }
    }
}

impl From<ReadError> for Fault {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Forest(nexusbase_db::TreeReadError::Disk(disk)) => disk.into(),
            ReadError::Forest(nexusbase_db::TreeReadError::UnknownTree { .. }) => {
                Self(ErrorKind::StoreNotFound)
            }
            other => Self(ErrorKind::Failed(Box::new(other))),
        }
    }
}

impl From<WriteError> for Fault {
    fn from(error: WriteError) -> Self {
        let too_large = |what, bytes, limit| Self(ErrorKind::TooLarge { what, bytes, limit });
        match error {
            WriteError::KeyTooLarge { bytes, limit } => too_large("a key", bytes, limit),
            WriteError::ValueTooLarge { bytes, limit } => too_large("a value", bytes, limit),
            WriteError::TransactionTooLarge { bytes, limit } => {
                too_large("a transaction", bytes, limit)
            }
            WriteError::NoSuchTree(_) => Self(ErrorKind::StoreNotFound),
            WriteError::Read(read) => read.into(),
            other => Self(ErrorKind::Failed(Box::new(other))),
        }
    }
}
