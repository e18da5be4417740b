//! `doctor` and `forest`: each kind of damage is found with file and offset, and what can be
//! rebuilt is, after a copy was kept.

use std::path::{Path, PathBuf};

use nexusbase::bson::rawdoc;
use nexusbase::db::ForestOptions;
use nexusbase::{Database, Documents, Options, View};
use serde_json::Value;

use super::support::{Place, Server};

const DOCTOR: &[&str] = &["doctor", "--data", "data"];

fn open(folder: &Path, segment_bytes: u64) -> Documents {
    let options = Options {
        housekeeping_thread: false,
        segment_bytes,
        forest: ForestOptions {
            memtable_bytes: 40_000,
            ..ForestOptions::new([0; 16])
        },
        ..Options::default()
    };
    Documents::new(&Database::open_with(folder, options).unwrap())
}

/// Text that does not get much smaller.
fn noise(seed: u32, length: usize) -> String {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        char::from(b'!' + u8::try_from(state % 90).unwrap())
    };
    std::iter::repeat_with(next).take(length).collect()
}

/// A database with an index, tables, a blob file, and some entries that are only in the log.
fn place(segment_bytes: u64) -> Place {
    let place = Place::new();
    let documents = open(&place.data(), segment_bytes);
    let parts = documents.collection("parts").unwrap();
    parts
        .create_index(&nexusbase::IndexSpec::on("size").unwrap(), |_| {})
        .unwrap();
    let insert = |from: i32, to: i32| {
        for n in from..to {
            let length = if n % 50 == 0 { 9000 } else { 30 };
            let note = noise(n.unsigned_abs(), length);
            parts
                .insert(&rawdoc! { "_id": n, "size": n % 7, "note": note })
                .unwrap();
            documents.database().housekeeping_step();
        }
    };
    insert(0, 400);
    documents
        .database()
        .checkpoint(place.path().join("copy"))
        .unwrap();
    insert(400, 410);
    documents.database().close().unwrap();
    place
}

/// The database whose log has lost its first segments to recycling.
fn purged_place() -> Place {
    let place = place(64 << 10);
    let dump = place.run(&["log", "dump", "--data", "data"]).ok();
    let mut entries = dump.lines().filter(|line| line.contains(" entry "));
    let index = entries
        .next()
        .and_then(|line| line.split_whitespace().nth(2));
    assert!(
        index.is_some_and(|index| index.parse::<u64>().unwrap() > 1),
        "{index:?}"
    );
    place
}

fn forest_files(place: &Place, ending: &str) -> Vec<PathBuf> {
    let names = std::fs::read_dir(place.data().join("forest")).unwrap();
    let mut paths: Vec<_> = names.map(|name| name.unwrap().path()).collect();
    paths.retain(|path| path.to_string_lossy().contains(ending));
    paths.sort();
    assert!(!paths.is_empty(), "no {ending}");
    paths
}

fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 4;
    std::fs::write(path, bytes).unwrap();
}

/// The findings of a doctor that must find something.
fn findings(place: &Place) -> Vec<Value> {
    let run = place.run(&[DOCTOR, &["--json"]].concat());
    assert_eq!(run.code, Some(1), "{run:?}");
    let report: Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!(report["healthy"], false);
    report["findings"].as_array().unwrap().clone()
}

fn found_at(place: &Place, path: &Path, offset: impl Fn(u64) -> bool) {
    let name = path.file_name().unwrap().to_string_lossy();
    let found = findings(place);
    let here = found.iter().any(|finding| {
        finding["severity"] == "damage"
            && finding["path"]
                .as_str()
                .is_some_and(|path| path.ends_with(&*name))
            && finding["offset"].as_u64().is_some_and(&offset)
    });
    assert!(here, "nothing at {name} in {found:#?}");
}

/// Repairs, and checks that everything is there again and that a copy was kept.
fn repairs(place: &Place, broken: &Path) -> String {
    let before = std::fs::read(broken).ok();
    let out = place.run(&[DOCTOR, &["--repair"]].concat()).ok();
    assert!(out.ends_with("healthy\n"), "{out}");
    place.run(DOCTOR).ok();
    let kept = std::fs::read_dir(place.data()).unwrap();
    let kept = kept.map(|name| name.unwrap().path());
    let kept = kept
        .filter(|path| path.to_string_lossy().contains("repair-"))
        .collect::<Vec<_>>();
    assert_eq!(kept.len(), 1, "{out}");
    let below = broken.strip_prefix(place.data()).unwrap();
    assert_eq!(std::fs::read(kept[0].join(below)).ok(), before, "{out}");
    assert!(kept[0].join("IDENTITY").exists() && kept[0].join("log").exists());
    let all = place.run(&["export", "parts", "--data", "data"]).ok();
    assert_eq!(all.lines().count(), 410);
    out
}

