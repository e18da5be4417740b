//! Damaged, cut and edited files of the engine `file`: what is damaged is set aside and reported,
//! everything else is kept, and no wrong value is ever given out.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use nexusbase_io::Env;
use nexusbase_io::sim::SimDisk;
use nexusbase_kv::engines::file::{self, FileOptions};
use nexusbase_kv::{
    CheckMode, CheckReport, Direction, Engine, ErrorKind, KeyRange, Put, Store, StoreOptions,
    VersionId, Write,
};
use proptest::prelude::*;

const MAIN: &str = "/kv/s.jsonl";
const DAMAGED: &str = "/kv/s@damaged.jsonl";

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

fn engine(disk: &SimDisk) -> Arc<dyn Engine> {
    let env = Env::simulated(disk, 1);
    file::engine(&env, Path::new("/kv"), FileOptions::default()).unwrap()
}

fn rows(store: &dyn Store) -> Rows {
    let rows = store.rows(KeyRange::all(), Direction::Forward).unwrap();
    rows.map(|row| {
        row.map(|row| (row.key.to_vec(), row.entry.value.to_vec()))
            .unwrap()
    })
    .collect()
}

fn text(disk: &SimDisk, path: &str) -> String {
    String::from_utf8(disk.file_bytes(Path::new(path)).unwrap()).unwrap()
}

fn lines(disk: &SimDisk) -> Vec<String> {
    text(disk, MAIN).lines().map(str::to_owned).collect()
}

/// A disk with one store of one file.
fn disk_with(bytes: &[u8]) -> SimDisk {
    let disk = SimDisk::new(7);
    disk.set_file_bytes(Path::new(MAIN), bytes);
    disk
}

fn disk_of(lines: &[String]) -> SimDisk {
    disk_with(format!("{}\n", lines.join("\n")).as_bytes())
}

/// A base part of three rows, four single lines and a group of three.
fn sample() -> SimDisk {
    let disk = SimDisk::new(7);
    let engine = engine(&disk);
    let store = engine.create("s", &StoreOptions::default()).unwrap();
    store
        .set_many(&[(b"a", b"1"), (b"b", b"2"), (b"c", b"3")])
        .unwrap();
    store.compact().unwrap();
    store.set(b"b", b"22").unwrap();
    store.delete(b"c").unwrap();
    store.set(b"d", b"\xff\x00").unwrap();
    let (value, media_type) = (&b"5"[..], Some("text/plain"));
    let put = Put {
        media_type,
        ..Put::new(value)
    };
    store.put(b"e", put).unwrap();
    let writes = [(&b"f"[..], &b"6"[..]), (b"g", b"7"), (b"a", b"11")];
    store.set_many(&writes).unwrap();
    engine.close().unwrap();
    disk
}

/// All that was ever written in the sample.
fn history() -> BTreeSet<(Vec<u8>, Vec<u8>)> {
    let all: [(&[u8], &[u8]); 9] = [
        (b"a", b"1"),
        (b"b", b"2"),
        (b"c", b"3"),
        (b"b", b"22"),
        (b"d", b"\xff\x00"),
        (b"e", b"5"),
        (b"f", b"6"),
        (b"g", b"7"),
        (b"a", b"11"),
    ];
    all.iter()
        .map(|(key, value)| (key.to_vec(), value.to_vec()))
        .collect()
}

fn expected() -> Rows {
    let all: [(&[u8], &[u8]); 6] = [
        (b"a", b"11"),
        (b"b", b"22"),
        (b"d", b"\xff\x00"),
        (b"e", b"5"),
        (b"f", b"6"),
        (b"g", b"7"),
    ];
    all.iter()
        .map(|(key, value)| (key.to_vec(), value.to_vec()))
        .collect()
}

