//! The beginning of a connection to a server with a certificate: the TLS handshake, or the
//! discovery that the other side speaks no TLS.
//!
//! It happens on the connection's own task, within a time limit and on the connection's place, so
//! that a slow one holds up nobody else.

use std::io;
use std::pin::pin;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;

use crate::app::App;
use crate::metrics::HandshakeFailure;

/// The first byte of a TLS connection: the type of a record with a handshake.
const HANDSHAKE_RECORD: u8 = 22;

/// A connection whose language is known.
pub(super) enum Opened<S> {
    Tls(Box<TlsStream<S>>),
    /// It is something else, most likely plain HTTP.
    Plain(S),
}

/// Opens a connection; none if that failed, or the server stops meanwhile.
pub(super) async fn open<S>(
    app: &App,
    config: Arc<ServerConfig>,
    stream: TcpStream,
    wrap: impl FnOnce(TcpStream) -> S,
) -> Option<Opened<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut stopping = app.stopping.subscribe();
    let mut shaken = pin!(timeout(
        super::head_timeout(app),
        shake(config, stream, wrap)
    ));
    // Whoever sees the connection closed finds it counted: it stays open until the end of this.
    let (failure, _stream) = tokio::select! {
        _ = stopping.wait_for(|stops| *stops) => return None,
        shaken = &mut shaken => match shaken {
            Ok(Ok(opened)) => {
                if matches!(opened, Some(Opened::Plain(_))) {
                    app.metrics.handshake_failed(HandshakeFailure::PlainText);
                }
                return opened;
            }
            Ok(Err((error, stream))) => {
                tracing::debug!(%error, "a TLS handshake failed");
                (HandshakeFailure::Protocol, stream)
            }
            Err(_) => (HandshakeFailure::Timeout, None),
        },
    };
    app.metrics.handshake_failed(failure);
    None
}

async fn shake<S>(
    config: Arc<ServerConfig>,
    stream: TcpStream,
    wrap: impl FnOnce(TcpStream) -> S,
) -> Result<Option<Opened<S>>, (io::Error, Option<S>)>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut first = [0];
    let plain = match stream.peek(&mut first).await {
        Ok(0) => return Ok(None), // gone without a word, as some that look whether anybody listens
        Ok(_) => first[0] != HANDSHAKE_RECORD,
        Err(error) => return Err((error, None)),
    };
    let stream = wrap(stream);
    if plain {
        return Ok(Some(Opened::Plain(stream)));
    }
    match TlsAcceptor::from(config)
        .accept(stream)
        .into_fallible()
        .await
    {
        Ok(stream) => Ok(Some(Opened::Tls(Box::new(stream)))),
        Err((error, stream)) => Err((error, Some(stream))),
    }
}
