//! A server: an address that is listened on, and what is served there: a database, and the
//! key-value stores beside it.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use nexusbase_db::Database;
use nexusbase_kv::MultiStore;
use tokio::net::TcpListener;

use crate::app::App;
use crate::background::Background;
use crate::config::{ServeError, ServerConfig};
use crate::listen;
use crate::tls::Certificates;
use crate::transactions;

/// What is served.
#[derive(Clone, Debug)]
pub struct Service {
    /// The database, with its documents.
    pub db: Database,
    /// The key-value stores. Those that work on the database are closed before it.
    pub stores: Arc<dyn MultiStore>,
}

/// A service that listens, and answers as soon as it is [run](Server::run).
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    certificates: Option<Certificates>,
    app: Arc<App>,
}

impl Server {
    /// Takes the address. Callers that connect from now on wait until the server runs.
    ///
    /// # Errors
    /// When the address is taken, or can be reached from other machines without that having been
    /// allowed, or a limit is zero, or the certificate cannot be used.
    pub async fn bind(config: ServerConfig, service: Service) -> Result<Self, ServeError> {
        let address = config.listen;
        config.limits.check()?;
        config.check_access()?;
        let certificates = config.tls.clone().map(Certificates::load).transpose()?;
        let failed = |source| ServeError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let app = App::new(config, address, &service)?;
        Ok(Self {
            listener,
            address,
            certificates,
            app,
        })
    }

    /// The address, with the port that port 0 has become.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The certificate, if the server has one, to read it again when it has been renewed.
    #[must_use]
    pub fn certificates(&self) -> Option<Certificates> {
        self.certificates.clone()
    }

    /// Serves until `shutdown` is ready. Then no connection is accepted any more, requests that
    /// are under way are answered within the limit's time, streams of events end, and what is
    /// left is cut off. The stores and the database stay open.
    ///
    /// # Errors
    /// When no thread can be started for the work in the background: finishing indexes, and
    /// deleting documents whose time has come. What fails later is logged, and ends nothing.
    pub async fn run(
        self,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), ServeError> {
        let background = Background::start(&self.app)?;
        let sweeping = tokio::spawn(transactions::sweep(Arc::clone(&self.app)));
        listen::serve(self.listener, &self.app, self.certificates, shutdown).await;
        // It ends by itself when the server stops.
        drop(sweeping.await);
        background.stop().await;
        Ok(())
    }
}
