//! All commands in this process: on a folder, and on a server.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use clap::Parser;
use nexusbase::Database;
use nexusbase::kv::standard;
use nexusbase_server::{AuthMode, ServerConfig, Service};
use serde_json::{Value, json};

use super::access::Kv;
use super::access::folder::Folder;
use super::access::server::Server;
use super::args::{KvCommand, WatchArgs};
use super::{Context, check_names, run_on, watch};
use crate::cli::Terminal;
use crate::cli::args::{Arguments, Command};
use crate::cli::failure::{Failure, Outcome};
use crate::cli::http::Client;

fn parsed(arguments: &[&str]) -> KvCommand {
    let words = [&["nexusbase", "kv"], arguments].concat();
    match Arguments::try_parse_from(words).unwrap().command {
        Command::Kv(command) => command,
        other => panic!("{other:?}"),
    }
}

/// What a command prints, and how it ends.
struct Done {
    out: Vec<u8>,
    outcome: Outcome,
}

impl Done {
    fn text(self) -> String {
        if let Err(failure) = self.outcome {
            panic!("{failure:?}");
        }
        String::from_utf8(self.out).unwrap()
    }

    fn json(self) -> Vec<Value> {
        let text = self.text();
        let lines = text.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// What is said about a failure.
    fn fails(self, says: &[&str]) {
        let failure = format!("{:?}", self.outcome.unwrap_err()).replace('\\', "");
        for part in says {
            assert!(failure.contains(part), "{part:?} is missing in {failure}");
        }
    }

    /// What is printed with the answer no.
    fn answers_no(self) -> String {
        assert!(
            matches!(self.outcome, Err(Failure::Answered)),
            "{:?}",
            self.outcome
        );
        String::from_utf8(self.out).unwrap()
    }
}

fn with_context<T>(stopped: bool, work: impl FnOnce(&mut Context<'_>) -> T) -> (Vec<u8>, T) {
    let mut out = Vec::new();
    let mut context = Context {
        terminal: Terminal { quiet: false },
        out: &mut out,
        is_terminal: false,
        colors: false,
        width: usize::MAX,
        target: "--data data".to_owned(),
        stopped: Arc::new(AtomicBool::new(stopped)),
    };
    let done = work(&mut context);
    (out, done)
}

fn run_stopped(kv: &dyn Kv, arguments: &[&str], stopped: bool) -> Done {
    let command = parsed(arguments);
    let (out, outcome) = with_context(stopped, |context| {
        check_names(&command)?;
        run_on(&command, kv, context)
    });
    Done { out, outcome }
}

fn run(kv: &dyn Kv, arguments: &[&str]) -> Done {
    run_stopped(kv, arguments, false)
}

fn folder() -> Folder {
    Folder::open(Database::in_memory().unwrap(), Path::new("data")).unwrap()
}

/// A server in this process, which answers until the process ends.
fn server() -> Server {
    let db = Database::in_memory().unwrap();
    let stores = standard(&db, Path::new("data")).unwrap();
    let config = ServerConfig {
        listen: ([127, 0, 0, 1], 0).into(),
        auth: AuthMode::Off,
        ..ServerConfig::default()
    };
    let (ready, address) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let served = Service { db, stores };
            let server = nexusbase_server::Server::bind(config, served)
                .await
                .unwrap();
            ready.send(server.address()).unwrap();
            server.run(std::future::pending()).await.unwrap();
        });
    });
    let address = address.recv().unwrap();
    Server::new(Client::new(&format!("http://{address}"), None).unwrap())
}

/// Tries the same on a folder and on a server.
fn both(check: impl Fn(&dyn Kv)) {
    check(&folder());
    check(&server());
}