/// Opens, and checks what must hold whatever the file contains.
fn open_anything(disk: &SimDisk) -> Option<(Rows, Vec<String>)> {
    let engine = engine(disk);
    let listed = engine.list().unwrap();
    let store = match engine.open("s") {
        Ok(store) => store,
        Err(error) => {
            assert!(matches!(error.kind(), ErrorKind::Corrupt { .. }), "{error}");
            return None;
        }
    };
    assert_eq!(listed.len(), 1);
    let (found, damage) = (rows(&*store), store.stats().unwrap().damage);
    // It works, and what was mended stays so.
    store.set(b"new", b"new").unwrap();
    engine.close().unwrap();
    let again = self::engine(disk);
    let store = again.open("s").unwrap();
    assert_eq!(store.stats().unwrap().damage, Vec::<String>::new());
    let mut with_new = found.clone();
    with_new.insert(b"new".to_vec(), b"new".to_vec());
    assert_eq!(rows(&*store), with_new);
    again.close().unwrap();
    Some((found, damage))
}

#[test]
fn the_same_data_always_gives_the_same_file() {
    let disk = sample();
    assert_eq!(text(&disk, MAIN), GOLDEN);
    for golden in [GOLDEN, GOLDEN_WITHOUT_HEAD] {
        let (found, damage) = open_anything(&disk_with(golden.as_bytes())).unwrap();
        assert_eq!((found, damage), (expected(), Vec::new()));
    }
}

/// A file of format 1, as it must be readable for ever.
const GOLDEN: &str = r#"{"format":"nexusbase-kv","number":1,"store":"s","id":"67ec8e65a18debbe","created_ms":1767225600000,"next_version":1,"options":{},"sum":"3e9e797d"}
{"key":"a","value":"1","sum":"46f6a148"}
{"key":"b","value":"2","sum":"8e18f61b"}
{"key":"c","value":"3","sum":"c9bd3b2a"}
{"rows":3,"head":{"format":"nexusbase-kv","number":1,"store":"s","id":"67ec8e65a18debbe","created_ms":1767225600000,"next_version":1,"options":{}},"commit":1,"lines":5,"all":"aace10bd","sum":"a4496314"}
{"key":"b","value":"22","commit":2,"lines":1,"all":"bd56f5e9","sum":"d3e6b8f7"}
{"delete":"c","commit":3,"lines":1,"all":"9d974039","sum":"b8d23c9d"}
{"key":"d","value":{"base64":"/wA="},"commit":4,"lines":1,"all":"9d20ce07","sum":"58348ed1"}
{"key":"e","value":"5","type":"text/plain","commit":5,"lines":1,"all":"69f0327e","sum":"0684a0f0"}
{"key":"f","value":"6","sum":"9563b42e"}
{"key":"g","value":"7","sum":"d2c6791f"}
{"key":"a","value":"11","commit":6,"lines":3,"all":"336623bb","sum":"b1455e03"}
"#;

/// The same, with a first line that is said only once.
const GOLDEN_WITHOUT_HEAD: &str = r#"{"format":"nexusbase-kv","number":1,"store":"s","id":"67ec8e65a18debbe","created_ms":1767225600000,"next_version":1,"options":{},"sum":"3e9e797d"}
{"key":"a","value":"1","sum":"46f6a148"}
{"key":"b","value":"2","sum":"8e18f61b"}
{"key":"c","value":"3","sum":"c9bd3b2a"}
{"rows":3,"commit":1,"lines":5,"all":"aace10bd","sum":"c94b0ded"}
{"key":"b","value":"22","commit":2,"lines":1,"all":"41c8ac37","sum":"940fb22f"}
{"delete":"c","commit":3,"lines":1,"all":"e3434469","sum":"6f0e4543"}
{"key":"d","value":{"base64":"/wA="},"commit":4,"lines":1,"all":"0489446c","sum":"4b795e58"}
{"key":"e","value":"5","type":"text/plain","commit":5,"lines":1,"all":"e32af2ef","sum":"a5fd1d78"}
{"key":"f","value":"6","sum":"9563b42e"}
{"key":"g","value":"7","sum":"d2c6791f"}
{"key":"a","value":"11","commit":6,"lines":3,"all":"e66ee999","sum":"e1f8a959"}
"#;

