//! Queries recorded from a reference engine, answered here: the same documents, or a refusal.
//!
//! The cases are data (`testdata/query-cases`, which says where they come from). Every case is
//! evaluated in memory: filter, sort if the case orders, skip, limit, projection. Results are
//! compared strictly: types, digits and the sign of zero count.

use bson::raw::{RawArray, RawBsonRef, RawDocument, RawDocumentBuf};
use nexusbase_documents::filter::Filter;
use nexusbase_documents::json::{Form, parse_document, to_string};
use nexusbase_documents::projection::Projection;
use nexusbase_documents::sort::{Sort, TopK};

const CASES: &str = include_str!("../testdata/query-cases/find.jsonl");
const CASE_COUNT: usize = 0;

/// Cases that are answered differently here, on purpose: the end of the id, and why.
const DEVIATIONS: &[(&str, &str)] = &[];

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

fn projection(value: RawBsonRef<'_>) -> Result<Projection, Failure> {
    let document = value.as_document().ok_or("a projection is an object")?;
    let names = document
        .iter()
        .map(|field| field.map(|(name, _)| name.as_str()));
    let names = names.collect::<Result<Vec<_>, _>>()?;
    Ok(Projection::from_fields(names)?)
}

fn answer(case: &RawDocument) -> Result<Vec<RawDocumentBuf>, Failure> {
    let filter = Filter::from_value(case.get("filter")?.ok_or("a case has a filter")?)?;
    let sort = case.get("sort")?.map(Sort::from_value).transpose()?;
    let projection = case.get("projection")?.map(projection).transpose()?;
    let mut found = Vec::new();
    for document in documents(case.get_array("docs")?) {
        if filter.matches(&document)? {
            found.push(document);
        }
    }
    let skip = count(case.get("skip")?).unwrap_or(0);
    let limit = count(case.get("limit")?).filter(|limit| *limit > 0);
    if let Some(sort) = sort {
        let mut top = TopK::new(limit.map(|limit| skip + limit), usize::MAX);
        for document in found {
            let mut key = Vec::new();
            sort.key(&document, &mut key)?;
            top.offer(&key, document.as_bytes().len(), || document)?;
        }
        found = top
            .into_sorted()
            .into_iter()
            .map(|(_, document)| document)
            .collect();
    }
    let page = found
        .into_iter()
        .skip(skip)
        .take(limit.unwrap_or(usize::MAX));
    page.map(|document| match &projection {
        Some(projection) => Ok(projection.apply(&document)?),
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
    match (answer(case), expected) {
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

#[test]
fn recorded_queries_get_the_recorded_answers() {
    let mut faults = Vec::new();
    let mut unused: Vec<&str> = DEVIATIONS.iter().map(|(id, _)| *id).collect();
    let mut cases = 0;
    for line in CASES.lines() {
        cases += 1;
        let case = parse_document(line.as_bytes()).expect("a case is a document");
        let id = case.get_str("id").unwrap();
        if let Some(fault) = fault(&case) {
            let known = unused.iter().position(|known| id.ends_with(known));
            match known {
                Some(index) => drop(unused.remove(index)),
                None => faults.push(format!(
                    "{id}\n    filter {:?}\n    {fault}",
                    case.get("filter")
                )),
            }
        }
    }
    let passed = cases - faults.len();
    assert!(
        faults.is_empty(),
        "{passed} of {cases} pass; these do not:\n{}",
        faults.join("\n")
    );
    assert_eq!(
        unused, [""; 0],
        "listed as deviations, but answered as recorded"
    );
    assert_eq!(cases, CASE_COUNT, "no case is lost");
}
