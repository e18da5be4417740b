//! The figures for machines, held against the page that explains them.

use std::collections::{BTreeMap, BTreeSet};

use crate::running::Running;

const PAGE: &str = include_str!("../../../../docs/metrics.md");

/// Name, type and labels of the metrics that the page explains.
fn explained() -> BTreeMap<String, (String, BTreeSet<String>)> {
    let rows = PAGE
        .lines()
        .filter(|line| line.starts_with("| `nexusbase_"));
    rows.map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        assert!(
            cells.len() == 7,
            "name, type, labels, meaning, alert: {line}"
        );
        assert!(!cells[4].is_empty(), "{line}");
        let name = cells[1].trim_matches('`').to_owned();
        let labels = cells[3]
            .split(',')
            .map(|label| label.trim().trim_matches('`'));
        let labels = labels.filter(|label| !label.is_empty()).map(str::to_owned);
        (name, (cells[2].to_owned(), labels.collect()))
    })
    .collect()
}

/// The same of what a server says: the names that a question would use.
fn said(text: &str) -> BTreeMap<String, (String, BTreeSet<String>)> {
    let mut all = BTreeMap::new();
    let mut family = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            name.clone_into(&mut family);
            let name = match kind {
                "counter" => format!("{name}_total"),
                "info" => format!("{name}_info"),
                _ => name.to_owned(),
            };
            all.insert(name, (kind.to_owned(), BTreeSet::new()));
        } else if !line.starts_with('#') {
            let (name, labels) = line.split_once('{').unwrap_or((line, ""));
            let name = name.split(' ').next().unwrap();
            let series = ["_bucket", "_sum", "_count"];
            let name = series.iter().fold(name, |name, end| {
                name.strip_suffix(end)
                    .filter(|name| *name == family)
                    .unwrap_or(name)
            });
            // Routes have braces of their own.
            let labels = labels.rsplit_once('}').map_or("", |(labels, _)| labels);
            let labels = labels
                .split("\",")
                .filter_map(|label| label.split_once('='));
            let names = labels.map(|(name, _)| name.to_owned());
            let names = names.filter(|name| name != "le");
            all.get_mut(name).unwrap().1.extend(names);
        }
    }
    all
}

#[test]
fn the_page_explains_every_metric_and_no_other() {
    let server = Running::start();
    server.post("/collections/c/documents", "{}").expect(201);
    let text = server.get("/metrics").body;
    let (said, explained) = (said(&text), explained());
    assert!(said.len() > 40, "{said:#?}");
    for (name, found) in &said {
        let Some(known) = explained.get(name) else {
            panic!("docs/metrics.md does not explain {name}, {found:?}");
        };
        assert_eq!(known.0, found.0, "the type of {name}");
        // Levels have no series before the first flush.
        if !(found.1.is_empty() && name.contains("_level_")) {
            assert_eq!(known.1, found.1, "the labels of {name}");
        }
    }
    for name in explained.keys() {
        assert!(said.contains_key(name), "there is no {name}");
    }
}

#[test]
fn what_is_under_way_is_counted_and_what_ended_is_not() {
    let server = Running::start();
    server
        .post("/collections/c/documents", "{\"_id\":1}")
        .expect(201);
    let at_rest = |server: &Running| {
        // The one that asks is under way itself.
        assert!((server.metric("nexusbase_http_requests_in_flight") - 1.0).abs() < 0.1);
        assert!(server.metric("nexusbase_operations_running") < 0.1);
        assert!(server.metric("nexusbase_operations_waiting") < 0.1);
    };
    at_rest(&server);
    server.clock.hold_commits();
    std::thread::scope(|scope| {
        let write = scope.spawn(|| server.post("/collections/c/documents", "{\"_id\":2}"));
        server.clock.await_waiting(1);
        assert!((server.metric("nexusbase_http_requests_in_flight") - 2.0).abs() < 0.1);
        assert!((server.metric("nexusbase_operations_running") - 1.0).abs() < 0.1);
        server.clock.open();
        write.join().unwrap().expect(201);
    });
    at_rest(&server);
    let before = server.metric("nexusbase_http_sent_bytes_total");
    let page = server.get("/openapi.json").bytes.len();
    let sent = server.metric("nexusbase_http_sent_bytes_total") - before;
    #[expect(
        clippy::cast_precision_loss,
        reason = "it is far from where that begins"
    )]
    let page = page as f64;
    assert!(sent > page, "{sent} {page}");
    assert!(server.metric("nexusbase_http_received_bytes_total") > 100.0);
}
