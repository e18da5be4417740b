//! Key-value stores in a folder or on a server, behind one trait.
//!
//! It speaks in the terms of [`nexusbase::kv`], whose types say all that a server says. What is
//! missing is an error that names what is there, the same from a folder and from a server.

pub(super) mod folder;
pub(super) mod server;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::ControlFlow;
use std::time::Duration;

use nexusbase::kv::{
    Bytes, Capabilities, CheckMode, CheckReport, CopyProgress, CopyReport, CreateOptions,
    Difference, Entry, RowRef, StoreInfo, StoreStats, Version, VersionId,
};

use super::text::{Setting, escaped};
use crate::cli::failure::{Failure, Outcome};

/// A store, and figures about it.
#[derive(Debug)]
pub(super) struct StoreShown {
    pub(super) info: StoreInfo,
    /// None where they cannot be had.
    pub(super) stats: Option<StoreStats>,
    /// Why not, if it is no unfinished copy.
    pub(super) trouble: Option<String>,
}

impl StoreShown {
    /// The store that this is an unfinished copy of.
    pub(super) fn copy_of(&self) -> Option<&str> {
        let mark = self.info.options.copy_of.as_ref();
        mark.map(|mark| mark.store.as_str())
    }
}

/// An engine.
#[derive(Debug)]
pub(super) struct EngineShown {
    pub(super) name: String,
    /// Whether stores are created on it when nothing else is said.
    pub(super) is_default: bool,
    pub(super) capabilities: Capabilities,
}

/// What a value has to fulfil to be replaced.
#[derive(Clone, Copy, Debug)]
pub(super) enum Condition<'a> {
    /// Nothing.
    Any,
    /// There is none.
    Absent,
    /// It is this one.
    Value(&'a [u8]),
}

/// What is to lie under a key.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewValue<'a> {
    pub(super) key: &'a [u8],
    pub(super) value: &'a [u8],
    pub(super) media_type: Option<&'a str>,
    pub(super) ttl: Option<Duration>,
}

/// Some keys.
#[derive(Clone, Debug, Default)]
pub(super) struct Keys {
    pub(super) prefix: Option<Vec<u8>>,
    /// The first one.
    pub(super) start: Option<Vec<u8>>,
    /// The first one that is not among them.
    pub(super) end: Option<Vec<u8>>,
}

/// Which rows are wanted.
#[derive(Clone, Debug, Default)]
pub(super) struct Listing {
    pub(super) keys: Keys,
    pub(super) version: Option<VersionId>,
    pub(super) limit: Option<u64>,
    pub(super) reverse: bool,
    /// Whether the values are wanted; without, they may be empty.
    pub(super) values: bool,
}

/// What is changed about what a store was told.
#[derive(Clone, Debug, Default)]
pub(super) struct OptionsChange {
    pub(super) ttl_ms: Option<Setting<u64>>,
    pub(super) keep_versions: Option<Setting<u64>>,
    pub(super) keep_versions_ms: Option<Setting<u64>>,
    pub(super) read_only: Option<bool>,
    /// None takes the label away.
    pub(super) labels: BTreeMap<String, Option<String>>,
}

/// Takes rows one by one.
pub(super) type TakeRow<'a> = dyn FnMut(RowRef<'_>) -> Outcome + 'a;
/// Takes differences one by one.
pub(super) type TakeDifference<'a> = dyn FnMut(Difference) -> Outcome + 'a;
/// Hears how far a copy is, and may stop it.
pub(super) type Progress<'a> = dyn FnMut(CopyProgress) -> ControlFlow<()> + 'a;

/// Key-value stores, wherever they are.
pub(super) trait Kv: Debug {
    /// All stores, by name.
    fn stores(&self) -> Outcome<Vec<StoreShown>>;

    /// The names of all stores; cheaper than [`Kv::stores`].
    fn names(&self) -> Outcome<Vec<String>>;

    /// One store.
    fn store(&self, name: &str) -> Outcome<StoreShown>;

    /// All engines.
    fn engines(&self) -> Outcome<Vec<EngineShown>>;

