//! Single decisions, on trees made by hand.

use super::*;
use crate::manifest::edit::BlobMeta;
use crate::table::meta::BlobUse;

/// A tree of these tables, after everything up to seqno 1000.
fn tree(tables: Vec<(u8, TableMeta)>, deletes: &[RangeDelete]) -> State {
    let mut state = State::default();
    let edit = Edit {
        flushed_through: Some(Seqno::new(1000)),
        next_file: 1000,
        trees_created: vec![(TREE, "rows".to_owned())],
        blobs_added: [500, 501]
            .map(|id| BlobMeta {
                id: FileId(id),
                bytes: 100,
                values: 10,
            })
            .to_vec(),
        added: tables
            .into_iter()
            .map(|(level, t)| (TREE, level, t))
            .collect(),
        range_deletes_added: deletes.iter().map(|d| (TREE, d.clone())).collect(),
        ..Edit::default()
    };
    state.apply(&edit).unwrap();
    state
}

fn range(start: u64, end: u64, seqno: u64) -> RangeDelete {
    RangeDelete {
        start: key(start),
        end: Some(key(end)),
        seqno: Seqno::new(seqno),
    }
}

fn choose(state: &State, busy: &Busy, pins: &[Seqno]) -> Option<Job> {
    let now = Circumstances {
        floor: Seqno::new(1000),
        pins,
        busy,
        garbage: &garbage(state),
        turn: 0,
    };
    pick(&state.trees[&TREE], &small_shape(), &now)
}

fn ids(job: &Job) -> Vec<u64> {
    job.inputs.iter().map(|(_, table)| table.id.0).collect()
}

#[test]
fn level_0_takes_the_base_tables_in_the_gaps_of_what_it_takes() {
    let mut tables: Vec<_> = (0..4)
        .map(|i| (0, table(i, 10, i * 10, i * 10 + 20, (100 + i, 100 + i))))
        .collect();
    tables.push((0, table(9, 10, 80, 90, (110, 110))));
    // In the gap between 50 and 80.
    tables.push((4, table(20, 30, 60, 70, (1, 10))));
    tables.push((4, table(21, 30, 95, 99, (1, 10))));
    let state = tree(tables, &[]);
    let job = choose(&state, &Busy::default(), &[]).unwrap();
    assert_eq!(ids(&job), [9, 3, 2, 1, 0, 20]);
    assert_eq!((job.output_level, job.reason), (4, Reason::Level0));
    assert!(job.bottom);
}

#[test]
fn a_job_that_would_be_too_long_takes_the_oldest_of_level_0() {
    let tables = (0..8).map(|i| (0, table(i, 400, 0, 9, (100 + i, 100 + i))));
    let tables = tables.chain([(4, table(20, 100, 5, 5, (1, 10)))]);
    let state = tree(tables.collect(), &[]);
    let job = choose(&state, &Busy::default(), &[]).unwrap();
    assert_eq!(ids(&job), [2, 1, 0, 20]);
    // Nothing at all of level 0 while it runs: what is newer would get beneath.
    let mut busy = Busy::default();
    busy.start(&job);
    assert_eq!(choose(&state, &busy, &[]), None);
    busy.finish(&job);
    assert_eq!(choose(&state, &busy, &[]), Some(job));
}

#[test]
fn a_table_of_level_0_is_not_moved_past_an_older_one_that_it_overlaps() {
    // Table 1 is too small to be moved; table 2 lies over it.
    let tables = vec![
        (0, table(1, 1, 10, 20, (1, 1))),
        (0, table(2, 90, 20, 30, (2, 2))),
        (0, table(3, 90, 40, 50, (3, 3))),
        (0, table(4, 90, 50, 60, (4, 4))),
    ];
    let state = tree(tables, &[]);
    let job = choose(&state, &Busy::default(), &[]).unwrap();
    assert_eq!((ids(&job), job.action), (vec![3], Action::Move));
}

#[test]
fn the_table_with_the_least_below_goes_down_and_neighbours_come_along_for_free() {
    // Level 4 has 4000, so level 3 may have 1000 and level 2 would begin at 800 / 4.
    let mut tables: Vec<_> = (0..40)
        .map(|i| (4, table(100 + i, 100, i * 100, i * 100 + 50, (1, 10))))
        .collect();
    tables.extend([
        (3, table(1, 1000, 0, 350, (20, 30))),
        (3, table(2, 90, 400, 420, (20, 30))),
        (3, table(3, 100, 430, 440, (20, 30))),
        (3, table(4, 100, 500, 1000, (20, 30))),
    ]);
    let state = tree(tables, &[]);
    let job = choose(&state, &Busy::default(), &[]).unwrap();
    // The first has 4 tables of its own size in 10 below, the best.
    assert_eq!(ids(&job), [1, 100, 101, 102, 103]);
    let mut busy = Busy::default();
    busy.start(&job);
    let job = choose(&state, &busy, &[]).unwrap();
    assert_eq!(ids(&job), [2, 3, 104]);
    assert!(job.bottom && job.reason == Reason::Size);
}

