//! What a user knows of its documents: what each must contain, or may contain.
//!
//! A document's content follows from its id and a version, so that a document that was changed in
//! any place is found out. A write without an answer leaves two states that are both right; the
//! next read decides.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::random::mix;

/// Which content a document has; none if it is not there.
pub(super) type State = Option<u64>;

/// What a document may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Just this.
    Certain(State),
    /// One of these: a write had no answer.
    OneOf(Vec<State>),
}

impl Known {
    /// All that it may be.
    pub(super) fn states(&self) -> &[State] {
        match self {
            Self::Certain(state) => std::slice::from_ref(state),
            Self::OneOf(states) => states,
        }
    }
}

/// The documents of one user.
#[derive(Debug, Default)]
pub(super) struct Model {
    documents: BTreeMap<String, Known>,
    /// Those that are there, or may be, to choose from.
    alive: Vec<String>,
}

impl Model {
    /// A document that is about to be written: from now on it may be as before, or so.
    pub(super) fn begin(&mut self, id: &str, state: State) {
        let known = self.documents.entry(id.to_owned());
        let known = known.or_insert_with(|| {
            self.alive.push(id.to_owned());
            Known::Certain(None)
        });
        let mut states = known.states().to_vec();
        if !states.contains(&state) {
            states.push(state);
        }
        *known = Known::OneOf(states);
    }

    /// It is known now.
    pub(super) fn settle(&mut self, id: &str, state: State) {
        if state.is_none() {
            self.alive.retain(|alive| alive != id);
        }
        self.documents.insert(id.to_owned(), Known::Certain(state));
    }

    /// A document that is there, or may be.
    pub(super) fn any(&self, choose: impl FnOnce(usize) -> usize) -> Option<(&str, &Known)> {
        if self.alive.is_empty() {
            return None;
        }
        let id = self.alive.get(choose(self.alive.len()))?;
        Some((id, self.documents.get(id)?))
    }

    /// Everything that is known.
    pub(super) fn into_documents(self) -> BTreeMap<String, Known> {
        self.documents
    }
}

/// The document with this id and content, without its `_id`.
pub(super) fn content(id: &str, version: u64) -> Value {
    let seed = id
        .bytes()
        .fold(version, |sum, byte| mix(sum ^ u64::from(byte)));
    let words = [
        "log", "forest", "seqno", "memtable", "posting", "snapshot", "raft", "key",
    ];
    let word = |n: u64| words[usize::try_from(mix(seed ^ n) % 8).unwrap_or(0)];
    let text: Vec<&str> = (0..20).map(word).collect();
    json!({
        "version": version,
        "total": mix(seed) >> 12,
        "ratio": f64::from(u32::try_from(mix(seed) >> 32).unwrap_or(0)) / 7.0,
        "flag": seed.is_multiple_of(2),
        "tags": [word(100), word(101)],
        "where": {"city": word(102), "box": mix(seed ^ 103) % 1000},
        "text": text.join(" "),
    })
}

/// Which content a document has, if it has exactly that of a version.
///
/// # Errors
/// Says how it differs.
pub(super) fn version_of(id: &str, document: &Value) -> Result<u64, String> {
    let version = document.get("version").and_then(Value::as_u64);
    let version = version.ok_or("it has no version")?;
    let mut expected = content(id, version);
    if let Some(fields) = expected.as_object_mut() {
        fields.insert("_id".to_owned(), id.into());
    }
    // Members are compared without their order, which the server keeps, but JSON does not.
    if *document == expected {
        return Ok(version);
    }
    let objects = [document, &expected].map(Value::as_object);
    let names = objects
        .into_iter()
        .flatten()
        .flat_map(|object| object.keys());
    let mut names: Vec<&str> = names.map(String::as_str).collect();
    names.retain(|name| document.get(*name) != expected.get(*name));
    let name = names.first().copied().unwrap_or_default();
    let (found, expected) = (document.get(name), expected.get(name));
    let shown =
        |value: Option<&Value>| value.map_or_else(|| "missing".to_owned(), Value::to_string);
    Err(format!(
        "its field {name:?} is {}, but {} was written",
        shown(found),
        shown(expected)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(id: &str, version: u64) -> Value {
        let mut document = content(id, version);
        document["_id"] = id.into();
        document
    }

    #[test]
    fn every_change_of_a_document_is_found_out() {
        let whole = stored("a", 3);
        assert_eq!(version_of("a", &whole), Ok(3));
        assert!(version_of("b", &whole).is_err());
        let fields: Vec<String> = whole.as_object().unwrap().keys().cloned().collect();
        for field in fields {
            let mut without = whole.clone();
            without.as_object_mut().unwrap().remove(&field);
            assert!(version_of("a", &without).is_err(), "{field}");
            let mut other = whole.clone();
            other[&field] = "other".into();
            assert!(version_of("a", &other).is_err(), "{field}");
        }
    }

    #[test]
    fn a_write_without_an_answer_leaves_both_states() {
        let mut model = Model::default();
        model.begin("a", Some(1));
        model.settle("a", Some(1));
        model.begin("a", Some(2));
        assert_eq!(model.documents["a"].states(), [Some(1), Some(2)]);
        model.begin("a", None);
        assert_eq!(model.documents["a"].states(), [Some(1), Some(2), None]);
        assert!(model.any(|_| 0).is_some());
        model.settle("a", None);
        assert!(model.any(|_| 0).is_none());
    }
}
