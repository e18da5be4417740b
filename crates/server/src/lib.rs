//! The service of NexusBase: its documents and its key-value stores over HTTP.
//!
//! [`run_blocking`] is the whole service: it serves a [`Database`](nexusbase_db::Database) and the
//! stores beside it until the process is told to stop, answers what is under way, and closes them.
//! [`Server`] is
//! the same for a program that has a tokio runtime already and wants to decide by itself when to
//! stop. What the service answers is described, complete, in its OpenAPI document
//! ([`openapi_json`], and `/openapi.json` of a running server).
//!
//! ```no_run
//! use nexusbase_db::Database;
//! use nexusbase_server::{ServerConfig, Service, run_blocking};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let db = Database::open("data")?;
//! let stores = nexusbase_kv::standard(&db, "data".as_ref())?;
//! let service = Service { db, stores };
//! run_blocking(ServerConfig::default(), service, |address| println!("http://{address}"))?;
//! # Ok(()) }
//! ```
//!
//! What it promises:
//! * A write is acknowledged when the database has made it durable, and never before. When a time
//!   limit ends a write whose outcome is not known yet, the answer says exactly that.
//! * Every error is a problem document (RFC 9457) that names what is wrong and where. The
//!   exceptions are requests that are no HTTP: the HTTP library answers those with a bare status.
//! * Nothing grows without a limit: connections, operations, bodies in memory, answers, streams of
//!   events, time.
//!
//! * Nobody reaches data without a valid key, and with one only what it is for
//!   ([`ServerConfig::auth`]).
//!
//! What it does not, yet: encrypt connections. It serves the machine that it runs on unless it is
//! told otherwise ([`ServerConfig::allow_remote`]).
//!
//! The way of a request: `listen` (a connection, perhaps with `tls`) → `observe` (request id, log
//! line, metrics, problems) → `encode` (compressed answers) → `cors` → `guard` (host, origin) →
//! `auth` (who asks, how often, what for) → a handler, thin, one file for each noun → `operation`
//! (a place among the concurrent operations, a thread that may wait) → the document model, or the
//! stores.

mod access;
mod aggregate;
mod app;
mod auth;
mod background;
mod changes;
mod collections;
mod conditions;
mod config;
mod cors;
mod count;
mod decode;
mod docs_page;
mod documents;
mod encode;
mod extract;
mod find;
mod guard;
mod health;
mod indexes;
mod insert;
mod keys;
mod listen;
mod members;
mod metrics;
mod negotiate;
mod observe;
mod openapi;
mod operation;
mod problem;
mod query;
mod schema;
mod server;
mod shutdown;
mod slow;
mod split;
mod stores;
mod stream;
mod tls;
mod transactions;
mod unread;
mod writes;

pub use auth::{
    AdminKey, AdminKeyError, KeyChange, KeyError, KeyInfo, Keyring, NewKey, Rate, Role, Scopes,
    Token,
};
pub use config::{AuthMode, Limits, ServeError, ServerConfig};
pub use cors::{OriginError, Origins};
pub use openapi::openapi_json;
pub use server::{Server, Service};
pub use shutdown::run_blocking;
pub use tls::{Certificates, TlsError, TlsFiles};
