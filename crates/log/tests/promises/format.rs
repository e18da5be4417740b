//! The bytes of format 1, and that they can be read for ever.
//!
//! `testdata/format-1.txt` shows the files of a small log with every kind of record, 16 bytes a
//! line, zeros left out. It never changes: a change of format gets a new file and a new test.

use std::fmt::Write as _;

use crate::support::*;
use nexusbase_io::sim::SimDisk;
use nexusbase_log::{Group, Record, Sync, Term, Vote, inspect};

const FORMAT_1: &str = include_str!("../../testdata/format-1.txt");

/// Writes the log that the golden file shows.
fn write(disk: &SimDisk) {
    let mut opened = open(disk);
    let (a, b) = (Group::new(0), Group::new(258));
    let vote = Vote {
        term: Term::new(0x0102_0304),
        node: 5,
        committed: true,
    };
    let batch = [
        entry(a, 1, 1, b"the first entry"),
        entry(a, 2, 1, b""),
        Record::Vote { group: b, vote },
        entry(b, 1, 7, &[0xab; 33]),
    ];
    opened.writer.append(&batch, Sync::Durable).unwrap();
    let batch = [
        Record::TruncateAfter {
            group: a,
            last: id(1, 1),
        },
        Record::PurgeUpTo {
            group: b,
            up_to: id(9, 7),
        },
    ];
    opened.writer.append(&batch, Sync::Durable).unwrap();
    // Two more segments, each with a checkpoint of both groups.
    let large = [0; 65_536 - 4096 - 300];
    opened
        .writer
        .append(&[entry(a, 2, 2, &large)], Sync::Durable)
        .unwrap();
    opened
        .writer
        .append(&[entry(a, 3, 2, b"the last entry")], Sync::Durable)
        .unwrap();
    opened.writer.claim().unwrap();
}

/// All files as text.
fn dump(disk: &SimDisk) -> String {
    let mut text = String::new();
    for (path, bytes) in files(disk) {
        writeln!(text, "{} {}", path.display(), bytes.len()).unwrap();
        for (number, line) in bytes.chunks(16).enumerate() {
            if line.iter().any(|byte| *byte != 0) {
                let hex: String = line.iter().map(|byte| format!("{byte:02x}")).collect();
                writeln!(text, "{:08x} {hex}", number * 16).unwrap();
            }
        }
    }
    text
}

/// The files that a dump shows.
fn restore(text: &str) -> SimDisk {
    let disk = SimDisk::new(1);
    let mut file: Option<(&str, Vec<u8>)> = None;
    let keep = |file: &mut Option<(&str, Vec<u8>)>| {
        if let Some((path, bytes)) = file.take() {
            disk.set_file_bytes(path.as_ref(), &bytes);
        }
    };
    for line in text.lines() {
        let (first, second) = line.split_once(' ').unwrap();
        if first.starts_with('/') {
            keep(&mut file);
            file = Some((first, vec![0; second.parse().unwrap()]));
        } else {
            let at = usize::from_str_radix(first, 16).unwrap();
            let bytes = &mut file.as_mut().unwrap().1;
            for (n, digits) in second.as_bytes().chunks(2).enumerate() {
                let digits = std::str::from_utf8(digits).unwrap();
                bytes[at + n] = u8::from_str_radix(digits, 16).unwrap();
            }
        }
    }
    keep(&mut file);
    disk
}

#[test]
fn the_bytes_of_format_1_stay_as_they_are() {
    let disk = SimDisk::new(1);
    write(&disk);
    let text = dump(&disk);
    assert!(
        text == FORMAT_1,
        "the format has changed; now it is:\n{text}"
    );
}

#[test]
fn a_log_of_format_1_opens() {
    let disk = restore(FORMAT_1);
    let mut seen = Vec::new();
    let summary = inspect::walk(&disk, DIR.as_ref(), |seen_now| {
        seen.push(seen_now.record.kind());
    })
    .unwrap();
    assert_eq!((summary.segments, summary.unfinished), (3, None));
    for kind in [
        "batch",
        "entry",
        "vote",
        "truncate-after",
        "purge-up-to",
        "checkpoint",
    ] {
        assert!(seen.contains(&kind), "no {kind} in {seen:?}");
    }
    let mut opened = open(&disk);
    assert_eq!(opened.torn, None);
    let found = read(&opened.log, Group::new(0));
    assert_eq!(found[0], (1, 1, b"the first entry".to_vec()));
    assert_eq!((found[1].0, found[1].1, found[1].2.len()), (2, 2, 61_140));
    assert_eq!(found[2], (3, 2, b"the last entry".to_vec()));
    let other = opened.log.group(Group::new(258));
    assert_eq!((other.last, other.purged), (id(9, 7), id(9, 7)));
    assert_eq!(
        other.vote.map(|vote| (vote.term.get(), vote.node)),
        Some((0x0102_0304, 5))
    );
    append(&mut opened, 4, b"and goes on").unwrap();
    disk.crash(1);
    assert_eq!(indices(&open(&disk).log, Group::new(0)), [1, 2, 3, 4]);
}
