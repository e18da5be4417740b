//! How the service is configured, and why it may not start.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use nexusbase_db::CommitError;

use crate::auth::{AdminKey, KeyError};
use crate::cors::Origins;
use crate::tls::{TlsError, TlsFiles};

/// How a [`Server`](crate::Server) is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// The address to listen on. Default: `127.0.0.1:7700`. Port 0 takes any free port.
    pub listen: SocketAddr,
    /// What the service does not exceed.
    pub limits: Limits,
    /// Whether to serve other machines. Default: no.
    ///
    /// Without this, only a loopback address is accepted to listen on, and only requests for a
    /// loopback name are answered, so that a web page cannot reach the service by a name of its own
    /// (DNS rebinding). With it, requests must bring a key ([`AuthMode::Required`]). Connections are
    /// not encrypted: whoever can listen on the network sees keys and data, unless something in
    /// front encrypts.
    pub allow_remote: bool,
    /// The certificate, with which the service speaks HTTPS only. Default: none, and plain HTTP.
    pub tls: Option<TlsFiles>,
    /// The origins whose web pages may read answers and write. Default: none but the service's own.
    pub origins: Origins,
    /// Requests that take longer are logged under the target `slow`. Default: 1 s. Zero: none is.
    pub slow_request: Duration,
    /// Whether requests must bring a key. Default: they must.
    pub auth: AuthMode,
    /// A key that may do everything, for as long as the server runs, and is stored nowhere.
    /// Default: none.
    pub admin_key: Option<AdminKey>,
    /// Whether `/metrics` is shown to everybody, as `/health` is. Default: no, a key is needed.
    pub open_metrics: bool,
}

/// Whether requests must bring a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuthMode {
    /// They must, but for the routes that the OpenAPI document names without one.
    #[default]
    Required,
    /// Whoever reaches the server may do everything. On a loopback address only, and not for web
    /// pages of every origin.
    Off,
}

/// The limits of a [`Server`](crate::Server). What happens at each is in the OpenAPI document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one request's body. Default: 32 MiB. All bodies that are in memory at one time
    /// take at most eight times as much.
    pub body_bytes: usize,
    /// From the first line of a request to its answer. Default: 30 s. A connection that has not
    /// sent the head of a request within this time, or within 10 s if that is shorter, is closed.
    pub request_timeout: Duration,
    /// How long requests that are under way may take when the server is told to stop.
    /// Default: 10 s.
    pub shutdown_timeout: Duration,
    /// Documents or keys on a page when the request does not say. Default: 100.
    pub page_default: usize,
    /// Documents or keys on a page at most. Default: 1000.
    pub page_max: usize,
    /// Reads and writes that are under way at one time. Default: 256. More than that wait for a
    /// moment, and are then asked to come again.
    pub concurrent_operations: usize,
    /// Connections that are open at one time. Default: 1024. More than that wait.
    pub connections: usize,
    /// Streams of events that are open at one time; each is one of the connections. Default: 256.
    /// More than that are asked to come again.
    pub event_streams: usize,
    /// Transactions that are open over several requests at one time. Default: 64. More than that are
    /// asked to come again.
    pub open_transactions: usize,
    /// Requests per second of one key, or of one address where nobody is told apart, if nothing
    /// else is said about the key. Default: 0, which is any number: how much is too much is known
    /// only to who has given the keys away, and the work that is under way is bounded anyway.
    pub requests_per_second: u32,
    /// How many of them may come at once. Default: 0, which is as many as per second.
    pub burst: u32,
    /// Requests per second without a valid key that one address is answered with 401; five times as
    /// many at once, and beyond that 429. Default: 10. With 0, all are answered with 401.
    pub refusals_per_second: u32,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7700),
            limits: Limits::default(),
            allow_remote: false,
            tls: None,
            origins: Origins::default(),
            slow_request: Duration::from_secs(1),
            auth: AuthMode::default(),
            admin_key: None,
            open_metrics: false,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 32 << 20,
            request_timeout: Duration::from_secs(30),
            shutdown_timeout: Duration::from_secs(10),
            page_default: 100,
            page_max: 1000,
            concurrent_operations: 256,
            connections: 1024,
            event_streams: 256,
            open_transactions: 64,
            requests_per_second: 0,
            burst: 0,
            refusals_per_second: 10,
        }
    }
}

