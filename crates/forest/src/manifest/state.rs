//! What all edits of a manifest together say: which files there are and where they stand.
//!
//! [`State`] is for background work only (flush, compaction, opening); readers have versions of
//! their own. Applying an edit checks everything that the edit's own bytes could not tell, so
//! that a wrong edit, from a damaged file or a mistake of ours, is refused and never makes a tree
//! that answers wrongly. What always holds:
//! * level 0 is newest first, by greatest seqno (then least seqno, then first key). Two of its
//!   tables either share no key, or all seqnos of the first are above all of the second;
//! * in each level from 1 on, tables are ordered by first key and share no key, so that all
//!   versions of a key are in one table;
//! * no row, range delete or drop of a tree is newer than `flushed_through`, which never goes
//!   back: replay starts behind it;
//! * file numbers are used once, below `next_file`; a blob file that a table refers to is there;
//! * a range delete is there as long as a table that it [concerns](RangeDelete::concerns) is.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::edit::{BlobMeta, Edit, LEVELS_MAX, check_table};
use crate::range_delete::RangeDelete;
use crate::row::FileId;
use crate::table::meta::TableMeta;
use crate::{Seqno, TreeId};

type Result<T> = std::result::Result<T, String>;

/// The files of all trees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// Everything up to this entry is in tables.
    pub(crate) flushed_through: Seqno,
    /// No file number from here on was ever used.
    pub(crate) next_file: u64,
    /// The newest segment of the log that was known at the last edit that spoke of it.
    pub(crate) log_generation: u64,
    pub(crate) trees: BTreeMap<TreeId, TreeFiles>,
    pub(crate) blobs: BTreeMap<FileId, BlobFile>,
    /// All tables of all trees. What is in `levels` too, to find it there by its first key.
    tables: BTreeMap<FileId, Arc<TableMeta>>,
}

/// A blob file, and how much of it is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlobFile {
    pub(crate) meta: BlobMeta,
    /// Tables that refer to it.
    pub(crate) tables: u64,
    /// Bytes that they refer to.
    pub(crate) used_bytes: u64,
}

/// The files of one tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TreeFiles {
    /// The name of its kind.
    pub(crate) kind: String,
    /// From this entry on it is not there.
    pub(crate) dropped: Option<Seqno>,
    /// Level 0 newest first, the others by first key. The last one is not empty.
    pub(crate) levels: Vec<Vec<Arc<TableMeta>>>,
    /// By seqno, then start, then end.
    pub(crate) range_deletes: Vec<RangeDelete>,
}

impl TreeFiles {
    /// The tables of a level; none if it has none.
    pub(crate) fn level(&self, level: u8) -> &[Arc<TableMeta>] {
        self.levels
            .get(usize::from(level))
            .map_or(&[], Vec::as_slice)
    }

    /// The tables of a level from 1 on that have keys between these two, both included.
    pub(crate) fn overlapping(&self, level: u8, first: &[u8], last: &[u8]) -> &[Arc<TableMeta>] {
        let tables = self.level(level);
        debug_assert!(level > 0, "level 0 has no order of keys");
        let from = tables.partition_point(|table| *table.last < *first);
        let to = tables.partition_point(|table| *table.first <= *last);
        &tables[from..to.max(from)]
    }

    /// All tables with their levels, level by level.
    pub(crate) fn tables(&self) -> impl Iterator<Item = (u8, &Arc<TableMeta>)> {
        (0_u8..)
            .zip(&self.levels)
            .flat_map(|(level, tables)| tables.iter().map(move |table| (level, table)))
    }

    /// Whether a range delete still hides rows of some table. Level 0 and the few tables of the
    /// other levels that overlap it are looked at.
    pub(crate) fn needs(&self, delete: &RangeDelete) -> bool {
        self.concerned(delete).next().is_some()
    }

    /// The tables that have rows which a range delete hides, as far as their metas tell.
    pub(crate) fn concerned(
        &self,
        delete: &RangeDelete,
    ) -> impl Iterator<Item = (u8, &Arc<TableMeta>)> {
        (0_u8..).zip(&self.levels).flat_map(move |(level, tables)| {
            let from = match level {
                0 => 0,
                _ => tables.partition_point(|table| table.last < delete.start),
            };
            let may = move |table: &&Arc<TableMeta>| {
                level == 0 || delete.overlaps(&table.first, &table.last)
            };
            let tables = tables[from..].iter().take_while(may);
            tables
                .filter(move |table| delete.concerns(table))
                .map(move |table| (level, table))
        })
    }

    /// Where a table stands in a level, or would stand.
    fn place(&self, level: u8, table: &TableMeta) -> usize {
        let tables = self.level(level);
        if level > 0 {
            return tables.partition_point(|other| other.first < table.first);
        }
        // Seqnos count downwards.
        let order = |table: &TableMeta| {
            let aggregate = &table.aggregate;
            (aggregate.max_seqno, aggregate.min_seqno)
        };
        tables.partition_point(|other| {
            let newer = order(table).cmp(&order(other));
            let by_key = || (&other.first, other.id).cmp(&(&table.first, table.id));
            newer.then_with(by_key).is_lt()
        })
    }

