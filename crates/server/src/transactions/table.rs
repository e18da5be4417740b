//! Open transactions, by id: who may go on with which, and when each ends.
//!
//! What it promises: a transaction belongs to the key that has begun it, and for everybody else it
//! does not exist. One request works on it at a time. One whose time is up is rolled back: when
//! somebody asks for it, or when the table is swept. What became of a transaction is known for a
//! while after its end.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use nexusbase_documents::store::Session;
use parking_lot::Mutex;
use tokio::sync::OwnedSemaphorePermit;

use crate::metrics::Transactions as Counters;
use crate::problem::{Kind, Problem};

/// Of so many transactions that have ended last it is known how.
const REMEMBERED: usize = 4096;

/// How a transaction has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Committed,
    RolledBack,
    /// An operation has failed, so that it was rolled back.
    Failed,
    /// Another has changed what it had read, so that it was rolled back.
    Conflict,
    TimedOut,
    /// The server stops.
    Stopping,
}

impl Ended {
    pub(crate) const ALL: [Self; 6] = [
        Self::Committed,
        Self::RolledBack,
        Self::Failed,
        Self::Conflict,
        Self::TimedOut,
        Self::Stopping,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Committed => "committed",
            Self::RolledBack => "rolled-back",
            Self::Failed => "failed",
            Self::Conflict => "conflict",
            Self::TimedOut => "timed-out",
            Self::Stopping => "stopping",
        }
    }

    const fn reason(self) -> &'static str {
        match self {
            Self::Committed => "it was committed",
            Self::RolledBack => "it was rolled back, as was asked for",
            Self::Failed => "an operation has failed, so it was rolled back",
            Self::Conflict => "others have changed what it had read, so it was rolled back",
            Self::TimedOut => "its time was up, so it was rolled back",
            Self::Stopping => "the server stops, so it was rolled back",
        }
    }
}

/// What is known of an open transaction.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) created_ms: u64,
    pub(super) expires_ms: u64,
    pub(super) operations: usize,
    pub(super) in_use: bool,
}

#[derive(Debug)]
struct Open {
    owner: String,
    facts: Facts,
    /// By the stopwatch.
    deadline: Duration,
    /// None while a request works on it.
    session: Option<Session>,
    _place: OwnedSemaphorePermit,
}

#[derive(Debug, Default)]
struct State {
    open: HashMap<String, Open>,
    /// The last that have ended: id, owner, how.
    ended: VecDeque<(String, String, Ended)>,
    stopped: bool,
}

/// All transactions that are worked on over several requests.
#[derive(Debug)]
pub(crate) struct Table {
    state: Mutex<State>,
    counters: Counters,
}

/// A transaction to work on. If it is dropped, it is rolled back.
#[derive(Debug)]
pub(super) struct Taken {
    table: Arc<Table>,
    id: String,
    session: Option<Session>,
}

impl State {
    /// Ends a transaction. Its session is returned, to be dropped when nobody waits for the table.
    fn end(&mut self, id: &str, how: Ended) -> Option<Open> {
        let open = self.open.remove(id)?;
        if self.ended.len() >= REMEMBERED {
            self.ended.pop_front();
        }
        let known = (id.to_owned(), open.owner.clone(), how);
        self.ended.push_back(known);
        Some(open)
    }

    /// Why there is no such transaction for this caller.
    fn absent(&self, id: &str, owner: &str) -> Problem {
        let is_it = |(known, of, _): &&(String, String, Ended)| known == id && of == owner;
        let Some((_, _, how)) = self.ended.iter().rev().find(is_it) else {
            let detail = "there is no such transaction of this key; POST /transactions begins one";
            return Problem::new(Kind::NoSuchTransaction, detail);
        };
        let detail = format!("the transaction has ended: {}", how.reason());
        Problem::new(Kind::TransactionEnded, detail).with("reason", how.as_str())
    }
}

impl Table {
    pub(crate) fn new(counters: Counters) -> Self {
        Self {
            state: Mutex::default(),
            counters,
        }
    }

    /// Keeps a new transaction. Returns when it expires, in milliseconds since 1970.
    pub(super) fn open(
        &self,
        id: &str,
        owner: String,
        session: Session,
        (now, timeout): (Duration, Duration),
        place: OwnedSemaphorePermit,
    ) -> Result<Facts, Problem> {
        let created_ms = session.created_ms();
        let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        let facts = Facts {
            created_ms,
            expires_ms: created_ms.saturating_add(timeout_ms),
            operations: 0,
            in_use: false,
        };
        let open = Open {
            owner,
            facts: facts.clone(),
            deadline: now.saturating_add(timeout),
            session: Some(session),
            _place: place,
        };
        let mut state = self.state.lock();
        if state.stopped {
            let detail = "the server is stopping, so no transaction can begin";
            return Err(Problem::new(Kind::Stopping, detail));
        }
        state.open.insert(id.to_owned(), open);
        Ok(facts)
    }

