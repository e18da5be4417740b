//! The application: what handlers share, and which handler answers what.
//!
//! Routes are registered together with their descriptions ([`routes()`]), so that the OpenAPI
//! document cannot leave one out.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware;
use hyper::header;
use nexusbase_io::{Clock, Random};
use tokio::sync::{Semaphore, watch};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::{self, Auth, Vault};
use crate::config::{Limits, ServeError, ServerConfig};
use crate::cors::Origins;
use crate::metrics::{Metrics, Places};
use crate::observe::RequestIds;
use crate::problem::{Kind, Problem};
use crate::server::Service;
use crate::transactions::{self, Table};
use crate::writes::UnderWay;
use crate::{
    aggregate, changes, collections, count, docs_page, encode, find, guard, health, indexes,
    insert, keys, observe, openapi, problem, schema, stores, unread, writes,
};

/// All bodies in memory together take this many times the limit of one.
const BODIES_IN_MEMORY: usize = 8;
/// Memory for bodies is counted in pieces of this many bytes.
pub(crate) const BODY_PIECE_BYTES: usize = 4 << 10;

/// What handlers share.
#[derive(Debug)]
pub(crate) struct App {
    /// The models, which only a permit opens.
    pub(crate) vault: Vault,
    pub(crate) auth: Auth,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) limits: Limits,
    pub(crate) metrics: Metrics,
    pub(crate) ids: RequestIds,
    /// Where the server listens, and whether it answers for foreign hosts.
    pub(crate) address: SocketAddr,
    pub(crate) allow_remote: bool,
    /// Whose web pages may read and write.
    pub(crate) origins: Origins,
    /// Requests that take longer are logged; none if it is zero.
    pub(crate) slow_request: Duration,
    /// A place for each operation that may be under way.
    pub(crate) operations: Arc<Semaphore>,
    /// Memory for bodies, in pieces.
    pub(crate) bodies: Arc<Semaphore>,
    /// A place for each stream of events that may be open.
    pub(crate) streams: Arc<Semaphore>,
    /// Transactions that are worked on over several requests, and a place for each.
    pub(crate) transactions: Arc<Table>,
    pub(crate) transaction_places: Arc<Semaphore>,
    pub(crate) random: Arc<dyn Random>,
    /// The turn of who changes what a store was told: looking and changing are two steps.
    pub(crate) options_turn: Arc<Semaphore>,
    /// The requests with a key of their own that are under way.
    pub(crate) under_way: Arc<UnderWay>,
    /// Whether the server stops.
    pub(crate) stopping: watch::Sender<bool>,
}

impl App {
    pub(crate) fn new(
        config: ServerConfig,
        address: SocketAddr,
        service: &Service,
    ) -> Result<Arc<Self>, ServeError> {
        let (vault, db) = (Vault::new(service), &service.db);
        let auth = Auth::new(&config, db)?;
        let limits = config.limits;
        let pieces = limits.body_bytes.saturating_mul(BODIES_IN_MEMORY) / BODY_PIECE_BYTES;
        let operations = limits.concurrent_operations.min(Semaphore::MAX_PERMITS);
        let bodies = (pieces + BODIES_IN_MEMORY).min(Semaphore::MAX_PERMITS);
        let streams = limits.event_streams.min(Semaphore::MAX_PERMITS);
        let operations = Places::new(operations);
        let bodies = Places::new(bodies);
        let streams = Places::new(streams);
        let transactions = limits.open_transactions.min(Semaphore::MAX_PERMITS);
        let transactions = Places::new(transactions);
        let places = [&operations, &streams, &bodies, &transactions];
        let metrics = Metrics::new(db, places, limits.connections);
        Ok(Arc::new(Self {
            vault,
            auth,
            clock: Arc::clone(&db.env().clock),
            transactions: Arc::new(Table::new(metrics.transactions())),
            transaction_places: transactions.places,
            random: Arc::clone(&db.env().random),
            metrics,
            ids: RequestIds::new(db.env())?,
            address,
            allow_remote: config.allow_remote,
            origins: config.origins,
            slow_request: config.slow_request,
            operations: operations.places,
            bodies: bodies.places,
            streams: streams.places,
            options_turn: Arc::new(Semaphore::new(1)),
            under_way: Arc::default(),
            stopping: watch::Sender::new(false),
            limits,
        }))
    }
}

/// All routes with their descriptions.
pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(openapi::base())
        .routes(routes!(collections::list))
        .routes(routes!(
            collections::info,
            collections::create,
            collections::change,
            collections::remove
        ))
        .routes(routes!(collections::rename))
        .routes(routes!(schema::get, schema::set, schema::remove))
        .routes(routes!(find::find, insert::insert))
        .merge(writes::routes())
        .routes(routes!(find::query))
        .routes(routes!(count::count, count::count_by_body))
        .routes(routes!(count::distinct, count::distinct_by_body))
        .routes(routes!(aggregate::aggregate))
        .routes(routes!(indexes::list, indexes::create))
        .routes(routes!(
            indexes::info,
            indexes::create_named,
            indexes::remove
        ))
        .merge(changes::routes())
        .merge(transactions::routes())
        .merge(stores::routes())
        .merge(keys::routes())
        .routes(routes!(health::health))
        .routes(routes!(health::ready))
        .routes(routes!(crate::metrics::metrics))
        .routes(routes!(openapi::document))
        .routes(routes!(docs_page::page))
        .routes(routes!(docs_page::script))
        .routes(routes!(docs_page::style))
}

