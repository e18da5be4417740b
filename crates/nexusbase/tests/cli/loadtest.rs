//! `nexusbase loadtest` against a real server: sound, disturbed, and killed.

use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::support::{Place, Server, command};

/// A load test that runs beside the test.
fn start(place: &Place, url: &str, arguments: &[&str]) -> Child {
    let mut loadtest: Command = command(place.path());
    loadtest
        .args(["loadtest", "--json", "--quiet", "--server", url])
        .args(["--users", "4", "--writes-per-minute", "unlimited"])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn report(output: &Output) -> Value {
    let error = || String::from_utf8_lossy(&output.stderr).into_owned();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", error()))
}

fn number(value: &Value) -> u64 {
    value
        .as_u64()
        .unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn a_sound_server_passes_and_the_metrics_add_up() {
    let place = Place::new();
    let server = Server::start(&place.data());
    let output = start(&place, &server.url, &["--duration", "1s"]);
    let output = output.wait_with_output().unwrap();
    let report = report(&output);
    assert_eq!(output.status.code(), Some(0), "{report:#}");
    assert_eq!(report["integrity"]["held"], true);
    let operations = report["operations"].as_object().unwrap();
    let kinds: Vec<&str> = operations.keys().map(String::as_str).collect();
    assert_eq!(kinds, ["reads", "inserts", "updates", "deletes"]);
    let outcomes = [
        "ok",
        "refused",
        "failed",
        "timed_out",
        "unreachable",
        "broken",
    ];
    for line in operations.values().chain([&report["all"]]) {
        let sum: u64 = outcomes.iter().map(|outcome| number(&line[outcome])).sum();
        assert_eq!(sum, number(&line["count"]), "{line}");
    }
    let sum: u64 = operations.values().map(|line| number(&line["count"])).sum();
    assert_eq!(sum, number(&report["all"]["count"]));
    // All went well, so what is left is what was inserted and not deleted.
    let left = number(&operations["inserts"]["ok"]) - number(&operations["deletes"]["ok"]);
    assert!(left > 0, "{report:#}");
    assert_eq!(number(&report["integrity"]["documents_found"]), left);
    // Its collection is gone.
    assert_eq!(
        place.run(&["collections", "--server", &server.url]).ok(),
        ""
    );
}

#[test]
fn a_lost_and_a_changed_document_are_detected() {
    let place = Place::new();
    let server = Server::start(&place.data());
    let mix = ["--mix", "reads=0,inserts=1,updates=0,deletes=0"];
    let arguments = ["--duration", "2s", "--collection", "load", mix[0], mix[1]];
    let loadtest = start(&place, &server.url, &arguments);
    let url = format!("{}/collections/load/documents", server.url);
    let there = (0..500).any(|_| {
        std::thread::sleep(Duration::from_millis(5));
        let both = ["u1-1", "u2-1"].map(|id| ureq::get(format!("{url}/{id}")).call().is_ok());
        both == [true; 2]
    });
    assert!(there, "the load test inserts nothing");
    ureq::delete(format!("{url}/u1-1")).call().unwrap();
    let other = ureq::put(format!("{url}/u2-1")).header("content-type", "application/json");
    other.send(r#"{"version": 1}"#).unwrap();
    let output = loadtest.wait_with_output().unwrap();
    let report = report(&output);
    assert_eq!(output.status.code(), Some(1), "{report:#}");
    let integrity = &report["integrity"];
    assert_eq!(integrity["held"], false);
    assert_eq!(
        (number(&integrity["lost"]), number(&integrity["changed"])),
        (1, 1),
        "{integrity}"
    );
    assert_eq!(number(&integrity["made_up"]), 0);
    let findings = integrity["findings"].to_string();
    assert!(
        findings.contains("u1-1") && findings.contains("u2-1"),
        "{findings}"
    );
}

#[test]
fn integrity_holds_when_the_server_is_killed_and_started_again() {
    let place = Place::new();
    let server = Server::start(&place.data());
    let address = server.url.trim_start_matches("http://").to_owned();
    let loadtest = start(&place, &server.url, &["--duration", "3s"]);
    std::thread::sleep(Duration::from_secs(1));
    server.kill();
    let mut serve = command(place.path());
    serve
        .args([
            "serve",
            "--data",
            "data",
            "--auth",
            "off",
            "--log-level",
            "warn",
        ])
        .args(["--listen", &address]);
    let server = Server::spawn(&mut serve, "serving ");
    let output = loadtest.wait_with_output().unwrap();
    let report = report(&output);
    assert_eq!(output.status.code(), Some(0), "{report:#}");
    let all = &report["all"];
    assert!(
        number(&all["ok"]) < number(&all["count"]),
        "nobody noticed the kill: {all}"
    );
    assert!(server.terminate().success());
}
