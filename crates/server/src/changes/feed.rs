//! Reading changes for one caller: what it may know of them, as JSON.

use std::task::{Context, Poll};

use nexusbase_db::{Changed, Index};
use nexusbase_documents::bson::raw::RawBsonRef;
use nexusbase_documents::json::{Form, write_document, write_value};
use nexusbase_documents::store::{Changes, Event, EventKind, Position};

use super::Question;
use crate::auth::Models;
use crate::operation::busy;
use crate::problem::{Kind, Problem};

/// A position as text: the commit, and behind a dot how many of its events.
pub(super) fn position_text(position: Position) -> String {
    match position.events {
        None => position.index.to_string(),
        Some(events) => format!("{}.{events}", position.index),
    }
}

/// What [`position_text`] has written.
pub(super) fn parse_position(text: &str) -> Option<Position> {
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u64>().ok().filter(|_| digits)
    };
    let (index, events) = match text.split_once('.') {
        None => (number(text)?, None),
        Some((index, events)) => (number(index)?, Some(number(events)?)),
    };
    let index = Index::new(index);
    Some(Position { index, events })
}

/// A change as it is sent.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) id: String,
    pub(super) name: &'static str,
    /// On one line.
    pub(super) data: String,
}

/// Changes that a caller reads.
#[derive(Debug)]
pub(super) struct Feed {
    models: Models,
    collection: Option<String>,
    changes: Changes,
    form: Form,
    with_documents: bool,
}

/// What a look at the log has brought, and the feed to go on with.
pub(super) struct Taken {
    pub(super) feed: Feed,
    pub(super) found: Result<Vec<Change>, Problem>,
}

impl Feed {
    pub(super) fn open(models: &Models, question: Question) -> Result<Self, Problem> {
        let form = question.form();
        let only = question.collection.as_deref();
        let changes = models.changes(only, question.since, question.filter)?;
        Ok(Self {
            models: models.clone(),
            changes,
            form,
            with_documents: question.with_documents,
            collection: question.collection,
        })
    }

    /// Where to go on behind all that was taken so far.
    pub(super) const fn position(&self) -> Position {
        self.changes.position()
    }

    /// Ready when there may be more, with whether there never will be.
    pub(super) fn poll_ready(&self, context: &mut Context<'_>) -> Poll<bool> {
        let ready = self.changes.poll_ready(context);
        ready.map(|changed| matches!(changed, Changed::Closed))
    }

    /// The changes that are there already, up to so many and so many bytes of them. The log is read
    /// on a thread that may wait.
    pub(super) async fn take(mut self, limit: usize, bytes: usize) -> Result<Taken, Problem> {
        let take = move || {
            let found = self.take_now(limit, bytes);
            Taken { feed: self, found }
        };
        match tokio::task::spawn_blocking(take).await {
            Ok(taken) => Ok(taken),
            Err(join) if join.is_panic() => std::panic::resume_unwind(join.into_panic()),
            Err(_) => Err(busy("the server is stopping")),
        }
    }

    fn take_now(&mut self, limit: usize, bytes: usize) -> Result<Vec<Change>, Problem> {
        let (mut found, mut size) = (Vec::new(), 0);
        while found.len() < limit && size < bytes {
            match self.changes.try_next() {
                Ok(Some(event)) => {
                    if let Some(change) = self.visible(event).map(|event| self.written(&event)) {
                        let change = change?;
                        size += change.data.len();
                        found.push(change);
                    }
                }
                Ok(None) => break,
                // What was found before comes first; the next look finds this again.
                Err(_) if !found.is_empty() => break,
                Err(error) => return Err(self.history_gone().unwrap_or_else(|| error.into())),
            }
        }
        Ok(found)
    }

    /// The reason why the log cannot be read on, if it is that what comes next is gone.
    fn history_gone(&self) -> Option<Problem> {
        let since = Some(self.position());
        let again = self.models.changes(self.collection.as_deref(), since, None);
        again
            .err()
            .filter(|problem| problem.kind() == Kind::HistoryGone)
    }

    /// As much of an event as the caller may know of: a collection that gets a name which is not
    /// its business is gone, and one that had such a name is new.
    fn visible(&self, mut event: Event) -> Option<Event> {
        let covered = self.models.covers_collection(&event.collection);
        if let EventKind::Renamed { from } = &event.kind {
            match (self.models.covers_collection(from), covered) {
                (true, false) => {
                    event.collection = from.clone();
                    event.kind = EventKind::Dropped;
                    return Some(event);
                }
                (false, true) => event.kind = EventKind::Created,
                _ => {}
            }
        }
        covered.then_some(event)
    }

    fn written(&self, event: &Event) -> Result<Change, Problem> {
        let id = position_text(event.position);
        let time = event.unix_ms;
        let (name, document_id, document) = match &event.kind {
            EventKind::Put { id, document } => ("put", Some(id), Some(document)),
            EventKind::Unmatched { id } => ("unmatched", Some(id), None),
            EventKind::Delete { id } => ("delete", Some(id), None),
            EventKind::Created => ("created", None, None),
            EventKind::Dropped => ("dropped", None, None),
            EventKind::Renamed { .. } => ("renamed", None, None),
            EventKind::Options => ("options", None, None),
        };
        // Names of collections and events need no escaping in JSON.
        let collection = &event.collection;
        let mut data = format!(
            "{{\"position\":\"{id}\",\"time_ms\":{time},\"collection\":\"{collection}\",\
             \"event\":\"{name}\""
        );
        if let EventKind::Renamed { from } = &event.kind {
            data.push_str(&format!(",\"from\":\"{from}\""));
        }
        if let Some(document_id) = document_id {
            let value: RawBsonRef<'_> = document_id.as_raw_bson_ref();
            data.push_str(",\"_id\":");
            write_value(value, self.form, &mut data)?;
        }
        if let Some(document) = document.filter(|_| self.with_documents) {
            data.push_str(",\"document\":");
            write_document(document, self.form, &mut data)?;
        }
        data.push('}');
        Ok(Change { id, name, data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_read_as_they_are_written() {
        for text in ["0", "12", "12.0", "12.3", "18446744073709551615.1"] {
            let position = parse_position(text).unwrap();
            assert_eq!(position_text(position), text);
        }
        for bad in [
            "",
            ".",
            "1.",
            ".1",
            "+1",
            "-1",
            "1.2.3",
            "a",
            "1 ",
            "18446744073709551616",
        ] {
            assert_eq!(parse_position(bad), None, "{bad}");
        }
    }
}
