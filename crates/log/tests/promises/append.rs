//! What appending promises: what was acknowledged is there again, in order, whatever happened to
//! the segments; and what was refused has left nothing.

use crate::support::*;
use nexusbase_io::sim::{FaultKind, SimDisk};
use nexusbase_log::{AppendError, Group, Record, Sync, Term, Vote};

fn purge(up_to: u64) -> Record<'static> {
    Record::PurgeUpTo {
        group: G,
        up_to: id(up_to, 1),
    }
}

fn vote(term: u64) -> Vote {
    Vote {
        term: Term::new(term),
        node: 3,
        committed: true,
    }
}

/// Recycles all that can go, and makes no spare of its own.
fn recycle(opened: &nexusbase_log::Opened) -> usize {
    let mut count = 0;
    while opened.log.recycle_step().unwrap() {
        count += 1;
    }
    count
}

#[test]
fn what_was_appended_is_there_after_reopening() {
    let disk = SimDisk::new(1);
    let mut opened = open(&disk);
    assert_eq!(opened.torn, None);
    for index in 1..=100 {
        append(&mut opened, index, &vec![index as u8; index as usize * 9]).unwrap();
    }
    assert!(opened.log.size().0 == 1);
    let before = read(&opened.log, G);
    assert_eq!(before.len(), 100);
    disk.crash(1);
    let opened = open(&disk);
    assert_eq!(opened.torn, None);
    assert_eq!(read(&opened.log, G), before);
    assert_eq!(opened.log.group(G).last.index.get(), 100);
}

#[test]
fn an_index_that_does_not_follow_is_refused_and_writes_nothing() {
    let disk = SimDisk::new(1);
    let mut opened = open(&disk);
    append(&mut opened, 1, b"one").unwrap();
    let before = files(&disk);
    for index in [0, 1, 3, u64::MAX] {
        let refused = append(&mut opened, index, b"x").unwrap_err();
        assert!(matches!(refused, AppendError::Gap { .. }), "{refused}");
    }
    // Also behind a good one in the same batch.
    let batch = [entry(G, 2, 1, b"two"), entry(G, 4, 1, b"four")];
    let refused = opened.writer.append(&batch, Sync::Durable).unwrap_err();
    assert!(matches!(refused, AppendError::Gap { .. }), "{refused}");
    assert_eq!(files(&disk), before);
    append(&mut opened, 2, b"two").unwrap();
    assert_eq!(indices(&opened.log, G), [1, 2]);
}

#[test]
fn groups_keep_their_own_indices_votes_and_purges() {
    let disk = SimDisk::new(1);
    let mut opened = open(&disk);
    let groups = [Group::new(0), Group::new(1), Group::new(9)];
    for index in 1..=200 {
        let payload = vec![index as u8; 300];
        let batch = groups.map(|group| entry(group, index, u64::from(group.get()), &payload));
        opened.writer.append(&batch, Sync::Durable).unwrap();
    }
    let batch = [
        Record::Vote {
            group: groups[1],
            vote: vote(4),
        },
        Record::PurgeUpTo {
            group: groups[2],
            up_to: id(150, 9),
        },
    ];
    opened.writer.append(&batch, Sync::Durable).unwrap();
    assert!(opened.log.size().0 > 2);
    drop(opened);
    disk.crash(3);
    let opened = open(&disk);
    assert_eq!(indices(&opened.log, groups[0]), Vec::from_iter(1..=200));
    assert_eq!(indices(&opened.log, groups[1]), Vec::from_iter(1..=200));
    assert_eq!(indices(&opened.log, groups[2]), Vec::from_iter(151..=200));
    assert_eq!(opened.log.group(groups[1]).vote, Some(vote(4)));
    assert_eq!(opened.log.group(groups[0]).vote, None);
    assert_eq!(
        opened.log.group(Group::new(5)),
        nexusbase_log::GroupView::default()
    );
}

#[test]
fn a_batch_larger_than_a_segment_gets_one_of_its_own() {
    let disk = SimDisk::new(1);
    let mut opened = open(&disk);
    append(&mut opened, 1, b"small").unwrap();
    append(&mut opened, 2, &vec![2; 300_000]).unwrap();
    append(&mut opened, 3, b"small").unwrap();
    disk.crash(1);
    let mut opened = open(&disk);
    assert_eq!(read(&opened.log, G)[1].2, vec![2; 300_000]);
    assert_eq!(indices(&opened.log, G), [1, 2, 3]);
    // It is not kept as a spare: its size is not the usual one.
    opened.writer.append(&[purge(3)], Sync::Durable).unwrap();
    append(&mut opened, 4, &vec![4; 50_000]).unwrap();
    append(&mut opened, 5, &vec![5; 50_000]).unwrap();
    assert!(recycle(&opened) >= 2);
    assert!(
        disk.paths()
            .iter()
            .all(|path| disk.file_bytes(path).unwrap().len() <= 1 << 16)
    );
}

