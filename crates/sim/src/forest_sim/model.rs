//! What the trees should contain, at every seqno: written without a look at how the forest does
//! it. And the log, as far as it matters here: its entries, and how many are durable.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use nexusbase_forest::{Change, Mutation, Seqno, TreeChange, TreeId, TreeKind};

use super::kinds;

/// The live rows of a tree.
pub(super) type Rows = BTreeMap<Bytes, Bytes>;

/// An entry of the log.
#[derive(Clone, Debug, Default)]
pub(super) struct Entry {
    pub(super) trees: Vec<TreeChange>,
    pub(super) mutations: Vec<Mutation>,
}

/// A tree after some entry.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    pub(super) kind: TreeKind,
    pub(super) rows: Arc<Rows>,
}

/// All trees after some entry.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    pub(super) trees: BTreeMap<TreeId, Tree>,
    /// Trees that were there once.
    pub(super) dropped: BTreeSet<TreeId>,
}

impl State {
    fn apply(&mut self, entry: &Entry) {
        for change in &entry.trees {
            if let TreeChange::Create { tree, kind } = change {
                let (kind, rows) = (kinds::kind(kind), Arc::default());
                self.trees.insert(*tree, Tree { kind, rows });
            }
        }
        for (id, tree) in &mut self.trees {
            let mutations = || entry.mutations.iter().filter(|m| m.tree == *id);
            if mutations().next().is_some() {
                let rows = Arc::make_mut(&mut tree.rows);
                change_rows(&tree.kind, rows, mutations);
            }
        }
        for change in &entry.trees {
            if let TreeChange::Drop { tree } = change {
                self.trees.remove(tree);
                self.dropped.insert(*tree);
            }
        }
    }
}

/// What the changes of one entry make of the rows of one tree.
fn change_rows<'a, I: Iterator<Item = &'a Mutation>>(
    kind: &TreeKind,
    rows: &mut Rows,
    mutations: impl Fn() -> I,
) {
    // Deletes of ranges concern only what earlier entries wrote.
    for mutation in mutations() {
        if let Change::DeleteRange { end } = &mutation.change {
            let gone = |key: &Bytes| *key >= mutation.key && end.as_ref().is_none_or(|e| key < e);
            rows.retain(|key, _| !gone(key));
        }
    }
    // Of several changes of a key the last counts.
    let mut last: BTreeMap<&Bytes, &Change> = BTreeMap::new();
    for mutation in mutations() {
        if !matches!(mutation.change, Change::DeleteRange { .. }) {
            last.insert(&mutation.key, &mutation.change);
        }
    }
    for (key, change) in last {
        let value = match (change, kind.merge) {
            (Change::Put(value), _) => Some(value.clone()),
            (Change::Merge(operand), Some(merge)) => Some(match rows.get(key) {
                Some(value) => merge(value, operand).into(),
                None => operand.clone(),
            }),
            _ => None,
        };
        match value {
            Some(value) => rows.insert(key.clone(), value),
            None => rows.remove(key),
        };
    }
}

/// The log, and what the trees were after each of its entries.
#[derive(Debug)]
pub(super) struct Model {
    entries: Vec<Entry>,
    /// One more than entries: before the first, everything is empty.
    states: Vec<State>,
    /// Entries that no power cut takes away.
    durable: usize,
}

impl Model {
    pub(super) fn new() -> Self {
        Self {
            entries: Vec::new(),
            states: vec![State::default()],
            durable: 0,
        }
    }

    /// The seqno of the newest entry.
    pub(super) fn last(&self) -> Seqno {
        Seqno::new(self.entries.len() as u64)
    }

    /// The state after the entry `at`.
    pub(super) fn at(&self, at: Seqno) -> &State {
        let index = usize::try_from(at.get()).unwrap_or(usize::MAX);
        &self.states[index.min(self.entries.len())]
    }

    pub(super) fn newest(&self) -> &State {
        self.at(self.last())
    }

    /// The entries behind `at`, with their seqnos.
    pub(super) fn behind(&self, at: Seqno) -> impl Iterator<Item = (Seqno, &Entry)> {
        let entries = (1..).map(Seqno::new).zip(&self.entries);
        entries.filter(move |(seqno, _)| *seqno > at)
    }

    /// The number that the next tree gets. One that was given in an entry that is lost is free.
    pub(super) fn next_tree(&self) -> TreeId {
        let newest = self.newest();
        let used = newest.trees.keys().chain(&newest.dropped);
        TreeId::new(used.map(|id| id.get() + 1).max().unwrap_or(0))
    }

    pub(super) fn push(&mut self, entry: Entry) {
        let mut state = self.newest().clone();
        state.apply(&entry);
        self.states.push(state);
        self.entries.push(entry);
    }

    /// All entries are durable.
    pub(super) const fn sync(&mut self) {
        self.durable = self.entries.len();
    }

    /// How many entries a power cut may take away.
    pub(super) const fn not_durable(&self) -> usize {
        self.entries.len() - self.durable
    }

    /// So many of the newest entries are lost.
    pub(super) fn lose(&mut self, count: usize) {
        let left = self.entries.len() - count.min(self.not_durable());
        self.entries.truncate(left);
        self.states.truncate(left + 1);
        self.sync();
    }
}