    fn insert(&mut self, level: u8, table: Arc<TableMeta>) -> Result<()> {
        let at = self.place(level, &table);
        let tables = self.level(level);
        let clash = if level == 0 {
            tables.iter().enumerate().find_map(|(i, other)| {
                let (newer, older) = if i < at {
                    (other, &table)
                } else {
                    (&table, other)
                };
                let ordered = newer.aggregate.min_seqno > older.aggregate.max_seqno;
                (!ordered && share_keys(newer, older)).then_some(other)
            })
        } else {
            let before = at.checked_sub(1).and_then(|i| tables.get(i));
            let neighbours = before.into_iter().chain(tables.get(at));
            neighbours
                .into_iter()
                .find(|other| share_keys(other, &table))
        };
        if let Some(other) = clash {
            return Err(format!(
                "tables {:016x} and {:016x} of level {level} overlap",
                other.id.0, table.id.0
            ));
        }
        while self.levels.len() <= usize::from(level) {
            self.levels.push(Vec::new());
        }
        self.levels[usize::from(level)].insert(at, table);
        Ok(())
    }

    fn take(&mut self, level: u8, table: &Arc<TableMeta>) -> Result<()> {
        let at = self.place(level, table);
        let found = self.level(level).get(at);
        if found.is_none_or(|found| found.id != table.id) {
            return Err(format!("table {:016x} is not in level {level}", table.id.0));
        }
        self.levels[usize::from(level)].remove(at);
        Ok(())
    }

    fn trim(&mut self) {
        while self.levels.last().is_some_and(Vec::is_empty) {
            self.levels.pop();
        }
    }
}

/// Whether a key may be in both.
pub(crate) fn share_keys(a: &TableMeta, b: &TableMeta) -> bool {
    a.first <= b.last && b.first <= a.last
}

impl State {
    /// The state after an edit. An edit that is refused changes nothing.
    pub(crate) fn apply(&mut self, edit: &Edit) -> Result<()> {
        let mut next = self.clone();
        next.apply_or_spoil(edit)?;
        *self = next;
        Ok(())
    }

    /// As [`State::apply`], at the cost of the edit alone; but after an error the state is of no
    /// use.
    pub(crate) fn apply_or_spoil(&mut self, edit: &Edit) -> Result<()> {
        if let Some(through) = edit.flushed_through {
            if through < self.flushed_through {
                let before = self.flushed_through;
                return Err(format!("flushed through {through}, before it was {before}"));
            }
            self.flushed_through = through;
        }
        self.next_file = self.next_file.max(edit.next_file);
        self.log_generation = self.log_generation.max(edit.log_generation.unwrap_or(0));
        self.apply_to_trees(edit)?;
        for blob in &edit.blobs_added {
            self.check_new(blob.id)?;
            let file = BlobFile {
                meta: *blob,
                tables: 0,
                used_bytes: 0,
            };
            self.blobs.insert(blob.id, file);
        }
        self.apply_to_tables(edit)?;
        for id in &edit.blobs_removed {
            let file = self.blobs.remove(id);
            match file {
                None => return Err(format!("there is no blob file {:016x}", id.0)),
                Some(file) if file.tables > 0 => {
                    let tables = file.tables;
                    return Err(format!(
                        "blob file {:016x} is used by {tables} tables",
                        id.0
                    ));
                }
                Some(_) => {}
            }
        }
        self.apply_range_deletes(edit)
    }

    fn apply_to_trees(&mut self, edit: &Edit) -> Result<()> {
        for (tree, kind) in &edit.trees_created {
            let files = TreeFiles {
                kind: kind.clone(),
                ..TreeFiles::default()
            };
            if self.trees.insert(*tree, files).is_some() {
                return Err(format!("tree {tree} exists already"));
            }
        }
        for (tree, seqno) in &edit.trees_dropped {
            self.check_flushed(*seqno)?;
            let dropped = &mut self.tree(*tree)?.dropped;
            if dropped.replace(*seqno).is_some() {
                return Err(format!("tree {tree} was dropped already"));
            }
        }
        for tree in &edit.trees_removed {
            let files = std::mem::take(self.tree(*tree)?);
            if files.dropped.is_none() {
                return Err(format!("tree {tree} is removed and was never dropped"));
            }
            for (_, table) in files.tables() {
                self.forget(table)?;
            }
            self.trees.remove(tree);
        }
        Ok(())
    }