#[test]
fn a_payload_over_the_limit_is_refused() {
    let disk = SimDisk::new(1);
    let mut opened = open(&disk);
    let refused = append(&mut opened, 1, &vec![0; (80 << 20) + 1]).unwrap_err();
    assert!(matches!(refused, AppendError::TooLarge { .. }), "{refused}");
    append(&mut opened, 1, b"small").unwrap();
}

#[test]
fn without_room_nothing_is_half_written_and_later_it_works() {
    let disk = SimDisk::new(1);
    let mut opened = open(&disk);
    append(&mut opened, 1, &vec![1; 40_000]).unwrap();
    disk.set_capacity(Some(SEGMENT + 1000));
    let before = files(&disk);
    for _ in 0..3 {
        let refused = append(&mut opened, 2, &vec![2; 40_000]).unwrap_err();
        assert!(matches!(refused, AppendError::NoSpace(_)), "{refused}");
        assert!(opened.log.prepare_spare_step().unwrap_err().is_no_space());
        assert_eq!(files(&disk), before);
    }
    append(&mut opened, 2, b"this still fits").unwrap();
    disk.set_capacity(None);
    append(&mut opened, 3, &vec![3; 40_000]).unwrap();
    disk.crash(1);
    assert_eq!(indices(&open(&disk).log, G), [1, 2, 3]);
}

#[test]
fn a_failed_sync_is_final() {
    for operation in 1..=2 {
        let disk = SimDisk::new(operation);
        let mut opened = open(&disk);
        append(&mut opened, 1, b"one").unwrap();
        opened
            .writer
            .append(&[entry(G, 2, 1, b"two")], Sync::Later)
            .unwrap();
        disk.fail_at(operation, FaultKind::Io);
        let failed = append(&mut opened, 3, b"three").unwrap_err();
        assert!(matches!(failed, AppendError::Failed(_)), "{failed}");
        assert!(opened.writer.has_failed());
        for refused in [
            append(&mut opened, 3, b"three"),
            opened.writer.sync(),
            opened.writer.claim(),
        ] {
            assert!(
                matches!(refused, Err(AppendError::Failed(_))),
                "{refused:?}"
            );
        }
    }
}

/// After a failed sync the page cache shows what the device does not have, as clean pages. The
/// next opening without a restart of the machine must not take that for durable: it writes it
/// again, before it builds on it.
#[test]
fn what_is_read_after_a_failed_sync_is_made_durable_before_it_is_believed() {
    let mut both = [false; 2];
    for seed in 0..60 {
        let disk = SimDisk::new(seed);
        let mut opened = open(&disk);
        append(&mut opened, 1, b"one").unwrap();
        opened
            .writer
            .append(&[entry(G, 2, 1, &[2; 3000])], Sync::Later)
            .unwrap();
        disk.fail_at(1, FaultKind::Io);
        opened.writer.sync().unwrap_err();
        drop(opened);
        disk.kill();
        let mut opened = open(&disk);
        assert_eq!(indices(&opened.log, G), [1, 2]);
        append(&mut opened, 3, b"three").unwrap();
        disk.crash(seed);
        assert_eq!(indices(&open(&disk).log, G), [1, 2, 3], "seed {seed}");
        both[seed as usize % 2] = true;
    }
    assert_eq!(both, [true, true]);
}

#[test]
fn sync_makes_all_that_was_appended_for_later_durable() {
    let disk = SimDisk::new(1);
    let mut opened = open(&disk);
    for index in 1..=20 {
        let record = entry(G, index, 1, b"later");
        opened.writer.append(&[record], Sync::Later).unwrap();
    }
    assert!(opened.log.durable() < opened.writer.append(&[], Sync::Later).unwrap());
    opened.writer.sync().unwrap();
    assert_eq!(opened.log.durable(), opened.writer.durable());
    let record = entry(G, 21, 1, b"later");
    opened.writer.append(&[record], Sync::Later).unwrap();
    let mut most = 0;
    for seed in 0..50 {
        let disk = disk.fork();
        disk.crash(seed);
        let opened = open(&disk);
        let last = opened.log.group(G).last.index.get();
        assert!(last >= 20, "seed {seed}: {last}");
        most = most.max(last);
    }
    assert_eq!(most, 21);
}

