//! Engines: which there are, and what their stores can do.

use axum::extract::RawQuery;
use axum::response::Response;
use hyper::StatusCode;
use nexusbase_kv::{Capabilities, Transactions};
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::{Models, Permit, Read};
use crate::collections::no_parameters;
use crate::negotiate::json;
use crate::observe::Deadline;
use crate::openapi::StoreReadProblems;
use crate::operation;
use crate::problem::Problem;

/// All engines.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Engines {
    /// In the order in which they were added.
    engines: Vec<EngineDescription>,
}

/// An engine: it keeps stores in one way.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EngineDescription {
    /// Its name.
    #[schema(example = "memory")]
    name: String,
    /// Whether stores are created on it when nothing else is said.
    default: bool,
    /// What its stores can do.
    capabilities: StoreCapabilities,
}

/// What a store can do.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StoreCapabilities {
    /// What was acknowledged is there after a power cut.
    durable: bool,
    /// Keys come in order, and ranges can be asked for.
    ordered: bool,
    /// How far a transaction reaches: `none`, `one-store` or `across-stores`.
    #[schema(example = "one-store")]
    transactions: &'static str,
    /// It has versions.
    versioned: bool,
    /// It may be larger than memory.
    larger_than_memory: bool,
    /// The largest things that it takes.
    limits: StoreLimits,
}

/// The largest things that a store takes, in bytes. The limit on a request's body counts as well.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StoreLimits {
    /// A key.
    key_bytes: usize,
    /// A value.
    value_bytes: usize,
    /// All keys and values of a batch.
    batch_bytes: usize,
}

impl From<Capabilities> for StoreCapabilities {
    fn from(capabilities: Capabilities) -> Self {
        let limits = capabilities.limits;
        Self {
            durable: capabilities.durable,
            ordered: capabilities.ordered,
            transactions: match capabilities.transactions {
                Transactions::None => "none",
                Transactions::OneStore => "one-store",
                Transactions::AcrossStores => "across-stores",
            },
            versioned: capabilities.versioned,
            larger_than_memory: capabilities.larger_than_memory,
            limits: StoreLimits {
                key_bytes: limits.key_bytes,
                value_bytes: limits.value_bytes,
                batch_bytes: limits.batch_bytes,
            },
        }
    }
}

/// All engines
#[utoipa::path(
    get,
    path = "/engines",
    operation_id = "listEngines",
    tag = "stores",
    responses((status = 200, description = "The engines.", body = Engines), StoreReadProblems),
)]
pub(crate) async fn list(
    permit: Permit<Read>,
    deadline: Deadline,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    no_parameters(query)?;
    let work = |models: &Models, _: &_| {
        let default = models.default_engine();
        let describe = |(name, capabilities): (String, Capabilities)| EngineDescription {
            default: default.as_ref() == Some(&name),
            name,
            capabilities: capabilities.into(),
        };
        let engines = models.engines().into_iter().map(describe).collect();
        json(StatusCode::OK, &Engines { engines })
    };
    operation::read(permit, deadline, work).await
}
