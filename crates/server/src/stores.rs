//! Key-value stores over HTTP: one file for each noun.
//!
//! | file | what it answers |
//! | --- | --- |
//! | `engines` | which engines there are, and what they can do |
//! | `description` | stores: list, create, describe, drop, change what they are told |
//! | `actions` | rename, copy, check, clear, compact |
//! | `keys` | one key: get, put, delete, with preconditions (`condition`) and times (`lifetime`) |
//! | `list` | keys in order, and how many |
//! | `batch` | several keys as one |
//! | `versions`, `diff` | states that can be gone back to, and what lies between them |
//! | `events` | what happens, as it happens |
//!
//! Keys are bytes. In a URL they are percent-encoded; in JSON they are a string if they are UTF-8,
//! and base64 otherwise (`text`). Nothing here knows an engine: what one cannot do, it says.

mod actions;
mod batch;
mod body;
mod condition;
mod description;
mod diff;
mod engines;
mod events;
mod keys;
mod lifetime;
mod list;
mod parameters;
mod path;
mod patience;
mod text;
mod versions;

use std::sync::Arc;

use nexusbase_kv::{Capability, Error, ErrorKind, Operation, Store, Versioned, check_name};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) use body::{JsonBody, present};
pub(crate) use events::HEARTBEAT;

use crate::app::App;
use crate::problem::{Kind, Problem};

/// The routes of stores, with their descriptions.
pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(engines::list))
        .routes(routes!(description::list))
        .routes(routes!(
            description::info,
            description::create,
            description::change,
            description::remove
        ))
        .routes(routes!(actions::rename))
        .routes(routes!(actions::copy))
        .routes(routes!(actions::check))
        .routes(routes!(actions::clear))
        .routes(routes!(actions::compact))
        .routes(routes!(list::keys))
        .routes(routes!(list::count))
        .routes(routes!(keys::get, keys::put, keys::remove))
        .routes(routes!(batch::batch))
        .routes(routes!(versions::list, versions::take))
        .routes(routes!(versions::info, versions::remove))
        .routes(routes!(versions::restore))
        .routes(routes!(versions::keys))
        .routes(routes!(versions::key))
        .routes(routes!(diff::diff))
        .routes(routes!(events::of_store))
        .routes(routes!(events::of_all))
}

/// The URL of a store, whose name needs no encoding.
fn url(name: &str) -> String {
    format!("/stores/{name}")
}

/// Refuses what cannot be the name of a store or a version. `place` is where it stands: a
/// parameter of the URL, or a member of the body.
fn check(name: &str, place: &str) -> Result<(), Problem> {
    check_name(Operation::OpenStore, name).map_err(|error| {
        let detail = match error.kind() {
            ErrorKind::Invalid(reason) => reason.clone(),
            _ => error.to_string(),
        };
        Problem::new(Kind::InvalidName, detail).parameter(place)
    })
}

/// The engine has no support for that.
fn unsupported(operation: Operation, capability: Capability, store: &dyn Store) -> Problem {
    let error = Error::new(operation, ErrorKind::Unsupported(capability));
    error.engine(store.engine_name()).store(store.name()).into()
}

/// The versions of a store that has some.
fn versioned(store: &dyn Store, operation: Operation) -> Result<&dyn Versioned, Problem> {
    store
        .versioned()
        .ok_or_else(|| unsupported(operation, Capability::Versions, store))
}
