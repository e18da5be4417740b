//! From where a server may be spoken to, whoever asks: unless it serves other machines, by programs
//! on this machine; and never by a web page of another origin that wants to write.
//!
//! * **Host.** A page can make its own name point to 127.0.0.1 (DNS rebinding) and then read the
//!   answers like its own. Its requests still carry that name, so only names of this machine are
//!   answered. An address literal cannot be rebound, so every loopback address is good; the port
//!   does not matter (it may be forwarded).
//! * **Origin.** A page can send some writes to any address without being able to read the
//!   answer. Browsers put the page's origin on them, which must be the server's own, or one that
//!   is allowed ([`Origins`](crate::cors::Origins)).

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::header::{self, HeaderMap};
use hyper::http::uri::Authority;
use hyper::{Method, Uri, Version};

use crate::app::App;
use crate::problem::{Kind, Problem};

/// Lets a request pass, or answers it.
pub(crate) async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    match check(&app, &request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn check(app: &App, request: &Request) -> Result<(), Problem> {
    let host = host(request)?;
    if !app.allow_remote {
        for authority in [host.as_ref(), request.uri().authority()]
            .into_iter()
            .flatten()
        {
            check_host(authority.host(), app.address.ip())?;
        }
    }
    let reads = matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS
    );
    if reads {
        return Ok(());
    }
    check_origin(app, request.headers(), host.as_ref())
}

fn host(request: &Request) -> Result<Option<Authority>, Problem> {
    let bad = |detail| Problem::new(Kind::BadRequest, detail).with("header", "host");
    let mut all = request.headers().get_all(header::HOST).iter();
    let Some(value) = all.next() else {
        return match request.version() {
            Version::HTTP_10 => Ok(None),
            _ => Err(bad("the header Host is missing")),
        };
    };
    if all.next().is_some() {
        return Err(bad("the header Host stands there more than once"));
    }
    match Authority::try_from(value.as_bytes()) {
        Ok(authority) if !authority.as_str().contains('@') => Ok(Some(authority)),
        _ => Err(bad("the header Host is not a host with an optional port")),
    }
}

fn check_host(host: &str, listen: IpAddr) -> Result<(), Problem> {
    let name = host.strip_suffix('.').unwrap_or(host);
    let literal = name
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let address: Option<IpAddr> = literal.unwrap_or(name).parse().ok();
    let ours = match address {
        Some(address) => address.is_loopback() || address == listen,
        None => name.eq_ignore_ascii_case("localhost"),
    };
    if ours {
        return Ok(());
    }
    let detail = format!(
        "this server answers for localhost and loopback addresses only, not for {host:?}; use \
         http://localhost, or let the server's owner allow other hosts (allow_remote)"
    );
    Err(Problem::new(Kind::ForeignHost, detail).with("header", "host"))
}

fn check_origin(app: &App, headers: &HeaderMap, host: Option<&Authority>) -> Result<(), Problem> {
    for origin in headers.get_all(header::ORIGIN) {
        if app.origins.allow(origin) {
            continue;
        }
        let uri = Uri::try_from(origin.as_bytes()).ok();
        let same = uri.as_ref().and_then(Uri::authority).is_some_and(|origin| {
            host.is_some_and(|host| origin.as_str().eq_ignore_ascii_case(host.as_str()))
        });
        if !same {
            let detail = "a page of another origin may not write here, unless the server's owner \
                          allows it (cors.origins); programs send no Origin";
            return Err(Problem::new(Kind::ForeignOrigin, detail).with("header", "origin"));
        }
    }
    Ok(())
}
