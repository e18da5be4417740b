//! Reads that may meet a fault: what was not read because of one is read again, and must then be
//! right. What was read and is wrong is never excused.

use nexusbase_db::{ReadError, WriteError};
use nexusbase_forest::{self as forest, DiskError};

use crate::Check;
use crate::world::World;

/// Why a comparison did not go well.
#[derive(Debug)]
pub(super) enum Unread {
    /// The disk gave an error.
    Disk(String),
    /// Something is wrong.
    Wrong(String),
}

impl Unread {
    /// Says that it was a kept version.
    pub(super) fn of(self, version: u64) -> Self {
        let text = |text: String| format!("at the kept version {version}: {text}");
        match self {
            Self::Disk(error) => Self::Disk(text(error)),
            Self::Wrong(wrong) => Self::Wrong(text(wrong)),
        }
    }
}

/// What was read.
pub(super) type Read<T = ()> = Result<T, Unread>;

impl From<String> for Unread {
    fn from(wrong: String) -> Self {
        Self::Wrong(wrong)
    }
}

impl From<ReadError> for Unread {
    fn from(error: ReadError) -> Self {
        let text = format!("read: {error}");
        match error {
            ReadError::Forest(forest::ReadError::Disk(DiskError::Io(_))) => Self::Disk(text),
            _ => Self::Wrong(text),
        }
    }
}

impl From<WriteError> for Unread {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Read(error) => error.into(),
            other => Self::Wrong(format!("write: {other}")),
        }
    }
}

impl From<Unread> for String {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Disk(text) | Unread::Wrong(text) => text,
        }
    }
}

/// Reads, and once more if a planned fault was met; nothing if the power has gone.
pub(super) fn again<T>(world: &mut World, mut read: impl FnMut() -> Read<T>) -> Check<Option<T>> {
    let mut tries = 0;
    loop {
        let before = world.disk.operations();
        tries += 1;
        match read() {
            Ok(found) => return Ok(Some(found)),
            Err(Unread::Wrong(wrong)) => return Err(wrong),
            Err(Unread::Disk(error)) if world.excused(before) && tries == 1 => {
                world.story.tell(format!("a read failed: {error}"));
            }
            Err(Unread::Disk(_)) if world.disk.is_crashed() => return Ok(None),
            Err(Unread::Disk(error)) => return Err(error),
        }
        if world.disk.is_crashed() {
            return Ok(None);
        }
    }
}
