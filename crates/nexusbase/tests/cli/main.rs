//! Every command of the real binary: what it prints, what it says about mistakes, how it ends.

#![expect(
    clippy::disallowed_methods,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests set the outside world up, and end where that fails"
)]

mod demo;
mod doctor;
mod import;
mod keys;
mod kv;
mod loadtest;
mod settings;
#[path = "../support/mod.rs"]
mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use support::{Place, Server, command};

const PARTS: &str = r#"{"_id": "bolt", "size": 8, "name": "Bolt", "owner": {"mail": "a@b"}}
{"_id": "nut", "size": 8, "name": "Nut"}

{"_id": "gear", "size": 60, "name": "Gear", "tags": ["x", "y"]}
{"_id": 5, "size": 7.5, "name": "Number five"}
"#;

/// A place with a database that holds the parts.
pub(crate) fn parts() -> Place {
    let place = Place::new();
    place.file("parts.jsonl", PARTS);
    let run = place.run(&["import", "parts", "parts.jsonl", "--data", "data"]);
    let out = run.ok();
    assert!(
        out.starts_with("imported 4 documents into parts in "),
        "{out}"
    );
    place
}

/// The ids of documents on lines.
pub(crate) fn ids(lines: &str) -> Vec<Value> {
    let lines = lines.lines();
    let documents = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
    documents.map(|document| document["_id"].clone()).collect()
}

/// Runs the same command on the folder, and then on a server that serves it.
pub(crate) fn both(place: &Place, arguments: &[&str], check: impl Fn(support::Ended)) {
    check(place.run(&[arguments, &["--data", "data"]].concat()));
    let server = Server::start(&place.data());
    check(place.run(&[arguments, &["--server", &server.url]].concat()));
    assert!(server.terminate().success());
}

