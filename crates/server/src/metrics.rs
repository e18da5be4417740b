//! Figures for machines, in the OpenMetrics text format.
//!
//! Requests are counted by route (the pattern, not the path, so their number is bounded), method
//! and status. Figures about the database, and how full the service is, are taken when they are
//! asked for. `docs/metrics.md` lists all of them; a test holds the two together.

mod database;
mod places;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use hyper::{Method, StatusCode, header};
use nexusbase_db::Database;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::app::App;
use crate::openapi::MetricsProblems;
use crate::problem::{Kind, Problem};
use crate::transactions::Ended;

pub(crate) use places::Places;

const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Upper bounds of the latency histogram, in seconds: from a read in memory to the time limit.
const LATENCY_SECONDS: [f64; 14] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0,
];

/// Counters of the service, and the registry of all.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    seconds: Family<RouteLabels, Histogram>,
    in_flight: Gauge,
    slow: Counter,
    connections: Gauge,
    waiting: Gauge,
    traffic: Traffic,
    handshake_failures: Family<FailureLabels, Counter>,
    transactions: Transactions,
}

/// Transactions that have ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct Transactions(Family<OutcomeLabels, Counter>);

impl Transactions {
    /// Counts one that has ended so.
    pub(crate) fn ended(&self, how: Ended) {
        let outcome = how.as_str();
        self.0.get_or_create(&OutcomeLabels { outcome }).inc();
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

/// Bytes that came and went on connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) received: Counter,
    pub(crate) sent: Counter,
}

/// Why a TLS handshake failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HandshakeFailure {
    /// It took too long.
    Timeout,
    /// The other side speaks something else.
    PlainText,
    /// They did not agree: versions, ciphers, a certificate that is not trusted.
    Protocol,
}

impl HandshakeFailure {
    const ALL: [Self; 3] = [Self::Timeout, Self::PlainText, Self::Protocol];

    const fn labels(self) -> FailureLabels {
        let reason = match self {
            Self::Timeout => "timeout",
            Self::PlainText => "plain-text",
            Self::Protocol => "protocol",
        };
        FailureLabels { reason }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FailureLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: String,
    method: &'static str,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: String,
    method: &'static str,
    status: &'static str,
}

impl Metrics {
    /// The figures about a database and a service with these places: for operations, streams of
    /// events, pieces of bodies, open transactions, and connections.
    pub(crate) fn new(
        db: &Database,
        [operations, streams, bodies, transactions]: [&Places; 4],
        connections_limit: usize,
    ) -> Self {
        let histogram = (|| Histogram::new(LATENCY_SECONDS)) as fn() -> Histogram;
        let mut metrics = Self {
            registry: Registry::with_prefix("nexusbase"),
            requests: Family::default(),
            seconds: Family::new_with_constructor(histogram),
            in_flight: Gauge::default(),
            slow: Counter::default(),
            connections: Gauge::default(),
            waiting: Gauge::default(),
            traffic: Traffic::default(),
            handshake_failures: Family::default(),
            transactions: Transactions::default(),
        };
        for failure in HandshakeFailure::ALL {
            // So that the first one is seen as a step from zero.
            drop(metrics.handshake_failures.get_or_create(&failure.labels()));
        }
        for outcome in Ended::ALL.map(Ended::as_str) {
            let labels = OutcomeLabels { outcome };
            drop(metrics.transactions.0.get_or_create(&labels));
        }
        metrics.register();
        let registry = &mut metrics.registry;
        places::register(
            registry,
            operations,
            streams,
            bodies,
            transactions,
            connections_limit,
        );
        registry.register_collector(Box::new(database::Figures(db.clone())));
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        let version = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The version that is running", version);
        registry.register("http_requests", "Requests answered", self.requests.clone());
        registry.register(
            "http_request_duration_seconds",
            "Time from the head of a request to the head of its answer",
            self.seconds.clone(),
        );
        registry.register(
            "http_slow_requests",
            "Requests that took longer than slow_query_ms",
            self.slow.clone(),
        );
        registry.register(
            "http_received_bytes",
            "Bytes that came on connections, with what TLS adds",
            self.traffic.received.clone(),
        );
        registry.register(
            "http_sent_bytes",
            "Bytes that went on connections, with what TLS adds",
            self.traffic.sent.clone(),
        );
        registry.register(
            "transactions_ended",
            "Transactions over several requests that have ended",
            self.transactions.0.clone(),
        );
        registry.register(
            "tls_handshake_failures",
            "Connections that ended before TLS was agreed on",
            self.handshake_failures.clone(),
        );
        for (name, help, gauge) in [
            (
                "http_requests_in_flight",
                "Requests that are not answered yet",
                &self.in_flight,
            ),
            (
                "http_connections",
                "Connections that are open",
                &self.connections,
            ),
            (
                "operations_waiting",
                "Operations that wait for a place",
                &self.waiting,
            ),
        ] {
            registry.register(name, help, gauge.clone());
        }
    }

    /// Counts an answer.
    pub(crate) fn answered(
        &self,
        route: &str,
        method: &Method,
        status: StatusCode,
        duration: Duration,
    ) {
        let (route, method) = (route.to_owned(), label(method));
        let labels = RouteLabels {
            route: route.clone(),
            method,
            status: class(status),
        };
        self.seconds
            .get_or_create(&labels)
            .observe(duration.as_secs_f64());
        let labels = RequestLabels {
            route,
            method,
            status: status.as_u16(),
        };
        self.requests.get_or_create(&labels).inc();
    }

    /// Counts a request that took too long.
    pub(crate) fn slow(&self) {
        self.slow.inc();
    }

    /// Counts a handshake that came to nothing.
    pub(crate) fn handshake_failed(&self, failure: HandshakeFailure) {
        self.handshake_failures
            .get_or_create(&failure.labels())
            .inc();
    }

    /// What counts how transactions end.
    pub(crate) fn transactions(&self) -> Transactions {
        self.transactions.clone()
    }

    /// What a connection counts its bytes by.
    pub(crate) fn traffic(&self) -> Traffic {
        self.traffic.clone()
    }

    /// Counts a connection until the value is dropped.
    pub(crate) fn connection(&self) -> Present {
        Present::new(&self.connections)
    }

    /// Counts a request that is under way until the value is dropped.
    pub(crate) fn request(&self) -> Present {
        Present::new(&self.in_flight)
    }

    /// Counts an operation that waits for its place until the value is dropped.
    pub(crate) fn waiting_operation(&self) -> Present {
        Present::new(&self.waiting)
    }
}

/// Something that is counted as long as it is there.
#[derive(Debug)]
pub(crate) struct Present(Gauge);

impl Present {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Callers choose methods freely, so that only the known ones become labels.
fn label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::PATCH => "PATCH",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// A histogram for each status would be too much.
fn class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    }
}

/// Figures about the service and its database
///
/// In the OpenMetrics text format: requests by route, method and status, a histogram of their
/// duration, how full the service is, and figures about the database. Any valid key may see them,
/// or everybody, if the server is set up so.
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "metrics",
    tag = "service",
    responses(
        (status = 200, description = "The figures.", body = String,
            content_type = "application/openmetrics-text"),
        MetricsProblems,
    ),
)]
pub(crate) async fn metrics(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let mut body = String::new();
    text::encode(&mut body, &app.metrics.registry)
        .map_err(|e| Problem::new(Kind::Internal, e.to_string()))?;
    Ok(([(header::CONTENT_TYPE, MEDIA_TYPE)], body).into_response())
}
