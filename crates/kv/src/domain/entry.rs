//! What lies under a key: a value, when it expires, and what it is.

use std::sync::Arc;

use bytes::Bytes;

/// The longest media type, in bytes.
pub const MEDIA_TYPE_BYTES_MAX: usize = 255;

/// What lies under a key.
///
/// `value` is never a window into memory that the store goes on to use for something else: it may
/// share an allocation that holds this one value, and nothing bigger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The value.
    pub value: Bytes,
    /// From when on it is gone, in milliseconds since 1970. None: never.
    pub expires_ms: Option<u64>,
    /// What the value is, as a media type ("image/png"), if somebody said so.
    pub media_type: Option<Arc<str>>,
}

impl Entry {
    /// Whether it is gone at `now_ms`.
    #[must_use]
    pub fn is_expired(&self, now_ms: u64) -> bool {
        self.expires_ms.is_some_and(|time| time <= now_ms)
    }

    /// The same, to be put.
    #[must_use]
    pub fn as_put(&self) -> Put<'_> {
        Put {
            value: &self.value,
            expires_ms: self.expires_ms,
            media_type: self.media_type.as_deref(),
        }
    }
}

/// What is to lie under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Put<'a> {
    /// The value.
    pub value: &'a [u8],
    /// From when on it is gone, in milliseconds since 1970. None: never.
    pub expires_ms: Option<u64>,
    /// What the value is, as a media type; at most [`MEDIA_TYPE_BYTES_MAX`].
    pub media_type: Option<&'a str>,
}

impl<'a> Put<'a> {
    /// A value that stays and of which nothing is said.
    #[must_use]
    pub const fn new(value: &'a [u8]) -> Self {
        Self {
            value,
            expires_ms: None,
            media_type: None,
        }
    }

    /// The same, in memory of its own.
    #[must_use]
    pub fn to_entry(self) -> Entry {
        Entry {
            value: Bytes::copy_from_slice(self.value),
            expires_ms: self.expires_ms,
            media_type: self.media_type.map(Arc::from),
        }
    }
}

/// A key and what lies under it, lent by a cursor until its next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowRef<'a> {
    /// The key.
    pub key: &'a [u8],
    /// The value.
    pub value: &'a [u8],
    /// From when on it is gone, in milliseconds since 1970.
    pub expires_ms: Option<u64>,
    /// What the value is, as a media type.
    pub media_type: Option<&'a str>,
}

impl<'a> RowRef<'a> {
    /// What lies under the key, to be put elsewhere.
    #[must_use]
    pub const fn as_put(&self) -> Put<'a> {
        Put {
            value: self.value,
            expires_ms: self.expires_ms,
            media_type: self.media_type,
        }
    }

    /// The same, in memory of its own.
    #[must_use]
    pub fn to_row(&self) -> Row {
        Row {
            key: Bytes::copy_from_slice(self.key),
            entry: self.as_put().to_entry(),
        }
    }
}

/// A key and what lies under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The key.
    pub key: Bytes,
    /// What lies under it.
    pub entry: Entry,
}