    /// A transaction of `owner`, to work on it alone.
    pub(super) fn take(
        self: &Arc<Self>,
        id: &str,
        owner: &str,
        now: Duration,
    ) -> Result<Taken, Problem> {
        self.end_late(id, now);
        let mut state = self.state.lock();
        let state = &mut *state;
        let Some(open) = state.open.get_mut(id).filter(|open| open.owner == owner) else {
            return Err(state.absent(id, owner));
        };
        let Some(session) = open.session.take() else {
            let detail = "another request works on this transaction; send one after the other";
            return Err(Problem::new(Kind::TransactionInUse, detail));
        };
        open.facts.in_use = true;
        Ok(Taken {
            table: Arc::clone(self),
            id: id.to_owned(),
            session: Some(session),
        })
    }

    /// What is known of a transaction of `owner`.
    pub(super) fn facts(&self, id: &str, owner: &str, now: Duration) -> Result<Facts, Problem> {
        self.end_late(id, now);
        let state = self.state.lock();
        let open = state.open.get(id).filter(|open| open.owner == owner);
        match open {
            Some(open) => Ok(open.facts.clone()),
            None => Err(state.absent(id, owner)),
        }
    }

    fn end(&self, id: &str, how: Ended) {
        let ended = self.state.lock().end(id, how);
        if ended.is_some() {
            self.counters.ended(how);
        }
    }

    fn end_late(&self, id: &str, now: Duration) {
        let is_late = self
            .state
            .lock()
            .open
            .get(id)
            .is_some_and(|open| open.is_late(now));
        if is_late {
            self.end(id, Ended::TimedOut);
        }
    }

    /// Whether there is nothing to sweep.
    pub(super) fn is_empty(&self) -> bool {
        self.state.lock().open.is_empty()
    }

    /// Rolls back those whose time is up and that nobody works on.
    pub(super) fn sweep(&self, now: Duration) {
        let late = self.idle(|open| open.is_late(now));
        for id in late {
            self.end(&id, Ended::TimedOut);
        }
    }

    /// Rolls all of them back, those that are worked on as soon as they are not. None begins from
    /// now on.
    pub(super) fn stop(&self) {
        self.state.lock().stopped = true;
        for id in self.idle(|open| open.session.is_some()) {
            self.end(&id, Ended::Stopping);
        }
    }

    fn idle(&self, is_meant: impl Fn(&Open) -> bool) -> Vec<String> {
        let state = self.state.lock();
        let found = state.open.iter().filter(|(_, open)| is_meant(open));
        found.map(|(id, _)| id.clone()).collect()
    }
}

impl Open {
    fn is_late(&self, now: Duration) -> bool {
        self.session.is_some() && now >= self.deadline
    }
}

impl Taken {
    /// The transaction. There always is one, until it is given back.
    pub(super) fn session(&mut self) -> Result<&mut Session, Problem> {
        let gone = || Problem::new(Kind::Internal, "the transaction is gone");
        self.session.as_mut().ok_or_else(gone)
    }

    /// Takes the transaction out, to commit it.
    pub(super) fn into_session(mut self) -> Result<(Session, Ending), Problem> {
        let gone = || Problem::new(Kind::Internal, "the transaction is gone");
        let session = self.session.take().ok_or_else(gone)?;
        let ending = Ending(Arc::clone(&self.table), self.id.clone());
        // What is left of this would end the transaction as failed.
        self.id.clear();
        Ok((session, ending))
    }

    /// Others may work on it from now on, if its time is not up.
    pub(super) fn give_back(mut self, now: Duration) {
        let mut state = self.table.state.lock();
        let stopped = state.stopped;
        let Some(open) = state.open.get_mut(&self.id) else {
            return;
        };
        open.session = self.session.take();
        open.facts.in_use = false;
        let operations = open.session.as_ref().map(Session::operations);
        open.facts.operations = operations.unwrap_or_default();
        let late = open.is_late(now);
        drop(state);
        if stopped {
            self.table.end(&self.id, Ended::Stopping);
        } else if late {
            self.table.end(&self.id, Ended::TimedOut);
        }
        self.id.clear();
    }

    /// Rolls it back.
    pub(super) fn roll_back(mut self, how: Ended) {
        drop(self.session.take());
        self.table.end(&self.id, how);
        self.id.clear();
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if !self.id.is_empty() {
            drop(self.session.take());
            self.table.end(&self.id, Ended::Failed);
        }
    }
}

/// The end of a transaction that is being committed.
#[derive(Debug)]
pub(super) struct Ending(Arc<Table>, String);

impl Ending {
    pub(super) fn is(mut self, how: Ended) {
        self.0.end(&std::mem::take(&mut self.1), how);
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if !self.1.is_empty() {
            self.0.end(&self.1, Ended::Failed);
        }
    }
}
