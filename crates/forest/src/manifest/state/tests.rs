//! What a state refuses, and what it keeps in order.

use bytes::Bytes;

use super::*;
use crate::aggregate::Aggregate;
use crate::table::meta::{BlobUse, Layout};

const TREE: TreeId = TreeId::new(1);

fn table(id: u64, first: &'static str, last: &'static str, seqnos: (u64, u64)) -> TableMeta {
    TableMeta {
        id: FileId(id),
        layout: Layout::Rows,
        bytes: 100,
        first: Bytes::from_static(first.as_bytes()),
        last: Bytes::from_static(last.as_bytes()),
        aggregate: Aggregate {
            rows: 1,
            min_seqno: Seqno::new(seqnos.0),
            max_seqno: Seqno::new(seqnos.1),
            ..Aggregate::default()
        },
        purged_through: Seqno::ZERO,
        blobs: Vec::new(),
    }
}

fn add(level: u8, table: TableMeta) -> Edit {
    Edit {
        added: vec![(TREE, level, table)],
        ..Edit::default()
    }
}

fn remove(level: u8, id: u64) -> Edit {
    Edit {
        removed: vec![(TREE, level, FileId(id))],
        ..Edit::default()
    }
}

fn delete(seqno: u64) -> RangeDelete {
    RangeDelete {
        start: Bytes::from_static(b"d"),
        end: Some(Bytes::from_static(b"g")),
        seqno: Seqno::new(seqno),
    }
}

fn state() -> State {
    let mut state = State::default();
    let edit = Edit {
        flushed_through: Some(Seqno::new(100)),
        next_file: 100,
        trees_created: vec![(TREE, "rows".to_owned())],
        blobs_added: vec![BlobMeta {
            id: FileId(50),
            bytes: 1000,
            values: 10,
        }],
        added: vec![
            (TREE, 0, table(1, "a", "m", (20, 30))),
            (TREE, 0, table(2, "a", "m", (10, 19))),
            (TREE, 0, table(3, "k", "z", (31, 40))),
            (TREE, 2, table(4, "h", "k", (1, 9))),
            (TREE, 2, table(5, "a", "c", (1, 9))),
        ],
        ..Edit::default()
    };
    state.apply(&edit).unwrap();
    state
}

fn ids(state: &State, level: u8) -> Vec<u64> {
    let tables = state.trees[&TREE].level(level);
    tables.iter().map(|table| table.id.0).collect()
}

#[track_caller]
fn refused(edit: &Edit, why: &str) {
    let before = state();
    let mut after = before.clone();
    let error = after.apply(edit).unwrap_err();
    assert!(error.contains(why), "{error}");
    assert_eq!(after, before, "an edit that is refused changes nothing");
}

#[test]
fn level_0_is_newest_first_and_the_others_by_key() {
    let state = state();
    assert_eq!(ids(&state, 0), [3, 1, 2]);
    assert_eq!(ids(&state, 2), [5, 4]);
    assert_eq!(ids(&state, 1), [0_u64; 0]);
    let files = &state.trees[&TREE];
    let met = |first: &str, last: &str| files.overlapping(2, first.as_bytes(), last.as_bytes());
    assert_eq!(met("c", "h").len(), 2);
    assert_eq!(met("d", "g").len(), 0);
    assert_eq!(met("c", "g")[0].id, FileId(5));
}

/// Trap T1: a newer table behind an older one with the same keys.
#[test]
fn tables_of_level_0_whose_ages_cannot_be_told_apart_share_no_key() {
    refused(&add(0, table(6, "a", "b", (30, 50))), "overlap");
    refused(&add(0, table(6, "a", "z", (5, 35))), "overlap");
    refused(&add(0, table(6, "m", "m", (12, 13))), "overlap");
    let mut state = state();
    // Of the same flush as 1, other keys.
    state.apply(&add(0, table(6, "n", "o", (20, 29)))).unwrap();
    assert_eq!(ids(&state, 0), [3, 1, 6, 2]);
}

#[test]
fn tables_of_a_lower_level_share_no_key_ends_included() {
    refused(&add(2, table(6, "c", "d", (1, 1))), "overlap");
    refused(&add(2, table(6, "g", "h", (1, 1))), "overlap");
    refused(&add(2, table(6, "0", "z", (1, 1))), "overlap");
    let mut state = state();
    state.apply(&add(2, table(6, "d", "g", (1, 1)))).unwrap();
    assert_eq!(ids(&state, 2), [5, 6, 4]);
}

#[test]
fn what_is_removed_or_moved_is_where_the_edit_says() {
    refused(&remove(1, 4), "not in level 1");
    refused(&remove(0, 4), "not in level 0");
    refused(&remove(2, 9), "no table");
    let moved = |id, from, to| Edit {
        moved: vec![(TREE, FileId(id), from, to)],
        ..Edit::default()
    };
    refused(&moved(4, 1, 3), "not in level 1");
    refused(&moved(1, 0, 2), "overlap");
    refused(&moved(4, 2, LEVELS_MAX), "no level");
    let mut state = state();
    state.apply(&moved(4, 2, 5)).unwrap();
    assert_eq!((ids(&state, 2), ids(&state, 5)), (vec![5], vec![4]));
    state.apply(&moved(4, 5, 1)).unwrap();
    assert_eq!(
        state.trees[&TREE].levels.len(),
        3,
        "no empty levels at the end"
    );
}

