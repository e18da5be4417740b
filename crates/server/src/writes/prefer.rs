//! What a caller would like to see of a result: the header `Prefer` (RFC 7240).

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use hyper::HeaderMap;
use hyper::header::HeaderName;
use hyper::http::request::Parts;

use super::answer::Answer;

const APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// How much of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Return {
    /// Headers only.
    Minimal,
    /// All of it.
    Representation,
}

/// What the header says, if it says one of the two.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prefer(pub(crate) Option<Return>);

impl<S: Sync> FromRequestParts<S> for Prefer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(of(&parts.headers)))
    }
}

impl Prefer {
    /// The answer, with the preference that it follows.
    pub(crate) fn applied(self, answer: Answer) -> Answer {
        match self.0 {
            None => answer,
            Some(Return::Minimal) => answer.with(APPLIED, "return=minimal"),
            Some(Return::Representation) => answer.with(APPLIED, "return=representation"),
        }
    }
}

/// The first preference about the result; unknown ones are passed over, as the RFC demands.
fn of(headers: &HeaderMap) -> Option<Return> {
    let values = headers.get_all("prefer").iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    let mut preferences = texts.flat_map(|text| text.split(','));
    preferences.find_map(|preference| {
        let preference = preference.split(';').next().unwrap_or_default();
        let (name, value) = preference.split_once('=')?;
        if !name.trim().eq_ignore_ascii_case("return") {
            return None;
        }
        match value.trim().trim_matches('"') {
            "minimal" => Some(Return::Minimal),
            "representation" => Some(Return::Representation),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_known_preference_counts() {
        for (text, expected) in [
            ("return=minimal", Some(Return::Minimal)),
            (
                "respond-async, Return = \"representation\"; x=1",
                Some(Return::Representation),
            ),
            (
                "return=all, return=minimal, return=representation",
                Some(Return::Minimal),
            ),
            ("minimal", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("prefer", text.parse().unwrap());
            assert_eq!(of(&headers), expected, "{text}");
        }
    }
}
