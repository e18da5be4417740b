//! `nexusbase kv`, on a data folder and on a server: what it prints, and how it ends.
//!
//! Stores are created on the default engine, which keeps them from one command to the next.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use std::time::Duration;

use nexusbase::Database;
use nexusbase::kv::{CreateOptions, Put, Write, standard};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::{Ended, Place, Server, command};

/// A place with a database without stores, and perhaps a server that has it open.
struct Stores {
    place: Place,
    server: Option<Server>,
}

impl Stores {
    fn in_folder() -> Self {
        let place = Place::new();
        Database::open(place.data()).unwrap().close().unwrap();
        Self {
            place,
            server: None,
        }
    }

    fn on_server() -> Self {
        let place = Place::new();
        let server = Some(Server::start(&place.data()));
        Self { place, server }
    }

    /// The arguments, and where the stores are.
    fn arguments<'a>(&'a self, arguments: &[&'a str]) -> Vec<&'a str> {
        let target = match &self.server {
            Some(server) => ["--server", &server.url],
            None => ["--data", "data"],
        };
        [&["kv"], arguments, &target].concat()
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        self.place.run(&self.arguments(arguments))
    }

    /// What it prints, each line as JSON.
    fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let out = self.run(arguments).ok();
        let lines = out.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

/// Tries the same on a folder and on a server.
fn both(check: impl Fn(&Stores)) {
    check(&Stores::in_folder());
    let stores = Stores::on_server();
    check(&stores);
    assert!(stores.server.unwrap().terminate().success());
}

#[test]
fn a_store_is_created_filled_read_and_emptied() {
    both(|stores| {
        let created = stores.run(&["create", "settings", "--label", "owner=web"]);
        assert!(
            created
                .ok()
                .starts_with("created the store settings on engine ")
        );
        let set = stores.run(&["set", "settings", "theme", "dark"]);
        assert_eq!(set.ok(), "set theme in settings\n");
        let quiet = ["set", "settings", "size", "12", "--quiet"];
        assert_eq!(stores.run(&quiet).ok(), "");
        // No line end that is not in the value.
        assert_eq!(stores.run(&["get", "settings", "theme"]).ok(), "dark");
        assert_eq!(stores.run(&["list", "settings"]).ok(), "size\ntheme\n");
        let rows = stores.json(&["list", "settings", "--json", "--reverse"]);
        let expected = [
            json!({"key": "theme", "value": "dark"}),
            json!({"key": "size", "value": "12"}),
        ];
        assert_eq!(rows, expected);
        let found = stores.json(&["stores", "--json"]);
        assert_eq!(found[0]["name"], "settings");
        assert_eq!(found[0]["options"]["labels"], json!({"owner": "web"}));
        assert_eq!(found[0]["stats"]["keys"], 2);
        let deleted = stores.run(&["del", "settings", "theme", "none"]);
        assert_eq!(
            deleted.ok(),
            "deleted 1 key from settings; 1 was not there\n"
        );
        stores.run(&["rename", "settings", "options"]).ok();
        assert_eq!(stores.run(&["list", "options", "--count"]).ok(), "1\n");
        let asked = ["gone for ever", "hint: add --yes"];
        stores.run(&["drop", "options"]).fails(2, &asked);
        stores.run(&["drop", "options", "--yes"]).ok();
        let none = stores.run(&["stores"]);
        assert!(none.err.contains("there are no stores"), "{none:?}");
        assert_eq!(none.ok(), "");
    });
}

#[test]
fn values_of_any_bytes_go_in_and_out_by_files_and_pipes() {
    both(|stores| {
        let bytes = b"\x00\xff\n\x1b[2J";
        std::fs::write(stores.place.path().join("in"), bytes).unwrap();
        let set = [
            "set",
            "s",
            "ff00",
            "--hex",
            "--file",
            "in",
            "--media-type",
            "x/y",
            "--create",
        ];
        let set = stores.run(&set);
        assert!(set.err.contains("created the store s"), "{set:?}");
        assert_eq!(set.ok(), "set \\xff\\u{0} in s\n");
        let get = stores.arguments(&["get", "s", "ff00", "--hex"]);
        let output = command(stores.place.path()).args(get).output().unwrap();
        assert_eq!(output.stdout, bytes);
        let saved = ["get", "s", "ff00", "--hex", "--output", "out"];
        assert_eq!(stores.run(&saved).ok(), "");
        let out = std::fs::read(stores.place.path().join("out")).unwrap();
        assert_eq!(out, bytes);
        let row = json!({
            "key": {"base64": "/wA="}, "value": {"base64": "AP8KG1sySg=="}, "media_type": "x/y"
        });
        assert_eq!(stores.json(&["list", "s", "--json"]), [row]);
        let values = stores.run(&["list", "s", "--values"]).ok();
        assert_eq!(values, "\\xff\\u{0}\t\\u{0}\\xff\\n\\u{1b}[2J\n");

        let piped = stores.arguments(&["set", "s", "piped", "-", "--ttl", "10m"]);
        stores.place.run_with(&piped, "two\nlines\n").ok();
        assert_eq!(stores.run(&["get", "s", "piped"]).ok(), "two\nlines\n");
        let entry = &stores.json(&["get", "s", "piped", "--json"])[0];
        assert!(entry["expires_ms"].is_u64(), "{entry}");
    });
}

#[test]
fn exit_codes_say_how_it_went() {
    both(|stores| {
        let missing = ["there is no store \"s\"", "hint: ", "kv create s"];
        for arguments in [
            &["get", "s", "k"][..],
            &["set", "s", "k", "v"],
            &["del", "s", "k"],
            &["list", "s"],
            &["versions", "s"],
            &["version", "take", "s"],
            &["restore", "s", "1"],
            &["copy", "s", "t"],
            &["rename", "s", "t"],
            &["drop", "s", "--yes"],
            &["set-options", "s", "--ttl", "1h"],
        ] {
            stores.run(arguments).fails(1, &missing);
        }
        stores.run(&["diff", "s", "1"]).fails(2, &missing);
        stores.run(&["check", "s"]).fails(2, &missing);

        stores.run(&["set", "s", "k", "v", "--create"]).ok();
        let no_key = ["store \"s\" has no key none", "hint: "];
        stores.run(&["get", "s", "none"]).fails(1, &no_key);
        let there = ["k is in s already; it was not changed"];
        let again = ["set", "s", "k", "w", "--if-absent"];
        stores.run(&again).fails(1, &there);
        let other = ["set", "s", "k", "w", "--if-value", "x"];
        stores
            .run(&other)
            .fails(1, &["has not the value that --if-value says"]);
        stores.run(&["set", "s", "k", "w", "--if-value", "v"]).ok();
        stores
            .run(&["create", "s"])
            .fails(1, &["there is a store of that name"]);
        stores
            .run(&["create", "a/b"])
            .fails(2, &["'/' cannot be in a name"]);
        stores
            .run(&["get", "s", "k", "--version", "7"])
            .fails(1, &["store \"s\" has no version 7", "kv version take s"]);
        assert!(
            stores
                .run(&["check", "s"])
                .ok()
                .starts_with("s is healthy: 1 row")
        );
    });
}

#[test]
fn what_is_written_wrongly_is_refused_before_anything_happens() {
    let place = Place::new();
    let check = |arguments: &[&str], says: &[&str]| {
        let arguments = [&["kv"], arguments, &["--data", "data"]].concat();
        place.run(&arguments).fails(2, says);
        assert!(!place.data().exists(), "{arguments:?}");
    };
    for wrong in ["5", "1.5h", "h", "0s", "-1m"] {
        let ttl = format!("--ttl={wrong}");
        check(&["set", "s", "k", "v", "--create", &ttl], &[wrong, "--ttl"]);
        check(&["create", "s", &ttl], &[wrong, "--ttl"]);
    }
    check(&["create", "s", "--keep-versions", "0"], &["at least 1"]);
    check(&["create", "s", "--label", "x"], &["owner=web"]);
    check(&["create", "-s"], &["-s"]);
    check(&["create", "s p"], &["' ' cannot be in a name"]);
    check(&["set", "s", "k"], &["<VALUE>"]);
    check(
        &["set", "s", "k", "v", "--file", "f"],
        &["cannot be used with"],
    );
    check(
        &["set", "s", "k", "v", "--if-absent", "--if-value", "x"],
        &["cannot be used with"],
    );
    check(&["del", "s"], &["<KEY>"]);
    check(
        &["list", "s", "--count", "--values"],
        &["cannot be used with"],
    );
    check(&["lst", "s"], &["lst", "list"]);
    check(
        &["watch", "s"],
        &["open in one process", "nexusbase serve", "--server URL"],
    );
    let nowhere = ["kv", "list", "s"];
    place
        .run(&nowhere)
        .fails(2, &["it is not said where the data is", "--data DIR"]);
    for arguments in [&["list", "s"][..], &["get", "s", "k"], &["stores"]] {
        let arguments = [&["kv"], arguments, &["--data", "data"]].concat();
        place
            .run(&arguments)
            .fails(1, &["the folder data does not exist"]);
    }
    assert!(!place.data().exists());
    let help = place.run(&["kv", "set", "--help"]).ok();
    assert!(help.contains("Examples:") && help.contains("--if-absent"));
}

#[test]
fn versions_are_compared_and_gone_back_to() {
    both(|stores| {
        stores.run(&["set", "s", "a", "1", "--create"]).ok();
        stores.run(&["set", "s", "b", "1"]).ok();
        let take = ["version", "take", "s", "--name", "first", "--note", "x"];
        assert_eq!(
            stores.run(&take).ok(),
            "took version 1 (first) of s: 2 keys\n"
        );
        assert_eq!(stores.run(&["diff", "s", "first"]).ok(), "");
        stores.run(&["set", "s", "a", "2"]).ok();
        stores.run(&["del", "s", "b"]).ok();
        stores.run(&["set", "s", "c", "1"]).ok();
        let diff = stores.run(&["diff", "s", "1"]);
        assert_eq!(
            (diff.code, diff.err.as_str()),
            (Some(1), ""),
            "{:?}",
            diff.out
        );
        assert_eq!(diff.out, "~ a\t1 -> 2\n- b\t1\n+ c\t1\n");
        stores
            .run(&["diff", "s", "1", "5"])
            .fails(2, &["has no version 5"]);
        let old = ["list", "s", "--version", "first", "--values"];
        assert_eq!(stores.run(&old).ok(), "a\t1\nb\t1\n");

        let restored = stores.run(&["restore", "s", "first"]).ok();
        let expected = "s is what it was in version 1 (first), taken as version 3\n\
                        the state before is version 2\n";
        assert_eq!(restored, expected);
        assert_eq!(stores.run(&["get", "s", "a"]).ok(), "1");
        assert_eq!(stores.run(&["get", "s", "a", "--version", "2"]).ok(), "2");
        stores.run(&["version", "delete", "s", "first"]).ok();
        let numbers: Vec<Value> = stores
            .json(&["versions", "s", "--json"])
            .iter()
            .map(|version| version["number"].clone())
            .collect();
        assert_eq!(numbers, [2, 3]);
        let table = stores.run(&["versions", "s"]).ok();
        assert!(table.starts_with("version  name  taken"), "{table}");
    });
}

#[test]
fn options_are_changed_and_kept_to() {
    both(|stores| {
        let told = ["create", "s", "--ttl", "1h", "--keep-versions", "2"];
        stores.run(&told).ok();
        stores.run(&["set", "s", "k", "v"]).ok();
        let entry = &stores.json(&["get", "s", "k", "--json"])[0];
        assert!(entry["expires_ms"].is_u64(), "{entry}");
        let changed = stores.run(&["set-options", "s", "--ttl", "none", "--read-only", "true"]);
        assert_eq!(changed.ok(), "options of s: keeps 2 versions, read-only\n");
        stores.run(&["set", "s", "k", "w"]).fails(1, &["read"]);
        assert_eq!(stores.run(&["get", "s", "k"]).ok(), "v");
    });
}

/// The number of rows of the store that [`fill`] makes.
const ROWS: u32 = 200_000;

/// Makes a store of many rows in the folder, without the command line.
fn fill(place: &Place, name: &str) {
    let db = Database::open(place.data()).unwrap();
    let stores = standard(&db, &place.data()).unwrap();
    let store = stores.create(name, &CreateOptions::default()).unwrap();
    let value = "x".repeat(100);
    for chunk in (0..ROWS).collect::<Vec<_>>().chunks(5000) {
        let keys: Vec<String> = chunk.iter().map(|n| format!("{n:08}")).collect();
        let writes: Vec<_> = keys
            .iter()
            .map(|key| Write::Put(key.as_bytes(), Put::new(value.as_bytes())))
            .collect();
        store.write(&writes).unwrap();
    }
    stores.close().unwrap();
    db.close().unwrap();
}

#[test]
fn a_copy_that_ctrl_c_stops_is_gone_on_with_by_the_same_command() {
    let stores = Stores::in_folder();
    fill(&stores.place, "s");
    let copy = stores.arguments(&["copy", "s", "t"]);
    let interrupted = |delay_ms: u64| {
        let child = command(stores.place.path())
            .args(&copy)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(delay_ms));
        let _ = kill_process(Pid::from_child(&child), Signal::INT);
        child.wait_with_output().unwrap()
    };
    // On a slow machine the first one may be ended before it can listen.
    let mut ends = [400, 2000, 10_000].into_iter().map(interrupted);
    let output = ends.find(|output| output.status.code().is_some());
    let output = output.unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    // On a fast machine the copy may be complete already.
    if output.status.code() != Some(0) {
        assert_eq!(output.status.code(), Some(1), "{err}");
        let says = [
            "stopping where it can be gone on",
            "the copy was stopped",
            "nexusbase kv copy s t --data data",
        ];
        for part in says {
            assert!(err.contains(part), "{err}");
        }
        stores
            .run(&["list", "t"])
            .fails(1, &["unfinished copy of store \"s\""]);
        let resumed = stores.run(&["copy", "s", "t"]).ok();
        let earlier = "behind what was there from an earlier copy";
        assert!(resumed.contains(earlier), "{resumed}");
    }
    let count = stores.run(&["list", "t", "--count"]).ok();
    assert_eq!(count, format!("{ROWS}\n"));
}

#[test]
fn a_reader_of_keys_that_has_seen_enough_is_no_failure() {
    let stores = Stores::in_folder();
    fill(&stores.place, "s");
    for arguments in [&["list", "s"][..], &["list", "s", "--json"]] {
        let mut child = command(stores.place.path())
            .args(stores.arguments(arguments))
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
        assert_eq!((status.code(), err.as_str()), (Some(0), ""));
        assert!(first.contains("00000000"), "{first}");
    }
}

#[test]
fn changes_on_a_server_are_watched() {
    let stores = Stores::on_server();
    stores.run(&["create", "s"]).ok();
    let mut child = command(stores.place.path())
        .args(stores.arguments(&["watch", "s", "--prefix", "a"]))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut err = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    err.read_line(&mut line).unwrap();
    assert_eq!(line, "watching s; Ctrl-C ends it\n");
    stores.run(&["set", "s", "b", "v"]).ok();
    stores.run(&["set", "s", "a", "v"]).ok();
    stores.run(&["del", "s", "a"]).ok();
    stores.run(&["drop", "s", "--yes"]).ok();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    for expected in ["s\tput\ta\n", "s\tdeleted\ta\n", "s\tdropped\n"] {
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        assert_eq!(line, expected);
    }
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert!(!child.wait().unwrap().success());
}

/// The commands of `docs/kv.md`, as they stand there, one after the other.
#[test]
fn the_commands_of_the_page_work() {
    let page = include_str!("../../../../docs/kv.md");
    let block = page.split("```sh\n").nth(1).unwrap();
    let place = Place::new();
    let mut out = Vec::new();
    for line in block.split("```").next().unwrap().lines() {
        let line = line.strip_prefix("nexusbase ").unwrap();
        let arguments: Vec<_> = line.split(' ').collect();
        let ended = place.run(&arguments);
        // `diff` says by its code that there are differences.
        let expected = i32::from(arguments[1] == "diff");
        assert_eq!(ended.code, Some(expected), "{line}: {ended:?}");
        out.push(ended.out);
    }
    assert_eq!(out.len(), 7);
    assert_eq!(out[2], "blue");
    assert!(
        out[5].contains("color") && out[5].contains("red"),
        "{}",
        out[5]
    );
    let color = place.run(&["kv", "get", "settings", "color", "--data", "./data"]);
    assert_eq!(color.ok(), "blue");
}

/// A line of a store's file that was edited by hand is reported, and taken over when that is wanted.
#[test]
fn what_a_check_finds_is_shown_and_edits_are_taken_over_if_wanted() {
    let stores = Stores::in_folder();
    stores.run(&["create", "e", "--engine", "file"]).ok();
    stores.run(&["set", "e", "color", "blue"]).ok();
    let file = stores.place.data().join("files/e.jsonl");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("blue"), "{text}");
    std::fs::write(&file, text.replace("blue", "green")).unwrap();
    stores.run(&["check", "e"]).fails(1, &["--accept-edits"]);
    stores.run(&["get", "e", "color"]).fails(1, &["no key"]);
    stores.run(&["check", "e", "--accept-edits"]).ok();
    assert_eq!(stores.run(&["get", "e", "color"]).ok(), "green");
}
