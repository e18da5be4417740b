//! Updates recorded from a reference engine: what the cases are, and whether what came of them is
//! what was recorded.
//!
//! Results are compared strictly: types, digits and the sign of zero count, the order of fields
//! only where a case asks for it. Who uses this says how a case is run.

use std::collections::BTreeMap;

use nexusbase_documents::bson::Bson;
use nexusbase_documents::bson::error::Result as BsonResult;
use nexusbase_documents::bson::raw::{
    RawArray, RawBson, RawBsonRef, RawDocument, RawDocumentBuf, cstr,
};
use nexusbase_documents::filter::Filter;
use nexusbase_documents::json::{Form, parse_document, write_value};
use nexusbase_documents::sort::Sort;
use nexusbase_documents::value::equal;

const UPDATES: &str = include_str!("../../testdata/query-cases/update.jsonl");

const NAMES: &str = "field names with a leading $ or a dot are not stored here";

/// Cases that end differently here: the end of the id, and why.
const DEVIATIONS: &[(&str, &str)] = &[
    (
        "test_addToSet_duplicate_detection[doc_with_dollar_prefix_field]",
        NAMES,
    ),
    (
        "test_addToSet_duplicate_detection[doc_with_dot_notation_field]",
        NAMES,
    ),
    (
        "test_addToSet_duplicate_detection[dollar_prefix_without_each_is_value]",
        NAMES,
    ),
    ("test_position_core[without_each_pushes_literal]", NAMES),
    (
        "test_position_update_modifier_integration[min_treats_position_as_literal]",
        NAMES,
    ),
    (
        "test_position_update_modifier_integration[set_treats_position_as_literal]",
        NAMES,
    ),
    (
        "test_update_modifier_integration[set_treats_each_as_literal]",
        NAMES,
    ),
];

/// Why a case was refused.
pub(crate) type Failure = Box<dyn std::error::Error>;

/// What a command did.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) documents: Vec<RawDocumentBuf>,
    pub(crate) matched: usize,
    pub(crate) modified: usize,
    pub(crate) upserted: Option<RawBson>,
}

/// The objects in an array.
pub(crate) fn documents(array: &RawArray) -> Vec<RawDocumentBuf> {
    let document = |element: BsonResult<RawBsonRef<'_>>| {
        let document = element.unwrap().as_document().unwrap();
        document.to_owned()
    };
    array.into_iter().map(document).collect()
}

/// Gives a document an `_id` if it has none.
pub(crate) fn with_id(document: RawDocumentBuf, number: usize) -> RawDocumentBuf {
    if document.get("_id").unwrap().is_some() {
        return document;
    }
    let mut with_id = RawDocumentBuf::new();
    with_id.append(cstr!("_id"), format!("made-{number}"));
    for field in &document {
        let (name, value) = field.unwrap();
        with_id.append(name, value);
    }
    with_id
}

/// The documents that the query in `check` finds.
fn checked(case: &RawDocument, outcome: &Outcome) -> Result<Vec<RawDocumentBuf>, Failure> {
    let mut found = outcome.documents.clone();
    let Some(check) = case.get("check")? else {
        return Ok(found);
    };
    let check = check.as_document().ok_or("a check is an object")?;
    if let Some(filter) = check.get("filter")? {
        let filter = Filter::from_value(filter)?;
        let mut matching = Vec::new();
        for document in found {
            if filter.matches(&document)? {
                matching.push(document);
            }
        }
        found = matching;
    }
    if let Some(sort) = check.get("sort")? {
        let sort = Sort::from_value(sort)?;
        found.sort_by_cached_key(|document| {
            let mut key = Vec::new();
            sort.key(document, &mut key).unwrap();
            key
        });
    }
    Ok(found)
}

/// A value as text in which the order of fields does not matter.
fn text(value: RawBsonRef<'_>) -> String {
    match value {
        RawBsonRef::Document(document) => {
            let fields: BTreeMap<String, String> = document
                .iter()
                .map(|field| {
                    let (name, value) = field.unwrap();
                    (name.as_str().to_owned(), text(value))
                })
                .collect();
            format!("{fields:?}")
        }
        RawBsonRef::Array(array) => {
            let elements: Vec<String> = array.into_iter().map(|e| text(e.unwrap())).collect();
            format!("{elements:?}")
        }
        RawBsonRef::Double(n) if n.is_nan() => "a double NaN".to_owned(),
        RawBsonRef::Decimal128(n) => format!("a decimal {n}"),
        value => {
            let mut text = String::new();
            write_value(value, Form::Canonical, &mut text).unwrap();
            text
        }
    }
}

