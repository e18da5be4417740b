//! Import and export: what goes in comes out, and bad lines are named.

use serde_json::Value;

use crate::support::{Place, Server};
use crate::{both, ids, parts};

#[test]
fn an_import_stops_at_a_bad_line_and_says_what_is_in() {
    let text = "{\"_id\":1}\n\n{\"_id\":2}\n{\"_id\": }\n{\"_id\":3}\n";
    for by_server in [false, true] {
        let place = Place::new();
        place.file("bad.jsonl", text);
        let server = by_server.then(|| Server::start(&place.data()));
        let target = match &server {
            Some(server) => ["--server", &server.url],
            None => ["--data", "data"],
        };
        let import = [&["import", "c", "bad.jsonl"][..], &target].concat();
        let says = [
            "error: bad.jsonl, line 4: expected a value",
            "at column 9",
            "imported: 2 documents, from the lines before; not imported: line 4 and all behind",
            "hint: correct the line and import the rest: tail -n +4 bad.jsonl",
            "--on-error skip",
        ];
        place.run(&import).fails(1, &says);
        let query = [&["query", "c"][..], &target].concat();
        assert_eq!(ids(&place.run(&query).ok()), [1, 2]);

        // What is in already is refused, the bad line too, and the rest comes in.
        let skip = place.run(&[&import[..], &["--on-error", "skip"]].concat());
        assert_eq!(skip.code, Some(0), "{skip:?}");
        assert!(
            skip.out
                .contains("imported 1 document into c, skipped 3 lines"),
            "{skip:?}"
        );
        assert!(skip.err.contains("bad.jsonl, line 1: "), "{skip:?}");
        assert!(
            skip.err.contains("already has a document with the _id 1"),
            "{skip:?}"
        );
        assert!(skip.err.contains("bad.jsonl, line 4: "), "{skip:?}");
        assert_eq!(ids(&place.run(&query).ok()), [1, 2, 3]);
        let export = [&["export", "c", "--quiet"][..], &target].concat();
        assert_eq!(place.run(&export).ok().lines().count(), 3);
    }
}

#[test]
fn an_import_knows_bad_lines_by_number_far_into_a_file() {
    let place = Place::new();
    let mut text: String = (0..1800).map(|n| format!("{{\"_id\":{n}}}\n\n")).collect();
    text.push_str("[1]\n");
    place.file("long.jsonl", &text);
    let says = [
        "long.jsonl, line 3601: expected an object",
        "imported: 1,800 documents",
    ];
    place
        .run(&["import", "c", "long.jsonl", "--data", "data"])
        .fails(1, &says);

    // A value that is too long for an index breaks its transaction: the others come in.
    place
        .run(&["index", "create", "c", "k", "--data", "data"])
        .ok();
    let long = format!(
        "{{\"_id\":\"a\",\"k\":1}}\n{{\"_id\":\"b\",\"k\":\"{}\"}}\n{{\"_id\":\"c\",\"k\":3}}\n",
        "x".repeat(70_000)
    );
    place.file("k.jsonl", &long);
    let import = [
        "import",
        "c",
        "k.jsonl",
        "--data",
        "data",
        "--on-error",
        "skip",
    ];
    let run = place.run(&import);
    assert!(
        run.out
            .contains("imported 2 documents into c, skipped 1 line"),
        "{run:?}"
    );
    let query = ["query", "c", r#"{"k": {"$gt": 0}}"#, "--data", "data"];
    assert_eq!(ids(&place.run(&query).ok()), ["a", "c"]);
}

#[test]
fn what_is_exported_imports_again() {
    let place = parts();
    place.run_with(
        &["import", "parts", "-", "--data", "data"],
        r#"{"_id": "typed", "n": {"$numberLong": "1"}, "d": {"$date": "2026-01-01T00:00:00Z"}}"#,
    );
    both(&place, &["export", "parts"], |run| {
        assert_eq!(ids(&run.ok()).len(), 5);
    });
    both(&place, &["export", "parts", "--canonical"], |run| {
        let exported = run.ok();
        assert!(exported.contains(r#"{"$numberLong":"1"}"#), "{exported}");
        let other = Place::new();
        other
            .run_with(&["import", "parts", "-", "--data", "data"], &exported)
            .ok();
        let again = other.run(&["export", "parts", "--canonical", "--data", "data"]);
        assert_eq!(again.ok(), exported);
    });
}

#[test]
fn long_answers_come_whole_from_a_server() {
    let place = Place::new();
    let line = |n: u32| format!("{{\"_id\":{n},\"m\":{}}}\n", n % 7);
    let text: String = (0..2500).map(line).collect();
    let server = Server::start(&place.data());
    let run = place.run_with(&["import", "many", "-", "--server", &server.url], &text);
    assert!(
        run.ok()
            .starts_with("imported 2,500 documents into many in ")
    );
    let all = place.run(&["export", "many", "--server", &server.url]).ok();
    assert!(all == text, "{} lines", all.lines().count());
    let arguments = [
        "query", "many", "--sort", "-m,_id", "--skip", "10", "--limit", "2000",
    ];
    let some = place
        .run(&[&arguments[..], &["--server", &server.url]].concat())
        .ok();
    assert_eq!(some.lines().count(), 2000);
    let explain = [
        "query",
        "many",
        r#"{"m": 3}"#,
        "--explain",
        "--server",
        &server.url,
    ];
    let explained: Value = serde_json::from_str(&place.run(&explain).ok()).unwrap();
    assert_eq!(explained["documents_returned"], 357);
}
