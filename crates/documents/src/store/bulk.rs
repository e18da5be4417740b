//! Many documents at once, each with its own outcome.

use std::collections::BTreeMap;

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
        // Refused by themselves, whatever else is in the transaction.
        let mut refused: BTreeMap<usize, Error> = BTreeMap::new();
        let mut end = documents.len();
        loop {
            let mut at_fault = 0;
            let inserted = self.documents().transact(|tx| {
                let mut collection = self.within(tx);
                let mut outcomes = BTreeMap::new();
                for (at, document) in documents[..end].iter().enumerate() {
                    if refused.contains_key(&at) {
                        continue;
                    }
                    at_fault = at;
                    match collection.insert(document) {
                        Err(error) if leaves_no_trace(&error) => {
                            outcomes.insert(at, Err(error));
                            if on_error == OnError::Stop {
                                break;
                            }
                        }
                        outcome => drop(outcomes.insert(at, Ok(outcome?))),
                    }
                }
                Ok(outcomes)
            });
            match inserted {
                Ok(mut outcomes) => {
                    if on_error == OnError::Skip || outcomes.values().all(Result::is_ok) {
                        outcomes.extend(refused.into_iter().map(|(at, error)| (at, Err(error))));
                    }
                    return Ok(outcomes.into_values().collect());
                }
                // The document may have left something in the transaction, which is gone with
                // all the others: again without it.
                Err(error @ Error::KeyTooLarge { .. }) => {
                    if on_error == OnError::Stop {
                        refused.clear();
                        end = at_fault;
                    }
                    refused.insert(at_fault, error);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// Whether an insert that failed so has changed nothing in its transaction.
const fn leaves_no_trace(error: &Error) -> bool {
    matches!(
        error,
        Error::DuplicateId { .. } | Error::Document(_) | Error::Id(_)
    )
}
