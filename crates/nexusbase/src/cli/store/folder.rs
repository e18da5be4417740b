//! Documents in a folder that this process holds open.

use nexusbase::bson::raw::RawDocumentBuf;
use nexusbase::documents::json::{self, Form};
use nexusbase::documents::query::SortKind;
use nexusbase::{Access, Collection, Documents, Error, Query, Snapshot};

use super::{
    CollectionShown, Explained, IndexShown, Inserted, Line, Question, Refused, Take, no_collection,
};
use crate::cli::args::OnError;
use crate::cli::failure::{Failure, Outcome};

pub(super) fn find(
    documents: &Documents,
    question: &Question<'_>,
    query: &Query,
    take: &mut Take<'_>,
) -> Outcome {
    let (collection, snapshot) = existing(documents, question.collection)?;
    let mut line = String::new();
    let form = if question.canonical {
        Form::Canonical
    } else {
        Form::Relaxed
    };
    for document in collection.find_in(&snapshot, query)? {
        line.clear();
        json::write_document(&document?, form, &mut line)
            .map_err(|e| Failure::from(Error::from(e)))?;
        take(&line)?;
    }
    Ok(())
}

pub(super) fn explain(
    documents: &Documents,
    question: &Question<'_>,
    query: &Query,
) -> Outcome<Explained> {
    let (collection, snapshot) = existing(documents, question.collection)?;
    let mut answers = collection.find_in(&snapshot, query)?;
    for document in answers.by_ref() {
        document?;
    }
    let explain = answers.explain();
    let (access, bounds) = match explain.access {
        Access::Collection => ("whole collection".to_owned(), None),
        Access::Id { bounds } => ("_id".to_owned(), Some(bounds)),
        Access::Index { path, bounds } => (format!("index on {path}"), Some(bounds)),
    };
    let sort = match explain.sort {
        SortKind::None => "none",
        SortKind::ByAccess => "by access",
        SortKind::InMemory => "in memory",
    };
    Ok(Explained {
        access,
        bounds,
        sort: sort.to_owned(),
        index_rows_read: explain.index_rows_read,
        documents_read: explain.documents_read,
        documents_returned: explain.documents_returned,
        micros: explain.micros,
    })
}

fn existing(documents: &Documents, name: &str) -> Outcome<(Collection, Snapshot)> {
    let collection = documents.collection(name)?;
    let snapshot = collection.snapshot();
    if !collection.exists_in(&snapshot)? {
        return Err(no_collection(name, &collections(documents)?));
    }
    Ok((collection, snapshot))
}

pub(super) fn collections(documents: &Documents) -> Outcome<Vec<CollectionShown>> {
    let all = documents.list()?.into_iter().map(|info| CollectionShown {
        name: info.name,
        indexes: info
            .indexes
            .into_iter()
            .map(|index| IndexShown {
                path: index.path,
                multikey: index.multikey,
                ready: index.ready,
            })
            .collect(),
    });
    Ok(all.collect())
}

/// A line that is a document.
struct Parsed {
    line: u64,
    document: RawDocumentBuf,
}

pub(super) fn insert(
    documents: &Documents,
    collection: &str,
    lines: &[Line],
    on_error: OnError,
) -> Outcome<Inserted> {
    let collection = documents.collection(collection)?;
    let mut result = Inserted::default();
    let mut parsed = Vec::with_capacity(lines.len());
    for line in lines {
        match json::parse_document(&line.text) {
            Ok(document) => parsed.push(Parsed {
                line: line.number,
                document,
            }),
            Err(e) => {
                let place = if e.at.is_empty() {
                    String::new()
                } else {
                    format!(" ({})", e.at)
                };
                result.refused.push(Refused {
                    line: line.number,
                    reason: format!("{}, at column {}{place}", e.kind, e.column),
                });
                if on_error == OnError::Stop {
                    break;
                }
            }
        }
    }
    insert_parsed(&collection, parsed, on_error, &mut result)?;
    result.refused.sort_by_key(|refused| refused.line);
    Ok(result)
}

/// Inserts documents in one transaction, or in a few where one of them breaks a transaction.
fn insert_parsed(
    collection: &Collection,
    mut parsed: Vec<Parsed>,
    on_error: OnError,
    result: &mut Inserted,
) -> Outcome {
    while !parsed.is_empty() {
        let mut at_fault = 0;
        let attempt = collection.documents().transact(|tx| {
            let mut refused = Vec::new();
            let mut inserted = 0;
            let mut within = collection.within(tx);
            for (at, one) in parsed.iter().enumerate() {
                at_fault = at;
                match within.insert(&one.document) {
                    Ok(_) => inserted += 1,
                    Err(e) if leaves_no_trace(&e) => {
                        refused.push((one.line, e.to_string()));
                        if on_error == OnError::Stop {
                            break;
                        }
                    }
                    Err(e) => return Err(e),
                }
            }
            Ok((inserted, refused))
        });
        match attempt {
            Ok((inserted, refused)) => {
                result.inserted += inserted;
                let refused = refused.into_iter();
                let refused = refused.map(|(line, reason)| Refused { line, reason });
                add_refused(result, refused, on_error);
                return Ok(());
            }
            // The transaction is gone with all its documents: again, without this one.
            Err(e @ Error::KeyTooLarge { .. }) => {
                let line = parsed[at_fault].line;
                let reason = e.to_string();
                add_refused(result, std::iter::once(Refused { line, reason }), on_error);
                if on_error == OnError::Stop {
                    parsed.truncate(at_fault);
                } else {
                    parsed.remove(at_fault);
                }
            }
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

/// With [`OnError::Stop`] only the first line counts: what is behind it was never reached.
fn add_refused(result: &mut Inserted, refused: impl Iterator<Item = Refused>, on_error: OnError) {
    for one in refused {
        if on_error == OnError::Stop {
            result.refused.clear();
        }
        result.refused.push(one);
    }
}

/// Whether an insert that failed so has changed nothing in its transaction.
const fn leaves_no_trace(error: &Error) -> bool {
    matches!(
        error,
        Error::DuplicateId { .. } | Error::Document(_) | Error::Id(_)
    )
}
