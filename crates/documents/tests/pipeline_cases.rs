//! Pipelines recorded from a reference engine, answered here: the same documents, or a refusal.
//!
//! The cases are data (`testdata/query-cases`, which says where they come from). For each, the
//! documents are inserted into a database in memory and the pipeline is run on it. Results are
//! compared strictly: types, digits and the sign of zero count; the order of fields does not.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use bson::raw::{RawArray, RawBsonRef, RawDocument, RawDocumentBuf};
use nexusbase_db::Database;
use nexusbase_documents::aggregate::{Pipeline, PipelineError};
use nexusbase_documents::json::{Form, parse_document, to_string};
use nexusbase_documents::{Collection, Documents};
use serde_json::Value;

const CASES: &str = include_str!("../testdata/query-cases/aggregate.jsonl");

/// Cases that are answered differently here, on purpose: by file the end of the id, and why.
const DEVIATIONS: &str = include_str!("../testdata/query-cases/deviations.json");

/// The refusals that come from documents, by their code in the reference: division and remainder
/// by zero. All others must come before any document is read.
const AT_RUN_TIME: [i32; 2] = [4_848_401, 4_848_403];

type Failure = Box<dyn std::error::Error>;

fn insert(collection: &Collection, documents: &RawArray) -> Result<(), Failure> {
    collection.create()?;
    for document in documents {
        collection.insert(document?.as_document().ok_or("a document")?)?;
    }
    Ok(())
}

/// The database of a case, and the collection that the pipeline is for.
fn prepared(case: &RawDocument) -> Result<Collection, Failure> {
    let documents = Documents::new(&Database::in_memory()?);
    let name = case.get("self")?.and_then(RawBsonRef::as_str);
    let collection = documents.collection(name.unwrap_or("main"))?;
    insert(&collection, case.get_array("docs")?)?;
    if let Some(other) = case.get("other")? {
        for field in other.as_document().ok_or("an object of collections")? {
            let (name, rows) = field?;
            let rows = rows.as_array().ok_or("an array of documents")?;
            insert(&documents.collection(name.as_str())?, rows)?;
        }
    }
    Ok(collection)
}

fn answer(collection: &Collection, case: &RawDocument) -> Result<Vec<RawDocumentBuf>, Failure> {
    let stages = case.get("pipeline")?.ok_or("a case has a pipeline")?;
    let pipeline = Pipeline::from_value(stages)?;
    let snapshot = collection.snapshot();
    let documents = collection.aggregate_in(&snapshot, &pipeline)?;
    Ok(documents.collect::<Result<_, _>>()?)
}

/// The same with the fields of every object in the order of their names.
fn in_order_of_names(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.into_iter().collect();
            fields.sort_by(|a, b| a.0.cmp(&b.0));
            let ordered = fields
                .into_iter()
                .map(|(name, value)| (name, in_order_of_names(value)));
            Value::Object(ordered.collect())
        }
        Value::Array(elements) => {
            Value::Array(elements.into_iter().map(in_order_of_names).collect())
        }
        other => other,
    }
}

/// A document as text that is equal where the case demands equality.
fn comparable(document: &RawDocument, unordered: &[&str]) -> String {
    let text = to_string(document, Form::Canonical).unwrap();
    let mut value = in_order_of_names(serde_json::from_str(&text).unwrap());
    for name in unordered {
        if let Some(elements) = value.get_mut(name).and_then(Value::as_array_mut) {
            elements.sort_by_key(ToString::to_string);
        }
    }
    value.to_string()
}

/// What is wrong with the answer to a case, if anything.
fn fault(case: &RawDocument) -> Option<String> {
    let collection = match prepared(case) {
        Ok(collection) => collection,
        Err(error) => return Some(format!("cannot be stored: {error}")),
    };
    let expected = case.get("expect").unwrap();
    match (answer(&collection, case), expected) {
        (Err(error), None) => {
            let code = case.get_document("expect_error").unwrap().get_i32("code");
            let read_before = AT_RUN_TIME.contains(&code.unwrap());
            let early = error.downcast_ref::<PipelineError>().is_some();
            (early == read_before).then(|| format!("refused, but at the wrong time: {error}"))
        }
        (Err(error), Some(_)) => Some(format!("refused: {error}")),
        (Ok(found), None) => Some(format!("not refused, found {found:?}")),
        (Ok(found), Some(expected)) => {
            let unordered = case.get("unordered_fields").unwrap();
            let unordered: Vec<&str> = unordered
                .and_then(RawBsonRef::as_array)
                .into_iter()
                .flatten()
                .map(|name| name.unwrap().as_str().unwrap())
                .collect();
            let comparable = |document: &RawDocument| comparable(document, &unordered);
            let mut found: Vec<String> = found.iter().map(|d| comparable(d)).collect();
            let expected = expected.as_array().unwrap().into_iter();
            let mut expected: Vec<String> = expected
                .map(|document| comparable(document.unwrap().as_document().unwrap()))
                .collect();
            if !case.get_bool("ordered").unwrap() {
                found.sort_unstable();
                expected.sort_unstable();
            }
            (found != expected).then(|| format!("found {found:?}\n    wanted {expected:?}"))
        }
    }
}

#[test]
fn recorded_pipelines_get_the_recorded_answers() {
    let deviations: Value = serde_json::from_str(DEVIATIONS).unwrap();
    let deviations = deviations["aggregate"].as_object().unwrap();
    let mut faults = Vec::new();
    let (mut results, mut refusals) = (0, 0);
    for line in CASES.lines() {
        let case = parse_document(line.as_bytes()).unwrap();
        let id = case.get_str("id").unwrap();
        let known = deviations.keys().any(|end| id.ends_with(end));
        match (fault(&case), known) {
            (None, false) => {
                let refused = case.get("expect").unwrap().is_none();
                *(if refused { &mut refusals } else { &mut results }) += 1;
            }
            (Some(fault), false) => faults.push(format!("{id}\n    {fault}")),
            (None, true) => faults.push(format!("{id}\n    listed as a deviation, and is none")),
            (Some(_), true) => {}
        }
    }
    assert!(
        faults.is_empty(),
        "{results} results and {refusals} refusals agree; these {} cases do not:\n{}",
        faults.len(),
        faults.join("\n")
    );
    assert_eq!((results, refusals), (1136, 433), "no case is lost");
}
