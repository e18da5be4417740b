//! Bodies that are one object of Extended JSON: what its members are, nothing unknown among them,
//! and problems that say which member is meant, as a JSON pointer.

use nexusbase_documents::bson::raw::{RawBsonRef, RawDocumentBuf};
use nexusbase_documents::json::parse_document;
use nexusbase_documents::path::field;
use nexusbase_documents::value::type_name;

use crate::problem::{Kind, Problem, json_error};

/// Whole numbers up to here are exact as doubles too.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// The members of a body.
pub(crate) struct Members(RawDocumentBuf);

impl Members {
    /// Reads a body, in which only the members in `known` may stand.
    pub(crate) fn parse(body: &[u8], known: &[&str]) -> Result<Self, Problem> {
        let document = parse_document(body).map_err(|error| json_error(&error))?;
        for (name, _) in document.iter().flatten() {
            let name = name.as_str();
            if !known.contains(&name) {
                let known = known.join(", ");
                let detail = format!("there is no member {name:?} here; known are: {known}");
                return Err(refused(detail, &pointer(name)));
            }
        }
        Ok(Self(document))
    }

    /// A member as it is; none if it is not there.
    pub(crate) fn get(&self, name: &str) -> Result<Option<RawBsonRef<'_>>, Problem> {
        Ok(field(&self.0, name)?)
    }

    /// A member that must be there.
    pub(crate) fn required(&self, name: &str) -> Result<RawBsonRef<'_>, Problem> {
        self.get(name)?.ok_or_else(|| {
            let detail = format!("the body lacks the member {name:?}");
            refused(detail, &pointer(name))
        })
    }

    /// A member that is text. Null is as good as nothing, here and for the others.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&str>, Problem> {
        match self.get(name)? {
            None | Some(RawBsonRef::Null) => Ok(None),
            Some(RawBsonRef::String(text)) => Ok(Some(text)),
            Some(other) => Err(mistaken(name, "text", other)),
        }
    }

    /// A member that is true or false, and false if it is not there.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.get(name)? {
            None | Some(RawBsonRef::Null) => Ok(false),
            Some(RawBsonRef::Boolean(flag)) => Ok(flag),
            Some(other) => Err(mistaken(name, "true or false", other)),
        }
    }

    /// A member that is a whole number of any type, at least `min`.
    pub(crate) fn number(&self, name: &str, min: usize) -> Result<Option<usize>, Problem> {
        let value = match self.get(name)? {
            None | Some(RawBsonRef::Null) => return Ok(None),
            Some(value) => value,
        };
        let number = match value {
            RawBsonRef::Int32(number) => Some(i64::from(number)),
            RawBsonRef::Int64(number) => Some(number),
            RawBsonRef::Double(number) => whole(number),
            _ => None,
        };
        let number = number.and_then(|number| usize::try_from(number).ok());
        match number {
            Some(number) if number >= min => Ok(Some(number)),
            _ => {
                let expected = format!("a whole number, at least {min}");
                Err(mistaken(name, &expected, value))
            }
        }
    }
}

/// A double that is a whole number.
fn whole(number: f64) -> Option<i64> {
    let is_whole = number.trunc().total_cmp(&number).is_eq() && number.abs() <= EXACT_MAX;
    // Its digits are those of the integer.
    is_whole.then(|| format!("{number:.0}").parse().ok())?
}

/// A member of the body is not what belongs there.
pub(crate) fn mistaken(name: &str, expected: &str, found: RawBsonRef<'_>) -> Problem {
    let detail = format!("{name} must be {expected}, and is {}", type_name(found));
    refused(detail, &pointer(name))
}

/// The body is not what the request takes, at this place.
pub(crate) fn refused(detail: impl Into<String>, at: &str) -> Problem {
    Problem::new(Kind::InvalidBody, detail).with("at", at)
}

/// The JSON pointer of a member.
pub(crate) fn pointer(name: &str) -> String {
    let mut pointer = String::with_capacity(name.len() + 1);
    pointer.push('/');
    for letter in name.chars() {
        match letter {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            letter => pointer.push(letter),
        }
    }
    pointer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_any_type_are_numbers() {
        let body = br#"{"a": 5, "b": {"$numberLong": "5"}, "c": 5.0, "d": 5.5, "e": "5", "f": -1,
            "g": 1e300, "h": null}"#;
        let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
        let members = Members::parse(body, &names).unwrap();
        for name in ["a", "b", "c"] {
            assert_eq!(members.number(name, 5).unwrap(), Some(5), "{name}");
            assert!(members.number(name, 6).is_err(), "{name}");
        }
        for name in ["d", "e", "f", "g"] {
            let problem = members.number(name, 0).unwrap_err().to_json(None);
            assert_eq!(problem["at"], format!("/{name}"));
        }
        assert_eq!(members.number("h", 0).unwrap(), None);
        assert_eq!(members.number("i", 0).unwrap(), None);
    }

    #[test]
    fn what_is_unknown_is_named_by_its_pointer() {
        let refused = Members::parse(br#"{"a": 1, "b/c~d": 2}"#, &["a"])
            .err()
            .unwrap();
        assert_eq!(refused.to_json(None)["at"], "/b~1c~0d");
        let lacking = Members::parse(b"{}", &["a"]).unwrap();
        let problem = lacking.required("a").unwrap_err().to_json(None);
        assert_eq!(problem["at"], "/a");
    }
}
