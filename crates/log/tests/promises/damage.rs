//! Torn or damaged: the end of an interrupted write is cut off and reported, a changed byte of what
//! was durable is an error that names file and offset and changes nothing.

use crate::support::*;
use nexusbase_io::sim::SimDisk;
use nexusbase_log::{OpenError, Opened, Record, Sync, Term, Vote, inspect};

/// Opens, expects damage, and checks that the error names the place and nothing was changed.
fn expect_damage(disk: &SimDisk, generation: u64, offset: u64) {
    let before = files(disk);
    let error = try_open(disk).unwrap_err();
    let OpenError::Damage(damage) = &error else {
        panic!("not damage: {error}");
    };
    assert_eq!(
        (&damage.path, damage.offset),
        (&segment(generation), offset),
        "{error}"
    );
    let text = error.to_string();
    assert!(
        text.contains(".log") && text.contains(&format!("offset {offset}")),
        "{text}"
    );
    assert!(files(disk) == before, "something was changed");
}

fn entries(opened: &mut Opened, range: std::ops::RangeInclusive<u64>, length: usize) {
    for index in range {
        append(opened, index, &vec![index as u8; length]).unwrap();
    }
}

/// Where the batch of entry `index` starts, if all have payloads of `length` bytes.
const fn batch_of(index: u64, length: u64) -> u64 {
    // The first batch is the segment's own.
    RECORDS_AT + BATCH + (index - 1) * (BATCH + (HEADER + length).next_multiple_of(8))
}

#[test]
fn a_torn_tail_is_cut_off_and_reported_and_appended_over_and_may_tear_again() {
    let mut torn = 0;
    for seed in 0..200 {
        let disk = SimDisk::new(seed);
        let mut last = 0;
        for life in 0..4 {
            let mut opened = open(&disk);
            torn += u32::from(opened.torn.is_some());
            let found = opened.log.group(G).last.index.get();
            // Batches of three: never a part of one.
            assert!(
                found >= last && found.is_multiple_of(3),
                "seed {seed}: {found}, {last}"
            );
            last = found;
            let payload = vec![seed as u8; 700 + 10 * life];
            let batch = |from: u64| [from, from + 1, from + 2].map(|i| entry(G, i, 1, &payload));
            opened
                .writer
                .append(&batch(last + 1), Sync::Durable)
                .unwrap();
            last += 3;
            disk.crash_at(1);
            opened
                .writer
                .append(&batch(last + 1), Sync::Durable)
                .unwrap_err();
            disk.crash(seed * 10 + life as u64);
        }
    }
    assert!(torn > 50, "{torn}");
}

#[test]
fn a_torn_tail_is_reported_with_its_place_and_once() {
    let disk = SimDisk::new(3);
    let mut opened = open(&disk);
    entries(&mut opened, 1..=2, 100);
    drop(opened);
    // Half of a batch reached the disk.
    let offset = batch_of(3, 100);
    let mut bytes = disk.file_bytes(&segment(1)).unwrap();
    bytes.copy_within(
        batch_of(2, 100) as usize..batch_of(2, 100) as usize + 30,
        offset as usize,
    );
    disk.set_file_bytes(&segment(1), &bytes);
    disk.kill();
    let summary = inspect::walk(&disk, std::path::Path::new(DIR), |_| {}).unwrap();
    assert!(
        summary
            .unfinished
            .unwrap()
            .contains(&format!("offset {offset}"))
    );
    let torn = open(&disk).torn.unwrap();
    assert_eq!((torn.path, torn.offset), (segment(1), offset));
    assert!(torn.reason.contains("checksum"), "{}", torn.reason);
    disk.kill();
    let opened = open(&disk);
    assert_eq!(opened.torn, None);
    assert_eq!(indices(&opened.log, G), [1, 2]);
}

