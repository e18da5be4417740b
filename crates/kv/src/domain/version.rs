//! Versions: states of a store that can be gone back to.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::error::{Error, ErrorKind, Operation, Result};
use super::name::check_name;
use super::view::View;

/// The longest note, in bytes.
pub const NOTE_BYTES_MAX: usize = 1000;

/// How a version is called: by its number, or by the name that it was given.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum VersionId {
    /// Its number.
    Number(u64),
    /// Its name.
    Name(String),
}

impl VersionId {
    /// Reads digits as a number, and everything else as a name.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let number = text.parse().ok().filter(|_| is_digits(text));
        number.map_or_else(|| Self::Name(text.to_owned()), Self::Number)
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

impl fmt::Display for VersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Name(name) => write!(f, "{name:?}"),
        }
    }
}

/// A state of a store that can be gone back to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Its number: greater than that of any version that the store had before, also of those that
    /// were deleted. A number means one version for ever.
    pub number: u64,
    /// Its name, if it was given one. No two versions of a store have the same.
    pub name: Option<String>,
    /// What somebody wanted to say about it.
    pub note: String,
    /// When it was taken, in milliseconds since 1970.
    pub time_ms: u64,
    /// Keys in it.
    pub keys: u64,
    /// Bytes of its keys and values.
    pub bytes: u64,
    /// Whether `keys` and `bytes` are exact, or estimated because counting would be slow.
    pub exact: bool,
}

impl Version {
    /// Whether `id` means this version.
    #[must_use]
    pub fn is(&self, id: &VersionId) -> bool {
        match id {
            VersionId::Number(number) => self.number == *number,
            VersionId::Name(name) => self.name.as_ref() == Some(name),
        }
    }
}

/// Which versions to keep. Those with a name stay in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Retention {
    /// So many of the newest. None: any number.
    pub count: Option<u64>,
    /// Those that are not older, in milliseconds. None: of any age.
    pub age_ms: Option<u64>,
}

impl Retention {
    /// Whether it keeps everything.
    #[must_use]
    pub const fn is_all(&self) -> bool {
        self.count.is_none() && self.age_ms.is_none()
    }

    /// Those of `versions` (by number, ascending) that are not kept at `now_ms`.
    #[must_use]
    pub fn outdated(&self, versions: &[Version], now_ms: u64) -> Vec<Version> {
        let unnamed: Vec<_> = versions.iter().filter(|v| v.name.is_none()).collect();
        let kept = self.count.and_then(|count| usize::try_from(count).ok());
        let surplus = unnamed.len().saturating_sub(kept.unwrap_or(usize::MAX));
        let is_old = |version: &Version| {
            let age = now_ms.saturating_sub(version.time_ms);
            self.age_ms.is_some_and(|oldest| age > oldest)
        };
        let outdated = unnamed.into_iter().enumerate();
        outdated
            .filter(|(at, version)| *at < surplus || is_old(version))
            .map(|(_, version)| version.clone())
            .collect()
    }
}

/// Checks what a new version is to be called, and what is said about it.
///
/// # Errors
/// [`ErrorKind::Invalid`] for a name that looks like a number or is none (see
/// [`check_name`]), [`ErrorKind::TooLarge`] for a note over [`NOTE_BYTES_MAX`].
pub fn check_version(name: Option<&str>, note: &str) -> Result<()> {
    let operation = Operation::TakeVersion;
    if let Some(name) = name {
        check_name(operation, name)?;
        if is_digits(name) {
            let reason = format!("{name:?} cannot be a version's name: it would read as a number");
            return Err(Error::new(operation, ErrorKind::Invalid(reason)));
        }
    }
    if note.len() > NOTE_BYTES_MAX {
        let kind = ErrorKind::TooLarge {
            what: "a note",
            bytes: note.len(),
            limit: NOTE_BYTES_MAX,
        };
        return Err(Error::new(operation, kind));
    }
    Ok(())
}

/// A store with versions.
///
/// Methods fail as those of [`Store`](super::Store) do, and with [`ErrorKind::VersionNotFound`].
#[expect(clippy::missing_errors_doc, reason = "said above, for all methods")]
pub trait Versioned: Send + Sync {
    /// Takes the newest state as a version. Fails with [`ErrorKind::VersionExists`] for a name
    /// that is taken, and as [`check_version`] says.
    fn take_version(&self, name: Option<&str>, note: &str) -> Result<Version>;

    /// All versions, the oldest first.
    fn versions(&self) -> Result<Vec<Version>>;

    /// The state that a version is. What had not expired when it was taken has not expired in it.
    /// It stays readable when the version is deleted meanwhile.
    fn at_version(&self, version: &VersionId) -> Result<Box<dyn View + Send>>;

    /// Makes the newest state equal to a version, in one step, and takes that as a new version
    /// (without a name, with a note that says where it is from), which is returned. What was there
    /// and in no version is gone: take a version first to keep it. Entries come back with their
    /// times, so those that have expired since are not there.
    fn restore_version(&self, version: &VersionId) -> Result<Version>;

    /// Forgets a version.
    fn delete_version(&self, version: &VersionId) -> Result<()>;

    /// One version.
    fn version(&self, id: &VersionId) -> Result<Version> {
        let found = self.versions()?.into_iter().find(|version| version.is(id));
        let kind = || ErrorKind::VersionNotFound(id.clone());
        found.ok_or_else(|| Error::new(Operation::ReadVersion, kind()))
    }

    /// Forgets the versions that `retention` does not keep at `now_ms`. Returns them.
    fn prune_versions(&self, retention: &Retention, now_ms: u64) -> Result<Vec<Version>> {
        let outdated = retention.outdated(&self.versions()?, now_ms);
        for version in &outdated {
            match self.delete_version(&VersionId::Number(version.number)) {
                // Another has deleted it meanwhile.
                Err(error) if matches!(error.kind(), ErrorKind::VersionNotFound(_)) => {}
                outcome => outcome?,
            }
        }
        Ok(outdated)
    }
}
