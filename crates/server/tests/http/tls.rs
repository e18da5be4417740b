//! HTTPS: who is answered, who is refused, and that nobody is held up by the others.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use nexusbase_db::Database;
use nexusbase_io::user_file;
use nexusbase_server::{
    AuthMode, Limits, ServeError, Server, ServerConfig, Service, TlsError, TlsFiles,
};
use tempfile::TempDir;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::running::{Running, read_all};

const URL: &str = "/collections/c/documents";

/// A certificate that was made for a test, and its files.
struct Made {
    folder: TempDir,
    certificate: CertificateDer<'static>,
}

impl Made {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut made = Self {
            folder,
            certificate: CertificateDer::from(Vec::new()),
        };
        made.renew();
        made
    }

    /// Makes another, in the same files.
    fn renew(&mut self) {
        let names = vec!["localhost".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let files = self.files();
        user_file::write(&files.certificate, made.cert.pem().as_bytes()).unwrap();
        let key = made.signing_key.serialize_pem();
        user_file::write(&files.key, key.as_bytes()).unwrap();
        self.certificate = made.cert.der().clone();
    }

    fn files(&self) -> TlsFiles {
        TlsFiles {
            certificate: self.folder.path().join("certificate.pem"),
            key: self.folder.path().join("key.pem"),
        }
    }

    /// A connection on which only this certificate is trusted.
    fn connect(&self, server: &Running) -> StreamOwned<ClientConnection, TcpStream> {
        self.over(server.connect())
    }

    fn over(&self, stream: TcpStream) -> StreamOwned<ClientConnection, TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let session = ClientConnection::new(Arc::new(config), name).unwrap();
        StreamOwned::new(session, stream)
    }

    fn exchange(&self, server: &Running, request: &str) -> String {
        let mut stream = self.connect(server);
        stream.write_all(request.as_bytes()).unwrap();
        read_all(&mut stream)
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
}

fn config(files: TlsFiles, limits: Limits) -> ServerConfig {
    ServerConfig {
        listen: ([127, 0, 0, 1], 0).into(),
        limits,
        auth: AuthMode::Off,
        tls: Some(files),
        ..ServerConfig::default()
    }
}

fn serve(made: &Made, limits: Limits) -> Running {
    Running::configured(config(made.files(), limits))
}

