//! The change feed: what happened to documents and collections, commit by commit.
//!
//! What it promises: every change that was committed, in the order of the commits, once, without a
//! gap, from any commit on that the log still has; also from the middle of a commit, so that a
//! reader who notes the [`Position`] of the last event that it has dealt with never misses or
//! repeats one. What is shown depends on the log alone: two who read the same part see the same.
//!
//! Within a commit, what became of collections comes first (dropped, renamed, created, new
//! options), then the documents by collection and `_id`. A document that was written several times
//! in one commit is shown once, as it was at the end.
//!
//! The feed of one collection follows the name. If the collection is dropped, that is an event, and
//! if there is one of that name again, its changes come next. If it is renamed, that is an event,
//! and what happens under the new name is for who watches that name. Documents of a collection that
//! is dropped have no events of their own, nor does an index.
//!
//! With a filter, documents that are put and match are shown; those that are put and do not match
//! are [`EventKind::Unmatched`], without the document, since they may have matched before; deletions
//! are all shown. So who keeps a copy of what matches knows all that it has to remove.
//!
//! The `_id` of a deletion is read from its key: a number comes back as the smallest type that says
//! it, which is the same `_id` as the one that was stored.
//!
//! A reader may be as slow as it likes: what it has not read is on the disk, and only one commit is
//! in memory.

pub(super) mod lifecycle;

use std::collections::HashMap;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bson::raw::{RawBson, RawDocumentBuf};
use nexusbase_db::{
    Change, ChangeFeed, Changed, Direction, Error as DbError, Index, KeyRange, Mutation, RowChange,
    Snapshot, TreeId, View,
};

use self::lifecycle::{Kind, Note};
use super::collection::Collection;
use super::documents::Documents;
use super::error::Error;
use crate::filter::Filter;
use crate::path::field;
use crate::query::stored_document;
use crate::value::key;

/// Why changes cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum ChangesError {
    /// What came next is no longer in the log.
    #[error(
        "the changes behind {since} are gone; the oldest that can be asked for are those behind \
         {oldest}: read the collection anew, and go on from there"
    )]
    HistoryGone {
        /// The commit behind which changes were asked for.
        since: Index,
        /// The oldest commit behind which they can be.
        oldest: Index,
    },
    /// There is no such commit yet.
    #[error("there is no commit {since} to go on behind; the last is {newest}")]
    Ahead {
        /// The commit behind which changes were asked for.
        since: Index,
        /// The newest commit.
        newest: Index,
    },
    /// The filter asks for what only an index can answer.
    #[error(
        "the filter of a change feed cannot have $text: a change is looked at without any index; \
         use $regex"
    )]
    TextFilter,
    /// An entry of the log makes no sense.
    #[error("the changes of commit {index} cannot be shown: {reason}")]
    Damaged {
        /// The commit.
        index: Index,
        /// What is wrong.
        reason: String,
    },
}

/// Up to where a reader has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The commit.
    pub index: Index,
    /// How many events of it, over all collections; none if all of them.
    pub events: Option<u64>,
}

impl Position {
    /// Behind everything in a commit.
    #[must_use]
    pub const fn behind(index: Index) -> Self {
        let events = None;
        Self { index, events }
    }
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Where to go on behind it: its commit, and its number in there, from 1.
    pub position: Position,
    /// When it was committed, in milliseconds since 1970.
    pub unix_ms: u64,
    /// The collection, as it is called after the commit, or was when it was dropped.
    pub collection: Arc<str>,
    /// What happened.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum EventKind {
    /// A document was inserted or changed.
    Put {
        /// Its `_id`.
        id: RawBson,
        /// What it is now.
        document: RawDocumentBuf,
    },
    /// A document was inserted or changed, and does not match the filter.
    Unmatched {
        /// Its `_id`.
        id: RawBson,
    },
    /// A document was deleted.
    Delete {
        /// Its `_id`.
        id: RawBson,
    },
    /// The collection was created.
    Created,
    /// The collection was dropped with its documents.
    Dropped,
    /// The collection was renamed.
    Renamed {
        /// What it was called before.
        from: Arc<str>,
    },
    /// The schema or another option of the collection was changed.
    Options,
}

/// Changes in their order.
#[derive(Debug)]
pub struct Changes {
    documents: Documents,
    feed: ChangeFeed,
    /// Commits up to this one are read, but not shown.
    shown: Index,
    /// How many events of the commit behind it are not shown either.
    skip: u64,
    names: Names,
    commit: Option<Commit>,
    /// Only what concerns this collection.
    only: Option<Arc<str>>,
    filter: Option<Filter>,
    position: Position,
}

/// What collections are called, by their trees of documents.
#[derive(Debug, Default)]
struct Names(HashMap<TreeId, Arc<str>>);

/// A commit that is being shown.
#[derive(Debug)]
struct Commit {
    index: Index,
    unix_ms: u64,
    notes: std::vec::IntoIter<Note>,
    mutations: std::vec::IntoIter<Mutation>,
    /// How many events of it came already.
    events: u64,
}

