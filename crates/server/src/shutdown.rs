//! The whole service in one call: runtime, signals, orderly end.

use std::net::SocketAddr;
use std::num::NonZero;
use std::time::Duration;

use nexusbase_db::{CommitError, Database};
use tokio::runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::{ServeError, ServerConfig};
use crate::server::{Server, Service};
use crate::tls::Certificates;

/// Threads that serve connections, at most: they only move bytes.
const WORKER_THREADS_MAX: usize = 8;
/// Threads that work on the database, at most. Started when needed, and gone after a while.
const BLOCKING_THREADS_MAX: usize = 128;

/// How often the service looks whether the database has failed.
const FAILURE_CHECK: Duration = Duration::from_millis(250);

/// Serves until the process gets SIGTERM or SIGINT, then answers what is under way, and closes the
/// stores and then the database. A second signal cuts short what is under way. `on_ready` hears the
/// address as soon as callers can connect.
///
/// If there is a certificate, SIGHUP makes it be read again.
///
/// It also ends when the database has failed, because what is on disk is unknown then: a service
/// that is started anew recovers, and one that went on could only refuse.
///
/// Everything that was acknowledged is durable, as the database's mode promises, whenever and
/// however this ends.
///
/// # Errors
/// As [`Server::bind`], or when the database has failed, or the stores or the database cannot be
/// closed in order.
pub fn run_blocking(
    config: ServerConfig,
    service: Service,
    on_ready: impl FnOnce(SocketAddr),
) -> Result<(), ServeError> {
    let Service { db, stores } = service.clone();
    let grace = config.limits.shutdown_timeout;
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(threads.min(WORKER_THREADS_MAX))
        .max_blocking_threads(BLOCKING_THREADS_MAX.min(config.limits.concurrent_operations.max(1)))
        .thread_name("nexusbase-http")
        .enable_all()
        .build()
        .map_err(start("start the threads of the server"))?;
    let served = runtime.block_on(async {
        let mut signals = Signals::new()?;
        let mut impatient = Signals::new()?;
        let server = Server::bind(config, service).await?;
        let certificates = server.certificates();
        on_ready(server.address());
        let run = server.run(async move { signals.next().await });
        tokio::select! {
            result = run => result,
            () = second(&mut impatient) => Ok(()),
            failed = failure(&db) => Err(ServeError::Failed(failed)),
            Err(error) = renew(certificates) => Err(error),
        }
    });
    // Operations that have begun are let finish: what they have to say is not heard any more, but
    // their writes are either in the log or not.
    runtime.shutdown_timeout(grace);
    // Those that lie on the database write there for the last time.
    let stores_closed = stores.close();
    drop(stores);
    let closed = db.close();
    drop(db);
    served?;
    stores_closed?;
    Ok(closed?)
}

async fn second(signals: &mut Signals) {
    signals.next().await;
    signals.next().await;
    tracing::warn!("a second signal: stopping at once");
}

/// Reads the certificate again whenever the process is told to.
async fn renew(certificates: Option<Certificates>) -> Result<(), ServeError> {
    let Some(certificates) = certificates else {
        return std::future::pending().await;
    };
    let mut hangup = signal(SignalKind::hangup()).map_err(start("listen for signals"))?;
    while hangup.recv().await.is_some() {
        match certificates.reload() {
            Ok(()) => tracing::info!("the certificate was read again"),
            Err(error) => tracing::error!(%error, "the certificate stays as it was"),
        }
    }
    Ok(())
}

/// Waits until the database has failed.
async fn failure(db: &Database) -> CommitError {
    let mut checks = tokio::time::interval(FAILURE_CHECK);
    loop {
        checks.tick().await;
        if let Some(failed @ CommitError::Stopped(_)) = db.stopped() {
            return failed;
        }
    }
}

/// The signals that tell the process to stop.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self, ServeError> {
        let listen = |kind| signal(kind).map_err(start("listen for signals"));
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn start(what: &'static str) -> impl Fn(std::io::Error) -> ServeError {
    move |source| ServeError::Start { what, source }
}
