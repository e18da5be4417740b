//! Edits as bytes: whatever is written is read again, and nothing else.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn any_key() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..6).prop_map(Bytes::from)
}

fn any_tree() -> impl Strategy<Value = TreeId> {
    any::<u32>().prop_map(TreeId::new)
}

fn any_seqno() -> impl Strategy<Value = Seqno> {
    prop_oneof![0..300_u64, any::<u64>()].prop_map(Seqno::new)
}

fn any_file() -> impl Strategy<Value = FileId> {
    any::<u64>().prop_map(FileId)
}

fn any_aggregate() -> impl Strategy<Value = Aggregate> {
    let fingerprint = prop_oneof![Just([0; 4]), any::<[u64; 4]>()];
    let zone = prop_oneof![Just(NO_ZONE), (0..9_u64, 9..99_u64)];
    let rows = (1_u64.., any::<u64>(), any::<bool>());
    (
        rows,
        fingerprint,
        any_seqno(),
        any_seqno(),
        any::<bool>(),
        [(); 4].map(|()| zone.clone()),
    )
        .prop_map(|((rows, weight, less), fingerprint, a, b, plain, zones)| {
            let weight = (weight % rows).min(i64::MAX.cast_unsigned()).cast_signed();
            Aggregate {
                rows,
                weight: if less { -weight } else { weight },
                fingerprint: FingerprintSum(fingerprint),
                min_seqno: a.min(b),
                max_seqno: a.max(b),
                plain,
                zones,
            }
        })
}

fn any_table() -> impl Strategy<Value = TableMeta> {
    let used = (any_file(), any::<u64>(), any::<u64>());
    let keys = (any_key(), any_key());
    (
        any_file(),
        1_u64..,
        keys,
        any_aggregate(),
        any_seqno(),
        vec(used, 0..3),
    )
        .prop_map(
            |(id, bytes, (a, b), aggregate, purged_through, blobs)| TableMeta {
                id,
                layout: Layout::Rows,
                bytes,
                first: a.clone().min(b.clone()),
                last: a.max(b),
                aggregate,
                purged_through,
                blobs: blobs
                    .into_iter()
                    .map(|(file, values, bytes)| BlobUse {
                        file,
                        values,
                        bytes,
                    })
                    .collect(),
            },
        )
}

fn any_range_delete() -> impl Strategy<Value = (TreeId, RangeDelete)> {
    (
        any_tree(),
        any_key(),
        proptest::option::of(any_key()),
        any_seqno(),
    )
        .prop_map(|(tree, start, end, seqno)| {
            let end = end.map(|end| {
                let longer: Vec<u8> = start.iter().copied().chain([0]).collect();
                if end > start { end } else { longer.into() }
            });
            (tree, RangeDelete { start, end, seqno })
        })
}

fn any_edit() -> impl Strategy<Value = Edit> {
    let blob = (any_file(), 1_u64.., any::<u64>());
    let blob = blob.prop_map(|(id, bytes, values)| BlobMeta { id, bytes, values });
    let level = || 0..LEVELS_MAX;
    let option = proptest::option::of::<BoxedStrategy<u64>>;
    let numbers = (
        option(any::<u64>().boxed()),
        any::<u64>(),
        option(any::<u64>().boxed()),
    );
    let trees = (
        vec((any_tree(), "[a-z]{1,5}"), 0..3),
        vec((any_tree(), any_seqno()), 0..3),
        vec(any_tree(), 0..3),
    );
    let tables = (
        vec((any_tree(), level(), any_file()), 0..3),
        vec((any_tree(), any_file(), level(), level()), 0..3),
        vec((any_tree(), level(), any_table()), 0..3),
    );
    let blobs = (vec(blob, 0..3), vec(any_file(), 0..3));
    let deletes = (vec(any_range_delete(), 0..3), vec(any_range_delete(), 0..3));
    (numbers, trees, tables, blobs, deletes).prop_map(|(numbers, trees, tables, blobs, deletes)| {
        Edit {
            flushed_through: numbers.0.map(Seqno::new),
            next_file: numbers.1,
            log_generation: numbers.2,
            trees_created: trees.0,
            trees_dropped: trees.1,
            trees_removed: trees.2,
            blobs_added: blobs.0,
            blobs_removed: blobs.1,
            removed: tables.0,
            moved: tables.1,
            added: tables.2,
            range_deletes_added: deletes.0,
            range_deletes_retired: deletes.1,
        }
    })
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(edit in any_edit()) {
        prop_assert_eq!(Edit::decode(&edit.encode()), Ok(edit));
    }

    #[test]
    fn an_edit_cut_short_or_too_long_never_passes_for_the_whole(edit in any_edit()) {
        let bytes = edit.encode();
        for end in 0..bytes.len() {
            // Cut between sections it is another edit.
            prop_assert_ne!(Edit::decode(&bytes[..end]), Ok(edit.clone()));
        }
        for more in 0..=u8::MAX {
            let mut bytes = bytes.clone();
            bytes.push(more);
            prop_assert!(Edit::decode(&bytes).is_err());
        }
    }

    /// Whatever is accepted is what would have been written for it: one spelling each.
    #[test]
    fn damaged_bytes_are_refused_or_are_the_one_spelling_of_another_edit(
        edit in any_edit(), at in any::<prop::sample::Index>(), value in any::<u8>(),
    ) {
        let mut bytes = edit.encode();
        let at = at.index(bytes.len());
        bytes[at] = value;
        if let Ok(edit) = Edit::decode(&bytes) {
            prop_assert_eq!(edit.encode(), bytes);
        }
    }

    #[test]
    fn any_bytes_are_read_without_harm(mut bytes in vec(any::<u8>(), 0..200)) {
        let _ = Edit::decode(&bytes);
        bytes.insert(0, VERSION);
        if let Ok(edit) = Edit::decode(&bytes) {
            prop_assert_eq!(edit.encode(), bytes);
        }
    }
}

