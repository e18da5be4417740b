//! How full the service is: places that are taken, of those that there are.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;
use tokio::sync::Semaphore;

use crate::app::BODY_PIECE_BYTES;

/// Places of one kind.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    pub(crate) places: Arc<Semaphore>,
    total: usize,
}

impl Places {
    pub(crate) fn new(total: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(total)),
            total,
        }
    }

    fn taken(&self) -> usize {
        self.total.saturating_sub(self.places.available_permits())
    }
}

/// A figure that is taken from places when it is asked for.
#[derive(Debug)]
struct Taken {
    name: &'static str,
    help: &'static str,
    places: Places,
    /// How much one place is.
    unit: usize,
}

impl Collector for Taken {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let gauge = ConstGauge::new(whole(self.places.taken().saturating_mul(self.unit)));
        let kind = gauge.metric_type();
        gauge.encode(encoder.encode_descriptor(self.name, self.help, None, kind)?)
    }
}

fn whole(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Registers what is taken, and the limits.
pub(super) fn register(
    registry: &mut Registry,
    operations: &Places,
    streams: &Places,
    bodies: &Places,
    transactions: &Places,
    connections_limit: usize,
) {
    let piece = BODY_PIECE_BYTES;
    for (name, help, places, unit) in [
        (
            "operations_running",
            "Operations that are under way",
            operations,
            1,
        ),
        (
            "event_streams",
            "Streams of events that are open",
            streams,
            1,
        ),
        (
            "transactions_open",
            "Transactions that are open over several requests",
            transactions,
            1,
        ),
        (
            "bodies_memory_bytes",
            "Memory that bodies of requests take",
            bodies,
            piece,
        ),
    ] {
        registry.register_collector(Box::new(Taken {
            name,
            help,
            places: places.clone(),
            unit,
        }));
    }
    for (name, help, limit) in [
        (
            "operations_limit",
            "How many operations may be under way",
            operations.total,
        ),
        (
            "event_streams_limit",
            "How many streams of events may be open",
            streams.total,
        ),
        (
            "transactions_open_limit",
            "How many transactions may be open",
            transactions.total,
        ),
        (
            "bodies_memory_limit_bytes",
            "How much memory bodies of requests may take",
            bodies.total.saturating_mul(piece),
        ),
        (
            "http_connections_limit",
            "How many connections may be open",
            connections_limit,
        ),
    ] {
        let gauge: Gauge = Gauge::default();
        gauge.set(whole(limit));
        registry.register(name, help, gauge);
    }
}
