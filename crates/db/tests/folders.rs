//! What opening a data folder promises to people who open the wrong one, or the right one twice.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and prepares real folders"
)]

use std::path::Path;

use nexusbase_db::{Database, Error, OpenError, Options, View};

fn open(path: &Path) -> Result<Database, OpenError> {
    Database::open_with(
        path,
        Options {
            segment_bytes: 1 << 20,
            ..Options::default()
        },
    )
}

fn create(path: &Path) {
    let db = open(path).unwrap();
    db.transact(|tx| Ok::<_, Error>(tx.create_tree("t")?))
        .unwrap();
}

#[test]
fn a_second_opening_is_refused_and_names_the_process_that_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(folder.path()).unwrap();
    let refused = open(folder.path()).unwrap_err();
    assert!(matches!(refused, OpenError::Locked { .. }));
    assert!(
        refused
            .to_string()
            .contains(&std::process::id().to_string()),
        "{refused}"
    );
    drop(db);
    open(folder.path()).unwrap();
}

#[test]
fn closing_frees_the_folder_though_handles_live_on() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(folder.path()).unwrap();
    let snapshot = db.snapshot();
    db.close().unwrap();
    open(folder.path()).unwrap();
    drop(snapshot);
}

#[test]
fn a_folder_with_other_things_in_it_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("thesis.txt"), "precious").unwrap();
    let refused = open(folder.path()).unwrap_err();
    assert!(matches!(&refused, OpenError::NotADatabase { found, .. } if found == "thesis.txt"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_missing_log_is_not_taken_for_an_empty_database() {
    let folder = tempfile::tempdir().unwrap();
    create(folder.path());
    std::fs::remove_dir_all(folder.path().join("log")).unwrap();
    assert!(matches!(
        open(folder.path()),
        Err(OpenError::LogMissing { .. })
    ));
}

#[test]
fn a_missing_identity_is_not_taken_for_a_new_database() {
    let folder = tempfile::tempdir().unwrap();
    create(folder.path());
    std::fs::remove_file(folder.path().join("IDENTITY")).unwrap();
    assert!(matches!(
        open(folder.path()),
        Err(OpenError::Identity { .. })
    ));
    assert!(
        folder
            .path()
            .join("log")
            .join("0000000000000001.log")
            .exists()
    );
}

#[test]
fn an_interrupted_creation_is_started_again() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()).unwrap());
    std::fs::rename(
        folder.path().join("IDENTITY"),
        folder.path().join("IDENTITY.tmp"),
    )
    .unwrap();
    drop(open(folder.path()).unwrap());
    assert!(folder.path().join("IDENTITY").exists());
    assert!(!folder.path().join("IDENTITY.tmp").exists());
}

#[test]
fn a_folder_of_a_later_format_is_refused_with_both_numbers() {
    let folder = tempfile::tempdir().unwrap();
    create(folder.path());
    let file = folder.path().join("IDENTITY");
    let text = std::fs::read_to_string(&file)
        .unwrap()
        .replace("format 1", "format 2");
    let signed = &text[..text.find("checksum").unwrap()];
    let checksum = crc32c::crc32c(signed.as_bytes());
    std::fs::write(&file, format!("{signed}checksum {checksum:08x}\n")).unwrap();
    let refused = open(folder.path()).unwrap_err().to_string();
    assert!(
        refused.contains("format 2") && refused.contains("format 1"),
        "{refused}"
    );
}

#[test]
fn the_identity_has_the_documented_form() {
    let folder = tempfile::tempdir().unwrap();
    create(folder.path());
    let text = std::fs::read_to_string(folder.path().join("IDENTITY")).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "NexusBase data folder");
    assert_eq!(lines[1], "format 1");
    let id = lines[2].strip_prefix("database ").unwrap();
    assert!(
        id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{id}"
    );
    assert!(lines[3].starts_with("checksum "));
    assert_eq!(lines.len(), 4);
}

#[test]
fn segments_of_another_database_are_refused() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    create(one.path());
    create(other.path());
    let segment = Path::new("log").join("0000000000000001.log");
    std::fs::copy(other.path().join(&segment), one.path().join(&segment)).unwrap();
    let refused = open(one.path()).unwrap_err();
    assert!(matches!(
        refused,
        OpenError::Log(nexusbase_log::OpenError::OtherDatabase { .. })
    ));
}

#[test]
fn what_was_written_is_there_again_after_a_reopening() {
    let folder = tempfile::tempdir().unwrap();
    create(folder.path());
    let db = open(folder.path()).unwrap();
    assert_eq!(db.recovery().entries, 1);
    assert!(db.snapshot().tree("t").unwrap().is_some());
}