/// An edit with something in each field.
pub(crate) fn sample() -> Edit {
    let mut aggregate = Aggregate {
        rows: 1000,
        weight: -3,
        fingerprint: FingerprintSum([1, 2, 3, 4]),
        min_seqno: Seqno::new(7),
        max_seqno: Seqno::new(300),
        plain: false,
        ..Aggregate::default()
    };
    aggregate.zones[1] = (5, 600);
    let table = TableMeta {
        id: FileId(258),
        layout: Layout::Rows,
        bytes: 70_000,
        first: Bytes::from_static(b"a"),
        last: Bytes::from_static(b"zz"),
        aggregate,
        purged_through: Seqno::new(6),
        blobs: vec![BlobUse {
            file: FileId(9),
            values: 2,
            bytes: 300,
        }],
    };
    let delete = |end: Option<&'static [u8]>| RangeDelete {
        start: Bytes::from_static(b"m"),
        end: end.map(Bytes::from_static),
        seqno: Seqno::new(200),
    };
    let tree = TreeId::new;
    Edit {
        flushed_through: Some(Seqno::new(300)),
        next_file: 259,
        log_generation: Some(4),
        trees_created: vec![(tree(1), "rows".to_owned())],
        trees_dropped: vec![(tree(2), Seqno::new(299))],
        trees_removed: vec![tree(3)],
        blobs_added: vec![BlobMeta {
            id: FileId(9),
            bytes: 4096,
            values: 12,
        }],
        blobs_removed: vec![FileId(8)],
        removed: vec![(tree(1), 0, FileId(5))],
        moved: vec![(tree(1), FileId(6), 0, 6)],
        added: vec![(tree(1), 1, table)],
        range_deletes_added: vec![(tree(1), delete(Some(b"n")))],
        range_deletes_retired: vec![(tree(1), delete(None))],
    }
}

/// If this fails, the format has changed: old files cannot be read any more unless the version
/// was raised and the old one is still understood.
#[test]
fn the_format_stays() {
    let golden = concat!(
        "0101ac02028302030404010104726f7773050102ab0206010307010980200c08",
        "010809010100050a01010600060b010101820200f0a2040161027a7ae8070501",
        "0100000000000000020000000000000003000000000000000400000000000000",
        "07ac02000205d80406010902ac020c0101016d01016ec8010d0101016d00c801",
    );
    let hex: String = sample()
        .encode()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(hex, golden);
    assert_eq!(Edit::default().encode(), [VERSION]);
}

#[test]
fn a_length_that_is_not_there_takes_no_memory() {
    for tag in 4..=13 {
        let mut bytes = vec![VERSION, tag];
        put_number(&mut bytes, u64::MAX);
        bytes.extend([0; 40]);
        assert!(Edit::decode(&bytes).is_err());
    }
}

#[test]
fn what_contradicts_itself_is_refused() {
    let refused = |edit: Edit, why: &str| {
        let error = Edit::decode(&edit.encode()).unwrap_err();
        assert!(error.contains(why), "{error}");
    };
    let changed = |change: fn(&mut TableMeta)| {
        let mut edit = sample();
        change(&mut edit.added[0].2);
        edit
    };
    refused(changed(|t| t.bytes = 0), "nothing in it");
    refused(changed(|t| t.aggregate.rows = 0), "nothing in it");
    refused(
        changed(|t| t.last = Bytes::from_static(b"A")),
        "first key behind",
    );
    refused(
        changed(|t| t.aggregate.min_seqno = Seqno::MAX),
        "least seqno",
    );
    refused(changed(|t| t.aggregate.weight = 1001), "weighs more");
    refused(changed(|t| t.aggregate.zones[0] = (3, 2)), "zone");
    let mut edit = sample();
    edit.added[0].1 = LEVELS_MAX;
    refused(edit, "level 16");
    let mut edit = sample();
    edit.range_deletes_added[0].1.end = Some(Bytes::from_static(b"m"));
    refused(edit, "ends before");
    let mut edit = sample();
    edit.trees_created[0].1.clear();
    refused(edit, "kind");
}
