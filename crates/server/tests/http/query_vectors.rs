//! Questions and pipelines recorded from a reference engine, put to the service: the same answers,
//! or a refusal, which is a problem of the caller's and never one of the server's.
//!
//! The cases are those of the document model (`crates/documents/testdata/query-cases`). Documents
//! go in and answers come out in canonical form, and are compared strictly.

use nexusbase_documents::bson::raw::{RawBsonRef, RawDocument};
use nexusbase_documents::json::{Form, parse_document, to_string, write_value};
use serde_json::Value;

use crate::running::{Reply, Running};

const FIND: &str = include_str!("../../../documents/testdata/query-cases/find.jsonl");
const AGGREGATE: &str = include_str!("../../../documents/testdata/query-cases/aggregate.jsonl");
/// Cases that the model answers differently: by file the end of the id, and the reason.
const DEVIATIONS: &str = include_str!("../../../documents/testdata/query-cases/deviations.json");

/// Cases whose documents cannot be stored, so that only the model can be asked: by file the end of
/// the id. Names of stored fields are not empty and do not begin with `$`.
const NOT_STORED: &[(&str, &str)] = &[
    ("find", "test_eq_field_lookup[dollar_prefixed_field_name]"),
    ("find", "test_eq_value_matching[dollar_prefixed_value]"),
    (
        "find",
        "test_query_combination_operators[eq_nested_gt_operator_as_literal]",
    ),
    ("find", "test_nor_special_values[empty_string_field_name]"),
];

const CANONICAL: &str = "application/json; form=canonical";

fn canonical(value: RawBsonRef<'_>) -> String {
    let mut text = String::new();
    write_value(value, Form::Canonical, &mut text).unwrap();
    text
}

fn post(server: &Running, path: &str, body: &str) -> Reply {
    let headers = [("content-type", "application/json"), ("accept", CANONICAL)];
    server.request("POST", path, &headers, body.as_bytes())
}

/// Makes a collection of these documents, or says why that cannot be.
fn insert(server: &Running, name: &str, documents: RawBsonRef<'_>) -> Result<(), String> {
    server
        .request("PUT", &format!("/collections/{name}"), &[], b"")
        .expect(201);
    if documents.as_array().unwrap().is_empty() {
        return Ok(());
    }
    let path = format!("/collections/{name}/documents");
    let reply = post(server, &path, &canonical(documents));
    match reply.status {
        201 => Ok(()),
        400..=499 => Err(format!("cannot be stored: {}", reply.body)),
        _ => panic!("{}", reply.body),
    }
}

/// What the service answers: documents, or the place of what it refuses.
fn answered(reply: &Reply) -> Result<Vec<Box<str>>, String> {
    if reply.status != 200 {
        assert!((400..500).contains(&reply.status), "{}", reply.body);
        let problem = reply.json();
        let at = problem["at"].as_str();
        let at = at.unwrap_or_else(|| panic!("no place in {problem}"));
        assert!(at.starts_with('/'), "{problem}");
        return Err(problem["detail"].to_string());
    }
    assert_eq!(reply.header("content-type"), CANONICAL);
    let page = parse_document(reply.body.as_bytes()).unwrap();
    let documents = page.get_array("documents").unwrap().into_iter();
    let text = |value: RawBsonRef<'_>| to_string(value.as_document().unwrap(), Form::Canonical);
    Ok(documents
        .map(|document| text(document.unwrap()).unwrap().into())
        .collect())
}

/// Compares an answer with what is expected, in the form that `comparable` gives both.
fn difference(
    case: &RawDocument,
    found: Result<Vec<Box<str>>, String>,
    comparable: impl Fn(&str) -> String,
) -> Option<String> {
    let expected = case.get("expect").unwrap();
    let (found, expected) = match (found, expected) {
        (Err(_), None) => return None,
        (Err(refused), Some(_)) => return Some(format!("refused: {refused}")),
        (Ok(found), None) => return Some(format!("not refused, found {found:?}")),
        (Ok(found), Some(expected)) => (found, expected.as_array().unwrap()),
    };
    let expected = expected.into_iter().map(|document| {
        to_string(document.unwrap().as_document().unwrap(), Form::Canonical).unwrap()
    });
    let mut expected: Vec<String> = expected.map(|text| comparable(&text)).collect();
    let mut found: Vec<String> = found.iter().map(|text| comparable(text)).collect();
    if !case.get_bool("ordered").unwrap() {
        expected.sort_unstable();
        found.sort_unstable();
    }
    (found != expected).then(|| format!("found {found:?}\n    expected {expected:?}"))
}

