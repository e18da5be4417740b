//! Documents in a folder that this process holds open.

use nexusbase::documents::json::{self, Form};
use nexusbase::documents::query::SortKind;
use nexusbase::documents::store;
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
                path: index.spec.text(),
                multikey: index.multikey,
                ready: index.ready,
            })
            .collect(),
    });
    Ok(all.collect())
}

pub(super) fn insert(
    documents: &Documents,
    collection: &str,
    lines: &[Line],
    on_error: OnError,
) -> Outcome<Inserted> {
    let collection = documents.collection(collection)?;
    let mut result = Inserted::default();
    let (mut numbers, mut parsed) = (Vec::new(), Vec::new());
    for line in lines {
        match json::parse_document(&line.text) {
            Ok(document) => {
                numbers.push(line.number);
                parsed.push(document);
            }
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
    let on_error = match on_error {
        OnError::Stop => store::OnError::Stop,
        OnError::Skip => store::OnError::Skip,
    };
    for (outcome, line) in collection
        .insert_each(&parsed, on_error)?
        .into_iter()
        .zip(numbers)
    {
        match outcome {
            Ok(_) => result.inserted += 1,
            Err(e) => result.refused.push(Refused {
                line,
                reason: e.to_string(),
            }),
        }
    }
    result.refused.sort_by_key(|refused| refused.line);
    if on_error == store::OnError::Stop {
        // What is behind the first was never reached.
        result.refused.truncate(1);
    }
    Ok(result)
}