#[test]
fn an_opening_that_breaks_off_while_it_cuts_is_repeated_by_the_next() {
    let torn_disk = || {
        let disk = SimDisk::new(9);
        let mut opened = open(&disk);
        entries(&mut opened, 1..=2, 100);
        // Three batches for later, of which only the third reached the disk.
        for index in 3..=5 {
            let payload = [index as u8; 2000];
            let record = entry(G, index, 1, &payload);
            opened.writer.append(&[record], Sync::Later).unwrap();
        }
        drop(opened);
        let mut bytes = disk.file_bytes(&segment(1)).unwrap();
        let start = batch_of(3, 100) as usize;
        bytes[start..start + 2080].fill(0);
        disk.kill();
        disk.set_file_bytes(&segment(1), &bytes);
        disk
    };
    for n in 1..30 {
        for seed in 0..4 {
            let disk = torn_disk();
            disk.crash_at(n);
            let finished = try_open(&disk).is_ok();
            disk.crash(seed);
            let mut opened = open(&disk);
            assert_eq!(
                indices(&opened.log, G),
                [1, 2],
                "operation {n}, seed {seed}"
            );
            // The new batch ends where the old fourth one started.
            append(&mut opened, 3, &[9; 2000]).unwrap();
            disk.crash(seed);
            assert_eq!(
                indices(&open(&disk).log, G),
                [1, 2, 3],
                "operation {n}, seed {seed}"
            );
            if finished {
                return;
            }
        }
    }
}

/// The zeros over a torn end may themselves fail to reach the disk, while reads show them. If the
/// next opening, without a restart in between, took that for a clean end, then old batches could
/// come back behind a new one that ends where they start.
#[test]
fn what_was_cut_off_never_comes_back_behind_a_new_batch() {
    // Entry 4 starts where a sector starts, so that the zeros behind entry 3 can be lost alone.
    let length = 5120 - batch_of(3, 100) as usize - (BATCH + HEADER) as usize;
    for n in 1..40 {
        let mut finished = true;
        for seed in 0..40 {
            let disk = SimDisk::new(seed);
            let mut opened = open(&disk);
            entries(&mut opened, 1..=2, 100);
            for index in 3..=5 {
                let payload = vec![index as u8; length];
                let record = entry(G, index, 1, &payload);
                opened.writer.append(&[record], Sync::Later).unwrap();
            }
            drop(opened);
            let mut bytes = disk.file_bytes(&segment(1)).unwrap();
            bytes[batch_of(3, 100) as usize..5120].fill(0);
            disk.kill();
            disk.set_file_bytes(&segment(1), &bytes);

            disk.fail_at(n, nexusbase_io::sim::FaultKind::Io);
            finished &= try_open(&disk).is_ok();
            disk.kill();
            let mut opened = open(&disk);
            assert_eq!(indices(&opened.log, G), [1, 2]);
            let payload = vec![33; length];
            let record = entry(G, 3, 2, &payload);
            opened.writer.append(&[record], Sync::Later).unwrap();
            disk.crash(seed);
            let found = indices(&open(&disk).log, G);
            assert!(found.len() <= 3, "operation {n}, seed {seed}: {found:?}");
        }
        if finished {
            return;
        }
    }
    panic!("it never got through");
}

/// Sectors of a batch reach the disk in any order. Of one batch only the last entry got there; the
/// next life saw zeros where the batch should start, took that for a clean end, and left the entry
/// where it was. Then it wrote a batch of the same shape, of which all got there but the last
/// entry: and the old one, valid in its place, was taken for the end of the new batch.
#[test]
fn what_an_interrupted_write_left_never_comes_back() {
    // The batch's last entry starts where a sector starts.
    const LAST_AT: usize = 12 * 512;
    let length = LAST_AT - batch_of(2, 100) as usize - (BATCH + HEADER) as usize;
    let append_two = |opened: &mut Opened, byte: u8| {
        let (first, last) = (vec![byte; length], vec![byte; 600]);
        let records = [entry(G, 2, 1, &first), entry(G, 3, 1, &last)];
        opened.writer.append(&records, Sync::Durable).unwrap();
    };
    let disk = SimDisk::new(1);
    let bytes = || disk.file_bytes(&segment(1)).unwrap();

    let mut opened = open(&disk);
    append(&mut opened, 1, &[1; 100]).unwrap();
    let before = bytes();
    append_two(&mut opened, b'o');
    let torn = [&before[..LAST_AT], &bytes()[LAST_AT..]].concat();
    disk.kill();
    disk.set_file_bytes(&segment(1), &torn);

    let mut opened = open(&disk);
    assert_eq!(indices(&opened.log, G), [1]);
    let before = bytes();
    append_two(&mut opened, b'n');
    let torn = [&bytes()[..LAST_AT], &before[LAST_AT..]].concat();
    disk.kill();
    disk.set_file_bytes(&segment(1), &torn);

    let opened = open(&disk);
    assert_eq!(indices(&opened.log, G), [1]);
    assert!(opened.torn.is_some());
}

