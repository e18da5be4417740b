//! Documents in a folder or on a server, behind one set of operations.
//!
//! A document is one line of JSON here: that is what a server sends, what an export writes and
//! what a file holds. Questions are checked in this process before they go anywhere, so that a
//! wrong filter reads the same for a folder and for a server.

mod folder;
mod server;

use nexusbase::bson::raw::RawDocumentBuf;
use nexusbase::documents::error::ParseError;
use nexusbase::documents::json;
use nexusbase::{Documents, IndexSpec, Query};

use super::args::OnError;
use super::failure::{Failure, Outcome};
use super::http::Client;

/// Where the documents are.
#[derive(Debug)]
pub(super) enum Store {
    /// In a folder that this process holds open.
    Folder(Documents),
    /// On a server.
    Server(Client),
}

/// What is asked of a collection, as it was written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'a> {
    pub(super) collection: &'a str,
    pub(super) filter: &'a str,
    pub(super) sort: Option<&'a str>,
    pub(super) limit: Option<usize>,
    pub(super) skip: usize,
    pub(super) fields: Option<&'a str>,
    /// Every value with its type, so that importing gives back the same.
    pub(super) canonical: bool,
}

/// How a question was answered.
#[derive(Debug)]
pub(super) struct Explained {
    pub(super) access: String,
    pub(super) bounds: Option<String>,
    pub(super) sort: String,
    pub(super) index_rows_read: u64,
    pub(super) documents_read: u64,
    pub(super) documents_returned: u64,
    pub(super) micros: u64,
}

/// A line of a file that is to be imported.
#[derive(Debug)]
pub(super) struct Line {
    /// Its number in the file, from 1.
    pub(super) number: u64,
    pub(super) text: Vec<u8>,
}

/// A line that could not be imported, and why.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) line: u64,
    pub(super) reason: String,
}

/// What became of some lines.
#[derive(Debug, Default)]
pub(super) struct Inserted {
    pub(super) inserted: u64,
    /// In the order of lines. With [`OnError::Stop`], at most one; the lines before it are in, it
    /// and the lines behind it are not.
    pub(super) refused: Vec<Refused>,
}

/// A collection and its indexes.
#[derive(Debug)]
pub(super) struct CollectionShown {
    pub(super) name: String,
    pub(super) indexes: Vec<IndexShown>,
}

/// An index.
#[derive(Debug)]
pub(super) struct IndexShown {
    pub(super) path: String,
    pub(super) multikey: bool,
    pub(super) ready: bool,
}

/// Takes the answers one by one, each a line of JSON.
pub(super) type Take<'a> = dyn FnMut(&str) -> Outcome + 'a;

impl Store {
    /// Gives every answer to `take`.
    pub(super) fn find(&self, question: &Question<'_>, take: &mut Take<'_>) -> Outcome {
        let query = question.check()?;
        match self {
            Self::Folder(documents) => folder::find(documents, question, &query, take),
            Self::Server(client) => server::find(client, question, take),
        }
    }

    /// Answers the question, and says how instead of what.
    pub(super) fn explain(&self, question: &Question<'_>) -> Outcome<Explained> {
        let query = question.check()?;
        match self {
            Self::Folder(documents) => folder::explain(documents, question, &query),
            Self::Server(client) => server::explain(client, question),
        }
    }

    /// Inserts the documents on `lines`.
    pub(super) fn insert(
        &self,
        collection: &str,
        lines: &[Line],
        on_error: OnError,
    ) -> Outcome<Inserted> {
        match self {
            Self::Folder(documents) => folder::insert(documents, collection, lines, on_error),
            Self::Server(client) => server::insert(client, collection, lines, on_error),
        }
    }

    /// Creates an index. Returns whether it is new. `progress` hears how many documents are in.
    pub(super) fn create_index(
        &self,
        collection: &str,
        path: &str,
        progress: impl FnMut(u64),
    ) -> Outcome<bool> {
        match self {
            Self::Folder(documents) => {
                let collection = documents.collection(collection)?;
                Ok(collection.create_index(&IndexSpec::on(path)?, progress)?)
            }
            Self::Server(client) => server::create_index(client, collection, path),
        }
    }

    /// Drops an index. Returns whether there was one.
    pub(super) fn drop_index(&self, collection: &str, path: &str) -> Outcome<bool> {
        match self {
            Self::Folder(documents) => Ok(documents.collection(collection)?.drop_index(path)?),
            Self::Server(client) => server::drop_index(client, collection, path),
        }
    }

    /// All collections by name.
    pub(super) fn collections(&self) -> Outcome<Vec<CollectionShown>> {
        match self {
            Self::Folder(documents) => folder::collections(documents),
            Self::Server(client) => server::collections(client),
        }
    }

    /// The collection called `name`; an error that names the others if there is none.
    pub(super) fn collection(&self, name: &str) -> Outcome<CollectionShown> {
        let mut all = self.collections()?;
        match all.iter().position(|collection| collection.name == name) {
            Some(at) => Ok(all.swap_remove(at)),
            None => Err(no_collection(name, &all)),
        }
    }

    /// Makes what was written as durable as it gets, and says if that failed.
    pub(super) fn close(&self) -> Outcome {
        match self {
            Self::Folder(documents) => Ok(documents.database().close()?),
            Self::Server(_) => Ok(()),
        }
    }
}

impl Question<'_> {
    fn check(&self) -> Outcome<Query> {
        let filter = parse_filter(self.filter)?;
        let mut query = Query::new(&filter)
            .map_err(|e| Failure::usage("the filter cannot be used").because(Some(&e)))?;
        if let Some(sort) = self.sort {
            query = query.sort(sort).map_err(Failure::usage)?;
        }
        if let Some(fields) = self.fields {
            query = query.fields(fields).map_err(Failure::usage)?;
        }
        query.limit = self.limit;
        Ok(query.skip(self.skip))
    }
}

/// How much of a filter is shown before and behind the place that is wrong, in characters.
const SHOWN_CHARS: usize = 60;

fn parse_filter(text: &str) -> Outcome<RawDocumentBuf> {
    json::parse_document(text.as_bytes()).map_err(|error| {
        let ParseError {
            line, column, kind, ..
        } = &error;
        let shown = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
        let first = column.saturating_sub(SHOWN_CHARS);
        let part: String = shown.chars().skip(first).take(2 * SHOWN_CHARS).collect();
        let indent = " ".repeat(column.saturating_sub(1 + first));
        Failure::usage(format_args!(
            "the filter is not JSON: {kind}, at column {column}\n  {part}\n  {indent}^"
        ))
        .hint("write it between single quotes: '{\"section\": \"net\"}'")
    })
}

/// There is no collection with that name; these are the ones that exist.
fn no_collection(name: &str, all: &[CollectionShown]) -> Failure {
    const SHOWN_MAX: usize = 20;
    let failure = Failure::new(format_args!("there is no collection {name:?}"));
    if all.is_empty() {
        return failure.hint("there is none at all yet; `nexusbase import` creates one");
    }
    let names: Vec<&str> = all.iter().map(|one| one.name.as_str()).collect();
    let more = match names.len().saturating_sub(SHOWN_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let shown = names[..names.len().min(SHOWN_MAX)].join(", ");
    failure.hint(format_args!("there is: {shown}{more}"))
}
