//! Requests of one user: as the command's other client, but with a time limit for each, and with
//! the difference between what was refused, what came too late and what broke off.

use std::time::Duration;

use serde_json::Value;
use ureq::http::{Method, Request};

use crate::cli::failure::{Failure, Outcome};

/// The largest answer that is read.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// One connection to the server.
#[derive(Debug)]
pub(super) struct Client {
    base: String,
    api_key: Option<String>,
    agent: ureq::Agent,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// The time was up.
    TimedOut,
    /// There was no connection, so nothing can have happened.
    Unreachable,
    /// The connection broke.
    Broken,
}

/// What the server said.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Value,
}

impl Client {
    /// A client of the server at `url`, which must be plain.
    pub(super) fn new(url: &str, api_key: Option<&str>, timeout: Duration) -> Outcome<Self> {
        let base = url.trim_end_matches('/');
        if !base.starts_with("http://") && !base.starts_with("https://") {
            let message = format!("{url:?} is not the address of a server");
            return Err(Failure::usage(message).hint("write it like http://127.0.0.1:7700"));
        }
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(timeout))
            .proxy(None)
            .user_agent(concat!("nexusbase-loadtest/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self {
            base: base.to_owned(),
            api_key: api_key.map(str::to_owned),
            agent: config.into(),
        })
    }

    /// Sends a request; `path` is ready for a URL.
    pub(super) fn send(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, Silence> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header("Accept", "application/json");
        if let Some(key) = &self.api_key {
            request = request.header("X-API-Key", key);
        }
        let response = match body {
            Some(body) => request
                .header("Content-Type", "application/json")
                .body(body.to_string())
                .map(|request| self.agent.run(request)),
            None => request.body(()).map(|request| self.agent.run(request)),
        };
        // A request that cannot be written was never sent.
        let mut response = response
            .map_err(|_| Silence::Unreachable)?
            .map_err(|e| silence(&e))?;
        let status = response.status().as_u16();
        let text = response.body_mut().with_config().limit(ANSWER_BYTES_MAX);
        let text = text.read_to_string().map_err(|e| silence(&e))?;
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Ok(Answer { status, body })
    }
}

fn silence(error: &ureq::Error) -> Silence {
    match error {
        ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve)
        | ureq::Error::ConnectionFailed
        | ureq::Error::HostNotFound => Silence::Unreachable,
        ureq::Error::Timeout(_) => Silence::TimedOut,
        ureq::Error::Io(e) if e.kind() == std::io::ErrorKind::ConnectionRefused => {
            Silence::Unreachable
        }
        _ => Silence::Broken,
    }
}
