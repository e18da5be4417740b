//! The description, compared with the server that it describes.

use std::collections::BTreeSet;
use std::io::{Read, Write};

use serde_json::Value;

use crate::running::Running;

const METHODS: [&str; 7] = ["get", "put", "post", "delete", "patch", "options", "trace"];

pub(crate) fn document(server: &Running) -> Value {
    let reply = server.get("/openapi.json");
    assert_eq!(reply.header("content-type"), "application/json");
    assert_eq!(reply.body, nexusbase_server::openapi_json());
    reply.expect(200)
}

/// A path with something in place of its parameters.
pub(crate) fn fill(path: &str) -> String {
    [
        ("{name}", "c"),
        ("{id}", "1"),
        ("{index}", "p"),
        ("{store}", "s"),
        ("{key}", "k"),
        ("{version}", "1"),
        ("{api_key}", "0123456789ab"),
        ("{transaction}", "0"),
    ]
    .iter()
    .fold(path.to_owned(), |path, (name, value)| {
        path.replace(name, value)
    })
}

/// Every route and method of the description is served, and no other method is on its path.
#[test]
fn description_and_router_agree() {
    let server = Running::start();
    let document = document(&server);
    assert_eq!(document["openapi"], "3.1.0");
    let mut routes = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let filled = fill(path);
        let wrong = server.request("TRACE", &filled, &[], b"");
        wrong.problem(405, "method-not-allowed");
        let served: BTreeSet<String> = wrong
            .header("allow")
            .split(',')
            .map(|method| method.trim().to_lowercase())
            .filter(|method| method != "head")
            .collect();
        let described = METHODS.iter().filter(|method| item[**method].is_object());
        let described: BTreeSet<String> = described.map(|method| (*method).to_owned()).collect();
        assert_eq!(served, described, "{path}");
        routes.extend(
            described
                .into_iter()
                .map(|method| format!("{method} {path}")),
        );
    }
    // What is counted by route is what the router knows: each of them must be described.
    for route in &routes {
        let (method, path) = route.split_once(' ').unwrap();
        let (method, filled) = (method.to_uppercase(), fill(path));
        if matches!(path, "/events" | "/changes" | "/collections/{name}/changes") {
            // It has no end.
            let head = format!("{method} {filled} HTTP/1.1\r\nHost: localhost\r\n\r\n");
            let mut stream = server.connect();
            stream.write_all(head.as_bytes()).unwrap();
            stream.read_exact(&mut [0; 15]).unwrap();
        } else {
            server.request(&method, &filled, &[], b"");
        }
    }
    let metrics = server.get("/metrics").body;
    for line in metrics
        .lines()
        .filter(|line| line.starts_with("nexusbase_http_requests_total"))
    {
        let route = line
            .split("route=\"")
            .nth(1)
            .unwrap()
            .split('"')
            .next()
            .unwrap();
        assert!(
            document["paths"][route].is_object(),
            "{route} is not described"
        );
    }
    assert_eq!(routes.len(), 77, "{routes:#?}");
}

#[test]
fn the_description_is_complete() {
    let server = Running::start();
    let document = document(&server);
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let place = format!("{method} {path}");
            assert!(
                ids.insert(operation["operationId"].to_string()),
                "{place}: the id stands twice"
            );
            assert!(
                operation["summary"].is_string() && operation["tags"].is_array(),
                "{place}"
            );
            for variable in path.split('{').skip(1) {
                let name = variable.split('}').next().unwrap();
                let parameters = operation["parameters"].as_array().unwrap();
                let described = parameters
                    .iter()
                    .any(|p| p["name"] == name && p["in"] == "path");
                assert!(described, "{place}: {name} is not described");
            }
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                assert!(parameter["description"].is_string(), "{place}: {parameter}");
            }
            let responses = operation["responses"].as_object().unwrap();
            let open = matches!(
                path.as_str(),
                "/health"
                    | "/ready"
                    | "/openapi.json"
                    | "/docs"
                    | "/docs/page.js"
                    | "/docs/page.css"
            );
            assert_eq!(operation["security"].is_array(), !open, "{place}");
            assert_eq!(responses.contains_key("401"), !open, "{place}");
            assert_eq!(responses.contains_key("429"), !open, "{place}");
            assert!(
                responses.keys().any(|status| status.starts_with('2')),
                "{place}"
            );
            assert!(
                responses.keys().any(|status| status.starts_with('4')),
                "{place}"
            );
        }
    }
    for (name, response) in document["components"]["responses"].as_object().unwrap() {
        let content = &response["content"]["application/problem+json"];
        assert!(content["schema"].is_object(), "{name}");
        assert!(
            !content["examples"].as_object().unwrap().is_empty(),
            "{name}"
        );
    }
    walk(&document, &document);
}

/// Every reference leads somewhere.
fn walk(value: &Value, document: &Value) {
    match value {
        Value::Object(object) => {
            if let Some(target) = object.get("$ref").and_then(Value::as_str) {
                let pointer = target.strip_prefix('#').unwrap();
                assert!(
                    document.pointer(pointer).is_some(),
                    "{target} leads nowhere"
                );
            }
            object.values().for_each(|value| walk(value, document));
        }
        Value::Array(array) => array.iter().for_each(|value| walk(value, document)),
        _ => {}
    }
}
