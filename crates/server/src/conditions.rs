//! Preconditions of HTTP (RFC 9110): what a request says must be there, compared with what is.
//!
//! A condition names entity tags; what they are made of is the business of who has them. Looking
//! and changing must be one step: whoever compares does so inside the transaction, or the swap,
//! that changes.

use hyper::HeaderMap;
use hyper::header::{self, HeaderName};

use crate::problem::{Kind, Problem};

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
pub(crate) struct Conditions {
    must: Option<Tags>,
    must_not: Option<Tags>,
}

impl Conditions {
    pub(crate) fn read(headers: &HeaderMap) -> Result<Self, Problem> {
        Ok(Self {
            must: Tags::read(headers, &header::IF_MATCH)?,
            must_not: Tags::read(headers, &header::IF_NONE_MATCH)?,
        })
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.must.is_none() && self.must_not.is_none()
    }

    /// Whether `If-Match` holds for what is there.
    pub(crate) fn matches(&self, etag: Option<&str>) -> bool {
        let must = self.must.as_ref();
        must.is_none_or(|tags| tags.name(etag, true))
    }

    /// Whether `If-None-Match` names what is there: the caller has it already.
    pub(crate) fn is_known(&self, etag: Option<&str>) -> bool {
        let must_not = self.must_not.as_ref();
        must_not.is_some_and(|tags| tags.name(etag, false))
    }

    /// If they say no more than whether something is there: whether it must be.
    pub(crate) const fn presence(&self) -> Option<bool> {
        match (&self.must, &self.must_not) {
            (Some(Tags::Any), None) => Some(true),
            (None, Some(Tags::Any)) => Some(false),
            _ => None,
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
}
