//! What happens without being asked: documents expire, and interrupted indexes are finished.

use std::ops::ControlFlow;
use std::time::Duration;

use nexusbase_documents::Documents;
use nexusbase_documents::store::{Built, IndexSpec};
use serde_json::json;

use crate::running::Running;

const PAUSE: Duration = Duration::from_millis(20);

#[test]
fn documents_whose_time_has_come_are_deleted() {
    let server = Running::start();
    let dated =
        |id: u32, ms: i64| json!({"_id": id, "at": {"$date": {"$numberLong": ms.to_string()}}});
    let documents = json!([dated(1, 1000), dated(2, 4_000_000_000_000), {"_id": 3}]);
    server
        .post("/collections/c/documents", &documents.to_string())
        .expect(201);
    server
        .post(
            "/collections/c/indexes",
            r#"{"on": "at", "expire_after_seconds": 60}"#,
        )
        .expect(201);
    while server.get("/collections/c/documents/1").status == 200 {
        std::thread::sleep(PAUSE);
    }
    server
        .get("/collections/c/documents/1")
        .problem(404, "no-such-document");
    let found = server
        .get("/collections/c/documents?fields=_id")
        .expect(200);
    assert_eq!(found["documents"], json!([{"_id": 2}, {"_id": 3}]));
}

/// A build that the end of one server has interrupted is finished by the next.
#[test]
fn interrupted_indexes_are_finished_at_the_next_start() {
    let mut server = Running::start();
    let lines: Vec<String> = (0..100)
        .map(|n| json!({"_id": n, "n": n}).to_string())
        .collect();
    server
        .lines("/collections/c/documents", &lines.join("\n"))
        .expect(201);
    server.join();
    let collection = Documents::new(&server.db).collection("c").unwrap();
    let spec = IndexSpec::on("n").unwrap();
    let built = collection.build_index(&spec, |_| ControlFlow::Break(()));
    assert_eq!(built.unwrap(), Built::Paused);
    let server = server.start_again();
    while server.get("/collections/c/indexes/n").expect(200)["ready"] != true {
        std::thread::sleep(PAUSE);
    }
    let body = r#"{"filter": {"n": 50}, "explain": true}"#;
    let found = server.post("/collections/c/query", body).expect(200);
    assert_eq!(found["explain"]["access"]["path"], "n");
    assert_eq!(found["documents"], json!([{"_id": 50, "n": 50}]));
}