fn texts(documents: &[RawDocumentBuf], ordered: bool) -> Vec<String> {
    let mut texts: Vec<String> = documents
        .iter()
        .map(|document| text(RawBsonRef::Document(document)))
        .collect();
    if !ordered {
        texts.sort_unstable();
    }
    texts
}

/// What a path of a check leads to.
fn at(document: &RawDocument, path: &str) -> Option<RawBson> {
    let mut value = RawBson::Document(document.to_owned());
    for part in path.split('.').filter(|part| !part.is_empty()) {
        value = match &value {
            RawBson::Document(object) => RawBson::from(object.get(part).unwrap()?),
            RawBson::Array(array) => RawBson::from(array.get(part.parse().ok()?).unwrap()?),
            _ => return None,
        };
    }
    Some(value)
}

fn type_alias(value: &RawBson) -> &'static str {
    match value {
        RawBson::DateTime(_) => "date",
        RawBson::Timestamp(_) => "timestamp",
        RawBson::Document(_) => "object",
        RawBson::Array(_) => "array",
        RawBson::Int32(_) => "int",
        RawBson::Int64(_) => "long",
        RawBson::Double(_) => "double",
        RawBson::Decimal128(_) => "decimal",
        RawBson::String(_) => "string",
        RawBson::Boolean(_) => "bool",
        RawBson::Null => "null",
        RawBson::ObjectId(_) => "objectId",
        other => panic!("no case checks for {other:?}"),
    }
}

fn check_one(document: &RawDocument, check: &RawDocument) -> bool {
    let value = at(document, check.get_str("path").unwrap());
    let expected = check.get("value").unwrap();
    let size = |array: &RawArray| i32::try_from(array.into_iter().count()).unwrap();
    match (check.get_str("check").unwrap(), value) {
        ("absent", value) => value.is_none(),
        ("exists", value) => value.is_some(),
        (_, None) => false,
        ("eq", Some(value)) => text(value.as_raw_bson_ref()) == text(expected.unwrap()),
        ("type", Some(value)) => expected.unwrap().as_str() == Some(type_alias(&value)),
        ("len", Some(RawBson::Array(array))) => {
            equal(RawBsonRef::Int32(size(&array)), expected.unwrap()).unwrap()
        }
        ("keys", Some(RawBson::Document(object))) => {
            let names: Vec<Bson> = object
                .iter()
                .map(|field| Bson::String(field.unwrap().0.as_str().to_owned()))
                .collect();
            Bson::try_from(RawBson::from(expected.unwrap())).unwrap() == Bson::Array(names)
        }
        (other, value) => panic!("a check {other} of {value:?}"),
    }
}

fn check_documents(found: &[RawDocumentBuf], expected: &RawDocument) -> Result<(), String> {
    if found.is_empty() {
        return Err("no document to check".to_owned());
    }
    let checks = expected.get_array("checks").unwrap();
    for (number, document) in found.iter().enumerate() {
        let checks = if expected.get_bool("per_doc").unwrap() {
            let checks = checks.get(number).unwrap().unwrap();
            checks.as_array().unwrap()
        } else {
            checks
        };
        for check in documents(checks) {
            if !check_one(document, &check) {
                return Err(format!("{check:?} fails for {document:?}"));
            }
        }
    }
    Ok(())
}