#[test]
fn https_is_answered() {
    let made = Made::new();
    let server = serve(&made, Limits::default());
    let body = "{\"_id\": 1}";
    let insert = format!(
        "POST {URL} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
        Content-Length: {}\r\nX-Request-Id: mine\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let answer = made.exchange(&server, &insert);
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    assert!(answer.contains("x-request-id: mine\r\n"), "{answer}");
    let answer = made.exchange(&server, &get(URL));
    assert!(answer.contains("\"documents\":[{\"_id\":1}]"), "{answer}");
    let answer = made.exchange(&server, &get("/none"));
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    assert!(answer.contains("/problems/no-such-route"), "{answer}");
    // Several requests on one connection, one of them large.
    let mut stream = made.connect(&server);
    for _ in 0..3 {
        let request = "GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
    }
    stream.write_all(get("/health").as_bytes()).unwrap();
    let answers = read_all(&mut stream);
    assert_eq!(answers.matches("HTTP/1.1 200 ").count(), 4);
}

#[test]
fn plain_http_to_the_port_of_https_is_told_so() {
    let made = Made::new();
    let server = serve(&made, Limits::default());
    let answer = server.raw(b"GET /collections HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(
        answer.contains("content-type: application/problem+json"),
        "{answer}"
    );
    assert!(answer.contains("/problems/tls-required"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    // Nothing is served so, and what is neither does no harm.
    let write = b"PUT /collections/c HTTP/1.1\r\nHost: localhost\r\n\r\n";
    assert!(server.raw(write).starts_with("HTTP/1.1 400 "));
    server.raw(b"\x16\x03\x01\x00\x05hello");
    server.raw(&[0; 100]);
    let metrics = made.exchange(&server, &get("/metrics"));
    let failures = "nexusbase_tls_handshake_failures_total{reason=";
    for line in [
        format!("{failures}\"plain-text\"}} 3"),
        format!("{failures}\"protocol\"}} 1"),
        format!("{failures}\"timeout\"}} 0"),
    ] {
        assert!(metrics.contains(&line), "{line} in {metrics}");
    }
    let collections = made.exchange(&server, &get("/collections"));
    assert!(
        collections.contains("{\"collections\":[]}"),
        "{collections}"
    );
}

#[test]
fn a_certificate_that_cannot_be_used_is_a_start_error() {
    let (made, other) = (Made::new(), Made::new());
    let empty = made.folder.path().join("empty.pem");
    user_file::write(&empty, b"").unwrap();
    let files = |certificate: &std::path::Path, key: &std::path::Path| TlsFiles {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
    };
    let good = made.files();
    let start = |files: TlsFiles| {
        let db = Database::in_memory().unwrap();
        let stores = nexusbase_kv::stores(db.env());
        let service = Service { db, stores };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let config = config(files, Limits::default());
        match runtime.block_on(Server::bind(config, service)) {
            Err(ServeError::Tls(error)) => error,
            other => panic!("{other:?}"),
        }
    };
    let pair = start(files(&good.certificate, &other.files().key));
    assert!(matches!(pair, TlsError::Pair { .. }), "{pair}");
    let text = pair.to_string();
    assert!(
        text.contains("certificate.pem") && text.contains("key.pem"),
        "{text}"
    );
    for (certificate, key) in [
        (&empty, &good.key),
        (&good.key, &good.key),
        (&good.certificate, &empty),
        (&good.certificate, &good.certificate),
    ] {
        let error = start(files(certificate, key));
        let named = match &error {
            TlsError::Certificate { file, .. } => file == certificate,
            TlsError::Key { file, .. } => file == key,
            _ => false,
        };
        assert!(named, "{error}");
    }
    let missing = start(files(&good.certificate, "/nowhere/key.pem".as_ref()));
    assert!(
        missing.to_string().contains("/nowhere/key.pem"),
        "{missing}"
    );
}

#[test]
fn slow_handshakes_hold_up_nobody_and_are_cut_off() {
    let made = Made::new();
    let limits = Limits {
        request_timeout: Duration::from_millis(500),
        connections: 4,
        ..Limits::default()
    };
    let server = serve(&made, limits);
    let mut silent = server.connect();
    let mut stuck = server.connect();
    stuck.write_all(b"\x16\x03\x01\x02\x00\x01").unwrap();
    // They are not served one after the other.
    let answer = made.exchange(&server, &get("/health"));
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let mut end = Vec::new();
    let _ = silent.read_to_end(&mut end);
    let _ = stuck.read_to_end(&mut end);
    let metrics = made.exchange(&server, &get("/metrics"));
    let lines = metrics
        .lines()
        .filter(|line| line.contains("tls_handshake_failures"));
    let lines: Vec<&str> = lines.collect();
    assert!(metrics.contains("{reason=\"timeout\"} 2"), "{lines:?}");

    // They count as connections: with all places taken, others wait, and are served in the end.
    let taken: Vec<_> = (0..4).map(|_| server.connect()).collect();
    let answer = made.exchange(&server, &get("/health"));
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    drop(taken);
}

#[test]
fn a_renewed_certificate_is_for_connections_that_come_later() {
    let mut made = Made::new();
    let server = serve(&made, Limits::default());
    let mut before = made.connect(&server);
    let keep = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
    before.write_all(keep.as_bytes()).unwrap();
    before.read_exact(&mut [0; 15]).unwrap();
    let old = made.certificate.clone();
    made.renew();
    let certificates = server.certificates.clone().unwrap();
    certificates.reload().unwrap();
    let answer = made.exchange(&server, &get("/health"));
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    // What was open goes on.
    before.write_all(get("/collections").as_bytes()).unwrap();
    assert!(read_all(&mut before).contains("{\"collections\":[]}"));
    // Files that are no good change nothing.
    user_file::write(&made.files().key, b"").unwrap();
    assert!(certificates.reload().is_err());
    let answer = made.exchange(&server, &get("/health"));
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    // The old one is not shown any more.
    made.certificate = old;
    let mut distrustful = made.connect(&server);
    assert!(distrustful.write_all(get("/health").as_bytes()).is_err());
}

#[test]
fn a_server_with_a_certificate_stops_in_good_order() {
    let made = Made::new();
    let mut server = serve(&made, Limits::default());
    let mut slow = made.connect(&server);
    let head = format!(
        "POST {URL} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
        Content-Length: 10\r\nExpect: 100-continue\r\n\r\n"
    );
    slow.write_all(head.as_bytes()).unwrap();
    // It is under way when it is told to go on.
    let mut go_on = [0; 25];
    slow.read_exact(&mut go_on).unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    let mut silent = server.connect();
    assert!(
        made.exchange(&server, &get("/health"))
            .starts_with("HTTP/1.1 200 ")
    );
    server.stop();
    // One that is in the middle of its handshake is not waited for.
    assert_eq!(read_all(&mut silent), "");
    slow.write_all(b"{\"_id\": 1}").unwrap();
    let answer = read_all(&mut slow);
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    server.join();
}

/// A connection from another address of this machine.
fn connect_from(address: &str, server: &Running) -> TcpStream {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(address.parse().unwrap()).unwrap();
        socket.connect(server.address).await.unwrap()
    });
    let stream = stream.into_std().unwrap();
    stream.set_nonblocking(false).unwrap();
    stream
}

/// Whoever guesses keys over TLS is told apart by the address of the connection, and by nothing
/// that a request says.
#[test]
fn limits_of_addresses_hold_behind_tls() {
    let made = Made::new();
    let limits = Limits {
        refusals_per_second: 1,
        ..Limits::default()
    };
    let server = Running::configured(ServerConfig {
        auth: AuthMode::Required,
        ..config(made.files(), limits)
    });
    let status = |stream: TcpStream| {
        let mut stream = made.over(stream);
        let ask = "GET /collections HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
                   X-Forwarded-For: 192.0.2.1\r\nForwarded: for=192.0.2.1\r\n\r\n";
        stream.write_all(ask.as_bytes()).unwrap();
        read_all(&mut stream)[..12].to_owned()
    };
    let slowed = (0..1000).any(|_| status(server.connect()) == "HTTP/1.1 429");
    assert!(slowed);
    let other = connect_from("127.0.0.2:0", &server);
    assert_eq!(status(other), "HTTP/1.1 401");
}
