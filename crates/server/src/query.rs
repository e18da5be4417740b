//! The query part of a URL: parameters by name, each at most once, nothing unknown, nothing that
//! is not text.

use percent_encoding::percent_decode_str;

use crate::problem::{Kind, Problem};

/// The parameters of a request. Their values are text, but for those that were said to be bytes.
#[derive(Debug)]
pub(crate) struct Parameters(Vec<(String, Vec<u8>)>);

impl Parameters {
    /// Reads a query, in which only the names in `known` may stand.
    pub(crate) fn parse(query: &str, known: &[&str]) -> Result<Self, Problem> {
        Self::parse_with_bytes(query, known, &[])
    }

    /// Reads a query, in which only the names in `known` may stand; the values of those in `bytes`
    /// may be any bytes.
    pub(crate) fn parse_with_bytes(
        query: &str,
        known: &[&str],
        bytes: &[&str],
    ) -> Result<Self, Problem> {
        let mut all: Vec<(String, Vec<u8>)> = Vec::new();
        for part in query.split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let name = decode(name, "a parameter's name")?;
            if !known.contains(&name.as_str()) {
                let list = if known.is_empty() {
                    "none here".to_owned()
                } else {
                    known.join(", ")
                };
                let detail = format!("there is no parameter {name:?}; known are: {list}");
                return Err(Problem::new(Kind::InvalidParameter, detail).parameter(&name));
            }
            if all.iter().any(|(earlier, _)| *earlier == name) {
                let detail = format!("the parameter {name:?} is given more than once");
                return Err(Problem::new(Kind::InvalidParameter, detail).parameter(&name));
            }
            let value = if bytes.contains(&name.as_str()) {
                percent_bytes(&value.replace('+', " "), "its value")
                    .map_err(|detail| Problem::new(Kind::InvalidParameter, detail))
            } else {
                decode(value, "its value").map(String::into_bytes)
            };
            let value = value.map_err(|problem| problem.parameter(&name))?;
            all.push((name, value));
        }
        Ok(Self(all))
    }

    /// The value of a parameter, if it was given.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.bytes(name)?).ok()
    }

    /// The value of a parameter that may be any bytes, if it was given.
    pub(crate) fn bytes(&self, name: &str) -> Option<&[u8]> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_slice())
    }

    /// A parameter that is a whole number, at least `min`.
    pub(crate) fn number(&self, name: &str, min: usize) -> Result<Option<usize>, Problem> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        // As far as the description says that a number may go.
        let number = text.parse::<i64>().ok().filter(|_| digits);
        match number.and_then(|number| usize::try_from(number).ok()) {
            Some(number) if number >= min => Ok(Some(number)),
            _ => {
                let detail = format!("{name} must be a whole number, at least {min}");
                Err(Problem::new(Kind::InvalidParameter, detail).parameter(name))
            }
        }
    }

    /// A parameter that is one of several words.
    pub(crate) fn word<T: Copy>(
        &self,
        name: &str,
        words: &[(&str, T)],
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        let found = words.iter().find(|(word, _)| *word == text);
        found.map(|(_, meaning)| Some(*meaning)).ok_or_else(|| {
            let list: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let detail = format!("{name} must be one of: {}", list.join(", "));
            Problem::new(Kind::InvalidParameter, detail).parameter(name)
        })
    }
}

/// Text as it stands in a query: `+` is a space, `%` and two digits are a byte.
fn decode(text: &str, what: &str) -> Result<String, Problem> {
    let text = text.replace('+', " ");
    percent_text(&text, what).map_err(|detail| Problem::new(Kind::InvalidParameter, detail))
}

/// Percent-decoded text, or what is wrong with it.
pub(crate) fn percent_text(text: &str, what: &str) -> Result<String, String> {
    let decoded = percent_bytes(text, what)?;
    String::from_utf8(decoded).map_err(|_| format!("{what} is not UTF-8 after percent-decoding"))
}

/// Percent-decoded bytes, or what is wrong with their text.
pub(crate) fn percent_bytes(text: &str, what: &str) -> Result<Vec<u8>, String> {
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        let digits = rest.get(at + 1..at + 3).unwrap_or_default();
        if digits.len() < 2 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(format!(
                "% in {what} must be followed by two hexadecimal digits"
            ));
        }
        rest = &rest[at + 3..];
    }
    Ok(percent_decode_str(text).collect())
}
