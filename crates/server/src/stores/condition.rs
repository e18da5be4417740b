//! Entity tags and preconditions (RFC 9110): who changes a key may say what must be under it.
//!
//! A tag is the 128-bit xxh3 of the value, its media type and when it expires. It tells states
//! apart that came about by chance; it is no proof against someone who makes two values with the same
//! tag on purpose. Whether a write happens never rests on a tag alone: the store compares the
//! whole entry that the tag was made of, in the same step in which it writes.

use hyper::HeaderMap;
use hyper::header::{self, HeaderName};
use nexusbase_kv::{Entry, Expected, Put, Store, Swap};
use xxhash_rust::xxh3::Xxh3;

use crate::operation::{self, Progress};
use crate::problem::{Kind, Problem};

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

/// What a header names.
#[derive(Debug, PartialEq, Eq)]
enum Tags {
    /// `*`: whatever is there.
    Any,
    /// Whether each is weak, and the tag with its quotation marks.
    List(Vec<(bool, String)>),
}

impl Tags {
    fn read(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Self>, Problem> {
        let mut text = String::new();
        for value in headers.get_all(name) {
            if !text.is_empty() {
                text.push(',');
            }
            text.push_str(value.to_str().unwrap_or("?"));
        }
        if !headers.contains_key(name) {
            return Ok(None);
        }
        Self::parse(&text).map(Some).ok_or_else(|| {
            let detail = format!(
                "the header {name} is * or entity tags with commas between them, such as \
                 \"0123456789abcdef\" with its quotation marks"
            );
            Problem::new(Kind::InvalidHeader, detail).with("header", name.as_str())
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let mut rest = text.trim();
        if rest == "*" {
            return Some(Self::Any);
        }
        let mut tags = Vec::new();
        loop {
            // Empty elements of a list are allowed.
            rest = rest.trim_start_matches([' ', '\t', ',']);
            if rest.is_empty() {
                return (!tags.is_empty()).then_some(Self::List(tags));
            }
            let weak = rest.strip_prefix("W/");
            let opened = weak.unwrap_or(rest).strip_prefix('"')?;
            let (tag, behind) = opened.split_once('"')?;
            tags.push((weak.is_some(), format!("\"{tag}\"")));
            rest = behind.trim_start_matches([' ', '\t']);
            if !rest.is_empty() && !rest.starts_with(',') {
                return None;
            }
        }
    }

    /// Whether they name what is there. A weak tag promises less than `strong` asks for.
    fn name(&self, etag: Option<&str>, strong: bool) -> bool {
        match (self, etag) {
            (Self::Any, etag) => etag.is_some(),
            (Self::List(_), None) => false,
            (Self::List(tags), Some(etag)) => tags
                .iter()
                .any(|(weak, tag)| !(*weak && strong) && tag == etag),
        }
    }
}

/// What a request says must be there.
#[derive(Debug)]
pub(super) struct Conditions {
    must: Option<Tags>,
    must_not: Option<Tags>,
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
    pub(super) fn read(headers: &HeaderMap) -> Result<Self, Problem> {
        Ok(Self {
            must: Tags::read(headers, &header::IF_MATCH)?,
            must_not: Tags::read(headers, &header::IF_NONE_MATCH)?,
        })
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.must.is_none() && self.must_not.is_none()
    }

    /// Whether `If-Match` holds for what is there.
    pub(super) fn matches(&self, etag: Option<&str>) -> bool {
        let must = self.must.as_ref();
        must.is_none_or(|tags| tags.name(etag, true))
    }

    /// Whether `If-None-Match` names what is there: the caller has it already.
    pub(super) fn is_known(&self, etag: Option<&str>) -> bool {
        let must_not = self.must_not.as_ref();
        must_not.is_some_and(|tags| tags.name(etag, false))
    }

    /// What the store can check by itself, without the entry being read first.
    fn expected(&self) -> Option<Expected<'static>> {
        match (&self.must, &self.must_not) {
            (Some(Tags::Any), None) => Some(Expected::Present),
            (None, Some(Tags::Any)) => Some(Expected::Absent),
            _ => None,
        }
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

    fn list(tags: &[(bool, &str)]) -> Option<Tags> {
        let tags = tags.iter().map(|(weak, tag)| (*weak, (*tag).to_owned()));
        Some(Tags::List(tags.collect()))
    }

    #[test]
    fn lists_of_tags_are_read_as_http_writes_them() {
        assert_eq!(Tags::parse(" * "), Some(Tags::Any));
        assert_eq!(Tags::parse("\"a\""), list(&[(false, "\"a\"")]));
        let found = Tags::parse(" ,\"a,b\" ,, W/\"c\",\"\"");
        let wanted = [(false, "\"a,b\""), (true, "\"c\""), (false, "\"\"")];
        assert_eq!(found, list(&wanted));
        for bad in [
            "",
            ",",
            "a",
            "\"a",
            "\"a\" \"b\"",
            "*,*",
            "w/\"a\"",
            "\"a\"x",
        ] {
            assert_eq!(Tags::parse(bad), None, "{bad}");
        }
    }

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