impl ServerConfig {
    /// Refuses to be open to others by accident.
    pub(crate) fn check_access(&self) -> Result<(), ServeError> {
        let address = self.listen;
        let is_local = address.ip().to_canonical().is_loopback();
        if self.auth == AuthMode::Off && (self.allow_remote || !is_local) {
            return Err(ServeError::Unprotected { address });
        }
        if self.auth == AuthMode::Off && self.origins.is_any() {
            return Err(ServeError::OpenToPages);
        }
        if !self.allow_remote && !is_local {
            return Err(ServeError::Remote { address });
        }
        if !is_local && self.tls.is_none() {
            tracing::warn!(
                %address,
                "connections are not encrypted: who listens on the network sees keys and data"
            );
        }
        Ok(())
    }
}

impl Limits {
    /// Names a limit that is zero, with which nothing could be served.
    pub(crate) fn check(&self) -> Result<(), ServeError> {
        let all = [
            ("body_bytes", self.body_bytes),
            ("page_default", self.page_default),
            ("page_max", self.page_max),
            ("concurrent_operations", self.concurrent_operations),
            ("connections", self.connections),
            ("event_streams", self.event_streams),
            ("open_transactions", self.open_transactions),
        ];
        if self.request_timeout.is_zero() {
            return Err(ServeError::ZeroLimit("request_timeout"));
        }
        match all.iter().find(|(_, value)| *value == 0) {
            Some((name, _)) => Err(ServeError::ZeroLimit(name)),
            None => Ok(()),
        }
    }
}

/// Why the service could not start, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address can be reached from other machines.
    #[error(
        "{address} can be reached from other machines, and connections are not encrypted: who \
         listens on the network sees keys and data. Listen on 127.0.0.1 and let a proxy that \
         encrypts stand in front, or set allow_remote if the network can be trusted"
    )]
    Remote {
        /// The address.
        address: SocketAddr,
    },
    /// Everybody could do everything.
    #[error(
        "without authentication, whoever reaches {address} could read and delete everything. \
         Listen on a loopback address without allow_remote, or let auth be required"
    )]
    Unprotected {
        /// The address.
        address: SocketAddr,
    },
    /// Every web page could do everything.
    #[error(
        "without authentication, every web page that is looked at on this machine could read and \
         delete everything. Name the origins that may (cors.origins) instead of *, or let auth be \
         required"
    )]
    OpenToPages,
    /// The keys cannot be read.
    #[error("the keys cannot be read: {0}")]
    Keys(#[from] KeyError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}{}", advice(source))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// A limit is zero.
    #[error("the limit {0} is zero, so nothing could be served; give it a value above zero")]
    ZeroLimit(&'static str),
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The machinery cannot be set up.
    #[error("cannot {what}: {source}")]
    Start {
        /// What was to be done.
        what: &'static str,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// The random source failed.
    #[error(transparent)]
    Random(#[from] nexusbase_io::Error),
    /// The database failed while it was served.
    #[error("{0}")]
    Failed(CommitError),
    /// The key-value stores did not close in order.
    #[error("the stores could not be closed: {0}")]
    CloseStores(#[from] nexusbase_kv::Error),
    /// The database did not close in order.
    #[error("the database could not be closed: {0}")]
    Close(#[from] CommitError),
}

fn advice(source: &std::io::Error) -> &'static str {
    match source.kind() {
        std::io::ErrorKind::AddrInUse => {
            "; another program listens there: stop it, or choose another port"
        }
        std::io::ErrorKind::PermissionDenied => "; choose a port above 1023",
        _ => "",
    }
}