fn check_result(outcome: &Outcome, expected: &RawDocument) -> Result<(), String> {
    for field in expected {
        let (name, value) = field.unwrap();
        let number = |n: usize| RawBsonRef::Int32(i32::try_from(n).unwrap());
        let agrees = match name.as_str() {
            "n" => equal(number(outcome.matched), value).unwrap(),
            "nModified" => equal(number(outcome.modified), value).unwrap(),
            "upserted" => {
                let list = documents(value.as_array().unwrap());
                let ids: Vec<_> = list.iter().map(|entry| entry.get("_id").unwrap()).collect();
                let upserted = outcome.upserted.as_ref().map(RawBson::as_raw_bson_ref);
                match ids.as_slice() {
                    [] => upserted.is_none(),
                    [id] => upserted.map(text) == id.map(text),
                    more => panic!("one update inserts once: {more:?}"),
                }
            }
            other => panic!("no result {other}"),
        };
        if !agrees {
            return Err(format!("{name} is not {value:?} in {outcome:?}"));
        }
    }
    Ok(())
}

/// What is wrong with the outcome of a case, if anything.
fn fault(case: &RawDocument, outcome: Result<Outcome, Failure>) -> Option<String> {
    let outcome = match (outcome, case.get("expect_error").unwrap()) {
        (Err(_), Some(_)) => return None,
        (Ok(outcome), Some(_)) => return Some(format!("not refused: {outcome:?}")),
        // Documents alone do not say whether the command was accepted.
        (Err(error), None) if case.get("expect_docs").unwrap().is_none() => {
            return Some(format!("refused: {error}"));
        }
        (Err(error), None) => {
            let documents = documents(case.get_array("docs").unwrap());
            let unchanged = Outcome {
                documents,
                ..Outcome::default()
            };
            return compare(case, &unchanged).map(|fault| format!("refused: {error}; {fault}"));
        }
        (Ok(outcome), None) => outcome,
    };
    compare(case, &outcome)
}

fn compare(case: &RawDocument, outcome: &Outcome) -> Option<String> {
    let found = match checked(case, outcome) {
        Ok(found) => found,
        Err(error) => return Some(format!("the check is refused: {error}")),
    };
    let mut asserted = matches!(case.get_bool("expect_ok"), Ok(true));
    if let Ok(expected) = case.get_array("expect_docs") {
        asserted = true;
        let ordered = case.get_bool("ordered").unwrap();
        let expected = texts(&documents(expected), ordered);
        let found = texts(&found, ordered);
        if expected != found {
            return Some(format!("found {found:?}, expected {expected:?}"));
        }
    }
    let part = |name| case.get_document(name).ok();
    if let Some(expected) = part("expect_docs_checks") {
        asserted = true;
        if let Err(fault) = check_documents(&found, expected) {
            return Some(fault);
        }
    }
    if let Some(expected) = part("expect_result") {
        asserted = true;
        if let Err(fault) = check_result(outcome, expected) {
            return Some(fault);
        }
    }
    (!asserted).then(|| "the case asserts nothing that is known here".to_owned())
}

/// Runs every case, and fails if one of them ends otherwise than was recorded, but for the known
/// deviations.
pub(crate) fn verify(mut run: impl FnMut(&RawDocument) -> Result<Outcome, Failure>) {
    let mut faults = Vec::new();
    let (mut effects, mut refusals, mut agreeing_effects, mut agreeing_refusals) = (0, 0, 0, 0);
    let mut listed = 0;
    for line in UPDATES.lines() {
        let case = parse_document(line.as_bytes()).unwrap();
        let id = case.get_str("id").unwrap();
        let known = DEVIATIONS.iter().find(|(end, _)| id.ends_with(end));
        listed += usize::from(known.is_some());
        let fault = fault(&case, run(&case));
        let agrees = usize::from(fault.is_none());
        if case.get("expect_error").unwrap().is_some() {
            (refusals, agreeing_refusals) = (refusals + 1, agreeing_refusals + agrees);
        } else {
            (effects, agreeing_effects) = (effects + 1, agreeing_effects + agrees);
        }
        match (fault, known) {
            (Some(fault), None) => faults.push(format!("{id}\n    {fault}")),
            (None, Some((_, reason))) => {
                faults.push(format!("{id}\n    agrees, and is listed because {reason}"));
            }
            _ => {}
        }
    }
    println!("{agreeing_effects} of {effects} effects, {agreeing_refusals} of {refusals} refusals");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert_eq!((effects, refusals), (750, 320), "no case is lost");
    assert_eq!(listed, DEVIATIONS.len(), "every deviation is one case");
}
