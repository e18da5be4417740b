//! How the files of a store are called.
//!
//! Everything beside a store's main file has an `@` in its name, which no store's name can have:
//! no store is mistaken for another's version.

use std::path::{Path, PathBuf};

use crate::domain::{Operation, check_name};

/// The file that the engine locks.
pub(super) const LOCK: &str = "nexusbase-kv.lock";

const ENDING: &str = ".jsonl";
/// What is being written, and counts for nothing.
const NEW_ENDING: &str = ".new";
const DAMAGED: &str = "damaged";
const DROPPED: &str = "dropped";
const NUMBERS: &str = "numbers";

/// What a file in the folder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A store's main file.
    Main,
    /// One of its versions.
    Version(u64),
    /// What was set aside.
    Damaged,
    /// The main file of a store that was dropped.
    Dropped,
    /// Which numbers its versions have had.
    Numbers,
    /// What was being written.
    New,
}

/// What `name` is, and of which store. None for what is not the engine's.
pub(super) fn classify(name: &str) -> Option<(&str, Kind)> {
    if let Some(rest) = name.strip_suffix(NEW_ENDING) {
        let (store, nonce) = rest.split_once('@')?;
        // Only what the engine has begun itself may be thrown away.
        let nonce = nonce.parse().ok()?;
        let is_own = is_name(store) && new_name(store, nonce) == name;
        return is_own.then_some((store, Kind::New));
    }
    let rest = name.strip_suffix(ENDING)?;
    let (store, kind) = match rest.split_once('@') {
        None => (rest, Kind::Main),
        Some((store, DAMAGED)) => (store, Kind::Damaged),
        Some((store, DROPPED)) => (store, Kind::Dropped),
        Some((store, NUMBERS)) => (store, Kind::Numbers),
        Some((store, number)) => {
            let number = number.parse().ok()?;
            // One version, one name.
            let usual = version_name(store, number);
            (usual == name).then_some((store, Kind::Version(number)))?
        }
    };
    is_name(store).then_some((store, kind))
}

fn is_name(store: &str) -> bool {
    check_name(Operation::OpenStore, store).is_ok()
}

fn version_name(store: &str, number: u64) -> String {
    format!("{store}@{number:06}{ENDING}")
}

/// Where a file of that kind is.
pub(super) fn path(folder: &Path, store: &str, kind: Kind) -> PathBuf {
    folder.join(match kind {
        Kind::Main => format!("{store}{ENDING}"),
        Kind::Version(number) => version_name(store, number),
        Kind::Damaged => format!("{store}@{DAMAGED}{ENDING}"),
        Kind::Dropped => format!("{store}@{DROPPED}{ENDING}"),
        Kind::Numbers => format!("{store}@{NUMBERS}{ENDING}"),
        Kind::New => new_name(store, 0),
    })
}

/// Where something is written before it gets its name; `nonce` is another one each time.
pub(super) fn new_path(folder: &Path, store: &str, nonce: u64) -> PathBuf {
    folder.join(new_name(store, nonce))
}

fn new_name(store: &str, nonce: u64) -> String {
    format!("{store}@{nonce}{NEW_ENDING}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_made_and_nothing_else_is_a_store() {
        let kinds = [
            Kind::Main,
            Kind::Version(7),
            Kind::Damaged,
            Kind::Dropped,
            Kind::Numbers,
            Kind::New,
        ];
        for kind in kinds.into_iter().chain([Kind::Version(u64::MAX)]) {
            let path = path(Path::new(""), "a.b-1", kind);
            assert_eq!(classify(path.to_str().unwrap()), Some(("a.b-1", kind)));
        }
        let foreign = [
            "a",
            ".jsonl",
            "a b.jsonl",
            "a@1.jsonl",
            "a@x.jsonl",
            "@000001.jsonl",
        ];
        for name in foreign.into_iter().chain([
            LOCK,
            "x.new",
            "x@y.new",
            "x@07.new",
            "a.txt",
            "a@+00001.jsonl",
        ]) {
            assert_eq!(classify(name), None, "{name}");
        }
    }
}