#[test]
fn queries_answer_the_same_from_folder_and_server() {
    let place = parts();
    let check = |arguments: &[&str], expected: Value| {
        both(&place, &[&["query", "parts"], arguments].concat(), |run| {
            assert_eq!(json!(ids(&run.ok())), expected, "{arguments:?}");
        });
    };
    check(&[], json!([5, "bolt", "gear", "nut"]));
    check(
        &[r#"{"size": {"$gte": 8}}"#, "--sort", "-size,name"],
        json!(["gear", "bolt", "nut"]),
    );
    check(
        &["--sort", "size,-name", "--skip", "1", "--limit", "2"],
        json!(["nut", "bolt"]),
    );
    check(&[r#"{"owner.mail": "a@b"}"#], json!(["bolt"]));
    check(&["--limit", "0"], json!([]));
}

#[test]
fn fields_and_explain() {
    let place = parts();
    let fields = [
        "query",
        "parts",
        r#"{"_id": "bolt"}"#,
        "--fields",
        "size,owner.mail",
    ];
    both(&place, &fields, |run| {
        let line = run.ok();
        let expected = r#"{"_id":"bolt","size":8,"owner":{"mail":"a@b"}}"#;
        assert_eq!(line, format!("{expected}\n"));
    });
    place
        .run(&["index", "create", "parts", "size", "--data", "data"])
        .ok();
    both(
        &place,
        &["query", "parts", r#"{"size": 8}"#, "--explain"],
        |run| {
            let explained: Value = serde_json::from_str(&run.ok()).unwrap();
            assert_eq!(explained["access"], "index on size");
            assert_eq!(explained["bounds"], "= 8");
            assert_eq!(explained["index_rows_read"], 2);
            assert_eq!(explained["documents_returned"], 2);
            assert!(explained["micros"].is_u64());
        },
    );
}

#[test]
fn reading_never_creates_a_database() {
    let place = Place::new();
    std::fs::create_dir(place.path().join("other")).unwrap();
    place.file("other/notes.txt", "mine");
    for arguments in [
        &["query", "c"][..],
        &["export", "c"],
        &["collections"],
        &["index", "list", "c"],
        &["index", "create", "c", "x"],
        &["log", "dump"],
        &["log", "verify"],
    ] {
        let missing = [arguments, &["--data", "nowhere"]].concat();
        place
            .run(&missing)
            .fails(1, &["error: the folder nowhere does not exist", "hint: "]);
        let other = [arguments, &["--data", "other"]].concat();
        place.run(&other).fails(
            1,
            &["error: other is not a NexusBase data folder", "hint: "],
        );
    }
    let import = ["import", "c", "-", "--data", "other"];
    place
        .run(&import)
        .fails(1, &["not a NexusBase data folder", "notes.txt"]);
    assert!(!place.path().join("nowhere").exists());
    assert_eq!(
        std::fs::read_dir(place.path().join("other"))
            .unwrap()
            .count(),
        1
    );
}

#[test]
fn mistakes_are_named_with_what_to_do_next() {
    let place = parts();
    let missing = [
        "error: there is no collection \"part\"",
        "hint: there is: parts",
    ];
    both(&place, &["query", "part"], |run| _ = run.fails(1, &missing));
    both(&place, &["export", "part"], |run| {
        _ = run.fails(1, &missing);
    });
    both(&place, &["index", "create", "part", "x"], |run| {
        _ = run.fails(1, &missing);
    });
    both(&place, &["index", "drop", "parts", "x"], |run| {
        run.fails(
            1,
            &[
                "collection \"parts\" has no index on \"x\"",
                "hint: it has none",
            ],
        );
    });
    let filter = [
        "the filter is not JSON: expected",
        "at column 10",
        "\n           ^",
        "hint: ",
    ];
    both(&place, &["query", "parts", r#"{"size": eight}"#], |run| {
        _ = run.fails(2, &filter);
    });
    let operator = ["the operator $like at /size", "$gte"];
    both(
        &place,
        &["query", "parts", r#"{"size": {"$like": 1}}"#],
        |run| {
            run.fails(2, &operator);
        },
    );
    both(&place, &["query", "parts", "--sort", "a,,b"], |run| {
        _ = run.fails(2, &["sort key"]);
    });
    both(&place, &["query", "../etc"], |run| {
        _ = run.fails(2, &["error: \"../etc\" cannot name a collection"]);
    });

    both(&place, &["index", "create", "parts", "a..b"], |run| {
        run.fails(2, &["\"a..b\" cannot be indexed"]);
    });
    place
        .run(&["query", "parts"])
        .fails(2, &["error: ", "hint: add --data DIR", "--server URL"]);
    place
        .run(&["import", "p", "no.jsonl", "--data", "x"])
        .fails(1, &["no.jsonl"]);
    assert!(
        !place.path().join("x").exists(),
        "a database for a file that does not exist"
    );
    place
        .run(&["query", "p", "--data", "a", "--server", "b"])
        .fails(2, &["cannot be used with"]);
    place.run(&["qurey"]).fails(2, &["qurey", "query"]);
    for (url, says) in [
        ("https://", "not the address of a server"),
        ("ftp://x", "not the address of a server"),
        (
            "http://127.0.0.1:7700/collections",
            "not the address of a server",
        ),
    ] {
        place
            .run(&["query", "p", "--server", url])
            .fails(2, &[says, "hint: "]);
    }
    let nobody = [
        "cannot reach a server at http://127.0.0.1:1",
        "refused",
        "hint: ",
    ];
    place
        .run(&["query", "p", "--server", "http://127.0.0.1:1"])
        .fails(1, &nobody);
    assert!(place.run(&["--help"]).ok().contains("Exit codes: 0 "));
}

#[test]
fn a_folder_in_use_names_the_process() {
    let place = parts();
    let server = Server::start(&place.data());
    let pid = format!("process {}", server.pid());
    place
        .run(&["query", "parts", "--data", "data"])
        .fails(1, &["in use", &pid, "--server"]);
    let serve = ["serve", "--data", "data", "--listen", "127.0.0.1:0"];
    place.run(&serve).fails(1, &["in use", &pid]);

    // The log can be looked at all the same.
    let verified = place.run(&["log", "verify", "--data", "data"]);
    assert!(verified.ok().starts_with("good: 1 segment, "));

    // And a second server on the same port says so.
    let address = server.url.strip_prefix("http://").unwrap();
    let taken = ["cannot listen on", address, "hint: --listen 127.0.0.1:0"];
    place
        .run(&["serve", "--data", "new", "--listen", address])
        .fails(1, &taken);
}

#[test]
fn indexes_and_collections_are_listed() {
    let place = parts();
    let created = place.run(&["index", "create", "parts", "tags", "--data", "data"]);
    assert_eq!(created.ok(), "created an index on tags in parts\n");
    let server = Server::start(&place.data());
    let on = ["--server", &server.url];
    let run = |arguments: &[&str]| place.run(&[arguments, &on].concat()).ok();
    assert_eq!(
        run(&["index", "create", "parts", "owner.mail"]),
        "created an index on owner.mail in parts\n"
    );
    assert_eq!(
        run(&["index", "create", "parts", "tags"]),
        "there is an index on tags in parts already\n"
    );
    let list = run(&["index", "list", "parts"]);
    assert_eq!(
        list,
        "_id\ntags  (several values per document)\nowner.mail\n"
    );
    assert_eq!(
        run(&["collections"]),
        "parts  (indexes: tags, owner.mail)\n"
    );
    assert_eq!(run(&["index", "drop", "parts", "tags", "--quiet"]), "");
    assert_eq!(run(&["index", "list", "parts"]), "_id\nowner.mail\n");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let place = Place::new();
    let line = |n: u32| format!("{{\"_id\":{n},\"text\":\"{}\"}}\n", "x".repeat(100));
    let text: String = (0..5000).map(line).collect();
    place
        .run_with(&["import", "c", "-", "--data", "data"], &text)
        .ok();
    for arguments in [
        &["export", "c"][..],
        &["query", "c", "--sort", "-_id"],
        &["log", "dump", "--hex"],
    ] {
        let mut child = command(place.path())
            .args(arguments)
            .args(["--data", "data"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut first).unwrap();
        drop(out);
        let status = child.wait().unwrap();
        let mut err = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut err)
            .unwrap();
        assert_eq!(
            (status.code(), err.as_str()),
            (Some(0), ""),
            "{arguments:?}"
        );
        assert!(!first.is_empty());
    }
}

#[test]
fn the_log_is_shown_and_damage_is_found() {
    let place = parts();
    let dump = place.run(&["log", "dump", "--data", "data"]).ok();
    let header: Vec<&str> = dump.lines().next().unwrap().split_whitespace().collect();
    let columns = [
        "segment", "offset", "index", "term", "kind", "size", "checksum", "content",
    ];
    assert_eq!(header, columns);
    let entries = dump.lines().filter(|line| line.contains(" entry "));
    assert!(entries.count() >= 1, "{dump}");
    let hex = place.run(&["log", "dump", "--hex", "--data", "data"]).ok();
    assert!(hex.contains("62 6f 6c 74") || hex.contains("bolt"), "{hex}");
    assert!(hex.lines().count() > dump.lines().count());

    // One bit in an entry that later records claim as durable.
    let entry = dump.lines().find(|line| line.contains(" entry ")).unwrap();
    let words: Vec<&str> = entry.split_whitespace().collect();
    let offset: usize = words[1].parse().unwrap();
    let file = place.data().join("log").join(words[0]);
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[offset + 40] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let says = [
        "is damaged at offset",
        words[0],
        "expected",
        "found",
        "hint: ",
    ];
    place
        .run(&["log", "verify", "--data", "data"])
        .fails(1, &says);
    place
        .run(&["query", "parts", "--data", "data"])
        .fails(1, &says[..4]);
}

#[test]
fn shells_get_completions() {
    let place = Place::new();
    for (shell, says) in [
        ("bash", "complete -F _nexusbase"),
        ("zsh", "#compdef nexusbase"),
        ("fish", "complete -c nexusbase"),
    ] {
        let script = place.run(&["completions", shell]).ok();
        assert!(
            script.contains(says) && script.contains("on-error"),
            "{shell}"
        );
    }
    let bash = place.run(&["completions", "bash"]).ok();
    let mut check = Command::new("bash")
        .arg("-n")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    check
        .stdin
        .take()
        .unwrap()
        .write_all(bash.as_bytes())
        .unwrap();
    assert!(
        check.wait().unwrap().success(),
        "bash does not understand its script"
    );
    place
        .run(&["completions", "dos"])
        .fails(2, &["possible values"]);
}

#[test]
fn an_unfinished_write_is_cut_off_and_said_so() {
    let place = parts();
    let dump = place.run(&["log", "dump", "--data", "data"]).ok();
    let last: Vec<&str> = dump.lines().last().unwrap().split_whitespace().collect();
    let number = |at: usize| last[at].parse::<usize>().unwrap();
    let end = number(1) + number(5);
    let file = place.data().join("log").join(last[0]);
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[end..end + 24].copy_from_slice(b"half of a batch was here");
    std::fs::write(&file, bytes).unwrap();

    let verified = place.run(&["log", "verify", "--data", "data"]);
    let offset = format!("offset {end}");
    assert!(
        verified.err.contains("ends in an unfinished write"),
        "{verified:?}"
    );
    assert!(verified.err.contains(&offset), "{verified:?}");
    assert!(verified.ok().starts_with("good: "));
    let server = Server::start(&place.data());
    let cut = "an unfinished write was cut off";
    assert!(
        server.said.contains(cut) && server.said.contains(&offset),
        "{}",
        server.said
    );
    let export = ["export", "parts", "--server", &server.url];
    assert_eq!(place.run(&export).ok().lines().count(), 4);
}

#[test]
fn an_import_says_what_is_known_when_its_server_dies() {
    let place = Place::new();
    let line = |n: u32| format!("{{\"_id\":{n},\"text\":\"{}\"}}\n", "x".repeat(1000));
    place.file("long.jsonl", &(0..40_000).map(line).collect::<String>());
    let server = Server::start(&place.data());
    let url = server.url.clone();
    let import = std::thread::scope(|scope| {
        let import = scope.spawn(|| place.run(&["import", "c", "long.jsonl", "--server", &url]));
        while place
            .run(&["collections", "--server", &url])
            .ok()
            .is_empty()
        {}
        server.kill();
        import.join().unwrap()
    });
    let says = [
        "error: ",
        "imported: ",
        ", up to line ",
        "not known; all behind: not",
    ];
    let err = import.fails(1, &says);
    let up_to = err.split("up to line ").nth(1).unwrap();
    let up_to: usize = up_to.split(';').next().unwrap().parse().unwrap();
    let there = place
        .run(&["export", "c", "--data", "data"])
        .ok()
        .lines()
        .count();
    assert!(
        (up_to..=up_to + 500).contains(&there),
        "{there} are there: {err}"
    );
}

#[test]
fn health_asks_whether_a_server_is_ready() {
    let place = Place::new();
    let server = Server::start(&place.data());
    let said = place.run(&["health", "--server", &server.url]).ok();
    assert_eq!(said, "ready\n");
    let url = server.url.clone();
    assert!(server.terminate().success());
    place
        .run(&["health", "--server", &url])
        .fails(1, &["cannot reach"]);
}
