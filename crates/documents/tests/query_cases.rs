//! Queries recorded from a reference engine, answered here: the same documents, or a refusal.
//!
//! The cases are data (`testdata/query-cases`, which says where they come from). Every case is
//! evaluated in memory: filter, sort if the case orders, skip, limit, projection. Results are
//! compared strictly: types, digits and the sign of zero count, and so does the order of fields.
//! Where this crate differs on purpose, the case is listed by its id with the reason; a listed
//! case that begins to agree fails the test as well.
#![expect(clippy::cast_possible_truncation, reason = "counts are small")]
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use bson::raw::{RawArray, RawBsonRef, RawDocument, RawDocumentBuf};
use nexusbase_documents::filter::Filter;
use nexusbase_documents::json::{Form, parse_document, to_string};
use nexusbase_documents::projection::Projection;
use nexusbase_documents::sort::{Sort, TopK};

const FIND: &str = include_str!("../testdata/query-cases/find.jsonl");

/// Cases that are answered differently here, on purpose: by file the end of the id, and why.
const DEVIATIONS: &str = include_str!("../testdata/query-cases/deviations.json");

type Failure = Box<dyn std::error::Error>;

fn count(value: Option<RawBsonRef<'_>>) -> Option<usize> {
    let number = match value? {
        RawBsonRef::Int32(n) => i64::from(n),
        RawBsonRef::Int64(n) => n,
        RawBsonRef::Double(n) if n.trunc() == n => n as i64,
        other => panic!("not a count: {other:?}"),
    };
    Some(usize::try_from(number).expect("a count is not negative"))
}

fn documents(array: &RawArray) -> Vec<RawDocumentBuf> {
    array
        .into_iter()
        .map(|element| {
            element
                .unwrap()
                .as_document()
                .expect("a document")
                .to_owned()
        })
        .collect()
}

fn matching(
    documents: Vec<RawDocumentBuf>,
    filter: RawBsonRef<'_>,
) -> Result<Vec<RawDocumentBuf>, Failure> {
    let filter = Filter::from_value(filter)?;
    let mut found = Vec::new();
    for document in documents {
        if filter.matches(&document)? {
            found.push(document);
        }
    }
    Ok(found)
}

fn sorted(
    documents: Vec<RawDocumentBuf>,
    sort: RawBsonRef<'_>,
    limit: Option<usize>,
) -> Result<Vec<RawDocumentBuf>, Failure> {
    let sort = Sort::from_value(sort)?;
    let mut top = TopK::new(limit, usize::MAX);
    for document in documents {
        let mut key = Vec::new();
        sort.key(&document, &mut key)?;
        top.offer(&key, document.as_bytes().len(), || document)?;
    }
    Ok(top
        .into_sorted()
        .into_iter()
        .map(|(_, document)| document)
        .collect())
}

fn answer_find(case: &RawDocument) -> Result<Vec<RawDocumentBuf>, Failure> {
    let projection = case.get("projection")?;
    let projection = projection.map(Projection::from_value).transpose()?;
    let skip = count(case.get("skip")?).unwrap_or(0);
    let limit = count(case.get("limit")?).filter(|limit| *limit > 0);
    let filter = case.get("filter")?.ok_or("a case has a filter")?;
    let mut found = matching(documents(case.get_array("docs")?), filter)?;
    let filter = Filter::from_value(filter)?;
    if let Some(sort) = case.get("sort")? {
        found = sorted(found, sort, limit.map(|limit| skip + limit))?;
    }
    let page = found
        .into_iter()
        .skip(skip)
        .take(limit.unwrap_or(usize::MAX));
    page.map(|document| match &projection {
        Some(projection) => Ok(projection.apply_matched(&document, &filter)?),
        None => Ok(document),
    })
    .collect()
}

fn texts(documents: &[RawDocumentBuf], ordered: bool) -> Vec<String> {
    let text = |document: &RawDocumentBuf| to_string(document, Form::Canonical).unwrap();
    let mut texts: Vec<String> = documents.iter().map(text).collect();
    if !ordered {
        texts.sort_unstable();
    }
    texts
}

/// What is wrong with the answer to a case, if anything.
fn fault(case: &RawDocument) -> Option<String> {
    let expected = case.get("expect").unwrap();
    match (answer_find(case), expected) {
        (Err(_), None) => None,
        (Err(error), Some(_)) => Some(format!("refused: {error}")),
        (Ok(found), None) => Some(format!("not refused, found {:?}", texts(&found, true))),
        (Ok(found), Some(expected)) => {
            let ordered = case.get_bool("ordered").unwrap();
            let expected = texts(&documents(expected.as_array().unwrap()), ordered);
            let found = texts(&found, ordered);
            (found != expected).then(|| format!("found {found:?}, expected {expected:?}"))
        }
    }
}

/// Runs all cases of a file, and counts them apart: those with an answer, of which so many deviate,
/// and those with a refusal, of which so many deviate.
fn run(lines: &str, answers: (usize, usize), refusals: (usize, usize)) {
    let deviations: serde_json::Value = serde_json::from_str(DEVIATIONS).unwrap();
    let deviations = deviations["find"].as_object().unwrap();
    let mut faults = Vec::new();
    let (mut answered, mut refused) = ((0, 0), (0, 0));
    for line in lines.lines() {
        let case = parse_document(line.as_bytes()).expect("a case is a document");
        let id = case.get_str("id").unwrap();
        let known = deviations.keys().any(|known| id.ends_with(known));
        let is_answer = case.get("expect").unwrap().is_some();
        let counts = if is_answer {
            &mut answered
        } else {
            &mut refused
        };
        *counts = (counts.0 + 1, counts.1 + usize::from(known));
        match fault(&case) {
            Some(fault) if !known => faults.push(format!("{id}\n    {fault}")),
            None if known => faults.push(format!("{id}\n    listed as a deviation, and is none")),
            _ => {}
        }
    }
    assert!(
        faults.is_empty(),
        "{} of {} do not agree, besides the listed deviations:\n{}",
        faults.len(),
        answered.0 + refused.0,
        faults.join("\n")
    );
    assert_eq!((answered, refused), (answers, refusals), "no case is lost");
}

#[test]
fn recorded_queries_get_the_recorded_answers() {
    run(FIND, (1116, 3), (162, 1));
}
