//! The demo: what it prints works when pasted.

use std::process::Command;

use crate::support::{Place, Server, command, end};

#[test]
fn the_demo_prints_commands_that_work() {
    let place = Place::new();
    // The usual port may be taken on this machine, by another test run for one; so may be not.
    let mut demo = command(place.path());
    let server = Server::spawn(demo.args(["demo", "--listen", "127.0.0.1:0"]), "Ctrl-C");
    assert!(
        server.said.contains("981 documents imported into packages"),
        "{}",
        server.said
    );
    let is_command = |line: &&str| line.contains(" query ") || line.starts_with("curl ");
    let commands: Vec<&str> = server.said.lines().filter(is_command).collect();
    assert!(commands.len() >= 6, "{commands:?}");
    for line in commands {
        if line.starts_with("curl ") && Command::new("curl").arg("-V").output().is_err() {
            continue; // not installed here
        }
        let run = end(Command::new("sh").args(["-c", line]));
        let out = run.ok();
        let lines = out.lines().filter(|line| line.starts_with('{'));
        assert!(lines.count() >= 1, "{line}\n{out}");
        assert!(
            !out.contains("/problems/") && out.ends_with('\n'),
            "{line}\n{out}"
        );
    }
    assert!(server.terminate().success());

    let mut again = command(place.path());
    let server = Server::spawn(again.args(["demo", "--listen", "127.0.0.1:0"]), "Ctrl-C");
    let reused = "using the database in nexusbase-demo, made by an earlier run";
    assert!(server.said.contains(reused), "{}", server.said);
    let count = [
        "query",
        "packages",
        r#"{"section": "database"}"#,
        "--server",
        &server.url,
    ];
    assert_eq!(place.run(&count).ok().lines().count(), 245);
}

#[test]
fn the_demo_takes_a_free_port_if_the_usual_one_is_taken() {
    // Held by this test, or by somebody else: taken either way.
    let _held = std::net::TcpListener::bind("127.0.0.1:7700");
    let place = Place::new();
    let server = Server::spawn(command(place.path()).arg("demo"), "Ctrl-C");
    assert!(!server.url.ends_with(":7700"), "{}", server.said);
    assert!(!server.said.contains(":7700"), "{}", server.said);
    let listen = ["demo", "--listen", "127.0.0.1:7700", "--data", "other"];
    place
        .run(&listen)
        .fails(1, &["cannot listen on 127.0.0.1:7700", "hint: "]);
    place
        .run(&["demo", "--listen", "x"])
        .fails(2, &["not an address", "hint: "]);
}
