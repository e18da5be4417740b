//! A server that runs in this process, and two clients for it: an ordinary one, and one that
//! sends any bytes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use nexusbase_db::{Database, Options};
use nexusbase_io::sim::SimDisk;
use nexusbase_io::{Clock, Env};
use nexusbase_kv::MultiStore;
use nexusbase_server::{AuthMode, Certificates, Limits, ServeError, Server, ServerConfig, Service};
use serde_json::Value;
use tokio::sync::oneshot;
use ureq::http::{HeaderMap, Request};

/// How long a test waits for bytes before it fails.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) db: Database,
    pub(crate) stores: Arc<dyn MultiStore>,
    pub(crate) disk: SimDisk,
    pub(crate) clock: Arc<GateClock>,
    /// The certificate, if there is one.
    pub(crate) certificates: Option<Certificates>,
    agent: ureq::Agent,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<(), ServeError>>>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
    pub(crate) bytes: Vec<u8>,
}

impl Running {
    pub(crate) fn start() -> Self {
        Self::with(Limits::default())
    }

    pub(crate) fn with(limits: Limits) -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        Self::configured(ServerConfig {
            listen,
            limits,
            auth: AuthMode::Off,
            ..ServerConfig::default()
        })
    }

    pub(crate) fn configured(config: ServerConfig) -> Self {
        let disk = SimDisk::new(1);
        let clock = Arc::new(GateClock::new());
        let env = Env {
            fs: Arc::new(disk.clone()),
            clock: Arc::<GateClock>::clone(&clock),
            ..Env::os()
        };
        let options = Options {
            env,
            segment_bytes: 1 << 20,
            ..Options::default()
        };
        let db = Database::open_with("/data", options).unwrap();
        Self::serving(config, db, disk, clock)
    }

    /// A server on a database that is open already.
    fn serving(config: ServerConfig, db: Database, disk: SimDisk, clock: Arc<GateClock>) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let (ready, address) = std::sync::mpsc::channel();
        let stores = nexusbase_kv::standard(&db, "/data".as_ref()).unwrap();
        let served = Service {
            db: db.clone(),
            stores: Arc::clone(&stores),
        };
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let server = Server::bind(config, served).await?;
                let said = (server.address(), server.certificates());
                ready.send(said).unwrap();
                server.run(async { drop(stopped.await) }).await
            })
        });
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            // Servers with short limits close idle connections, perhaps just when one is used again.
            .max_idle_age(Duration::from_millis(100))
            .build();
        let (address, certificates) = address.recv_timeout(PATIENCE).unwrap();
        Self {
            address,
            certificates,
            db,
            stores,
            disk,
            clock,
            agent: agent.into(),
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A request with any headers; a body only if there is one.
    pub(crate) fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        let mut request = Request::builder().method(method).uri(self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let result = if body.is_empty() && method != "POST" && method != "PUT" {
            self.agent.run(request.body(()).unwrap())
        } else {
            self.agent.run(request.body(body).unwrap())
        };
        let mut response = result.unwrap_or_else(|e| panic!("{method} {path}: {e}"));
        let body = response.body_mut().with_config().limit(1 << 30);
        let bytes = body.read_to_vec().unwrap();
        Reply {
            body: String::from_utf8_lossy(&bytes).into_owned(),
            bytes,
            status: response.status().as_u16(),
            headers: response.headers().clone(),
        }
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        self.request("GET", path, &[], b"")
    }

    pub(crate) fn delete(&self, path: &str) -> Reply {
        self.request("DELETE", path, &[], b"")
    }

    pub(crate) fn put(&self, path: &str, body: &str) -> Reply {
        let headers = [("content-type", "application/json")];
        self.request("PUT", path, &headers, body.as_bytes())
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> Reply {
        let headers = [("content-type", "application/json")];
        self.request("POST", path, &headers, body.as_bytes())
    }

    pub(crate) fn lines(&self, path: &str, body: &str) -> Reply {
        let headers = [("content-type", "application/x-ndjson")];
        self.request("POST", path, &headers, body.as_bytes())
    }

    /// The value of a metric that has no labels, or of all its series together.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let body = self.get("/metrics").body;
        let lines = body.lines().filter(|line| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with([' ', '{']))
        });
        let values: Vec<f64> = lines
            .map(|line| line.rsplit(' ').next().unwrap().parse().unwrap())
            .collect();
        assert!(!values.is_empty(), "{name} is missing in {body}");
        values.iter().sum()
    }

    /// A connection of its own.
    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends any bytes and returns what comes until the server closes the connection.
    pub(crate) fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        // The server may close before it has read everything.
        let _ = stream.write_all(bytes);
        read_all(&mut stream)
    }

    /// A server on the same database, when this one has ended.
    pub(crate) fn start_again(&mut self) -> Self {
        self.join();
        self.stores.close().unwrap();
        let config = ServerConfig {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            auth: AuthMode::Off,
            ..ServerConfig::default()
        };
        let (db, disk) = (self.db.clone(), self.disk.clone());
        Self::serving(config, db, disk, Arc::clone(&self.clock))
    }

    /// Tells the server to stop, without waiting for it.
    pub(crate) fn stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }

    /// Stops the server and waits for its end.
    pub(crate) fn join(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap().unwrap();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.clock.open();
        self.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }

    /// Checks the status and gives the body.
    #[track_caller]
    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        if self.body.is_empty() {
            Value::Null
        } else {
            self.json()
        }
    }

    /// Checks that it is a complete problem document of this kind.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, kind: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["type"], format!("/problems/{kind}"), "{problem}");
        assert_eq!(problem["status"], status);
        assert_eq!(problem["instance"], self.header("x-request-id"));
        for member in ["title", "detail", "instance"] {
            assert!(
                problem[member]
                    .as_str()
                    .is_some_and(|text| !text.is_empty())
            );
        }
        problem
    }
}

