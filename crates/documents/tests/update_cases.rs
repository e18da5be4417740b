//! Updates recorded from a reference engine, applied here: the same documents, or a refusal.
//!
//! The cases are data (`testdata/query-cases`, which says where they come from). Every case runs
//! in memory: its documents are those that the filter finds, the first of them or all, and an
//! upsert inserts if there is none.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod update_compare;

use bson::Timestamp;
use bson::raw::{RawBson, RawBsonRef, RawDocument};
use nexusbase_documents::filter::Filter;
use nexusbase_documents::update::{Now, Update};
use update_compare::{Failure, Outcome, documents, verify, with_id};

const NOW: Now = Now {
    unix_ms: 1_700_000_000_000,
    timestamp: Timestamp {
        time: 1_700_000_000,
        increment: 1,
    },
};

fn run(case: &RawDocument) -> Result<Outcome, Failure> {
    let is_set = |name| matches!(case.get_bool(name), Ok(true));
    let array_filters = case.get("array_filters")?.map_or_else(Vec::new, |filters| {
        documents(filters.as_array().expect("array filters"))
    });
    let mut outcome = Outcome::default();
    for (number, document) in documents(case.get_array("docs")?).into_iter().enumerate() {
        outcome.documents.push(with_id(document, number));
    }
    let condition = case.get("filter")?.ok_or("a case has a filter")?;
    let filter = Filter::from_value(condition)?;
    let update = case.get("update")?.and_then(RawBsonRef::as_document);
    let update = Update::parse(update.ok_or("an update is an object")?, &array_filters)?;
    for document in &mut outcome.documents {
        if filter.matches(document)? && (outcome.matched == 0 || is_set("multi")) {
            outcome.matched += 1;
            if let Some(changed) = update.apply(document, &filter, NOW)? {
                outcome.modified += 1;
                *document = changed;
            }
        }
    }
    if outcome.matched == 0 && is_set("upsert") {
        let condition = condition.as_document().ok_or("a filter is an object")?;
        let document = with_id(update.upsert(condition, NOW)?, outcome.documents.len());
        outcome.matched = 1;
        outcome.upserted = document.get("_id")?.map(RawBson::from);
        outcome.documents.push(document);
    }
    Ok(outcome)
}

#[test]
fn recorded_updates_have_the_recorded_effects() {
    verify(run);
}