#[test]
fn values_come_back_as_they_were_set() {
    both(|kv| {
        let missing = ["there is no store \"s\"", "none at all yet", "kv create s"];
        run(kv, &["set", "s", "k", "v"]).fails(&missing);
        assert_eq!(
            run(kv, &["set", "s", "k", "v", "--create"]).text(),
            "set k in s\n"
        );
        assert_eq!(run(kv, &["get", "s", "k"]).text(), "v");
        run(kv, &["set", "s", "k", "-5"]).text();
        assert_eq!(run(kv, &["get", "s", "k"]).text(), "-5");
        run(kv, &["set", "s", "empty", ""]).text();
        assert_eq!(run(kv, &["get", "s", "empty"]).text(), "");
        run(kv, &["get", "s", "none"]).fails(&["store \"s\" has no key none", "code: 1"]);
        run(kv, &["get", "t", "k"]).fails(&["there is no store \"t\"", "there is: s"]);
        for key in [".", "..", "a/b", "a b?c#d", "日本", "%41"] {
            run(kv, &["set", "s", key, key]).text();
            assert_eq!(run(kv, &["get", "s", key]).text(), key, "{key:?}");
            assert_eq!(run(kv, &["del", "s", key]).text(), "deleted 1 key from s\n");
        }
        let gone = run(kv, &["del", "s", "k", "empty", "k"]).text();
        assert_eq!(gone, "deleted 2 keys from s; 1 was not there\n");
        run(kv, &["del", "t", "k"]).fails(&["there is no store \"t\""]);
    });
}

#[test]
fn keys_and_values_may_be_any_bytes() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    nexusbase_io::user_file::write(file.path(), b"\xff\x00\n\xfe").unwrap();
    both(|kv| {
        run(
            kv,
            &["set", "s", "00ff2f", "--hex", "--file", path, "--create"],
        )
        .text();
        let got = run(kv, &["get", "s", "00ff2f", "--hex"]);
        assert_eq!(got.out, b"\xff\x00\n\xfe");
        assert_eq!(run(kv, &["list", "s"]).text(), "\\u{0}\\xff/\n");
        assert_eq!(
            run(kv, &["list", "s", "--hex", "--prefix", "00"]).text(),
            "00ff2f\n"
        );
        let values = run(kv, &["list", "s", "--values"]).text();
        assert_eq!(values, "\\u{0}\\xff/\t\\xff\\u{0}\\n\\xfe\n");
        let rows = run(kv, &["list", "s", "--json"]).json();
        let row = json!({"key": {"base64": "AP8v"}, "value": {"base64": "/wAK/g=="}});
        assert_eq!(rows, std::slice::from_ref(&row));
        let entry = run(kv, &["get", "s", "00ff2f", "--hex", "--json"]).json();
        assert_eq!(entry, [row]);
        let wrong = ["is no key in hexadecimal", "code: 2"];
        run(kv, &["get", "s", "0f0", "--hex"]).fails(&wrong);
    });
}

#[test]
fn what_is_said_about_a_value_is_kept() {
    both(|kv| {
        let said = ["--ttl", "10m", "--media-type", "text/x-note"];
        run(
            kv,
            &[&["set", "s", "k", "v", "--create"][..], &said].concat(),
        )
        .text();
        let entry = &run(kv, &["get", "s", "k", "--json"]).json()[0];
        assert_eq!(entry["media_type"], "text/x-note");
        assert!(
            entry["expires_ms"].as_u64().unwrap() > 1_600_000_000_000,
            "{entry}"
        );
        // Nothing is said of one that only begins alike.
        run(kv, &["set", "s", "k2", "v"]).text();
        let plain = json!({"key": "k2", "value": "v"});
        assert_eq!(run(kv, &["get", "s", "k2", "--json"]).json(), [plain]);
        run(kv, &["get", "s", "", "--json"]).fails(&["has no key"]);
    });
}

#[test]
fn conditions_are_kept_to() {
    both(|kv| {
        run(kv, &["set", "s", "k", "1", "--create", "--if-absent"]).text();
        let there = ["k is in s already", "code: 1"];
        run(kv, &["set", "s", "k", "2", "--if-absent"]).fails(&there);
        let other = ["has not the value that --if-value says", "code: 1"];
        run(kv, &["set", "s", "k", "2", "--if-value", "0"]).fails(&other);
        run(kv, &["set", "s", "none", "2", "--if-value", "0"]).fails(&other);
        run(kv, &["set", "s", "k", "2", "--if-value", "1"]).text();
        assert_eq!(run(kv, &["get", "s", "k"]).text(), "2");
        assert_eq!(run(kv, &["list", "s", "--count"]).text(), "1\n");
    });
}

