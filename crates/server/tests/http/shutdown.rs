//! Stopping: what is under way is answered, nothing new is taken, and there is an end to it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use nexusbase_server::Limits;

use crate::running::{Running, read_all};

const URL: &str = "/collections/c/documents";

/// Waits until nobody listens any more.
fn await_refusal(server: &Running) {
    for _ in 0..1000 {
        if TcpStream::connect(server.address).is_err() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("connections are still accepted");
}

#[test]
fn a_request_under_way_is_answered() {
    let mut server = Running::start();
    let mut slow = server.connect();
    let head = format!(
        "POST {URL} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
        Content-Length: 10\r\n\r\n"
    );
    slow.write_all(head.as_bytes()).unwrap();
    slow.write_all(b"{\"_id\"").unwrap();
    // The server has this connection once it answers on another that came later.
    let mut idle = server.connect();
    idle.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    server.get("/health").expect(200);
    idle.read_exact(&mut [0; 9]).unwrap();
    server.stop();
    await_refusal(&server);
    // Time enough for a server that would not wait.
    std::thread::sleep(Duration::from_millis(200));
    slow.write_all(b": 1}").unwrap();
    let answer = read_all(&mut slow);
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    // The idle connection does not hold it up, and its answer was sent.
    assert!(read_all(&mut idle).starts_with("200 "));
    server.join();
    let collection = nexusbase_documents::Documents::new(&server.db)
        .collection("c")
        .unwrap();
    let id = nexusbase_documents::bson::raw::RawBsonRef::Int32(1);
    assert!(
        collection.get(id).unwrap().is_some(),
        "an acknowledged write was lost"
    );
}

#[test]
fn a_request_that_takes_too_long_is_cut_off() {
    let mut server = Running::with(Limits {
        shutdown_timeout: Duration::from_millis(300),
        ..Limits::default()
    });
    let mut slow = server.connect();
    let head = format!(
        "POST {URL} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
        Content-Length: 10\r\n\r\n{{"
    );
    slow.write_all(head.as_bytes()).unwrap();
    server.get("/health").expect(200);
    server.join();
    assert_eq!(read_all(&mut slow), "");
}

/// Under load, every write that was acknowledged before the end is there after it.
#[test]
fn no_acknowledged_write_is_lost() {
    let mut server = Running::start();
    let address = server.address;
    let clients: Vec<_> = (0..8)
        .map(|client| {
            std::thread::spawn(move || {
                let mut acknowledged = Vec::new();
                for n in 0.. {
                    let body = format!("{{\"_id\": \"{client}-{n}\"}}");
                    let sent = ureq::post(&format!("http://{address}{URL}"))
                        .header("content-type", "application/json")
                        .send(&body);
                    match sent {
                        Ok(_) => acknowledged.push(format!("{client}-{n}")),
                        Err(_) => break,
                    }
                }
                acknowledged
            })
        })
        .collect();
    std::thread::sleep(Duration::from_millis(300));
    server.join();
    let acknowledged: Vec<String> = clients
        .into_iter()
        .flat_map(|client| client.join().unwrap())
        .collect();
    assert!(acknowledged.len() > 8, "only {} writes", acknowledged.len());
    server.db.close().unwrap();
    // The power goes, too.
    server.disk.crash(7);
    let options = nexusbase_db::Options {
        env: nexusbase_io::Env {
            fs: std::sync::Arc::new(server.disk.clone()),
            ..nexusbase_io::Env::os()
        },
        segment_bytes: 1 << 20,
        ..nexusbase_db::Options::default()
    };
    let db = nexusbase_db::Database::open_with("/data", options).unwrap();
    let collection = nexusbase_documents::Documents::new(&db)
        .collection("c")
        .unwrap();
    for id in acknowledged {
        let id = nexusbase_documents::bson::raw::RawBsonRef::String(&id);
        assert!(collection.get(id).unwrap().is_some(), "{id:?} was lost");
    }
}