#[test]
fn a_file_cut_anywhere_keeps_whole_groups() {
    let whole = sample().file_bytes(Path::new(MAIN)).unwrap();
    let mut states = BTreeSet::new();
    for length in 0..whole.len() {
        let disk = disk_with(&whole[..length]);
        let Some((found, damage)) = open_anything(&disk) else {
            assert!(length < whole.iter().position(|byte| *byte == b'\n').unwrap());
            continue;
        };
        let text = std::str::from_utf8(&whole[..length]).unwrap();
        // A line of which only the end is missing is a whole line.
        let complete: Vec<_> = text
            .lines()
            .filter(|line| line.ends_with("\"}") && line.contains("\"sum\""))
            .collect();
        let on_border = text.ends_with('\n') && complete.last().unwrap().contains("\"commit\"");
        assert_eq!(damage.is_empty(), on_border, "{length}: {damage:?}");
        let batch = ["6", "7"].map(|value| found.values().any(|found| found == value.as_bytes()));
        let all = complete.len() == 12;
        assert_eq!(batch, [all, all], "{length}");
        assert!(
            found
                .iter()
                .all(|(key, value)| history().contains(&(key.clone(), value.clone())))
        );
        states.insert(found);
    }
    assert_eq!(states.len(), 9);
}

#[test]
fn every_flipped_bit_is_found_and_costs_its_own_lines_only() {
    let whole = sample().file_bytes(Path::new(MAIN)).unwrap();
    let starts: Vec<_> = std::iter::once(0)
        .chain(
            whole
                .iter()
                .enumerate()
                .filter(|(_, b)| **b == b'\n')
                .map(|(at, _)| at + 1),
        )
        .collect();
    let keys: [&[u8]; 12] = [
        b"", b"a", b"b", b"c", b"", b"b", b"c", b"d", b"e", b"f", b"g", b"a",
    ];
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << bit;
            let disk = disk_with(&bytes);
            let (found, damage) = open_anything(&disk).unwrap();
            assert!(!damage.is_empty(), "byte {at} bit {bit}");
            for (key, value) in &found {
                assert!(
                    history().contains(&(key.clone(), value.clone())),
                    "byte {at} bit {bit}"
                );
            }
            let hit = starts.iter().rposition(|start| *start <= at).unwrap();
            let is_line_end = bytes[at] != whole[at] && whole[at] == b'\n';
            let lost: Vec<&[u8]> = match hit {
                _ if is_line_end => vec![],
                hit => vec![keys[hit]],
            };
            for (key, value) in expected() {
                if !lost.contains(&key.as_slice()) {
                    assert_eq!(
                        found.get(&key),
                        Some(&value),
                        "byte {at} bit {bit}: {damage:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn zeros_that_a_power_cut_leaves_drop_the_whole_group() {
    let disk = SimDisk::new(7);
    let first = engine(&disk);
    let store = first.create("s", &StoreOptions::default()).unwrap();
    store.set(b"a", b"1").unwrap();
    let values: Vec<_> = (0..60u8)
        .map(|i| (vec![b'k', i + b' '], vec![b'v'; 40]))
        .collect();
    let writes: Vec<_> = values
        .iter()
        .map(|(key, value)| (&key[..], &value[..]))
        .collect();
    let before = disk.file_bytes(Path::new(MAIN)).unwrap().len();
    store.set_many(&writes).unwrap();
    first.close().unwrap();
    let whole = disk.file_bytes(Path::new(MAIN)).unwrap();
    for sector in before.div_ceil(512)..whole.len() / 512 {
        let mut bytes = whole.clone();
        bytes[sector * 512..(sector + 1) * 512].fill(0);
        let disk = disk_with(&bytes);
        let (found, damage) = open_anything(&disk).unwrap();
        assert_eq!(found.len(), 1, "sector {sector}");
        assert_eq!(damage.len(), 1, "{damage:?}");
        assert!(damage[0].contains("interrupted"), "{damage:?}");
    }
}

#[test]
fn a_batch_without_its_last_line_never_counts_whatever_stands_in_its_place() {
    let mut lines = lines(&sample());
    lines.pop();
    let garbage = "\u{7f}x".repeat(700);
    for last in ["", "garbage", "{\"key\":\"z\",\"val", &garbage] {
        let mut lines = lines.clone();
        lines.push(last.to_owned());
        let (found, damage) = open_anything(&disk_of(&lines)).unwrap();
        let batch = ["f", "g"].map(|key| found.contains_key(key.as_bytes()));
        assert_eq!(batch, [false, false], "{last}");
        assert!(damage[0].contains("interrupted"), "{damage:?}");
    }
}

fn check(disk: &SimDisk, mode: CheckMode) -> CheckReport {
    let engine = engine(disk);
    let report = engine.check("s", mode).unwrap();
    engine.close().unwrap();
    report
}

/// Says what a hand did, and what comes of it: when opened, and when edits are taken over.
fn edited(edit: impl Fn(&mut Vec<String>), opened: &[(&str, &str)], accepted: &[(&str, &str)]) {
    let mut lines = lines(&sample());
    edit(&mut lines);
    let with = |changes: &[(&str, &str)]| {
        let mut rows = expected();
        for (key, value) in changes {
            if value.is_empty() {
                rows.remove(key.as_bytes());
            } else {
                rows.insert(key.as_bytes().to_vec(), value.as_bytes().to_vec());
            }
        }
        rows
    };
    let now = |disk: &SimDisk| {
        let engine = engine(disk);
        let found = rows(&*engine.open("s").unwrap());
        engine.close().unwrap();
        found
    };
    let disk = disk_of(&lines);
    let (found, damage) = open_anything(&disk).unwrap();
    assert_eq!(found, with(opened), "{damage:?}");
    assert!(!damage.is_empty());

    // Looking changes nothing.
    let disk = disk_of(&lines);
    let before = disk.file_bytes(Path::new(MAIN));
    assert!(!check(&disk, CheckMode::Look).is_healthy());
    assert_eq!(disk.file_bytes(Path::new(MAIN)), before);
    // Taken over when nobody has opened it since ...
    let report = check(&disk, CheckMode::AcceptEdits);
    assert!(
        report.is_healthy() && !report.findings.is_empty(),
        "{report:?}"
    );
    assert_eq!(now(&disk), with(accepted), "{report:?}");
    // ... and when it was set aside.
    let disk = disk_of(&lines);
    assert_eq!(now(&disk), with(opened));
    check(&disk, CheckMode::AcceptEdits);
    assert_eq!(now(&disk), with(accepted));
    assert!(check(&disk, CheckMode::Look).is_healthy());
    // Edits that were taken over are not there any more.
    let left = disk.file_bytes(Path::new(DAMAGED)).unwrap_or_default();
    assert!(!String::from_utf8(left).unwrap().contains("\"edited\""));
}

#[test]
fn a_value_changed_by_hand_is_reported_and_taken_over_on_request() {
    let edit = |lines: &mut Vec<String>| lines[5] = lines[5].replace("22", "99");
    edited(edit, &[("b", "2")], &[("b", "99")]);
    // In the last line of the file, which ends a group.
    let edit = |lines: &mut Vec<String>| lines[11] = lines[11].replace("\"11\"", "\"12\"");
    edited(edit, &[("a", "1")], &[("a", "12")]);
    // Where a later line has the last word.
    let edit = |lines: &mut Vec<String>| lines[2] = lines[2].replace("\"2\"", "\"3\"");
    edited(edit, &[], &[]);
}

#[test]
fn a_line_added_by_hand_is_reported_and_taken_over_on_request() {
    let line = r#"{"value": "yes", "key": "hand"}"#;
    for at in [1, 3, 5, 7, 10, 12] {
        let edit = |lines: &mut Vec<String>| lines.insert(at, line.to_owned());
        edited(edit, &[], &[("hand", "yes")]);
    }
    let edit = |lines: &mut Vec<String>| lines.push(r#"{"delete": "e"}"#.to_owned());
    edited(edit, &[], &[("e", "")]);
    // A line copied with its checksum, and changed.
    let edit = |lines: &mut Vec<String>| {
        let copy = lines[5].replace("\"b\"", "\"hand\"");
        lines.push(copy);
    };
    edited(edit, &[], &[("hand", "22")]);
}

#[test]
fn deleted_doubled_and_moved_lines_are_reported_and_the_others_kept() {
    let mut without_e = expected();
    without_e.remove(&b"e"[..]);
    let mut without_f = expected();
    without_f.remove(&b"f"[..]);
    type Edit = fn(&mut Vec<String>);
    let cases: [(Edit, Rows); 8] = [
        (|lines| drop(lines.remove(8)), without_e),
        (|lines| drop(lines.remove(9)), without_f),
        (|lines| drop(lines.remove(1)), expected()),
        (|lines| drop(lines.remove(0)), expected()),
        (|lines| drop(lines.remove(4)), expected()),
        (|lines| lines.insert(6, lines[5].clone()), expected()),
        (|lines| lines.push(lines[5].clone()), expected()),
        (|lines| lines.swap(5, 8), expected()),
    ];
    for (number, (edit, rows)) in cases.into_iter().enumerate() {
        let mut lines = lines(&sample());
        edit(&mut lines);
        let (found, damage) = open_anything(&disk_of(&lines)).unwrap();
        assert_eq!(found, rows, "{number}: {damage:?}");
        assert!(!damage.is_empty(), "{number}");
    }
}

#[test]
fn what_editors_do_to_line_ends_costs_nothing() {
    let whole = text(&sample(), MAIN);
    let cases = [
        (whole.replace('\n', "\r\n"), true),
        (format!("\u{feff}{whole}"), true),
        (format!("{whole}\n"), false),
        (whole.trim_end().to_owned(), true),
        (whole.replace('\n', "\n\n"), false),
    ];
    for (text, is_reported) in cases {
        let (found, damage) = open_anything(&disk_with(text.as_bytes())).unwrap();
        assert_eq!(found, expected());
        assert_eq!(!damage.is_empty(), is_reported, "{damage:?}");
    }
}

#[test]
fn damaged_lines_are_set_aside_as_they_were() {
    let mut lines = lines(&sample());
    lines[6] = "garbage \u{1}".to_owned();
    let disk = disk_of(&lines);
    let (found, damage) = open_anything(&disk).unwrap();
    assert_eq!(found.get(&b"c"[..]), Some(&b"3".to_vec()));
    assert!(
        damage[0].contains("line 7") && damage[0].contains("offset"),
        "{damage:?}"
    );
    let aside = text(&disk, DAMAGED);
    assert!(aside.contains("garbage \\u0001"), "{aside}");
}

#[test]
fn a_store_with_a_damaged_first_line_keeps_its_rows_and_is_listed() {
    let mut lines = lines(&sample());
    lines[0] = "{\"format\":".to_owned();
    let (found, damage) = open_anything(&disk_of(&lines)).unwrap();
    assert_eq!(found, expected());
    assert!(
        damage.iter().any(|text| text.contains("first line")),
        "{damage:?}"
    );
}

#[test]
fn files_of_others_are_left_alone_and_hide_no_store() {
    let disk = sample();
    let foreign = [
        "notes.jsonl",
        "empty.jsonl",
        "readme.txt",
        "s@old.jsonl",
        "a b.jsonl",
    ];
    for name in foreign {
        let text: &[u8] = if name == "empty.jsonl" {
            b""
        } else {
            b"{\"mine\":1}\n"
        };
        disk.set_file_bytes(&Path::new("/kv").join(name), text);
    }
    let engine = engine(&disk);
    let names: Vec<_> = engine
        .list()
        .unwrap()
        .into_iter()
        .map(|info| info.name)
        .collect();
    assert_eq!(names, ["s"]);
    assert_eq!(rows(&*engine.open("s").unwrap()), expected());
    for name in ["notes", "empty"] {
        let error = engine.open(name).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Corrupt { .. }), "{error}");
        let report = engine.check(name, CheckMode::AcceptEdits).unwrap();
        assert!(!report.is_healthy());
        let error = engine.create(name, &StoreOptions::default()).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::StoreExists), "{error}");
        for error in [engine.drop_store(name), engine.rename(name, "mine")] {
            let error = error.unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::StoreNotFound), "{error}");
        }
    }
    engine.close().unwrap();
    for name in foreign {
        let text = disk.file_bytes(&Path::new("/kv").join(name)).unwrap();
        assert!(text.is_empty() || text == b"{\"mine\":1}\n", "{name}");
    }
}

