//! The end of a load test: all documents are read, and compared with what the users know.

use std::collections::BTreeMap;
use std::time::Duration;

use nexusbase_io::Clock;
use serde_json::Value;
use ureq::http::Method;

use super::client::{Answer, Client};
use super::model::{Known, version_of};
use crate::cli::failure::{Failure, Outcome};

/// Documents per page.
const PAGE: usize = 500;
/// How long to wait before the server is asked again.
const PAUSE: Duration = Duration::from_millis(500);
/// How many findings are shown.
pub(super) const FINDINGS_SHOWN: usize = 20;

/// What was found at the end.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// Documents that must be there.
    pub(super) expected: u64,
    /// Documents of which both is possible, because a write had no answer.
    pub(super) undecided: u64,
    /// Documents that are there.
    pub(super) found: u64,
    /// Those that are not there and must be.
    pub(super) lost: u64,
    /// Those that are not what was written last.
    pub(super) changed: u64,
    /// Those that nobody has written, or that were deleted.
    pub(super) made_up: u64,
    /// The first of what is wrong, in words.
    pub(super) findings: Vec<String>,
}

impl Verdict {
    fn say(&mut self, finding: String) {
        if self.findings.len() < FINDINGS_SHOWN {
            self.findings.push(finding);
        }
    }

    /// Whether everything is as it must be.
    pub(super) fn is_sound(&self) -> bool {
        self.lost == 0 && self.changed == 0 && self.made_up == 0
    }

    /// Compares a document that is there; takes it from those that are expected.
    fn compare(&mut self, expected: &mut BTreeMap<String, Known>, document: &Value) {
        self.found += 1;
        let Some(id) = document.get("_id").and_then(Value::as_str) else {
            self.made_up += 1;
            return self.say(format!("nobody has written {document}"));
        };
        let Some(known) = expected.remove(id) else {
            self.made_up += 1;
            return self.say(format!("nobody has written {id}, or it is there twice"));
        };
        match version_of(id, document) {
            Ok(version) if known.states().contains(&Some(version)) => {}
            Ok(_) if known.states() == [None] => {
                self.made_up += 1;
                self.say(format!("{id} was deleted, and is there"));
            }
            Ok(version) => {
                self.changed += 1;
                let states = known.states();
                self.say(format!(
                    "{id} has version {version}, expected one of {states:?}"
                ));
            }
            Err(reason) => {
                self.changed += 1;
                self.say(format!("{id}: {reason}"));
            }
        }
    }
}

/// Compares the documents of a collection, page by page, with what they must be.
pub(super) fn verdict(
    mut expected: BTreeMap<String, Known>,
    mut page: impl FnMut(Option<&str>) -> Outcome<Option<Value>>,
) -> Outcome<Verdict> {
    let mut verdict = Verdict::default();
    for known in expected.values() {
        let gone = known.states().contains(&None);
        verdict.expected += u64::from(!gone);
        verdict.undecided += u64::from(known.states().len() > 1);
    }
    let mut cursor: Option<String> = None;
    while let Some(answer) = page(cursor.as_deref())? {
        let documents = answer.get("documents").and_then(Value::as_array);
        for document in documents.into_iter().flatten() {
            verdict.compare(&mut expected, document);
        }
        cursor = answer
            .get("next")
            .and_then(Value::as_str)
            .map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    for (id, known) in expected {
        if !known.states().contains(&None) {
            verdict.lost += 1;
            let states = known.states();
            verdict.say(format!("{id} is not there, expected one of {states:?}"));
        }
    }
    Ok(verdict)
}

/// Reads a page of a collection; none if there is no such collection. A server that does not
/// answer is asked again until `patience` is over.
pub(super) fn page(
    client: &Client,
    clock: &dyn Clock,
    patience: Duration,
    collection: &str,
    cursor: Option<&str>,
) -> Outcome<Option<Value>> {
    let after = cursor.map_or_else(String::new, |cursor| format!("&cursor={cursor}"));
    let path = format!("/collections/{collection}/documents?limit={PAGE}{after}");
    let end = clock.monotonic() + patience;
    loop {
        let problem = match client.send(&Method::GET, &path, None) {
            Ok(Answer { status: 200, body }) => return Ok(Some(body)),
            Ok(Answer { status: 404, .. }) => return Ok(None),
            Ok(Answer { status, body }) => {
                let detail = body.get("detail").and_then(Value::as_str);
                let detail = detail.unwrap_or_default();
                let problem = format!("the server answered {status}: {detail}");
                if !matches!(status, 429 | 500..) {
                    return Err(Failure::new(problem));
                }
                problem
            }
            Err(silence) => format!("the server does not answer ({silence:?})"),
        };
        if clock.monotonic() >= end {
            return Err(Failure::new(problem).hint("is it running, and is the address right?"));
        }
        std::thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::model::content;
    use super::*;

    fn stored(id: &str, version: u64) -> Value {
        let mut document = content(id, version);
        document["_id"] = id.into();
        document
    }

    fn judge(documents: &[Value]) -> Verdict {
        let expected = [
            ("a", Known::Certain(Some(1))),
            ("b", Known::OneOf(vec![Some(1), Some(2)])),
            ("c", Known::OneOf(vec![Some(3), None])),
            ("d", Known::Certain(None)),
        ];
        let expected = expected.map(|(id, known)| (id.to_owned(), known));
        // In pages of one document.
        verdict(BTreeMap::from(expected), |cursor| {
            let at: usize = cursor.map_or(0, |cursor| cursor.parse().unwrap());
            let next = (at + 1 < documents.len()).then(|| (at + 1).to_string());
            Ok(Some(
                json!({"documents": documents.get(at..=at).unwrap_or_default(), "next": next}),
            ))
        })
        .ok()
        .unwrap()
    }

    #[test]
    fn what_may_be_there_is_accepted() {
        let verdict = judge(&[stored("a", 1), stored("b", 2), stored("c", 3)]);
        assert!(verdict.is_sound(), "{verdict:?}");
        assert_eq!(
            (verdict.expected, verdict.undecided, verdict.found),
            (2, 2, 3)
        );
        assert!(judge(&[stored("a", 1), stored("b", 1)]).is_sound());
    }

    #[test]
    fn a_lost_a_changed_and_a_made_up_document_are_detected() {
        let lost = judge(&[stored("b", 1)]);
        assert_eq!((lost.lost, lost.changed, lost.made_up), (1, 0, 0));
        let mut other = stored("a", 1);
        other["flag"] = "maybe".into();
        let changed = judge(&[other, stored("b", 1)]);
        assert_eq!((changed.lost, changed.changed, changed.made_up), (0, 1, 0));
        let older = judge(&[stored("a", 7), stored("b", 1)]);
        assert_eq!((older.lost, older.changed, older.made_up), (0, 1, 0));
        let risen = judge(&[stored("a", 1), stored("b", 1), stored("d", 4)]);
        assert_eq!((risen.lost, risen.changed, risen.made_up), (0, 0, 1));
        let twice = judge(&[stored("a", 1), stored("a", 1), stored("b", 1)]);
        assert_eq!((twice.lost, twice.changed, twice.made_up), (0, 0, 1));
    }
}
