//! Who asks: from the headers of a request to a caller, or to a refusal.
//!
//! Every route is for callers, but for the few that [`is_open`] names; what is refused is refused
//! before anything else of the request is looked at. All refusals for want of a valid key read the
//! same, whatever is wrong with the key: that is for the server's log.
//!
//! Refusals are rationed for each address, so that who guesses keys waits more and more often. A
//! valid key is let in all the same: it is 256 random bits and was not guessed, and its owner may
//! share the address of somebody else.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;

use super::audit::Known;
use super::keyring::{Key, Proof};
use super::rate::{Rate, Taken};
use super::record::Role;
use super::{App, Auth};
use crate::config::AuthMode;
use crate::negotiate::put_header;
use crate::problem::{Kind, Problem};

/// The header that a key comes in, if it does not come as a bearer token.
pub(crate) const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// What is served to everybody.
const OPEN: [&str; 6] = [
    "/health",
    "/ready",
    "/openapi.json",
    "/docs",
    "/docs/page.js",
    "/docs/page.css",
];
const METRICS: &str = "/metrics";

/// What to do when there is no key at all.
pub(super) const NO_KEY: &str = "there is no key yet, so nobody is let in: stop the server and make one with `nexusbase \
    keys create NAME --role admin --data DIR`, or start it with the variable NEXUSBASE_ADMIN_KEY \
    set to a secret of at least 32 characters";

/// The address that a connection comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// Somebody who has been let in.
#[derive(Clone, Debug)]
pub(crate) struct Caller(Who);

#[derive(Clone, Debug)]
enum Who {
    /// Nobody is told apart.
    Anybody,
    /// The admin key of the environment.
    Environment,
    Key(Arc<Key>, Proof),
}

impl Caller {
    pub(super) fn role(&self) -> Role {
        match &self.0 {
            Who::Anybody | Who::Environment => Role::Admin,
            Who::Key(key, _) => key.record.role,
        }
    }

    pub(super) fn covers_collection(&self, name: &str) -> bool {
        match &self.0 {
            Who::Anybody | Who::Environment => true,
            Who::Key(key, _) => key.record.scopes.covers_collection(name),
        }
    }

    pub(super) fn covers_store(&self, name: &str) -> bool {
        match &self.0 {
            Who::Anybody | Who::Environment => true,
            Who::Key(key, _) => key.record.scopes.covers_store(name),
        }
    }

    /// What the log calls it.
    pub(super) fn id(&self) -> &str {
        match &self.0 {
            Who::Anybody => "-",
            Who::Environment => "environment",
            Who::Key(key, _) => &key.id,
        }
    }

    /// Whether it would be let in now, with the same rights.
    pub(super) fn is_current(&self, auth: &Auth) -> bool {
        match &self.0 {
            Who::Anybody | Who::Environment => true,
            Who::Key(key, proof) => auth.keyring.is_current(key, proof),
        }
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let found = parts.extensions.get::<Self>().cloned();
        found.ok_or_else(|| app.auth.unauthorized())
    }
}

/// Why somebody was not let in, for the log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refused(pub(super) &'static str);

/// Whether a route, as the description names it, is served to everybody.
pub(crate) fn is_open(route: &str) -> bool {
    OPEN.contains(&route)
}

/// Lets a request pass with its caller, or answers it.
pub(crate) async fn authenticate(
    State(app): State<App>,
    mut request: Request,
    next: Next,
) -> Response {
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map(MatchedPath::as_str);
    // At a URL without a route there is nothing to be had.
    if route.is_none_or(|route| app.auth.is_open(route)) {
        return next.run(request).await;
    }
    let peer = request.extensions().get::<Peer>().copied();
    let address = peer.map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |Peer(address)| {
        network(address)
    });
    let found = app.auth.caller(request.headers());
    Known::tell(&request, found.clone());
    let caller = match found {
        Ok(caller) => caller,
        Err(Refused(_)) => return refuse(&app, address),
    };
    let limited = app.auth.limit(&caller).map(|rate| {
        let now = app.clock.monotonic();
        (rate, app.auth.take(&caller, address, rate, now))
    });
    let mut response = match limited {
        Some((_, taken)) if !taken.passes => too_many(taken),
        _ => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
    };
    if let Some((rate, taken)) = limited {
        name_limit(&mut response, rate, taken);
    }
    response
}