#[test]
fn tables_that_a_range_delete_hides_are_dropped_unless_a_pin_sees_them() {
    let tables = || {
        vec![
            (3, table(1, 50, 10, 20, (5, 10))),
            (4, table(2, 50, 10, 20, (1, 3))),
            (4, table(3, 50, 30, 40, (1, 3))),
            (4, table(4, 50, 41, 50, (200, 300))),
        ]
    };
    let state = tree(tables(), &[range(10, 40, 100)]);
    let job = choose(&state, &Busy::default(), &[]).unwrap();
    // The third reaches beyond the end, which is exclusive; the fourth is newer.
    assert_eq!((ids(&job), job.action), (vec![1, 2], Action::Drop));
    assert_eq!(job.reason, Reason::RangeDeleted);
    let job = choose(&state, &Busy::default(), &[Seqno::new(7)]);
    assert_eq!(job, None, "a pin sees rows of all of them");
    let job = choose(&state, &Busy::default(), &[Seqno::new(4)]).unwrap();
    assert_eq!(ids(&job), [1], "a pin sees what is beneath");
    let job = choose(&state, &Busy::default(), &[Seqno::new(100)]).unwrap();
    assert_eq!(ids(&job), [1, 2], "a pin sees the range delete");
    let mut purged = tables();
    for (_, table) in &mut purged {
        table.purged_through = Seqno::new(100);
    }
    let state = tree(purged, &[range(10, 40, 100)]);
    assert_eq!(choose(&state, &Busy::default(), &[]), None);
    assert_eq!(retirable(&state.trees[&TREE]), [range(10, 40, 100)]);
}

#[test]
fn a_range_delete_that_waits_for_a_table_gets_it_rewritten_where_it_is() {
    let tables = vec![
        (3, table(1, 50, 10, 60, (5, 10))),
        (4, table(2, 50, 10, 20, (200, 300))),
    ];
    let state = tree(tables, &[range(10, 40, 100)]);
    let job = choose(&state, &Busy::default(), &[]).unwrap();
    assert_eq!((ids(&job), job.output_level), (vec![1], 3));
    assert_eq!(job.reason, Reason::RangeDelete);
    assert!(!job.bottom, "there is something beneath");
    assert_eq!(retirable(&state.trees[&TREE]), []);
    // It would not help while a pin sees the rows.
    assert_eq!(choose(&state, &Busy::default(), &[Seqno::new(50)]), None);
}

#[test]
fn tables_that_keep_garbage_alive_are_rewritten_the_worst_first() {
    let uses = |id, first, file, bytes| {
        let mut table = table(id, 50, first, first + 9, (1, 3));
        let file = FileId(file);
        table.blobs = vec![BlobUse {
            file,
            values: 1,
            bytes,
        }];
        (4, table)
    };
    // File 500 has 49 of 100 in use, file 501 50 of 100.
    let state = tree(
        vec![
            uses(1, 10, 500, 9),
            uses(2, 20, 500, 40),
            uses(3, 30, 501, 50),
        ],
        &[],
    );
    assert_eq!(
        garbage(&state).keys().copied().collect::<Vec<_>>(),
        [FileId(500)]
    );
    let mut busy = Busy::default();
    let job = choose(&state, &busy, &[]).unwrap();
    assert_eq!((ids(&job), job.output_level), (vec![2], 4));
    assert_eq!((job.reason, job.bottom), (Reason::Blobs, true));
    busy.start(&job);
    assert_eq!(ids(&choose(&state, &busy, &[]).unwrap()), [1]);
}

#[test]
fn a_table_with_an_older_one_behind_it_in_level_0_is_not_at_the_bottom() {
    let uses = |id, keys: (u64, u64), seqno| {
        let mut table = table(id, 50, keys.0, keys.1, (seqno, seqno));
        table.blobs = vec![BlobUse {
            file: FileId(500),
            values: 1,
            bytes: id,
        }];
        (0, table)
    };
    let state = tree(
        vec![
            uses(3, (10, 20), 7),
            uses(2, (20, 30), 6),
            uses(1, (0, 9), 5),
        ],
        &[],
    );
    let mut busy = Busy::default();
    // Not 2 beside 3: both would write key 20 of level 0.
    for (id, bottom) in [(3, false), (1, true)] {
        let job = choose(&state, &busy, &[]).unwrap();
        assert_eq!((ids(&job), job.bottom), (vec![id], bottom));
        busy.start(&job);
    }
}