#[test]
fn a_changed_byte_that_a_later_batch_claims_is_damage() {
    for at in [4, 47, BATCH + 4, BATCH + HEADER + 7] {
        let disk = SimDisk::new(1);
        let mut opened = open(&disk);
        entries(&mut opened, 1..=4, 100);
        disk.kill();
        disk.flip_bit(&segment(1), batch_of(3, 100) + at, 3)
            .unwrap();
        let record = if at < BATCH { 0 } else { BATCH };
        expect_damage(&disk, 1, batch_of(3, 100) + record);
    }
}

#[test]
fn a_claim_makes_damage_to_the_last_batch_detectable() {
    for claimed in [false, true] {
        let disk = SimDisk::new(1);
        let mut opened = open(&disk);
        entries(&mut opened, 1..=4, 100);
        if claimed {
            opened.writer.claim().unwrap();
        }
        disk.kill();
        disk.flip_bit(&segment(1), batch_of(4, 100) + 60, 3)
            .unwrap();
        if claimed {
            expect_damage(&disk, 1, batch_of(4, 100) + BATCH);
        } else {
            // The open window: it looks like a torn end, and is reported as one.
            let opened = open(&disk);
            assert!(opened.torn.is_some());
            assert_eq!(indices(&opened.log, G), [1, 2, 3]);
        }
    }
}

#[test]
fn a_log_that_is_opened_and_claimed_again_and_again_does_not_grow() {
    let disk = SimDisk::new(1);
    append(&mut open(&disk), 1, b"x").unwrap();
    disk.kill();
    open(&disk).writer.claim().unwrap();
    let before = files(&disk);
    for _ in 0..3 {
        disk.kill();
        let mut opened = open(&disk);
        opened.writer.claim().unwrap();
        opened.writer.claim().unwrap();
    }
    assert!(files(&disk) == before);
}

#[test]
fn a_changed_byte_in_an_older_segment_is_damage() {
    let disk = SimDisk::new(1);
    let mut opened = open(&disk);
    entries(&mut opened, 1..=20, 9000);
    assert!(segments(&disk).len() >= 3);
    disk.kill();
    // Also in the last batch of a segment: the next segment claims it.
    for index in [1, 6] {
        let disk = disk.fork();
        disk.flip_bit(&segment(1), batch_of(index, 9000) + 5000, 0)
            .unwrap();
        expect_damage(&disk, 1, batch_of(index, 9000) + BATCH);
    }
}

/// The first batch of a segment holds the state of all groups, and was durable before the segment
/// got its name. It must not pass for torn, however new the segment is.
#[test]
fn damage_to_the_first_batch_of_the_newest_segment_is_damage() {
    let disk = SimDisk::new(1);
    let mut opened = open(&disk);
    let vote = Vote {
        term: Term::new(3),
        node: 1,
        committed: false,
    };
    let record = Record::Vote { group: G, vote };
    opened.writer.append(&[record], Sync::Durable).unwrap();
    entries(&mut opened, 1..=6, 9000);
    append(&mut opened, 7, &[7; 20_000]).unwrap();
    disk.kill();
    assert_eq!(segments(&disk).len(), 2);
    // The batch that needed the new segment did not reach the disk: nobody claims the first.
    let mut bytes = disk.file_bytes(&segment(2)).unwrap();
    let checkpoint = (HEADER + 34).next_multiple_of(8);
    bytes[(RECORDS_AT + BATCH + checkpoint) as usize..].fill(0);
    disk.set_file_bytes(&segment(2), &bytes);
    assert_eq!(open(&disk.fork()).torn, None);
    for offset in [RECORDS_AT, RECORDS_AT + 20, RECORDS_AT + BATCH + 40] {
        let disk = disk.fork();
        disk.flip_bit(&segment(2), offset, 1).unwrap();
        let record = if offset < RECORDS_AT + BATCH {
            0
        } else {
            BATCH
        };
        expect_damage(&disk, 2, RECORDS_AT + record);
    }
}