/// The answer to who has no valid key.
fn refuse(app: &App, address: IpAddr) -> Response {
    let taken = app.auth.refusals.map(|rate| {
        let now = app.clock.monotonic();
        app.auth.strangers.take(address, rate, now)
    });
    match taken {
        Some(taken) if !taken.passes => too_many(taken),
        _ => app.auth.unauthorized().into_response(),
    }
}

fn too_many(taken: Taken) -> Response {
    let detail = format!(
        "there were too many requests; nothing was done. Try again in {} seconds",
        taken.retry_after
    );
    let problem = Problem::new(Kind::TooManyRequests, detail);
    let mut response = problem.into_response();
    put_header(
        &mut response,
        header::RETRY_AFTER,
        &taken.retry_after.to_string(),
    );
    response
}

fn name_limit(response: &mut Response, rate: Rate, taken: Taken) {
    put_header(response, RATE_LIMIT, &taken.field());
    put_header(response, RATE_LIMIT_POLICY, &rate.policy());
}

/// What counts as one address: of IPv6, the network that one customer has.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

impl Auth {
    fn is_open(&self, route: &str) -> bool {
        is_open(route) || (self.open_metrics && route == METRICS)
    }

    /// Who has sent these headers.
    fn caller(&self, headers: &HeaderMap) -> Result<Caller, Refused> {
        if self.mode == AuthMode::Off {
            return Ok(Caller(Who::Anybody));
        }
        let text = presented(headers)?;
        if self.admin_key.as_ref().is_some_and(|key| key.fits(text)) {
            return Ok(Caller(Who::Environment));
        }
        let (key, proof) = self.keyring.verify(text).map_err(Refused)?;
        Ok(Caller(Who::Key(key, proof)))
    }

    /// How much a caller may ask for.
    fn limit(&self, caller: &Caller) -> Option<Rate> {
        match &caller.0 {
            Who::Key(key, _) => key.record.rate().unwrap_or(self.rate),
            Who::Anybody | Who::Environment => self.rate,
        }
    }

    fn take(
        &self,
        caller: &Caller,
        address: IpAddr,
        rate: Rate,
        now: std::time::Duration,
    ) -> Taken {
        match &caller.0 {
            // Those who are not told apart by a key are by their address.
            Who::Anybody => self.addresses.take(address, rate, now),
            Who::Environment | Who::Key(..) => self.callers.take(caller.id().to_owned(), rate, now),
        }
    }

    /// The problem of who has no valid key.
    pub(super) fn unauthorized(&self) -> Problem {
        let detail = if self.admin_key.is_none() && !self.keyring.has_usable() {
            NO_KEY
        } else {
            "a valid key is needed, in the header X-API-Key or as Authorization: Bearer; \
             `nexusbase keys create` makes one"
        };
        Problem::new(Kind::Unauthorized, detail)
    }
}

/// The key that headers bring.
fn presented(headers: &HeaderMap) -> Result<&str, Refused> {
    let given = one(headers, &API_KEY)?;
    let bearer = one(headers, &header::AUTHORIZATION)?.and_then(bearer);
    let found = given.or(bearer);
    found.ok_or(Refused("there is no key in the request"))
}

fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Refused> {
    let mut all = headers.get_all(name).iter();
    let Some(value) = all.next() else {
        return Ok(None);
    };
    match (value.to_str(), all.next()) {
        (Ok(text), None) => Ok(Some(text.trim())),
        _ => Err(Refused(
            "the header stands there more than once, or is no text",
        )),
    }
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| token.trim_start())
}

/// What an answer with status 401 asks for.
pub(crate) const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer realm=\"NexusBase\"");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_in_either_header_once() {
        let of = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(*name, HeaderValue::from_static(value));
            }
            presented(&headers).ok().map(str::to_owned)
        };
        let key = Some("k".to_owned());
        assert_eq!(of(&[("x-api-key", "k")]), key);
        assert_eq!(of(&[("authorization", "Bearer k")]), key);
        assert_eq!(of(&[("authorization", "bearer  k")]), key);
        assert_eq!(
            of(&[("x-api-key", "k"), ("authorization", "Basic abc")]),
            key
        );
        assert_eq!(of(&[("x-api-key", "k"), ("x-api-key", "k")]), None);
        assert_eq!(of(&[("authorization", "Basic k")]), None);
        assert_eq!(of(&[("authorization", "k")]), None);
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn addresses_of_one_network_count_as_one() {
        let network = |text: &str| network(text.parse().unwrap()).to_string();
        assert_eq!(network("192.0.2.7"), "192.0.2.7");
        assert_eq!(network("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    }
}