#[test]
fn a_damaged_version_is_an_error_and_a_finding_and_never_a_wrong_state() {
    let disk = sample();
    let opened = engine(&disk);
    let store = opened.open("s").unwrap();
    let versioned = store.versioned().unwrap();
    versioned.take_version(Some("first"), "").unwrap();
    versioned.take_version(None, "").unwrap();
    let path = Path::new("/kv/s@000001.jsonl");
    let length = disk.file_bytes(path).unwrap().len() as u64;
    disk.flip_bit(path, length / 2, 0).unwrap();
    let error = versioned.at_version(&VersionId::Number(1)).err().unwrap();
    assert!(error.to_string().contains("s@000001.jsonl"), "{error}");
    assert!(versioned.restore_version(&VersionId::Number(1)).is_err());
    assert!(versioned.at_version(&VersionId::Number(2)).is_ok());
    let report = opened.check("s", CheckMode::Look).unwrap();
    assert!(
        report
            .findings
            .iter()
            .any(|finding| finding.place.contains("s@000001"))
    );
    assert_eq!(rows(&*store), expected());
}

#[test]
fn a_check_mends_the_file_of_an_open_store_and_takes_over_its_edits() {
    let disk = sample();
    let engine = engine(&disk);
    let store = engine.open("s").unwrap();
    let text = text(&disk, MAIN)
        .replacen("\"22\"", "\"33\"", 1)
        .replacen("\"e\"", "e", 1);
    disk.set_file_bytes(Path::new(MAIN), text.as_bytes());
    assert!(!engine.check("s", CheckMode::Look).unwrap().is_healthy());
    let report = engine.check("s", CheckMode::AcceptEdits).unwrap();
    assert!(report.is_healthy(), "{report:?}");
    let mut wanted = expected();
    wanted.insert(b"b".to_vec(), b"33".to_vec());
    assert_eq!(rows(&*store), wanted);
    store.write(&[Write::Delete(b"a")]).unwrap();
    wanted.remove(&b"a"[..]);
    engine.close().unwrap();
    let engine = self::engine(&disk);
    assert_eq!(rows(&*engine.open("s").unwrap()), wanted);
}

fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let whole = sample().file_bytes(Path::new(MAIN)).unwrap();
    let length = whole.len();
    let piece = (0..length, 0..length, 0..60usize, any::<u8>(), 0..5u8);
    proptest::collection::vec(piece, 1..6).prop_map(move |edits| {
        let mut bytes = whole.clone();
        for (from, to, count, byte, what) in edits {
            let (from, to) = (from.min(bytes.len()), to.min(bytes.len()));
            let end = (from + count).min(bytes.len());
            match what {
                0 => bytes[from..end].fill(byte),
                1 => drop(bytes.drain(from..end)),
                2 => {
                    let copy = bytes[from..end].to_vec();
                    bytes.splice(to..to, copy);
                }
                3 => bytes.insert(to, byte),
                _ => bytes.insert(to, b'\n'),
            }
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn no_content_of_the_other_files_breaks_a_store(bytes in mutated()) {
        let disk = sample();
        disk.set_file_bytes(Path::new(DAMAGED), &bytes);
        disk.set_file_bytes(Path::new("/kv/s@000001.jsonl"), &bytes);
        let engine = engine(&disk);
        let store = engine.open("s").unwrap();
        let versioned = store.versioned().unwrap();
        for version in versioned.versions().unwrap() {
            let _ = versioned.at_version(&VersionId::Number(version.number));
        }
        engine.check("s", CheckMode::Look).unwrap();
        engine.check("s", CheckMode::AcceptEdits).unwrap();
        prop_assert_eq!(versioned.take_version(None, "").unwrap().number, 2);
        prop_assert_eq!(rows(&*store), expected());
    }

    #[test]
    fn no_mutation_of_a_file_gives_a_value_that_was_never_written(bytes in mutated()) {
        let disk = disk_with(&bytes);
        if let Some((found, _)) = open_anything(&disk) {
            for (key, value) in found {
                prop_assert!(history().contains(&(key, value)));
            }
        }
    }
}