#[test]
fn file_numbers_are_used_once_and_were_given_out() {
    refused(&add(2, table(4, "x", "y", (1, 1))), "there already");
    refused(&add(2, table(50, "x", "y", (1, 1))), "there already");
    refused(&add(2, table(100, "x", "y", (1, 1))), "not below");
    let mut state = state();
    let edit = Edit {
        next_file: 101,
        ..add(2, table(100, "x", "y", (1, 1)))
    };
    state.apply(&edit).unwrap();
    let less = Edit {
        next_file: 7,
        log_generation: Some(3),
        ..Edit::default()
    };
    state.apply(&less).unwrap();
    assert_eq!((state.next_file, state.log_generation), (101, 3));
}

/// Trap T13.
#[test]
fn flushed_through_never_goes_back_and_nothing_is_above_it() {
    let back = Edit {
        flushed_through: Some(Seqno::new(99)),
        ..Edit::default()
    };
    refused(&back, "before it was 100");
    refused(
        &add(0, table(6, "a", "b", (90, 101))),
        "above what is flushed",
    );
    let above = Edit {
        range_deletes_added: vec![(TREE, delete(101))],
        ..Edit::default()
    };
    refused(&above, "above what is flushed");
    let dropped = Edit {
        trees_dropped: vec![(TREE, Seqno::new(101))],
        ..Edit::default()
    };
    refused(&dropped, "above what is flushed");
    let mut state = state();
    state.apply(&remove(0, 3)).unwrap();
    assert_eq!(state.flushed_through, Seqno::new(100));
}

#[test]
fn a_range_delete_is_retired_only_when_it_concerns_no_table() {
    let retire = Edit {
        range_deletes_retired: vec![(TREE, delete(15))],
        ..Edit::default()
    };
    refused(&retire, "no such range delete");
    let mut state = state();
    let added = Edit {
        range_deletes_added: vec![(TREE, delete(15))],
        ..Edit::default()
    };
    state.apply(&added).unwrap();
    assert!(state.apply(&added).unwrap_err().contains("twice"));
    assert!(state.apply(&retire).unwrap_err().contains("still needed"));
    let concerned = |state: &State| -> Vec<u64> {
        let files = &state.trees[&TREE];
        files
            .concerned(&delete(15))
            .map(|(_, table)| table.id.0)
            .collect()
    };
    // Not 1, which is newer, nor those of level 2, which lie beside it.
    assert_eq!(concerned(&state), [2]);
    let mut purged = table(6, "a", "m", (10, 19));
    purged.purged_through = Seqno::new(15);
    let edit = Edit {
        range_deletes_retired: vec![(TREE, delete(15))],
        added: vec![(TREE, 0, purged)],
        ..remove(0, 2)
    };
    state.apply(&edit).unwrap();
    assert_eq!(state.trees[&TREE].range_deletes, []);
}

#[test]
fn blob_files_are_there_while_tables_use_them() {
    let mut user = table(6, "x", "y", (1, 1));
    user.blobs = vec![BlobUse {
        file: FileId(51),
        values: 1,
        bytes: 70,
    }];
    refused(&add(2, user.clone()), "no known blob file");
    let gone = |id| Edit {
        blobs_removed: vec![FileId(id)],
        ..Edit::default()
    };
    refused(&gone(51), "no blob file");
    user.blobs[0].file = FileId(50);
    let mut state = state();
    state.apply(&add(2, user)).unwrap();
    assert_eq!(state.blobs[&FileId(50)].used_bytes, 70);
    assert!(state.apply(&gone(50)).unwrap_err().contains("used by 1"));
    let both = Edit {
        blobs_removed: vec![FileId(50)],
        ..remove(2, 6)
    };
    state.apply(&both).unwrap();
    assert!(state.blobs.is_empty());
}

#[test]
fn trees_are_created_dropped_and_removed_in_this_order() {
    let of = |tree| TreeId::new(tree);
    let created = Edit {
        trees_created: vec![(TREE, "rows".to_owned())],
        ..Edit::default()
    };
    refused(&created, "exists already");
    let removed = |tree| Edit {
        trees_removed: vec![of(tree)],
        ..Edit::default()
    };
    refused(&removed(1), "never dropped");
    refused(&removed(2), "no tree 2");
    let dropped = Edit {
        trees_dropped: vec![(TREE, Seqno::new(60))],
        ..Edit::default()
    };
    let mut state = state();
    state.apply(&dropped).unwrap();
    assert!(
        state
            .apply(&dropped)
            .unwrap_err()
            .contains("dropped already")
    );
    state.apply(&removed(1)).unwrap();
    assert!(state.trees.is_empty() && !state.has_table(FileId(1)));
    assert!(state.apply(&add(2, table(6, "x", "y", (1, 1)))).is_err());
}

#[test]
fn the_edit_of_a_state_makes_it_again() {
    let mut state = state();
    let edit = Edit {
        trees_created: vec![(TreeId::new(9), "things".to_owned())],
        trees_dropped: vec![(TREE, Seqno::new(60))],
        range_deletes_added: vec![(TREE, delete(15)), (TREE, delete(3))],
        log_generation: Some(8),
        ..Edit::default()
    };
    state.apply(&edit).unwrap();
    let mut again = State::default();
    again.apply(&state.to_edit()).unwrap();
    assert_eq!(again, state);
}