/// Everything until the end of the connection.
pub(crate) fn read_all(stream: &mut impl Read) -> String {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        Err(error) => panic!("the server keeps the connection open: {error}"),
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A clock that can be made to hold up who asks for the time: commits ask for the date, queries
/// for the time that has gone by.
#[derive(Debug)]
pub(crate) struct GateClock {
    inner: Arc<dyn Clock>,
    state: Mutex<Gate>,
    changed: Condvar,
    /// How far it runs ahead, in milliseconds.
    ahead_ms: AtomicU64,
}

#[derive(Debug, Default)]
struct Gate {
    commits_wait: bool,
    waiting: usize,
    /// Which call from now on waits.
    query_waits_in: Option<usize>,
}

impl GateClock {
    fn new() -> Self {
        Self {
            inner: Env::os().clock,
            state: Mutex::default(),
            changed: Condvar::new(),
            ahead_ms: AtomicU64::new(0),
        }
    }

    /// Time goes by.
    pub(crate) fn advance(&self, ms: u64) {
        self.ahead_ms.fetch_add(ms, Ordering::SeqCst);
    }

    /// Commits wait from now on.
    pub(crate) fn hold_commits(&self) {
        self.state.lock().unwrap().commits_wait = true;
    }

    /// The `n`-th look at the stopwatch from now on waits.
    pub(crate) fn hold_query(&self, n: usize) {
        self.state.lock().unwrap().query_waits_in = Some(n);
    }

    /// Nobody waits any more.
    pub(crate) fn open(&self) {
        let mut state = self.state.lock().unwrap();
        state.commits_wait = false;
        state.query_waits_in = None;
        self.changed.notify_all();
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.state.lock().unwrap().waiting
    }

    /// Returns when so many wait.
    pub(crate) fn await_waiting(&self, count: usize) {
        let state = self.state.lock().unwrap();
        let (guard, late) = self
            .changed
            .wait_timeout_while(state, PATIENCE, |state| state.waiting < count)
            .unwrap();
        drop(guard);
        assert!(!late.timed_out(), "nobody asks for the time");
    }

    fn wait_while(&self, mut state: std::sync::MutexGuard<'_, Gate>, holds: fn(&Gate) -> bool) {
        state.waiting += 1;
        self.changed.notify_all();
        let held = self.changed.wait_while(state, |state| holds(state));
        held.unwrap().waiting -= 1;
    }
}

impl Clock for GateClock {
    fn unix_ms(&self) -> u64 {
        let state = self.state.lock().unwrap();
        if state.commits_wait {
            self.wait_while(state, |state| state.commits_wait);
        }
        self.inner.unix_ms() + self.ahead_ms.load(Ordering::SeqCst)
    }

    fn monotonic(&self) -> Duration {
        let mut state = self.state.lock().unwrap();
        match &mut state.query_waits_in {
            Some(1) => {
                state.query_waits_in = Some(0);
                self.wait_while(state, |state| state.query_waits_in.is_some());
            }
            Some(n) if *n > 1 => *n -= 1,
            _ => {}
        }
        self.inner.monotonic() + Duration::from_millis(self.ahead_ms.load(Ordering::SeqCst))
    }
}