#[test]
fn a_healthy_database_is_healthy_and_all_of_it_was_read() {
    let place = purged_place();
    let out = place.run(DOCTOR).ok();
    assert!(
        out.ends_with("healthy\n") && !out.contains("damage"),
        "{out}"
    );
    assert!(
        out.contains("1 collection, 410 documents, 1 index, 410 index rows"),
        "{out}"
    );
    let out = place.run(&[DOCTOR, &["--json"]].concat()).ok();
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["healthy"], true);
    let trees = &report["read"]["trees"];
    assert_eq!(trees["blob_values"], 8);
    let files = forest_files(&place, "").len() as u64;
    assert_eq!(trees["files"].as_u64(), Some(files));
    let bytes = forest_files(&place, "")
        .into_iter()
        .map(|f| f.metadata().unwrap().len());
    let current = place
        .data()
        .join("forest/CURRENT")
        .metadata()
        .unwrap()
        .len();
    assert_eq!(trees["bytes"].as_u64(), Some(bytes.sum::<u64>() - current));
    // Nothing to repair, nothing to keep.
    place.run(&[DOCTOR, &["--repair"]].concat()).ok();
    assert_eq!(std::fs::read_dir(place.data()).unwrap().count(), 4);
}

#[test]
fn every_kind_of_damage_is_found_with_file_and_offset() {
    let place = purged_place();
    let largest = |ending| {
        let files = forest_files(&place, ending);
        let size = |path: &PathBuf| path.metadata().unwrap().len();
        files.into_iter().max_by_key(size).unwrap()
    };
    let with = |path: &Path, at: usize, offset: &dyn Fn(u64) -> bool| {
        let good = std::fs::read(path).unwrap();
        flip(path, at);
        found_at(&place, path, offset);
        std::fs::write(path, good).unwrap();
    };
    let table = largest(".tbl");
    let end = std::fs::read(&table).unwrap().len();
    // The first block of rows, somewhere in the middle, the footer.
    with(&table, 10, &|offset| offset == 0);
    with(&table, end / 2, &|offset| offset <= end as u64 / 2);
    with(&table, end - 20, &|offset| offset == end as u64 - 64);
    with(&largest(".blob"), 5000, &|offset| {
        (24..=5000).contains(&offset)
    });
    with(&forest_files(&place, "MANIFEST-")[0], 70, &|offset| {
        (48..=70).contains(&offset)
    });
    with(&forest_files(&place, "CURRENT")[0], 3, &|offset| {
        offset == 0
    });

    let good = std::fs::read(&table).unwrap();
    std::fs::remove_file(&table).unwrap();
    found_at(&place, &table, |offset| offset == 0);
    let tables = forest_files(&place, ".tbl");
    let other = std::fs::read(&tables[0]).unwrap();
    std::fs::write(&table, &other).unwrap();
    std::fs::write(&tables[0], &good).unwrap();
    found_at(&place, &table, |offset| offset == other.len() as u64 - 64);
    found_at(&place, &tables[0], |offset| {
        offset == good.len() as u64 - 64
    });
    std::fs::write(&tables[0], &other).unwrap();
    std::fs::write(&table, &good).unwrap();

    let dump = place.run(&["log", "dump", "--data", "data"]).ok();
    let entry = dump.lines().find(|line| line.contains(" entry ")).unwrap();
    let entry: Vec<_> = entry.split_whitespace().collect();
    let log = place.data().join("log").join(entry[0]);
    let at: u64 = entry[1].parse().unwrap();
    let good = std::fs::read(&log).unwrap();
    flip(&log, usize::try_from(at).unwrap() + 20);
    found_at(&place, &log, |offset| offset == at);
    let run = place.run(&[DOCTOR, &["--repair"]].concat());
    run.fails(1, &["found in data"]);
    std::fs::write(&log, good).unwrap();
    place.run(DOCTOR).ok();
}

#[test]
fn with_the_whole_log_everything_is_rebuilt() {
    for (ending, at) in [
        (".tbl", 10),
        (".blob", 5000),
        ("MANIFEST-", 70),
        ("CURRENT", 3),
    ] {
        let place = place(16 << 20);
        let path = forest_files(&place, ending).remove(0);
        flip(&path, at);
        let out = repairs(&place, &path);
        assert!(out.contains("made the trees again from the log"), "{out}");
    }
    let place = place(16 << 20);
    std::fs::remove_dir_all(place.data().join("forest")).unwrap();
    findings(&place);
    repairs(&place, &place.data().join("forest/CURRENT"));
}

