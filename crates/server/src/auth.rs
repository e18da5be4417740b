//! Who may do what: keys, callers, permits, rate limits, and the record of what was done.
//!
//! The way of a request: `authenticate` finds out who asks ([`Caller`]), or refuses; a handler asks
//! for a [`Permit`], which there is only for callers whose role suffices; and the models are
//! reached only through a permit, one name at a time, each looked up in the scopes of the caller.
//! The models themselves lie in a [`Vault`] that nothing outside this folder can open, so a handler
//! that forgets to ask does not compile.
//!
//! | file | what it has |
//! | --- | --- |
//! | `token` | the text of a key: made, taken apart, compared with what is stored |
//! | `record` | what is known about a key: role, scopes, times, limits |
//! | `keyring` | all keys: a tree of the database, and a copy in memory |
//! | `caller` | from the headers of a request to a caller, or to a refusal |
//! | `permit` | from a caller to the models |
//! | `rate` | how many requests are let through |
//! | `audit` | what was done and refused, in the log |
//!
//! What it does not do: encrypt the connection, and tell people (rather than programs) apart.

mod audit;
mod caller;
mod keyring;
mod permit;
mod rate;
mod record;
mod token;

use std::net::IpAddr;
use std::sync::Arc;

use nexusbase_db::Database;

pub(crate) use audit::audit;
pub(crate) use caller::{API_KEY, CHALLENGE, Caller, Peer, authenticate, is_open};
pub use keyring::{KeyError, Keyring};
pub(crate) use permit::{Admin, Change, Level, Models, Permit, Read, Vault, Write};
pub(crate) use rate::Buckets;
pub use rate::Rate;
pub use record::{KeyChange, KeyInfo, NewKey, Role, Scopes};
pub use token::{AdminKey, AdminKeyError, Token};

use crate::config::{AuthMode, ServerConfig};

/// What is known about callers.
#[derive(Debug)]
pub(crate) struct Auth {
    mode: AuthMode,
    admin_key: Option<AdminKey>,
    /// Whether figures are shown to everybody.
    open_metrics: bool,
    keyring: Keyring,
    /// What a caller may ask for, if nothing else is said about its key.
    rate: Option<Rate>,
    /// How many requests of one address are refused with a reason.
    refusals: Option<Rate>,
    callers: Buckets<String>,
    addresses: Buckets<IpAddr>,
    strangers: Buckets<IpAddr>,
}

impl Auth {
    /// Reads the keys of `db`.
    pub(crate) fn new(config: &ServerConfig, db: &Database) -> Result<Self, KeyError> {
        let keyring = Keyring::open(db)?;
        if config.auth == AuthMode::Required && config.admin_key.is_none() && !keyring.has_usable()
        {
            tracing::warn!("{}", caller::NO_KEY);
        }
        let limits = &config.limits;
        let refusals = limits.refusals_per_second;
        Ok(Self {
            mode: config.auth,
            admin_key: config.admin_key.clone(),
            open_metrics: config.open_metrics,
            keyring,
            rate: Rate::of(limits.requests_per_second, limits.burst),
            refusals: Rate::of(refusals, refusals.saturating_mul(rate::REFUSALS_BURST)),
            callers: Buckets::default(),
            addresses: Buckets::default(),
            strangers: Buckets::default(),
        })
    }
}

/// The shared parts of the application that this folder needs.
type App = Arc<crate::app::App>;