#[test]
fn lists_go_over_all_pages() {
    both(|kv| {
        run(kv, &["create", "s"]).text();
        for key in ["a1", "a2", "a3", "b1", "b2", "b3", "b4"] {
            run(kv, &["set", "s", key, "v"]).text();
        }
        let list = |arguments: &[&str]| {
            let text = run(kv, &[&["list", "s"], arguments].concat()).text();
            text.lines().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(list(&[]), "a1 a2 a3 b1 b2 b3 b4");
        assert_eq!(list(&["--prefix", "b"]), "b1 b2 b3 b4");
        assert_eq!(list(&["--start", "a2", "--end", "b3"]), "a2 a3 b1 b2");
        assert_eq!(list(&["--reverse", "--limit", "3"]), "b4 b3 b2");
        assert_eq!(list(&["--limit", "0"]), "");
        assert_eq!(list(&["--prefix", "b", "--count"]), "4");
        assert_eq!(
            list(&["--prefix", "b", "--limit", "1", "--values"]),
            "b1\tv"
        );
        run(kv, &["version", "take", "s"]).text();
        run(kv, &["del", "s", "b1", "b2"]).text();
        assert_eq!(list(&["--version", "1", "--prefix", "b"]), "b1 b2 b3 b4");
        assert_eq!(list(&["--version", "1", "--count"]), "7");
        assert_eq!(list(&["--count"]), "5");
        run(kv, &["list", "s", "--version", "9"]).fails(&["has no version 9", "there is: 1"]);
        run(kv, &["list", "t"]).fails(&["there is no store \"t\""]);
    });
}

#[test]
fn stores_are_created_shown_changed_renamed_and_dropped() {
    both(|kv| {
        let told = [
            "create",
            "s",
            "--ttl",
            "1h",
            "--keep-versions",
            "3",
            "--keep-versions-for",
            "30d",
            "--label",
            "owner=web",
        ];
        let created = run(kv, &told).text();
        assert!(
            created.starts_with("created the store s on engine "),
            "{created}"
        );
        run(kv, &["create", "s"]).fails(&["there is a store of that name already", "code: 1"]);
        run(kv, &["create", "../s"]).fails(&["it must begin with a letter", "code: 2"]);
        run(kv, &["create", "t", "--engine", "none"]).fails(&["no engine of that name"]);
        run(kv, &["set", "s", "key", "value"]).text();
        let table = run(kv, &["stores"]).text();
        let shown = "ttl 1h, keeps 3 versions for 30d, owner=web";
        assert!(
            table.starts_with("name  engine") && table.contains(shown),
            "{table}"
        );
        let changed = run(
            kv,
            &[
                "set-options",
                "s",
                "--ttl",
                "none",
                "--keep-versions",
                "none",
                "--read-only",
                "true",
                "--label",
                "owner=",
                "--label",
                "team=db",
            ],
        );
        let expected = "options of s: keeps versions for 30d, read-only, team=db\n";
        assert_eq!(changed.text(), expected);
        run(kv, &["set", "s", "key", "other"]).fails(&["it can only be read"]);
        run(kv, &["set-options", "s"]).fails(&["not said what to change", "code: 2"]);
        run(kv, &["rename", "s", "t"]).text();
        let stores = run(kv, &["stores", "--json"]).json();
        assert_eq!(stores.len(), 1);
        assert_eq!(stores[0]["name"], "t");
        assert_eq!(stores[0]["stats"]["keys"], 1);
        assert_eq!(stores[0]["options"]["labels"], json!({"team": "db"}));
        run(kv, &["rename", "s", "t"]).fails(&["there is no store \"s\""]);
        assert_eq!(
            run(kv, &["drop", "t", "--yes"]).text(),
            "dropped the store t\n"
        );
        run(kv, &["drop", "t", "--yes"]).fails(&["there is no store \"t\""]);
        assert_eq!(run(kv, &["stores"]).text(), "");
    });
}

#[test]
fn engines_are_shown_with_the_default_one() {
    both(|kv| {
        let engines = run(kv, &["engines", "--json"]).json();
        assert!(
            engines.iter().any(|engine| engine["default"] == true),
            "{engines:?}"
        );
        assert!(run(kv, &["engines"]).text().contains("(default)"));
    });
}

#[test]
fn versions_are_compared_and_restored_without_losing_the_present() {
    both(|kv| {
        run(kv, &["create", "s"]).text();
        for key in ["a", "b", "c", "d"] {
            run(kv, &["set", "s", key, "old"]).text();
        }
        let taken = run(
            kv,
            &["version", "take", "s", "--name", "first", "--note", "n"],
        )
        .text();
        assert_eq!(taken, "took version 1 (first) of s: 4 keys\n");
        assert_eq!(run(kv, &["diff", "s", "1"]).text(), "");
        run(kv, &["set", "s", "a", "new"]).text();
        run(kv, &["del", "s", "b"]).text();
        run(kv, &["set", "s", "c", "old", "--media-type", "x/y"]).text();
        run(kv, &["set", "s", "e", &"x".repeat(100)]).text();
        let long = format!("{}… (100 bytes)", "x".repeat(60));
        let expected = format!(
            "~ a\told -> new\n- b\told\n~ c\told (only its media type, or when it expires)\n\
             + e\t{long}\n"
        );
        assert_eq!(run(kv, &["diff", "s", "first"]).answers_no(), expected);
        let lines = run(kv, &["diff", "s", "first", "--json"]).answers_no();
        let first: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
        let changed = json!({"kind": "changed", "key": "a", "old": "old", "new": "new"});
        assert_eq!(first, changed);
        run(kv, &["diff", "s", "2"]).fails(&["has no version 2", "code: 2"]);
        run(kv, &["diff", "s", "1", "2"]).fails(&["has no version 2", "there is: 1 (first)"]);
        run(kv, &["diff", "t", "1"]).fails(&["there is no store", "code: 2"]);

        let restored = run(kv, &["restore", "s", "first"]).text();
        let expected = "s is what it was in version 1 (first), taken as version 3\n\
                        the state before is version 2\n";
        assert_eq!(restored, expected);
        assert_eq!(run(kv, &["get", "s", "a"]).text(), "old");
        assert_eq!(run(kv, &["get", "s", "a", "--version", "2"]).text(), "new");
        assert_eq!(run(kv, &["diff", "s", "1", "3"]).text(), "");
        run(kv, &["restore", "s", "2", "--no-save"]).text();
        assert_eq!(run(kv, &["get", "s", "a"]).text(), "new");
        run(kv, &["restore", "s", "9"]).fails(&["has no version 9", "4, 3, 2, 1 (first)"]);
        assert_eq!(run(kv, &["versions", "s", "--json"]).json().len(), 4);
        let table = run(kv, &["versions", "s"]).text();
        assert!(table.contains("before version 1 was restored"), "{table}");
        run(kv, &["version", "delete", "s", "first"]).text();
        run(kv, &["version", "delete", "s", "1"]).fails(&["has no version 1"]);
        run(kv, &["version", "take", "s", "--name", "12"]).fails(&["code: 2"]);
        run(kv, &["get", "s", "a", "--version", "1"]).fails(&["has no version 1"]);
        run(kv, &["get", "s", "z", "--version", "2"]).fails(&["has no key z"]);
    });
}

#[test]
fn a_store_that_keeps_few_versions_keeps_the_state_before_a_restore() {
    both(|kv| {
        run(kv, &["create", "s", "--keep-versions", "1"]).text();
        run(kv, &["set", "s", "k", "old"]).text();
        run(kv, &["version", "take", "s"]).text();
        run(kv, &["set", "s", "k", "new"]).text();
        let restored = run(kv, &["restore", "s", "1"]).text();
        let before = "the state before is version 2 (before-restore-2)";
        assert!(restored.contains(before), "{restored}");
        let kept = ["get", "s", "k", "--version", "before-restore-2"];
        assert_eq!(run(kv, &kept).text(), "new");
        assert_eq!(run(kv, &["get", "s", "k"]).text(), "old");

        // One that taking another would delete is not restored.
        run(kv, &["set-options", "s", "--keep-versions", "none"]).text();
        run(kv, &["version", "take", "s"]).text();
        run(kv, &["set-options", "s", "--keep-versions", "1"]).text();
        let old = run(kv, &["restore", "s", "3"]);
        old.fails(&["version 3 of s is no longer to be kept", "--no-save"]);
        assert_eq!(run(kv, &["versions", "s", "--json"]).json().len(), 3);
        run(kv, &["set-options", "s", "--read-only", "true"]).text();
        run(kv, &["restore", "s", "3"]).fails(&["can only be read", "--read-only false"]);
    });
}

#[test]
fn a_copy_that_was_stopped_is_gone_on_with() {
    // A server stops copies by itself only at its time limit.
    let kv: &dyn Kv = &folder();
    run(kv, &["create", "s"]).text();
    for number in 0..2500 {
        let key = format!("{number:05}");
        let new = super::access::NewValue {
            key: key.as_bytes(),
            value: b"v",
            media_type: None,
            ttl: None,
        };
        kv.set("s", new, super::access::Condition::Any).unwrap();
    }
    let stopped = [
        "the copy was stopped: 1,000 rows of s were copied to t",
        "nexusbase kv copy s t --data data",
        "nexusbase kv drop t",
        "code: 1",
    ];
    run_stopped(kv, &["copy", "s", "t"], true).fails(&stopped);
    run(kv, &["get", "t", "00001"]).fails(&["unfinished copy"]);
    let stores = run(kv, &["stores"]).text();
    assert!(stores.contains("unfinished copy of s"), "{stores}");
    let copied = run(kv, &["copy", "s", "t"]).text();
    let expected = "copied 1,500 rows from s to t, behind what was there from an earlier copy,";
    assert!(copied.starts_with(expected), "{copied}");
    assert_eq!(run(kv, &["list", "t", "--count"]).text(), "2500\n");
    let whole = run(kv, &["copy", "s", "u", "--engine", "memory"]).text();
    assert!(
        whole.starts_with("copied 2,500 rows from s to u in "),
        "{whole}"
    );
    run(kv, &["copy", "s", "u"]).fails(&["there is a store of that name already"]);
    run(kv, &["copy", "none", "v"]).fails(&["there is no store \"none\""]);
    assert_eq!(
        run(kv, &["check", "u"]).text(),
        "u is healthy: 2,500 rows\n"
    );
    let checked = json!({"healthy": true, "rows": 2500, "findings": []});
    assert_eq!(run(kv, &["check", "u", "--json"]).json(), [checked]);
    run(kv, &["check", "none"]).fails(&["there is no store", "code: 2"]);
}

fn watched(server: &Server, arguments: &[&str], work: impl Fn()) -> String {
    let KvCommand::Watch(arguments) = parsed(&[&["watch"], arguments].concat()) else {
        panic!("no watch");
    };
    let arguments: &WatchArgs = &arguments;
    std::thread::scope(|scope| {
        let watching = scope
            .spawn(|| with_context(false, |context| watch::follow(arguments, server, context)));
        // There is no sign of when it listens but what it prints.
        std::thread::sleep(Duration::from_millis(500));
        work();
        let (out, outcome) = watching.join().unwrap();
        let failure = format!("{:?}", outcome.unwrap_err());
        assert!(failure.contains("has ended the connection"), "{failure}");
        String::from_utf8(out).unwrap()
    })
}

#[test]
fn changes_are_watched_as_they_happen() {
    let server = server();
    run(&server, &["create", "s"]).text();
    let work = || {
        run(&server, &["set", "s", "a1", "v"]).text();
        run(&server, &["set", "s", "b", "v"]).text();
        run(&server, &["del", "s", "a1", "none"]).text();
        run(&server, &["drop", "s", "--yes"]).text();
        run(&server, &["create", "s"]).text();
    };
    let lines = watched(&server, &["s"], work);
    let expected = "s\tput\ta1\ns\tput\tb\ns\tdeleted\ta1\ns\tdropped\n";
    assert_eq!(lines, expected);
    // A store's stream ends with the store; that of all stores has its test with a real process.
    let lines = watched(&server, &["s", "--prefix", "a", "--json"], work);
    let first = lines.lines().next().unwrap();
    let expected = r#"{"event":"changed","store":"s","put":["a1"],"deleted":[]}"#;
    assert_eq!(first, expected);
    assert_eq!(lines.lines().count(), 3, "{lines}");
    let missing = with_context(false, |context| {
        let KvCommand::Watch(arguments) = parsed(&["watch", "s", "--data", "data"]) else {
            panic!("no watch");
        };
        watch::run(&arguments, context)
    });
    let failure = format!("{:?}", missing.1.unwrap_err());
    assert!(failure.contains("nexusbase serve --data DIR"), "{failure}");
}
