//! A database that has failed is not served any longer.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use nexusbase_db::{Database, Options};
use nexusbase_documents::Documents;
use nexusbase_documents::bson::rawdoc;
use nexusbase_io::Env;
use nexusbase_io::sim::{FaultKind, SimDisk};
use nexusbase_kv::ErrorKind;
use nexusbase_server::{ServeError, ServerConfig, Service, run_blocking};

#[test]
fn the_service_ends_with_an_error_when_the_database_fails() {
    let disk = SimDisk::new(1);
    let env = Env {
        fs: Arc::new(disk.clone()),
        ..Env::os()
    };
    let options = Options {
        env,
        housekeeping_thread: false,
        ..Options::default()
    };
    let db = Database::open_with("/data", options).unwrap();
    let things = Documents::new(&db).collection("things").unwrap();
    things.insert(&rawdoc! { "a": 1 }).unwrap();

    let config = ServerConfig {
        listen: ([127, 0, 0, 1], 0).into(),
        ..ServerConfig::default()
    };
    let (ready, is_ready) = mpsc::channel();
    let stores = nexusbase_kv::standard(&db, "/data".as_ref()).unwrap();
    let service = Service {
        db,
        stores: Arc::clone(&stores),
    };
    let service =
        std::thread::spawn(move || run_blocking(config, service, |_| ready.send(()).unwrap()));
    is_ready.recv_timeout(Duration::from_secs(30)).unwrap();
    disk.fail_at(1, FaultKind::Io);
    things.insert(&rawdoc! { "a": 2 }).unwrap_err();
    let ended = service.join().unwrap();
    assert!(matches!(ended, Err(ServeError::Failed(_))), "{ended:?}");
    let closed = stores.list().unwrap_err();
    assert!(matches!(closed.kind(), ErrorKind::Closed), "{closed}");
}
