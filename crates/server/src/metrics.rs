//! Figures for machines, in the OpenMetrics text format.
//!
//! Requests are counted by route (the pattern, not the path, so their number is bounded), method
//! and status. Figures about the database are taken when they are asked for.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use hyper::{Method, StatusCode, header};
use nexusbase_db::{Database, Stats};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, text};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::app::App;
use crate::openapi::ServiceProblems;
use crate::problem::{Kind, Problem};

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
    connections: Gauge,
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
}

impl Metrics {
    pub(crate) fn new(db: &Database) -> Self {
        let requests = Family::default();
        let seconds =
            Family::new_with_constructor((|| Histogram::new(LATENCY_SECONDS)) as fn() -> Histogram);
        let connections = Gauge::default();
        let mut registry = Registry::with_prefix("nexusbase");
        registry.register("http_requests", "Requests answered", requests.clone());
        registry.register(
            "http_request_duration_seconds",
            "Time from the head of a request to its answer",
            seconds.clone(),
        );
        registry.register(
            "http_connections",
            "Connections that are open",
            connections.clone(),
        );
        registry.register_collector(Box::new(DatabaseFigures(db.clone())));
        Self {
            registry,
            requests,
            seconds,
            connections,
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
        let (route, method, status) = (route.to_owned(), label(method), status.as_u16());
        let labels = RouteLabels {
            route: route.clone(),
            method,
        };
        self.seconds
            .get_or_create(&labels)
            .observe(duration.as_secs_f64());
        let labels = RequestLabels {
            route,
            method,
            status,
        };
        self.requests.get_or_create(&labels).inc();
    }

    /// Counts a connection until the value is dropped.
    pub(crate) fn connection(&self) -> OpenConnection {
        self.connections.inc();
        OpenConnection(self.connections.clone())
    }
}

/// A connection that is counted.
#[derive(Debug)]
pub(crate) struct OpenConnection(Gauge);

impl Drop for OpenConnection {
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

#[derive(Debug)]
struct DatabaseFigures(Database);

impl Collector for DatabaseFigures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let stats = self.0.stats();
        for (name, help, value) in gauges(&stats, self.0.stopped().is_some()) {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            let kind = gauge.metric_type();
            gauge.encode(encoder.encode_descriptor(name, help, None, kind)?)?;
        }
        for (name, help, value) in counters(&stats) {
            let counter = ConstCounter::new(value);
            let kind = counter.metric_type();
            counter.encode(encoder.encode_descriptor(name, help, None, kind)?)?;
        }
        Ok(())
    }
}

/// A name, what it means, and the figure.
type Figure = (&'static str, &'static str, u64);

/// What goes up and down.
fn gauges(stats: &Stats, stopped: bool) -> Vec<Figure> {
    let forest = &stats.forest;
    let levels = || forest.trees.values().flat_map(|tree| &tree.levels);
    vec![
        (
            "db_visible_index",
            "The newest visible commit",
            stats.visible,
        ),
        ("db_log_bytes", "Size of the log's files", stats.log_bytes),
        (
            "db_log_segments",
            "Files of the log",
            stats.log_segments as u64,
        ),
        (
            "db_readers",
            "Snapshots and transactions that are open",
            stats.readers as u64,
        ),
        (
            "db_commit_queue",
            "Commits that wait to be written",
            stats.commits.queued,
        ),
        (
            "db_trees",
            "Trees, the catalog included",
            stats.trees as u64,
        ),
        (
            "db_memory_rows",
            "Versions of rows in memory",
            stats.memory_rows,
        ),
        (
            "db_memory_bytes",
            "What they take, approximately",
            stats.memory_bytes,
        ),
        (
            "db_pressure_thousandths",
            "How far flushes and compactions are behind; writers are slowed down from 500 on",
            stats.pressure_thousandths,
        ),
        (
            "db_background_failing",
            "1 if the last flush or compaction failed",
            u64::from(stats.background_failure.is_some()),
        ),
        (
            "forest_tables",
            "Tables of all trees",
            levels().map(|level| level.tables as u64).sum(),
        ),
        (
            "forest_table_bytes",
            "Bytes of all tables",
            levels().map(|level| level.bytes).sum(),
        ),
        (
            "forest_blob_bytes",
            "Bytes of all blob files",
            forest.blob_bytes,
        ),
        (
            "forest_sealed_bytes",
            "Bytes of memtables that wait for their flush",
            forest.sealed_bytes,
        ),
        (
            "forest_debt_bytes",
            "Bytes that compactions still have to rewrite, about",
            forest.debt_bytes,
        ),
        (
            "forest_obsolete_files",
            "Files that wait for their last reader to be removed",
            forest.obsolete_files as u64,
        ),
        (
            "forest_memory_budget_bytes",
            "What memtables, open tables and cached blocks may take together",
            forest.cache.budget_bytes,
        ),
        (
            "forest_cache_bytes",
            "What cached blocks take",
            forest.cache.block_bytes,
        ),
        (
            "db_stopped",
            "1 if no writes are accepted",
            u64::from(stopped),
        ),
    ]
}

/// What only goes up.
fn counters(stats: &Stats) -> Vec<Figure> {
    let forest = &stats.forest;
    vec![
        ("db_commits", "Commits", stats.commits.commits),
        (
            "db_commit_batches",
            "Batches that they were written in",
            stats.commits.batches,
        ),
        (
            "db_conflicts",
            "Transactions refused for a conflict",
            stats.commits.conflicts,
        ),
        (
            "db_slowed_microseconds",
            "How long writers were made to wait for flushes and compactions",
            u64::try_from(stats.slowed.as_micros()).unwrap_or(u64::MAX),
        ),
        ("forest_flushes", "Flushes", forest.flushes),
        ("forest_compactions", "Compactions", forest.compactions),
        (
            "forest_flushed_bytes",
            "Bytes that flushes wrote",
            forest.flushed_bytes,
        ),
        (
            "forest_compacted_bytes",
            "Bytes that compactions wrote",
            forest.compacted_out_bytes,
        ),
        (
            "forest_cache_misses",
            "Blocks that were read from disk",
            forest.cache.misses,
        ),
        (
            "forest_cache_read_bytes",
            "Bytes that were read from disk for them",
            forest.cache.read_bytes,
        ),
    ]
}

/// Figures about the service and its database
///
/// In the OpenMetrics text format: requests by route, method and status, a histogram of their
/// duration, open connections, and figures about the database.
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "metrics",
    tag = "service",
    responses(
        (status = 200, description = "The figures.", body = String,
            content_type = "application/openmetrics-text"),
        ServiceProblems,
    ),
)]
pub(crate) async fn metrics(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let mut body = String::new();
    text::encode(&mut body, &app.metrics.registry)
        .map_err(|e| Problem::new(Kind::Internal, e.to_string()))?;
    Ok(([(header::CONTENT_TYPE, MEDIA_TYPE)], body).into_response())
}
