//! Many documents at once, each with its own outcome.

use bson::raw::{RawBson, RawDocumentBuf};

use super::collection::Collection;
use super::error::Error;

/// What happens to the documents behind one that is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    /// They are not inserted.
    Stop,
    /// They are, as far as they are not refused themselves.
    Skip,
}

impl Collection {
    /// Inserts documents in one transaction and says what came of each, in order: the `_id`, or why
    /// the document was refused. With [`OnError::Stop`] the first that was refused is the last of
    /// the list.
    ///
    /// # Errors
    /// When the database fails, which is the fault of no document: none of them is in then.
    pub fn insert_each(
        &self,
        documents: &[RawDocumentBuf],
        on_error: OnError,
    ) -> Result<Vec<Result<RawBson, Error>>, Error> {
        self.documents().transact(|tx| {
            let mut collection = self.within(tx);
            let mut outcomes = Vec::with_capacity(documents.len());
            for document in documents {
                match collection.insert(document) {
                    Err(error) if leaves_no_trace(&error) => {
                        outcomes.push(Err(error));
                        if on_error == OnError::Stop {
                            break;
                        }
                    }
                    outcome => outcomes.push(Ok(outcome?)),
                }
            }
            Ok(outcomes)
        })
    }
}

/// Whether an insert that failed so has changed nothing in its transaction.
const fn leaves_no_trace(error: &Error) -> bool {
    matches!(
        error,
        Error::DuplicateId { .. }
            | Error::DuplicateKey { .. }
            | Error::KeyTooLarge { .. }
            | Error::ParallelArrays { .. }
            | Error::Document(_)
            | Error::Id(_)
    )
}