    fn apply_to_tables(&mut self, edit: &Edit) -> Result<()> {
        for (tree, level, id) in &edit.removed {
            let table = self.table(*id)?;
            self.tree(*tree)?.take(*level, &table)?;
            self.forget(&table)?;
        }
        for (tree, id, from, to) in &edit.moved {
            let table = self.table(*id)?;
            check_level(*to)?;
            let files = self.tree(*tree)?;
            files.take(*from, &table)?;
            files.insert(*to, table)?;
        }
        for (tree, level, table) in &edit.added {
            check_level(*level)?;
            check_table(table)?;
            self.check_new(table.id)?;
            self.check_flushed(table.aggregate.max_seqno)?;
            let table = Arc::new(table.clone());
            self.use_blobs(&table)?;
            self.tables.insert(table.id, Arc::clone(&table));
            self.tree(*tree)?.insert(*level, table)?;
        }
        let changed = edit.removed.iter().map(|(tree, ..)| tree);
        for tree in changed.chain(edit.moved.iter().map(|(tree, ..)| tree)) {
            self.tree(*tree)?.trim();
        }
        Ok(())
    }

    fn apply_range_deletes(&mut self, edit: &Edit) -> Result<()> {
        for (tree, delete) in &edit.range_deletes_added {
            self.check_flushed(delete.seqno)?;
            if delete.end.as_ref().is_some_and(|end| *end <= delete.start) {
                return Err("a range delete ends before it starts".to_owned());
            }
            let deletes = &mut self.tree(*tree)?.range_deletes;
            let key = |d: &RangeDelete| (d.seqno, d.clone());
            match deletes.binary_search_by_key(&key(delete), key) {
                Ok(_) => return Err(format!("tree {tree} has a range delete twice")),
                Err(at) => deletes.insert(at, delete.clone()),
            }
        }
        for (tree, delete) in &edit.range_deletes_retired {
            let files = self.tree(*tree)?;
            let Some(at) = files.range_deletes.iter().position(|d| d == delete) else {
                return Err(format!("tree {tree} has no such range delete to retire"));
            };
            files.range_deletes.remove(at);
            // Or rows would come back that were deleted.
            if files.needs(delete) {
                let seqno = delete.seqno;
                return Err(format!(
                    "the range delete {seqno} of tree {tree} is still needed"
                ));
            }
        }
        Ok(())
    }

    /// The one edit that makes this state from nothing.
    pub(crate) fn to_edit(&self) -> Edit {
        let mut edit = Edit {
            flushed_through: Some(self.flushed_through),
            next_file: self.next_file,
            log_generation: Some(self.log_generation),
            blobs_added: self.blobs.values().map(|file| file.meta).collect(),
            ..Edit::default()
        };
        for (tree, files) in &self.trees {
            edit.trees_created.push((*tree, files.kind.clone()));
            edit.trees_dropped
                .extend(files.dropped.map(|seqno| (*tree, seqno)));
            for (level, table) in files.tables() {
                edit.added.push((*tree, level, TableMeta::clone(table)));
            }
            let deletes = files.range_deletes.iter().cloned();
            edit.range_deletes_added
                .extend(deletes.map(|delete| (*tree, delete)));
        }
        edit
    }

    /// Whether a table of this number is referred to.
    pub(crate) fn has_table(&self, id: FileId) -> bool {
        self.tables.contains_key(&id)
    }

    fn tree(&mut self, tree: TreeId) -> Result<&mut TreeFiles> {
        self.trees
            .get_mut(&tree)
            .ok_or_else(|| format!("there is no tree {tree}"))
    }

    fn table(&self, id: FileId) -> Result<Arc<TableMeta>> {
        self.tables
            .get(&id)
            .cloned()
            .ok_or_else(|| format!("there is no table {:016x}", id.0))
    }

    fn check_new(&self, id: FileId) -> Result<()> {
        if id.0 >= self.next_file {
            let next = self.next_file;
            return Err(format!("file {:016x} is not below {next:016x}", id.0));
        }
        if self.tables.contains_key(&id) || self.blobs.contains_key(&id) {
            return Err(format!("file {:016x} is there already", id.0));
        }
        Ok(())
    }

    fn check_flushed(&self, seqno: Seqno) -> Result<()> {
        if seqno > self.flushed_through {
            let through = self.flushed_through;
            return Err(format!("seqno {seqno} is above what is flushed, {through}"));
        }
        Ok(())
    }

    fn use_blobs(&mut self, table: &TableMeta) -> Result<()> {
        for used in &table.blobs {
            let (id, file) = (table.id.0, used.file.0);
            let Some(blob) = self.blobs.get_mut(&used.file) else {
                return Err(format!(
                    "table {id:016x} uses no known blob file {file:016x}"
                ));
            };
            let Some(bytes) = blob.used_bytes.checked_add(used.bytes) else {
                return Err(format!("table {id:016x} uses more than a file can have"));
            };
            blob.tables += 1;
            blob.used_bytes = bytes;
        }
        Ok(())
    }

    fn forget(&mut self, table: &TableMeta) -> Result<()> {
        self.tables.remove(&table.id);
        for used in &table.blobs {
            let Some(blob) = self.blobs.get_mut(&used.file) else {
                return Err(format!("there is no blob file {:016x}", used.file.0));
            };
            blob.tables -= 1;
            blob.used_bytes -= used.bytes;
        }
        Ok(())
    }
}

fn check_level(level: u8) -> Result<()> {
    if level >= LEVELS_MAX {
        return Err(format!("there is no level {level}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