#[test]
fn a_damaged_header_or_length_is_damage() {
    let disk = SimDisk::new(1);
    append(&mut open(&disk), 1, b"x").unwrap();
    disk.kill();
    for offset in (0..12).chain(16..56) {
        let disk = disk.fork();
        disk.flip_bit(&segment(1), offset, 5).unwrap();
        expect_damage(&disk, 1, if offset < 8 { 0 } else { 56 });
    }
    let mut bytes = disk.file_bytes(&segment(1)).unwrap();
    bytes.truncate(60_000);
    disk.set_file_bytes(&segment(1), &bytes);
    expect_damage(&disk, 1, 60_000);
}

#[test]
fn a_missing_segment_is_an_error() {
    let disk = SimDisk::new(1);
    let mut opened = open(&disk);
    entries(&mut opened, 1..=20, 9000);
    disk.kill();
    for generation in 1..=2 {
        let disk = disk.fork();
        nexusbase_io::Fs::remove(&disk, &segment(generation)).unwrap();
        let error = try_open(&disk).unwrap_err().to_string();
        assert!(error.contains("missing"), "{error}");
    }
}

#[test]
fn a_segment_of_another_database_or_under_another_name_is_refused() {
    let disk = SimDisk::new(1);
    append(&mut open(&disk), 1, b"x").unwrap();
    disk.kill();
    let bytes = disk.file_bytes(&segment(1)).unwrap();
    let other = disk.fork();
    other.set_file_bytes(&segment(2), &bytes);
    let error = try_open(&other).unwrap_err().to_string();
    assert!(error.contains("generation 2 as its name says"), "{error}");
    let mut foreign = options();
    foreign.database = [8; 16];
    let fs = std::sync::Arc::new(disk.clone());
    let error = nexusbase_log::Log::open(fs, std::path::Path::new(DIR), foreign).unwrap_err();
    assert!(matches!(error, OpenError::OtherDatabase { .. }), "{error}");
}

#[test]
fn a_later_format_is_refused_by_name() {
    let disk = SimDisk::new(1);
    append(&mut open(&disk), 1, b"x").unwrap();
    disk.kill();
    let mut bytes = disk.file_bytes(&segment(1)).unwrap();
    bytes[8] = 2;
    let checksum = crc32c::crc32c(&bytes[..56]);
    bytes[56..60].copy_from_slice(&checksum.to_le_bytes());
    disk.set_file_bytes(&segment(1), &bytes);
    let error = try_open(&disk).unwrap_err().to_string();
    assert!(
        error.contains("format 2") && error.contains("format 1"),
        "{error}"
    );
}

/// The names of new files are durable only after a sync of their folder. If the process dies just
/// before that, the next one sees them, and must not build on them before it has synced.
#[test]
fn a_process_that_dies_before_the_folder_is_synced_costs_the_next_one_nothing() {
    for n in 1..40 {
        let disk = SimDisk::new(n);
        let mut opened = open(&disk);
        append(&mut opened, 1, &[1; 40_000]).unwrap();
        disk.crash_at(n);
        let rolled = append(&mut opened, 2, &[2; 40_000]).is_ok();
        // Not the power: only the process ended there.
        disk.kill();
        let mut opened = open(&disk);
        let next = opened.log.group(G).last.index.next().get();
        append(&mut opened, next, b"acknowledged").unwrap();
        for seed in 0..10 {
            let disk = disk.fork();
            disk.crash(seed);
            assert_eq!(
                open(&disk).log.group(G).last.index.get(),
                next,
                "operation {n}"
            );
        }
        if rolled {
            return;
        }
    }
    panic!("it never got through");
}
