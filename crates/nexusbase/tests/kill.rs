//! The promise that matters most: what was acknowledged is there, whatever happens to the process.
//!
//! A real server under the load of 16 clients is killed in the middle, and started again on the
//! same folder, over and over. Every document's content follows from its `_id`, so whatever is
//! there can be checked for being whole, acknowledged or not. The normal test does a few rounds;
//! many:
//!
//! ```sh
//! NEXUSBASE_KILL_ROUNDS=100 cargo test --release -p nexusbase --test kill -- --ignored
//! ```

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where the outside world fails"
)]

#[expect(dead_code, reason = "other test files use the rest")]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use nexusbase_io::{Env, Random};
use serde_json::{Value, json};
use support::{Place, Server};
use ureq::Agent;

const WRITERS: u64 = 16;
const GROUPS: u64 = 11;
const ROUNDS: u64 = 8;
const ROUNDS_MANY: u64 = 20;

/// The document with this `_id`.
fn document(id: &str) -> Value {
    let numbers: Vec<u64> = id.split('-').map(|part| part.parse().unwrap()).collect();
    let [round, writer, number] = numbers[..] else {
        panic!("the id {id:?} was written by nobody");
    };
    let length = usize::try_from((number * 37 + writer) % 900).unwrap();
    json!({
        "_id": id,
        "group": (number + writer + round) % GROUPS,
        "nested": {"writer": writer, "list": [round, number, "ü"]},
        "text": "0123456789".repeat(length / 10 + 1)[..length],
        "end": format!("end of {id}"),
    })
}

/// A client that keeps its connection.
struct Client {
    agent: Agent,
    documents: String,
}

impl Client {
    fn new(server: &Server) -> Self {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(20)))
            .proxy(None)
            .build();
        Self {
            agent: agent.into(),
            documents: format!("{}/collections/load/documents", server.url),
        }
    }

    /// Inserts, and says whether that was acknowledged.
    fn insert(&self, document: &Value) -> bool {
        let request = self.agent.post(&self.documents);
        let request = request.header("Content-Type", "application/json");
        let Ok(mut response) = request.send(document.to_string()) else {
            return false;
        };
        let is_created = response.status() == 201;
        // Read to its end, so that the connection serves the next request.
        let body = response.body_mut().read_to_string();
        is_created && body.is_ok()
    }

    fn page(&self, query: &[(&str, &str)]) -> Value {
        let request = self.agent.get(&self.documents);
        let request = request.query_pairs(query.iter().copied());
        let mut response = request.call().unwrap();
        let text = response.body_mut().read_to_string().unwrap();
        assert_eq!(response.status(), 200, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    /// All documents that match, by `_id`, and how the first page was found.
    fn find(&self, filter: &Value) -> (BTreeMap<String, Value>, Value) {
        let filter = filter.to_string();
        let (mut found, mut access, mut cursor) = (BTreeMap::new(), Value::Null, String::new());
        loop {
            let mut query = vec![("filter", &*filter), ("limit", "1000"), ("explain", "true")];
            if !cursor.is_empty() {
                query.push(("cursor", &cursor));
            }
            let page = self.page(&query);
            if access.is_null() {
                access = page["explain"]["access"].clone();
            }
            for document in page["documents"].as_array().unwrap() {
                let id = document["_id"].as_str().unwrap().to_owned();
                let twice = found.insert(id, document.clone());
                assert!(twice.is_none(), "{document} is there twice");
            }
            match page["next"].as_str() {
                Some(next) => cursor = next.to_owned(),
                None => return (found, access),
            }
        }
    }
}

/// Lets 16 clients insert until the server is gone, and ends it by `stop` after `time`. Returns
/// the ids that were acknowledged.
fn load(server: Server, round: u64, time: Duration, stop: impl FnOnce(Server)) -> BTreeSet<String> {
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let client = Client::new(&server);
                scope.spawn(move || {
                    let ids = (0..).map(|number| format!("{round}-{writer}-{number}"));
                    ids.take_while(|id| client.insert(&document(id)))
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        std::thread::sleep(time);
        stop(server);
        let acknowledged = writers
            .into_iter()
            .flat_map(|writer| writer.join().unwrap());
        acknowledged.collect()
    })
}

/// Everything acknowledged is there; everything there is whole; the index tells the same.
fn check(server: &Server, acknowledged: &BTreeSet<String>, rounds: u64) {
    let client = Client::new(server);
    let (all, _) = client.find(&json!({}));
    let lost: Vec<_> = acknowledged
        .iter()
        .filter(|id| !all.contains_key(*id))
        .collect();
    assert!(
        lost.is_empty(),
        "{} acknowledged and lost: {lost:?}",
        lost.len()
    );
    for (id, found) in &all {
        assert_eq!(*found, document(id), "{id} is not whole");
    }
    // Each writer waits for one answer at a time.
    let unheard = all.len() - acknowledged.len();
    assert!(
        unheard as u64 <= rounds * WRITERS,
        "{unheard} nobody inserted"
    );

    let mut indexed = 0;
    for group in 0..GROUPS {
        let (found, access) = client.find(&json!({"group": group}));
        assert_eq!(access["kind"], "index", "{access}");
        let expected = all.iter().filter(|(_, one)| one["group"] == group);
        assert!(
            expected.eq(found.iter()),
            "the index disagrees on group {group}"
        );
        indexed += found.len();
    }
    assert_eq!(indexed, all.len());
}

fn rounds(count: u64, stop: impl Fn(Server)) {
    let place = Place::new();
    let mut server = Server::start(&place.data());
    let index = format!("{}/collections/load/indexes/group", server.url);
    ureq::put(&index).send_empty().unwrap();
    let mut acknowledged = BTreeSet::new();
    for round in 0..count {
        let time = Duration::from_millis(100 + random() % 700);
        let new = load(server, round, time, &stop);
        println!("round {round}: {} acknowledged in {time:?}", new.len());
        assert!(!new.is_empty(), "nothing was acknowledged in {time:?}");
        acknowledged.extend(new);
        server = Server::start(&place.data());
        check(&server, &acknowledged, round + 1);
    }
    assert!(server.terminate().success());

    // The same, from inside.
    let db = nexusbase::Database::open(place.data()).unwrap();
    let documents = nexusbase::Documents::new(&db);
    let load = documents.collection("load").unwrap();
    for id in &acknowledged {
        let id = nexusbase::bson::raw::RawBsonRef::String(id);
        assert!(load.get(id).unwrap().is_some(), "{id:?}");
    }
}

fn random() -> u64 {
    let mut bytes = [0; 8];
    let random: &dyn Random = &*Env::os().random;
    random.fill(&mut bytes).unwrap();
    u64::from_le_bytes(bytes)
}

#[test]
fn a_killed_server_has_lost_nothing_acknowledged() {
    rounds(ROUNDS, Server::kill);
}

#[test]
#[ignore = "many rounds: cargo test --release -p nexusbase --test kill -- --ignored"]
fn a_server_killed_many_times_has_lost_nothing_acknowledged() {
    let named = std::env::var("NEXUSBASE_KILL_ROUNDS").ok();
    let count = named.map_or(ROUNDS_MANY, |count| count.parse().unwrap());
    rounds(count, Server::kill);
}

#[test]
fn a_terminated_server_ends_well_and_has_lost_nothing_acknowledged() {
    rounds(3, |server| {
        let status = server.terminate();
        assert_eq!(status.code(), Some(0), "{status}");
    });
}
