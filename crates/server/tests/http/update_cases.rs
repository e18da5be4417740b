//! Updates recorded from a reference engine, sent over HTTP in canonical extended JSON: the same
//! documents, or a refusal that is the caller's fault.

use nexusbase_documents::bson::raw::{RawBson, RawBsonRef, RawDocument, RawDocumentBuf, cstr};
use nexusbase_documents::json::{Form, parse_document, to_string};

use crate::running::{Reply, Running};
use crate::update_compare::{Failure, Outcome, documents, verify, with_id};

const CANONICAL: &str = "application/json; form=canonical";

struct Refused(Box<Reply>);

impl From<Refused> for Failure {
    fn from(Refused(reply): Refused) -> Self {
        assert!((400..500).contains(&reply.status), "{}", reply.body);
        assert_eq!(reply.header("content-type"), "application/problem+json");
        reply.body.into()
    }
}

fn send(server: &Running, method: &str, path: &str, body: &str) -> Result<RawDocumentBuf, Refused> {
    let headers = [("content-type", "application/json"), ("accept", CANONICAL)];
    let reply = server.request(method, path, &headers, body.as_bytes());
    if reply.status >= 300 {
        return Err(Refused(Box::new(reply)));
    }
    Ok(parse_document(reply.body.as_bytes()).unwrap())
}

/// The body of a request for what a case does.
fn command(case: &RawDocument) -> RawDocumentBuf {
    let mut body = RawDocumentBuf::new();
    for (name, member) in [
        ("filter", cstr!("filter")),
        ("update", cstr!("update")),
        ("array_filters", cstr!("array_filters")),
        ("multi", cstr!("many")),
        ("upsert", cstr!("upsert")),
    ] {
        if let Some(value) = case.get(name).unwrap() {
            body.append(member, value);
        }
    }
    body
}

fn run(server: &Running, number: usize, case: &RawDocument) -> Result<Outcome, Failure> {
    let url = format!("/collections/c{number}");
    server.request("PUT", &url, &[], b"").expect(201);
    let stored = documents(case.get_array("docs").unwrap());
    for (number, document) in stored.into_iter().enumerate() {
        let document = to_string(&with_id(document, number), Form::Canonical).unwrap();
        send(server, "POST", &format!("{url}/documents"), &document)?;
    }
    let command = to_string(&command(case), Form::Canonical).unwrap();
    let done = send(server, "POST", &format!("{url}/update"), &command)?;
    let count = |name| usize::try_from(done.get_i32(name).unwrap()).unwrap();
    let upserted = match done.get("upserted_id").unwrap().unwrap() {
        RawBsonRef::Null => None,
        id => Some(RawBson::from(id)),
    };
    let page = send(server, "GET", &format!("{url}/documents?limit=1000"), "")?;
    Ok(Outcome {
        documents: documents(page.get_array("documents").unwrap()),
        // The recorded number counts a document that was inserted.
        matched: count("matched") + usize::from(upserted.is_some()),
        modified: count("modified"),
        upserted,
    })
}

#[test]
fn recorded_updates_have_the_recorded_effects_over_http() {
    let server = Running::start();
    let mut number = 0;
    verify(|case| {
        number += 1;
        run(&server, number, case)
    });
}