impl Documents {
    /// What happens in all collections, behind `since`; without it, from now on. With a filter, as
    /// described [above](self).
    ///
    /// # Errors
    /// [`ChangesError::HistoryGone`] when the log does not go back that far.
    pub fn changes(
        &self,
        since: Option<Position>,
        filter: Option<Filter>,
    ) -> Result<Changes, Error> {
        Changes::open(self.clone(), None, since, filter)
    }
}

impl Collection {
    /// What happens in the collection of this name, whether it exists already or not; see
    /// [`Documents::changes`].
    ///
    /// # Errors
    /// As there.
    pub fn changes(
        &self,
        since: Option<Position>,
        filter: Option<Filter>,
    ) -> Result<Changes, Error> {
        let only = Some(self.name().into());
        Changes::open(self.documents().clone(), only, since, filter)
    }
}

impl Names {
    fn now(documents: &Documents, snapshot: &Snapshot) -> Result<Self, Error> {
        let mut names = HashMap::new();
        let Some(meta) = documents.meta(snapshot)? else {
            return Ok(Self(names));
        };
        for row in snapshot.scan(meta, KeyRange::all(), Direction::Forward)? {
            let (name, _) = row?;
            let name = String::from_utf8_lossy(&name);
            if let Some(definition) = documents.definition(snapshot, &name)? {
                names.insert(definition.data, Arc::from(&*name));
            }
        }
        Ok(Self(names))
    }

    fn apply(&mut self, note: &Note) {
        match note.kind {
            Kind::Dropped => drop(self.0.remove(&note.data)),
            Kind::Renamed | Kind::Created => {
                self.0.insert(note.data, note.to.as_str().into());
            }
            Kind::Options => {}
        }
    }

    fn take_back(&mut self, note: &Note) {
        match note.kind {
            Kind::Dropped | Kind::Renamed => {
                self.0.insert(note.data, note.from.as_str().into());
            }
            Kind::Created => drop(self.0.remove(&note.data)),
            Kind::Options => {}
        }
    }
}

impl Changes {
    fn open(
        documents: Documents,
        only: Option<Arc<str>>,
        since: Option<Position>,
        filter: Option<Filter>,
    ) -> Result<Self, Error> {
        if filter
            .as_ref()
            .is_some_and(|filter| filter.text().is_some())
        {
            return Err(ChangesError::TextFilter.into());
        }
        let db = documents.database();
        let snapshot = db.snapshot();
        let now = snapshot.index();
        let position = since.unwrap_or_else(|| Position::behind(now));
        let (shown, skip) = match position.events {
            None => (position.index, 0),
            Some(events) => (Index::new(position.index.get().saturating_sub(1)), events),
        };
        let mut names = Names::now(&documents, &snapshot)?;
        let start = shown.min(now);
        let mut feed = feed_behind(&documents, start, position.index)?;
        if start < now {
            names = names_at(&documents, &mut feed, names, now)?;
            feed = feed_behind(&documents, start, position.index)?;
        }
        let mut changes = Self {
            documents,
            feed,
            shown,
            skip,
            names,
            commit: None,
            only,
            filter,
            position,
        };
        // The commit may be known to who asks before a snapshot sees it, but not before the log does.
        let mut newest = start;
        while newest < shown {
            let Some(commit) = changes.feed.try_next().map_err(DbError::from)? else {
                let since = position.index;
                return Err(ChangesError::Ahead { since, newest }.into());
            };
            newest = commit.index;
            changes.begin(commit)?;
            changes.commit = None;
        }
        Ok(changes)
    }

    /// Where to go on behind all that was shown so far.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.position
    }

    /// The next event, if there is one already.
    ///
    /// # Errors
    /// When the log cannot be read or is damaged.
    pub fn try_next(&mut self) -> Result<Option<Event>, Error> {
        loop {
            if let Some(event) = self.next_of_commit()? {
                return Ok(Some(event));
            }
            let Some(commit) = self.feed.try_next().map_err(DbError::from)? else {
                return Ok(None);
            };
            self.begin(commit)?;
        }
    }

    /// Waits until [`Self::try_next`] may have an event, at most for `timeout`.
    #[must_use]
    pub fn wait(&self, timeout: Duration) -> Changed {
        match &self.commit {
            Some(commit) => Changed::To(commit.index.get()),
            None => self.feed.wait(timeout),
        }
    }

    /// Ready when [`Self::try_next`] may have an event, or the database is closed.
    pub fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Changed> {
        match &self.commit {
            Some(commit) => Poll::Ready(Changed::To(commit.index.get())),
            None => self.feed.poll_ready(context),
        }
    }

    /// Begins to show a commit.
    fn begin(&mut self, change: Change) -> Result<(), Error> {
        // Who hears of it and looks must find it.
        self.documents.database().wait_visible(change.index);
        let notes = notes(&self.documents, &change)?;
        for note in &notes {
            self.names.apply(note);
        }
        self.commit = Some(Commit {
            index: change.index,
            unix_ms: change.unix_ms,
            notes: notes.into_iter(),
            mutations: change.mutations.into_iter(),
            events: 0,
        });
        Ok(())
    }

    /// The next event of the commit that is being shown.
    fn next_of_commit(&mut self) -> Result<Option<Event>, Error> {
        while let Some(commit) = &mut self.commit {
            let (collection, subject) = if let Some(note) = commit.notes.next() {
                let after = self.names.0.get(&note.data).cloned();
                (
                    after.unwrap_or_else(|| note.from.as_str().into()),
                    Subject::Note(note),
                )
            } else if let Some(mutation) = commit.mutations.next() {
                match self.names.0.get(&mutation.tree) {
                    Some(name) => (Arc::clone(name), Subject::Row(mutation)),
                    None => continue,
                }
            } else {
                self.position = self.position.max_index(commit.index);
                self.commit = None;
                return Ok(None);
            };
            commit.events += 1;
            let position = Position {
                index: commit.index,
                events: Some(commit.events),
            };
            let is_next = commit.index == self.shown.next();
            if is_next && commit.events <= self.skip {
                continue;
            }
            self.position = position;
            let concerns = |only: &Arc<str>| *only == collection || subject.was_called(only);
            if !self.only.as_ref().is_none_or(concerns) {
                continue;
            }
            let unix_ms = commit.unix_ms;
            let kind = subject.kind(&collection, commit.index, self.filter.as_ref())?;
            return Ok(Some(Event {
                position,
                unix_ms,
                collection,
                kind,
            }));
        }
        Ok(None)
    }
}