    fn create(&self, name: &str, options: &CreateOptions) -> Outcome;

    fn drop_store(&self, name: &str) -> Outcome;

    fn rename(&self, from: &str, to: &str) -> Outcome;

    fn set_options(&self, name: &str, change: &OptionsChange) -> Outcome;

    /// Copies a store. It goes on with a copy that was stopped.
    fn copy(
        &self,
        from: &str,
        to: &str,
        engine: Option<&str>,
        progress: &mut Progress<'_>,
    ) -> Outcome<CopyReport>;

    fn check(&self, name: &str, mode: CheckMode) -> Outcome<CheckReport>;

    /// What lies under a key; its value, and nothing else that is certain.
    fn value(&self, store: &str, key: &[u8], version: Option<&VersionId>)
    -> Outcome<Option<Bytes>>;

    /// What lies under a key, in full.
    fn entry(&self, store: &str, key: &[u8], version: Option<&VersionId>)
    -> Outcome<Option<Entry>>;

    /// Puts a value under a key if the condition holds. Returns whether it did.
    fn set(&self, store: &str, new: NewValue<'_>, condition: Condition<'_>) -> Outcome<bool>;

    /// Takes a key away. Returns whether it was there.
    fn delete(&self, store: &str, key: &[u8]) -> Outcome<bool>;

    /// Gives every row to `take`.
    fn list(&self, store: &str, listing: &Listing, take: &mut TakeRow<'_>) -> Outcome;

    /// How many keys there are.
    fn count(&self, store: &str, keys: &Keys, version: Option<&VersionId>) -> Outcome<u64>;

    /// All versions, the oldest first.
    fn versions(&self, store: &str) -> Outcome<Vec<Version>>;

    fn take_version(&self, store: &str, name: Option<&str>, note: &str) -> Outcome<Version>;

    fn delete_version(&self, store: &str, version: &VersionId) -> Outcome;

    /// Makes the newest state equal to a version, and takes that as the version that is returned.
    fn restore_version(&self, store: &str, version: &VersionId) -> Outcome<Version>;

    /// Gives every difference to `take`; without `to`, to the newest state.
    fn diff(
        &self,
        store: &str,
        from: &VersionId,
        to: Option<&VersionId>,
        take: &mut TakeDifference<'_>,
    ) -> Outcome;

    /// Makes what was written as durable as it gets, and says if that failed.
    fn close(&self) -> Outcome;
}

/// So many names are shown.
const SHOWN_MAX: usize = 20;

/// There is no store of that name; these are the ones that exist.
pub(super) fn no_store(name: &str, all: &[String]) -> Failure {
    let there_is = if all.is_empty() {
        "there is none at all yet".to_owned()
    } else {
        format!("there is: {}", some(all))
    };
    Failure::new(format_args!("there is no store {name:?}")).hint(format_args!(
        "{there_is}; `nexusbase kv create {name}` creates it"
    ))
}

/// There is no such version; these are the ones that exist.
pub(super) fn no_version(store: &str, id: &VersionId, all: &[Version]) -> Failure {
    let failure = Failure::new(format_args!("store {store:?} has no version {id}"));
    if all.is_empty() {
        return failure.hint(format_args!(
            "it has none yet; `nexusbase kv version take {store}` takes one"
        ));
    }
    // The newest are the likeliest.
    let names: Vec<String> = all.iter().rev().map(version_name).collect();
    failure.hint(format_args!("there is: {}", some(&names)))
}

/// A version's number, and its name if it has one.
pub(super) fn version_name(version: &Version) -> String {
    match &version.name {
        Some(name) => format!("{} ({name})", version.number),
        None => version.number.to_string(),
    }
}

/// There is no such key.
pub(super) fn no_key(store: &str, key: &[u8]) -> Failure {
    Failure::new(format_args!("store {store:?} has no key {}", escaped(key)))
        .hint(format_args!("`nexusbase kv list {store}` lists its keys"))
}

fn some(names: &[String]) -> String {
    let shown = names[..names.len().min(SHOWN_MAX)].join(", ");
    match names.len().saturating_sub(SHOWN_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