#[test]
fn two_jobs_never_write_into_the_same_keys() {
    // What comes of 1 and the small 3 may be one table, over the keys of 2.
    let tables = vec![
        (3, table(1, 10, 10, 20, (20, 30))),
        // Too large to come along.
        (3, table(2, 2000, 30, 35, (20, 30))),
        (4, table(3, 10, 40, 50, (1, 10))),
    ];
    let state = tree(tables, &[]);
    let mut busy = Busy::default();
    let job = choose(&state, &busy, &[]).unwrap();
    assert_eq!((ids(&job), job.action), (vec![1, 3], Action::Rewrite));
    busy.start(&job);
    assert_eq!(choose(&state, &busy, &[]), None);
    busy.finish(&job);
    assert!(choose(&state, &busy, &[]).is_some());
}

#[test]
fn small_tables_in_order_are_joined_rather_than_moved() {
    let mut sim = Sim::new(small_shape(), 10);
    for i in 0..400 {
        sim.flush(&[(i, true)], &[]);
        sim.settle();
    }
    let tables = sim.files().tables().count();
    // 400 rows in tables of at least a quarter of ten rows.
    assert!(tables < 150, "{tables}");
}

#[test]
fn a_dropped_tree_is_left_alone() {
    let tables = (0..8).map(|i| (0, table(i, 400, 0, 9, (100 + i, 100 + i))));
    let mut state = tree(tables.collect(), &[]);
    let edit = Edit {
        trees_dropped: vec![(TREE, Seqno::new(900))],
        ..Edit::default()
    };
    state.apply(&edit).unwrap();
    assert_eq!(choose(&state, &Busy::default(), &[]), None);
    assert!(score(&state.trees[&TREE], &small_shape()) < 1.0);
}

#[test]
fn full_takes_everything_to_the_last_level_but_not_beside_another_job() {
    let tables = vec![
        (0, table(1, 10, 0, 9, (50, 60))),
        (3, table(2, 50, 10, 60, (5, 10))),
        (4, table(3, 50, 10, 20, (1, 3))),
    ];
    let state = tree(tables, &[]);
    let files = &state.trees[&TREE];
    let mut busy = Busy::default();
    let job = full(files, &small_shape(), &busy).unwrap();
    assert_eq!(
        (ids(&job), job.output_level, job.bottom),
        (vec![1, 2, 3], 4, true)
    );
    busy.start(&job);
    assert_eq!(full(files, &small_shape(), &busy), None);
    assert_eq!(
        full(&TreeFiles::default(), &small_shape(), &Busy::default()),
        None
    );
}

#[test]
fn the_newest_tables_of_level_0_become_one_unless_an_older_one_is_much_larger() {
    let shape = Shape {
        base_bytes: 10_000,
        ..small_shape()
    };
    let of = |sizes: &[u64]| {
        let tables = sizes.iter().enumerate().map(|(at, bytes)| {
            let seqno = 100 - at as u64;
            (0, table(at as u64 + 1, *bytes, 0, 50, (seqno, seqno)))
        });
        tree(tables.collect(), &[])
    };
    let tidy = |sizes: &[u64]| {
        let state = of(sizes);
        let job = level0::tidy(&state.trees[&TREE], &shape, &Busy::default());
        job.map(|job| ids(&job))
    };
    assert_eq!(tidy(&[50, 50, 50]), Some(vec![1, 2, 3]));
    assert_eq!(tidy(&[50, 50, 300]), Some(vec![1, 2]));
    assert_eq!(tidy(&[5, 50, 50]), Some(vec![1, 2, 3]));
    assert_eq!(tidy(&[50, 300]), None);
    assert_eq!(tidy(&[50]), None);
    // Not beside another job of level 0.
    let state = of(&[50, 50]);
    let mut busy = Busy::default();
    let job = level0::tidy(&state.trees[&TREE], &shape, &busy).unwrap();
    busy.start(&job);
    assert_eq!(level0::tidy(&state.trees[&TREE], &shape, &busy), None);
    // In order, they are moved, not merged.
    let tables = vec![
        (0, table(1, 50, 20, 30, (9, 9))),
        (0, table(2, 50, 0, 10, (8, 8))),
    ];
    let state = tree(tables, &[]);
    assert_eq!(
        level0::tidy(&state.trees[&TREE], &shape, &Busy::default()),
        None
    );
}
