//! Connections: accepting them, bounding them, ending them.
//!
//! HTTP/1.1, which every client speaks. A connection beyond the limit waits in the operating
//! system's queue until another ends. One that does not send the head of a request in time is
//! closed, also between two requests, so that idle clients do not hold places for ever; so is one
//! that takes nothing of its answer for as long as a request may take.

mod stall;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use crate::app::App;
use stall::WriteLimit;

/// How long the head of a request may take, if the time limit of requests is not shorter.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How much of a connection's input is kept, in bytes: the longest head of a request.
const HEAD_BYTES: usize = 128 << 10;
/// How long to wait when no connection can be accepted, usually for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves connections until `shutdown` is ready and they have ended or their time is up.
pub(crate) async fn serve(
    listener: TcpListener,
    app: &Arc<App>,
    router: Router,
    shutdown: impl Future<Output = ()>,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT.min(app.limits.request_timeout))
        .max_buf_size(HEAD_BYTES);
    let places = app.limits.connections.min(Semaphore::MAX_PERMITS);
    let places = Arc::new(Semaphore::new(places));
    let service = TowerToHyperService::new(router);
    let stalled = app.limits.request_timeout;
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        // Ended connections are cleared away as new ones come.
        while connections.try_join_next().is_some() {}
        let next = tokio::select! {
            () = &mut shutdown => break,
            next = accept(&listener, &places) => next,
        };
        let Some((stream, place)) = next else {
            continue;
        };
        let counted = app.metrics.connection();
        let connection = http.serve_connection(
            TokioIo::new(WriteLimit::new(stream, stalled)),
            service.clone(),
        );
        let connection = graceful.watch(connection);
        connections.spawn(async move {
            let _held = (place, counted);
            // What can fail here is the connection, and the other side knows that best.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
        });
    }
    drop(listener);
    // Streams of events would go on for ever.
    app.stopping.send_replace(true);
    tracing::info!(open = connections.len(), "stopping: no more connections");
    let limit = app.limits.shutdown_timeout;
    if tokio::time::timeout(limit, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!(
            ?limit,
            "some requests are not answered in time and are cut off"
        );
    }
    connections.shutdown().await;
}

/// The next connection, when there is a place for it. None if accepting failed.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => {
            // Without it answers in two parts wait for the other side's delayed confirmation.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "TCP_NODELAY was refused");
            }
            Some((stream, place))
        }
        Err(error) => {
            tracing::warn!(%error, "cannot accept a connection; trying again");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}