impl Position {
    /// Behind the commit `index`, unless this is behind it already.
    fn max_index(self, index: Index) -> Self {
        if self.index > index {
            self
        } else {
            Self::behind(index)
        }
    }
}

/// What an event is about.
enum Subject {
    Note(Note),
    Row(Mutation),
}

impl Subject {
    /// Whether it is about a collection that was called so before.
    fn was_called(&self, name: &str) -> bool {
        match self {
            Self::Note(note) => note.from == name,
            Self::Row(_) => false,
        }
    }

    fn kind(
        self,
        collection: &str,
        index: Index,
        filter: Option<&Filter>,
    ) -> Result<EventKind, Error> {
        let mutation = match self {
            Self::Note(note) => {
                return Ok(match note.kind {
                    Kind::Created => EventKind::Created,
                    Kind::Dropped => EventKind::Dropped,
                    Kind::Options => EventKind::Options,
                    Kind::Renamed => EventKind::Renamed {
                        from: note.from.into(),
                    },
                });
            }
            Self::Row(mutation) => mutation,
        };
        let damaged = |reason: &str| {
            let reason = reason.to_owned();
            Error::from(ChangesError::Damaged { index, reason })
        };
        match mutation.change {
            RowChange::Put(bytes) => {
                let document = stored_document(collection, &bytes)?;
                let id = field(&document, "_id")?;
                let id = id.ok_or_else(|| damaged("a document has no _id"))?.into();
                let matches = filter.map_or(Ok(true), |filter| filter.matches(&document))?;
                Ok(if matches {
                    EventKind::Put { id, document }
                } else {
                    EventKind::Unmatched { id }
                })
            }
            RowChange::Delete => match key::decode(&mutation.key) {
                Some(id) => Ok(EventKind::Delete { id }),
                None => Err(damaged("the key of a document is no value")),
            },
            RowChange::Merge(_) | RowChange::DeleteRange { .. } => {
                Err(damaged("documents are merged or deleted as a range"))
            }
        }
    }
}

/// What a commit says of collections, in the order in which it is shown.
fn notes(documents: &Documents, change: &Change) -> Result<Vec<Note>, Error> {
    let Some(tree) = documents.lifecycle_tree()? else {
        return Ok(Vec::new());
    };
    let mut notes = Vec::new();
    for mutation in change.mutations.iter().filter(|change| change.tree == tree) {
        let note = Note::of(mutation).map_err(|reason| {
            let index = change.index;
            ChangesError::Damaged { index, reason }
        })?;
        notes.extend(note);
    }
    notes.sort_unstable();
    Ok(notes)
}

/// What collections were called where `feed` stands, from what they are called at `now`.
fn names_at(
    documents: &Documents,
    feed: &mut ChangeFeed,
    mut names: Names,
    now: Index,
) -> Result<Names, Error> {
    let mut since = Vec::new();
    while let Some(change) = feed.try_next().map_err(DbError::from)? {
        if change.index > now {
            break;
        }
        since.extend(notes(documents, &change)?);
        if change.index == now {
            break;
        }
    }
    for note in since.iter().rev() {
        names.take_back(note);
    }
    Ok(names)
}

/// The commits behind `start`, which were asked for as those behind `since`.
fn feed_behind(documents: &Documents, start: Index, since: Index) -> Result<ChangeFeed, Error> {
    let db = documents.database();
    db.changes(start.next()).map_err(|error| {
        let oldest = db.oldest_change();
        if start.next() < oldest {
            let oldest = Index::new(oldest.get().saturating_sub(1));
            return ChangesError::HistoryGone { since, oldest }.into();
        }
        DbError::from(error).into()
    })
}