/// The whole service.
pub(crate) fn router(app: &Arc<App>) -> Router {
    let (router, _) = routes().split_for_parts();
    layers(router, app).with_state(Arc::clone(app))
}

/// What answers whoever speaks plain HTTP where TLS is spoken.
pub(crate) fn refusal(app: &Arc<App>) -> Router {
    let refuse = async || {
        let detail = "this port speaks HTTPS, and this request came without; write https:// in \
                      front of the address";
        let problem = Problem::new(Kind::TlsRequired, detail);
        ([(header::CONNECTION, "close")], problem)
    };
    Router::new()
        .fallback(refuse)
        .layer(middleware::from_fn_with_state(
            Arc::clone(app),
            observe::observe,
        ))
}

/// Puts around all routes what every request goes through; the last one sees it first.
fn layers(router: Router<Arc<App>>, app: &Arc<App>) -> Router<Arc<App>> {
    let shared = || Arc::clone(app);
    let router = router
        .layer(middleware::from_fn_with_state(shared(), auth::authenticate))
        .layer(middleware::from_fn_with_state(shared(), guard::guard))
        .layer(middleware::from_fn(unread::unread))
        .layer(CatchPanicLayer::custom(problem::panicked))
        .layer(middleware::from_fn(auth::audit));
    // Outside of guard and keys, so that a page can also read why it was refused, and ask what it
    // may send without a key.
    let router = match app.origins.layer() {
        Some(cors) => router.layer(cors),
        None => router,
    };
    router
        .layer(encode::layer())
        .layer(middleware::from_fn(encode::choose))
        .layer(middleware::from_fn_with_state(shared(), observe::observe))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::routing::get;
    use http_body_util::BodyExt as _;
    use hyper::service::Service as _;
    use hyper::{Request, StatusCode};
    use hyper_util::service::TowerToHyperService;
    use nexusbase_db::Database;

    use super::*;
    use crate::auth::{Permit, Read};
    use crate::config::AuthMode;
    use crate::observe::Deadline;
    use crate::problem::Problem;
    use crate::{operation, problem};

    async fn at_once() {
        panic!("with a secret");
    }

    async fn on_a_thread(permit: Permit<Read>, deadline: Deadline) -> Result<(), Problem> {
        operation::read(permit, deadline, |_, _| panic!("with a secret")).await
    }

    /// What is logged on this thread.
    #[derive(Clone, Default)]
    struct Log(Arc<std::sync::Mutex<Vec<u8>>>);

    impl std::io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// A request that ends in a panic is on record with who sent it.
    #[tokio::test]
    async fn panics_are_on_record_with_their_caller() {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false);
        let subscriber = subscriber.with_writer(move || writer.clone()).finish();
        let _logging = tracing::subscriber::set_default(subscriber);
        let db = Database::in_memory().unwrap();
        let key = "k".repeat(32);
        let config = ServerConfig {
            admin_key: Some(auth::AdminKey::new(&key).unwrap()),
            ..ServerConfig::default()
        };
        let stores = nexusbase_kv::stores(db.env());
        let service = Service { db, stores };
        let app = App::new(config.clone(), config.listen, &service).unwrap();
        let routes = Router::new().route("/at-once", axum::routing::put(at_once));
        let service = TowerToHyperService::new(layers(routes, &app).with_state(Arc::clone(&app)));
        let request = Request::put("/at-once").header("host", "localhost");
        let request = request.header("x-api-key", &key).body(Body::empty());
        let response = service.call(request.unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<&str> = log.lines().filter(|line| line.contains("audit")).collect();
        assert_eq!(lines.len(), 1, "{log}");
        for part in ["key=\"environment\"", "status=500", "outcome=\"failed\""] {
            assert!(lines[0].contains(part), "{part}: {log}");
        }
    }

    /// A defect in a handler costs its caller an answer with status 500, nobody else anything.
    #[tokio::test]
    async fn panics_are_answered() {
        let db = Database::in_memory().unwrap();
        let config = ServerConfig {
            auth: AuthMode::Off,
            ..ServerConfig::default()
        };
        let stores = nexusbase_kv::stores(db.env());
        let service = Service { db, stores };
        let app = App::new(config.clone(), config.listen, &service).unwrap();
        let routes = Router::new()
            .route("/at-once", get(at_once))
            .route("/on-a-thread", get(on_a_thread));
        let service = TowerToHyperService::new(layers(routes, &app).with_state(Arc::clone(&app)));
        for path in ["/at-once", "/on-a-thread"] {
            let request = Request::get(path)
                .header("host", "localhost")
                .header("accept-encoding", "gzip");
            let response = service
                .call(request.body(Body::empty()).unwrap())
                .await
                .unwrap();
            assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
            assert_eq!(response.headers()["content-type"], problem::MEDIA_TYPE);
            assert!(response.headers().contains_key("x-request-id"));
            let body = response.into_body().collect().await.unwrap().to_bytes();
            let body = String::from_utf8(body.to_vec()).unwrap();
            assert!(
                body.contains("/problems/internal") && !body.contains("secret"),
                "{body}"
            );
        }
        let places = app.limits.concurrent_operations;
        assert_eq!(
            app.operations.available_permits(),
            places,
            "a place was lost"
        );
    }
}
