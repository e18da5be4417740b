//! `nexusbase health`: whether a server should be sent requests. For health checks of containers,
//! which have no other program inside.

use super::Terminal;
use super::args::HealthArgs;
use super::failure::Outcome;
use super::http::{Client, JSON};

/// Where a server listens unless told otherwise.
pub(super) const SERVER: &str = "http://127.0.0.1:7700";

pub(super) fn run(arguments: &HealthArgs, terminal: Terminal) -> Outcome {
    let named = arguments.server.clone();
    let server = named.or_else(|| super::target::variable("NEXUSBASE_SERVER"));
    let server = server.unwrap_or_else(|| SERVER.to_owned());
    // The question is open to everybody, so no key is sent.
    Client::new(&server, None)?.get(&["ready"], &[], JSON)??;
    Ok(terminal.done("ready")?)
}