/// Puts all cases of a file, and returns how many there were with an answer and with a refusal.
fn run(
    lines: &str,
    file: &str,
    fault: impl Fn(&Running, &RawDocument) -> Option<String>,
) -> (usize, usize) {
    let server = Running::start();
    let deviations: Value = serde_json::from_str(DEVIATIONS).unwrap();
    let deviations = deviations[file].as_object().unwrap();
    let (mut answers, mut refusals, mut faults) = (0, 0, Vec::new());
    for line in lines.lines() {
        let case = parse_document(line.as_bytes()).unwrap();
        let id = case.get_str("id").unwrap();
        let not_stored = NOT_STORED.iter().filter(|(of, _)| *of == file);
        let mut known = deviations.keys().map(String::as_str);
        let known = known.any(|end| id.ends_with(end))
            || not_stored.map(|(_, end)| end).any(|end| id.ends_with(end));
        let is_answer = case.get("expect").unwrap().is_some();
        *(if is_answer {
            &mut answers
        } else {
            &mut refusals
        }) += 1;
        match fault(&server, &case) {
            Some(fault) if !known => faults.push(format!("{id}\n    {fault}")),
            None if known => faults.push(format!("{id}\n    listed as a deviation, and is none")),
            _ => {}
        }
        let collections = server.get("/collections").expect(200);
        for collection in collections["collections"].as_array().unwrap() {
            let name = collection["name"].as_str().unwrap();
            server.delete(&format!("/collections/{name}")).expect(204);
        }
    }
    assert!(
        faults.is_empty(),
        "{} of {} do not agree:\n{}",
        faults.len(),
        answers + refusals,
        faults.join("\n")
    );
    (answers, refusals)
}

/// A question as the body that asks it.
fn question(case: &RawDocument) -> String {
    let mut members = vec!["\"limit\":1000".to_owned()];
    for name in ["filter", "sort", "projection", "skip"] {
        if let Some(value) = case.get(name).unwrap() {
            members.push(format!("\"{name}\":{}", canonical(value)));
        }
    }
    // No limit is written as 0 there.
    if let Some(limit) = case.get("limit").unwrap()
        && !matches!(limit, RawBsonRef::Int32(0) | RawBsonRef::Int64(0))
    {
        members[0] = format!("\"limit\":{}", canonical(limit));
    }
    format!("{{{}}}", members.join(","))
}

#[test]
fn recorded_questions_get_the_recorded_answers() {
    let counts = run(FIND, "find", |server, case| {
        let documents = case.get("docs").unwrap().unwrap();
        if let Err(error) = insert(server, "c", documents) {
            return Some(error);
        }
        let reply = post(server, "/collections/c/query", &question(case));
        difference(case, answered(&reply), ToOwned::to_owned)
    });
    assert_eq!(counts, (1116, 162), "no case is lost");
}

/// A document as text that is equal where the case demands equality: the order of fields does not
/// count.
fn in_order_of_names(text: &str, unordered: &[&str]) -> String {
    let mut value: Value = serde_json::from_str(text).unwrap();
    value.sort_all_objects();
    for name in unordered {
        if let Some(elements) = value.get_mut(name).and_then(Value::as_array_mut) {
            elements.sort_by_key(ToString::to_string);
        }
    }
    value.to_string()
}

fn aggregate_fault(server: &Running, case: &RawDocument) -> Option<String> {
    let name = case.get("self").unwrap().and_then(RawBsonRef::as_str);
    let name = name.unwrap_or("main");
    let mut collections = vec![(name, case.get("docs").unwrap().unwrap())];
    if let Some(other) = case.get("other").unwrap() {
        for field in other.as_document().unwrap() {
            let (name, documents) = field.unwrap();
            collections.push((name.as_str(), documents));
        }
    }
    for (name, documents) in collections {
        if let Err(error) = insert(server, name, documents) {
            return Some(error);
        }
    }
    let pipeline = canonical(case.get("pipeline").unwrap().unwrap());
    let path = format!("/collections/{name}/aggregate");
    let reply = post(server, &path, &format!("{{\"pipeline\":{pipeline}}}"));
    let unordered = case.get("unordered_fields").unwrap();
    let unordered: Vec<&str> = unordered
        .and_then(RawBsonRef::as_array)
        .into_iter()
        .flatten()
        .map(|name| name.unwrap().as_str().unwrap())
        .collect();
    difference(case, answered(&reply), |text| {
        in_order_of_names(text, &unordered)
    })
}

#[test]
fn recorded_pipelines_get_the_recorded_answers() {
    let counts = run(AGGREGATE, "aggregate", aggregate_fault);
    assert_eq!(
        counts.0 + counts.1,
        AGGREGATE.lines().count(),
        "no case is lost"
    );
}
