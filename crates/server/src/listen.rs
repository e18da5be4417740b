//! Connections: accepting them, bounding them, ending them.
//!
//! HTTP/1.1, which every client speaks. A connection beyond the limit waits in the operating
//! system's queue until another ends. One that does not send the head of a request in time is
//! closed, also between two requests, so that idle clients do not hold places for ever; so is one
//! that takes nothing of its answer for as long as a request may take.
//!
//! With a certificate, a connection begins with a TLS handshake on its own task. One that speaks
//! plain HTTP to that port is told so, and closed.

mod handshake;
mod stall;
mod traffic;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use crate::app::{self, App};
use crate::auth::Peer;
use crate::tls::Certificates;
use handshake::Opened;
use stall::WriteLimit;
use traffic::Counted;

/// How long the head of a request may take, if the time limit of requests is not shorter.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How much of a connection's input is kept, in bytes: the longest head of a request.
const HEAD_BYTES: usize = 128 << 10;
/// How long to wait when no connection can be accepted, usually for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What each connection needs.
#[derive(Clone)]
struct Host {
    app: Arc<App>,
    http: http1::Builder,
    service: TowerToHyperService<Router>,
    /// What answers plain HTTP where TLS is spoken.
    refusal: TowerToHyperService<Router>,
    certificates: Option<Certificates>,
}

impl Host {
    fn new(app: &Arc<App>, certificates: Option<Certificates>) -> Self {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(head_timeout(app))
            .max_buf_size(HEAD_BYTES);
        Self {
            app: Arc::clone(app),
            http,
            service: TowerToHyperService::new(app::router(app)),
            refusal: TowerToHyperService::new(app::refusal(app)),
            certificates,
        }
    }

    /// Serves a connection to its end.
    async fn attend(self, stream: TcpStream, peer: Peer, watcher: Watcher) {
        let wrap = |stream| {
            let counted = Counted::new(stream, self.app.metrics.traffic());
            WriteLimit::new(counted, self.app.limits.request_timeout)
        };
        let Some(certificates) = &self.certificates else {
            return self.talk(wrap(stream), peer, &self.service, watcher).await;
        };
        match handshake::open(&self.app, certificates.current(), stream, wrap).await {
            Some(Opened::Tls(stream)) => self.talk(stream, peer, &self.service, watcher).await,
            Some(Opened::Plain(stream)) => self.talk(stream, peer, &self.refusal, watcher).await,
            None => {}
        }
    }

    async fn talk<S>(
        &self,
        stream: S,
        peer: Peer,
        service: &TowerToHyperService<Router>,
        watcher: Watcher,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = service.clone();
        let with_peer = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            service.call(request)
        });
        let talk = self.http.serve_connection(TokioIo::new(stream), with_peer);
        // What can fail here is the connection, and the other side knows that best.
        if let Err(error) = watcher.watch(talk).await {
            tracing::debug!(%error, "a connection ended early");
        }
    }
}

/// How long the head of a request, or a handshake, may take.
fn head_timeout(app: &App) -> Duration {
    HEAD_TIMEOUT.min(app.limits.request_timeout)
}

/// Serves connections until `shutdown` is ready and they have ended or their time is up.
pub(crate) async fn serve(
    listener: TcpListener,
    app: &Arc<App>,
    certificates: Option<Certificates>,
    shutdown: impl Future<Output = ()>,
) {
    let places = app.limits.connections.min(Semaphore::MAX_PERMITS);
    let places = Arc::new(Semaphore::new(places));
    let host = Host::new(app, certificates);
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
        let Some((stream, peer, place)) = next else {
            continue;
        };
        let counted = app.metrics.connection();
        let attended = host.clone().attend(stream, peer, graceful.watcher());
        connections.spawn(async move {
            let _held = (place, counted);
            attended.await;
        });
    }
    // Streams of events would go on for ever.
    app.stopping.send_replace(true);
    drop(listener);
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
) -> Option<(TcpStream, Peer, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, address)) => {
            // Without it answers in two parts wait for the other side's delayed confirmation.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "TCP_NODELAY was refused");
            }
            Some((stream, Peer(address.ip()), place))
        }
        Err(error) => {
            tracing::warn!(%error, "cannot accept a connection; trying again");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}