#[test]
fn a_kill_loses_nothing_that_was_appended_for_later() {
    let disk = SimDisk::new(1);
    let mut opened = open(&disk);
    for index in 1..=20 {
        let record = entry(G, index, 1, &[1; 5000]);
        opened.writer.append(&[record], Sync::Later).unwrap();
    }
    disk.kill();
    let opened = open(&disk);
    assert_eq!(indices(&opened.log, G), Vec::from_iter(1..=20));
    // What was opened is durable from then on.
    disk.crash(5);
    assert_eq!(indices(&open(&disk).log, G), Vec::from_iter(1..=20));
}

#[test]
fn votes_purges_and_truncations_outlive_the_segments_they_were_written_in() {
    let disk = SimDisk::new(1);
    let mut opened = open(&disk);
    let group = Group::new(2);
    let first = [
        Record::Vote {
            group,
            vote: vote(8),
        },
        entry(group, 1, 1, b"a"),
        entry(group, 2, 1, b"b"),
        Record::TruncateAfter {
            group,
            last: id(1, 1),
        },
        Record::PurgeUpTo {
            group,
            up_to: id(1, 1),
        },
        Record::Vote {
            group: Group::new(3),
            vote: vote(5),
        },
    ];
    opened.writer.append(&first, Sync::Durable).unwrap();
    let mut index = 0;
    let mut recycled = 0;
    for _ in 0..60 {
        index += 1;
        append(&mut opened, index, &vec![0; 9000]).unwrap();
        opened
            .writer
            .append(&[purge(index)], Sync::Durable)
            .unwrap();
        recycled += recycle(&opened);
    }
    assert!(recycled > 5, "{recycled}");
    for seed in 0..5 {
        disk.crash(seed);
        let opened = open(&disk);
        let view = opened.log.group(group);
        assert_eq!(view.vote, Some(vote(8)));
        assert_eq!((view.last, view.purged), (id(1, 1), id(1, 1)));
        assert_eq!(opened.log.group(Group::new(3)).vote, Some(vote(5)));
    }
    assert!(disk.file_bytes(&segment(1)).is_none());
}

#[test]
fn old_records_of_a_recycled_segment_are_never_taken_for_new_ones() {
    let disk = SimDisk::new(1);
    let mut opened = open(&disk);
    // All records have one size, so that old and new ones start at the same places.
    let mut index = 0;
    for round in 0..60 {
        index += 1;
        append(&mut opened, index, &[round; 2000]).unwrap();
        opened
            .writer
            .append(&[purge(index)], Sync::Durable)
            .unwrap();
        recycle(&opened);
        let disk = disk.fork();
        disk.crash(u64::from(round));
        let opened = open(&disk);
        assert_eq!(opened.torn, None, "round {round}");
        let view = opened.log.group(G);
        assert_eq!(
            (view.last.index.get(), view.purged.index.get()),
            (index, index)
        );
    }
    let allocated = disk.paths().len();
    assert!(
        allocated <= 3,
        "segments are recycled, not made: {allocated} files"
    );
}

#[test]
fn a_purge_beyond_the_last_entry_moves_the_log_there() {
    let disk = SimDisk::new(1);
    let mut opened = open(&disk);
    append(&mut opened, 1, b"one").unwrap();
    opened.writer.append(&[purge(10)], Sync::Durable).unwrap();
    assert!(matches!(
        append(&mut opened, 2, b"x"),
        Err(AppendError::Gap { .. })
    ));
    append(&mut opened, 11, b"eleven").unwrap();
    disk.crash(1);
    let opened = open(&disk);
    assert_eq!(indices(&opened.log, G), [11]);
    assert_eq!(opened.log.group(G).purged, id(10, 1));
}

