//! Entity tags of what is under keys: who changes a key may say what must be there.
//!
//! A tag is the 128-bit xxh3 of the value, its media type and when it expires. It tells states
//! apart that came about by chance; it is no proof against someone who makes two values with the same
//! tag on purpose. Whether a write happens never rests on a tag alone: the store compares the
//! whole entry that the tag was made of, in the same step in which it writes.

use nexusbase_kv::{Entry, Expected, Put, Store, Swap};
use xxhash_rust::xxh3::Xxh3;

pub(super) use crate::conditions::Conditions;
use crate::operation::{self, Progress};
use crate::problem::Problem;

/// The strong entity tag of what is to lie under a key, with its quotation marks.
pub(super) fn etag_of(put: &Put<'_>) -> String {
    let mut hash = Xxh3::new();
    hash.update(&[u8::from(put.expires_ms.is_some())]);
    hash.update(&put.expires_ms.unwrap_or_default().to_le_bytes());
    // Lengths keep the parts apart; no media type has this one.
    let length = put.media_type.map_or(u64::MAX, |text| text.len() as u64);
    hash.update(&length.to_le_bytes());
    hash.update(put.media_type.unwrap_or_default().as_bytes());
    hash.update(put.value);
    format!("\"{:032x}\"", hash.digest128())
}

/// The strong entity tag of what lies under a key.
pub(super) fn etag(entry: &Entry) -> String {
    etag_of(&entry.as_put())
}

/// What became of a change.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It is done; nothing was there before.
    WasAbsent,
    /// It is done; something was there before.
    WasPresent,
    /// The conditions do not hold for what is there, which has this tag. Nothing was done.
    Refused(Option<String>),
}

impl Conditions {
    /// What the store can check by itself, without the entry being read first.
    fn expected(&self) -> Option<Expected<'static>> {
        self.presence().map(|present| {
            if present {
                Expected::Present
            } else {
                Expected::Absent
            }
        })
    }

    /// Puts `new` under `key`, or takes away what is there, if the conditions hold; looking and
    /// changing are one step.
    pub(super) fn change(
        &self,
        store: &dyn Store,
        key: &[u8],
        new: Option<Put<'_>>,
        progress: &Progress,
    ) -> Result<Outcome, Problem> {
        if let Some(expected) = self.expected() {
            return Ok(match store.compare_and_set(key, expected, new)? {
                Swap::Done if expected == Expected::Absent => Outcome::WasAbsent,
                Swap::Done => Outcome::WasPresent,
                Swap::Differs(found) => Outcome::Refused(found.as_ref().map(etag)),
            });
        }
        let mut found = store.entry(key)?;
        loop {
            let tag = found.as_ref().map(etag);
            if !self.matches(tag.as_deref()) || self.is_known(tag.as_deref()) {
                return Ok(Outcome::Refused(tag));
            }
            if progress.is_given_up() {
                return Err(operation::busy("nobody waits for the answer any more"));
            }
            let expected = found.as_ref().map_or(Expected::Absent, Expected::Entry);
            match store.compare_and_set(key, expected, new)? {
                Swap::Done if found.is_some() => return Ok(Outcome::WasPresent),
                Swap::Done => return Ok(Outcome::WasAbsent),
                // Another was faster; the conditions may hold for what it has left.
                Swap::Differs(other) => found = other,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_changes_with_all_that_it_is_made_of() {
        let plain = Put::new(b"v");
        let other = [
            Put::new(b"w"),
            Put {
                expires_ms: Some(0),
                ..plain
            },
            Put {
                media_type: Some(""),
                ..plain
            },
            Put {
                media_type: Some("v"),
                value: b"",
                ..plain
            },
        ];
        assert_eq!(etag_of(&plain), etag_of(&Put::new(b"v")));
        for put in other {
            assert_ne!(etag_of(&plain), etag_of(&put), "{put:?}");
        }
    }
}