#[test]
fn a_manifest_that_nothing_names_is_found_again() {
    let place = purged_place();
    let current = place.data().join("forest/CURRENT");
    std::fs::remove_file(&current).unwrap();
    let out = repairs(&place, &current);
    assert!(out.contains("wrote the manifest"), "{out}");
}

#[test]
fn a_manifest_is_rebuilt_up_to_its_damage_only_if_the_log_has_the_rest() {
    let place = purged_place();
    let manifest = forest_files(&place, "MANIFEST-").remove(0);
    let good = std::fs::read(&manifest).unwrap();
    let shown = place.run(&["forest", "manifest", "--data", "data"]).ok();
    let offsets = shown
        .lines()
        .skip(1)
        .filter_map(|line| line.get(..10)?.trim().parse().ok());
    let offsets: Vec<usize> = offsets.collect();
    // The last edit claims the one before, so that its damage shows; without the last two, what
    // the log has purged would be in no table.
    let last = offsets[offsets.len() - 2];
    flip(&manifest, last + 20);
    found_at(&place, &manifest, |offset| offset == last as u64);
    let run = place.run(&[DOCTOR, &["--repair"]].concat());
    assert!(run.out.contains("would have to guess"), "{run:?}");
    run.fails(1, &["1 problem found in data"]);
    std::fs::write(&manifest, &good).unwrap();
    place.run(DOCTOR).ok();
}

#[test]
fn an_index_that_disagrees_is_found_and_made_again() {
    let place = purged_place();
    let documents = open(&place.data(), 64 << 10);
    let db = documents.database();
    let mut tx = db.begin();
    let tree = tx.tree("documents/parts/index/size").unwrap().unwrap();
    let rows: Vec<_> = tx
        .scan(
            tree,
            nexusbase::db::KeyRange::all(),
            nexusbase::db::Direction::Forward,
        )
        .unwrap()
        .map(|row| row.unwrap().0)
        .collect();
    tx.delete(tree, &rows[5]).unwrap();
    // A value that no document has: the row of one under the value of another.
    let mut orphan = rows[0].to_vec();
    let id = rows[400][rows[400].len() - (orphan.len() / 2)..].to_vec();
    orphan.extend_from_slice(&id);
    tx.put(tree, &orphan, b"").unwrap();
    tx.commit().unwrap().wait().unwrap();
    db.close().unwrap();
    let found = findings(&place);
    let texts: Vec<_> = found
        .iter()
        .map(|one| one["text"].as_str().unwrap())
        .collect();
    let says = |part: &str| texts.iter().any(|text| text.contains(part));
    assert_eq!(found.len(), 2, "{texts:?}");
    assert!(
        says("of a document is missing") && says("is of no document"),
        "{texts:?}"
    );
    assert!(says("collection \"parts\", index size"), "{texts:?}");
    let out = repairs(&place, &forest_files(&place, "MANIFEST-")[0]);
    assert!(
        out.contains("made the index on size in parts again"),
        "{out}"
    );
}

#[test]
fn the_folder_of_a_running_server_is_left_alone() {
    let place = place(16 << 20);
    let server = Server::start(&place.data());
    let pid = server.pid().to_string();
    place
        .run(DOCTOR)
        .fails(2, &["cannot be examined", &pid, "stop the server"]);
    place
        .run(&[DOCTOR, &["--repair"]].concat())
        .fails(2, &["cannot be examined"]);
    let stats = place.run(&["forest", "stats", "--data", "data"]);
    assert!(stats.err.contains("/metrics"), "{stats:?}");
    assert!(stats.ok().contains("in tables up to entry"));
    assert!(server.terminate().success());
    place
        .run(&["doctor", "--data", "nowhere"])
        .fails(2, &["does not exist"]);
    place.run(&["doctor"]).fails(2, &["--data DIR"]);
}

#[test]
fn the_files_of_the_trees_can_be_looked_at() {
    let place = purged_place();
    let stats = place.run(&["forest", "stats", "--data", "data"]).ok();
    for part in [
        "documents/parts/data (rows)",
        "(catalog)",
        "write amplification",
        "cache:",
    ] {
        assert!(stats.contains(part), "{stats}");
    }
    let manifest = place.run(&["forest", "manifest", "--data", "data"]).ok();
    assert!(manifest.contains("flushed through entry"), "{manifest}");
    assert!(manifest.contains("of tree 2: "), "{manifest}");
    let table = forest_files(&place, ".tbl").pop().unwrap();
    let table = table.to_str().unwrap();
    let shown = place.run(&["forest", "table", table, "--rows"]).ok();
    for part in ["first key", "before compression", "bits per key", " put "] {
        assert!(shown.contains(part), "{shown}");
    }
    place
        .run(&["forest", "table", "data/IDENTITY"])
        .fails(1, &["a table, whose name"]);
}