/// How a copy of a database starts its log: what the entries up to there did is elsewhere.
#[test]
fn a_fresh_log_can_begin_behind_a_purge() {
    const F: u64 = 41;
    let start = || Record::PurgeUpTo {
        group: G,
        up_to: id(F, 0),
    };
    let check = |log: &nexusbase_log::Log, last: u64| {
        assert_eq!(log.group(G).purged, id(F, 0));
        assert_eq!(log.group(G).last.index.get(), last);
        assert_eq!(indices(log, G), Vec::from_iter(F + 1..=last));
    };
    let disk = SimDisk::new(1);
    let mut opened = open(&disk);
    opened.writer.append(&[start()], Sync::Durable).unwrap();
    check(&opened.log, F);
    // At once, or in a later life; whatever interrupts it.
    disk.crash(1);
    let mut opened = open(&disk);
    check(&opened.log, F);
    for wrong in [1, F, F + 2] {
        let refused = append(&mut opened, wrong, b"x");
        assert!(matches!(refused, Err(AppendError::Gap { .. })), "{wrong}");
    }
    (F + 1..=F + 30).for_each(|index| append(&mut opened, index, &[1; 5000]).unwrap());
    check(&opened.log, F + 30);
    assert!(segments(&disk).len() > 2);
    // Nothing of what it has is purged, so nothing is recycled but what holds no entry.
    assert_eq!(recycle(&opened), 0);
    opened.log.subscribe(G, id(F, 0).index).unwrap_err();
    let mut feed = opened.log.subscribe(G, id(F + 1, 0).index).unwrap();
    opened.log.set_committed(G, id(F + 30, 0).index);
    let first = feed.try_next().unwrap().map(|entry| entry.id.index.get());
    assert_eq!(first, Some(F + 1));
    disk.crash(2);
    let mut opened = open(&disk);
    check(&opened.log, F + 30);
    append(&mut opened, F + 31, b"on").unwrap();
    disk.kill();
    let mut opened = open(&disk);
    check(&opened.log, F + 31);
    // And it is purged on like any other.
    let on = purge(F + 20);
    opened.writer.append(&[on], Sync::Durable).unwrap();
    assert!(recycle(&opened) > 0);
    disk.crash(3);
    assert_eq!(
        indices(&open(&disk).log, G),
        Vec::from_iter(F + 21..=F + 31)
    );
}

/// The same in one batch, with its first entry.
#[test]
fn a_fresh_log_can_begin_with_a_purge_and_an_entry_in_one_batch() {
    let disk = SimDisk::new(1);
    let mut opened = open(&disk);
    let start = Record::PurgeUpTo {
        group: G,
        up_to: id(7, 0),
    };
    let batch = [start, entry(G, 8, 0, b"eight")];
    opened.writer.append(&batch, Sync::Durable).unwrap();
    disk.crash(1);
    let opened = open(&disk);
    assert_eq!(indices(&opened.log, G), [8]);
    assert_eq!(opened.log.group(G).purged, id(7, 0));
}

#[test]
fn after_a_truncation_the_newer_entries_are_read() {
    let disk = SimDisk::new(1);
    let mut opened = open(&disk);
    for index in 1..=30 {
        append(&mut opened, index, &[1; 5000]).unwrap();
    }
    let cut = Record::TruncateAfter {
        group: G,
        last: id(12, 1),
    };
    opened.writer.append(&[cut], Sync::Durable).unwrap();
    assert_eq!(indices(&opened.log, G), Vec::from_iter(1..=12));
    for index in 13..=20 {
        let record = entry(G, index, 2, b"newer");
        opened.writer.append(&[record], Sync::Durable).unwrap();
    }
    let check = |log: &nexusbase_log::Log| {
        let terms: Vec<u64> = read(log, G).into_iter().map(|entry| entry.1).collect();
        assert_eq!(terms, [[1; 12].as_slice(), &[2; 8]].concat());
    };
    check(&opened.log);
    disk.crash(1);
    check(&open(&disk).log);
}

#[test]
fn what_is_purged_cannot_be_cut_or_read() {
    let disk = SimDisk::new(1);
    let mut opened = open(&disk);
    for index in 1..=5 {
        append(&mut opened, index, b"x").unwrap();
    }
    opened.writer.append(&[purge(3)], Sync::Durable).unwrap();
    let cut = Record::TruncateAfter {
        group: G,
        last: id(2, 1),
    };
    let refused = opened.writer.append(&[cut], Sync::Durable);
    assert!(matches!(refused, Err(AppendError::BelowPurged { .. })));
    let refused = opened
        .log
        .entries(G, id(3, 1).index, id(5, 1).index)
        .unwrap_err();
    assert!(
        refused.to_string().contains("no longer in the log"),
        "{refused}"
    );
    assert_eq!(indices(&opened.log, G), [4, 5]);
}

/// A segment that could not be recycled may be there again after a crash. If those behind it were
/// gone then, the log would have a hole.
#[test]
fn a_failed_recycling_leaves_no_hole() {
    for operation in 1..=2 {
        for seed in 0..20 {
            let disk = SimDisk::new(seed);
            let mut opened = open(&disk);
            for index in 1..=30 {
                append(&mut opened, index, &vec![0; 9000]).unwrap();
            }
            opened.writer.append(&[purge(30)], Sync::Durable).unwrap();
            disk.fail_at(operation, FaultKind::Io);
            opened.log.recycle_step().unwrap_err();
            while opened.log.recycle_step().unwrap_or(false) {}
            append(&mut opened, 31, b"after").unwrap();
            disk.crash(seed);
            assert_eq!(indices(&open(&disk).log, G), [31]);
        }
    }
}
