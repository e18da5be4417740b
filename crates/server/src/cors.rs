//! Which web pages of other origins may use the service, and what browsers are told (CORS).
//!
//! Without any, no header of CORS is sent, and writes from other origins are refused (`guard`).
//! Cookies and other credentials that a browser sends by itself play no part: whoever a caller is
//! stands in headers that a page sets itself.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Method, Uri};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

/// How long a browser may remember what it was told.
const MAX_AGE: Duration = Duration::from_secs(3600);

/// What a page may read of an answer beside what every page may.
const EXPOSED: [HeaderName; 14] = [
    header::ALLOW,
    header::ETAG,
    header::EXPIRES,
    header::LINK,
    header::LOCATION,
    header::RETRY_AFTER,
    header::WWW_AUTHENTICATE,
    HeaderName::from_static("accept-patch"),
    HeaderName::from_static("idempotency-replayed"),
    HeaderName::from_static("preference-applied"),
    HeaderName::from_static("ratelimit"),
    HeaderName::from_static("ratelimit-policy"),
    HeaderName::from_static("x-next-cursor"),
    HeaderName::from_static("x-request-id"),
];

/// The origins whose pages may read answers and write. Default: none.
///
/// Read from a list such as `https://app.example.com, http://localhost:3000`, from `*` for all of
/// them, or from nothing for none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins(Allowed);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Allowed {
    Any,
    These(Vec<HeaderValue>),
}

impl Default for Allowed {
    fn default() -> Self {
        Self::These(Vec::new())
    }
}

/// A text is not the origin of web pages.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not an origin; write scheme, host and port as a browser does, without a path, \
     such as https://app.example.com or http://localhost:3000, or * alone for every origin"
)]
pub struct OriginError {
    /// The text.
    pub text: String,
}

impl FromStr for Origins {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        if text.trim() == "*" {
            return Ok(Self(Allowed::Any));
        }
        let parts = text.split(',').map(str::trim);
        let origins = parts.filter(|part| !part.is_empty()).map(origin);
        Ok(Self(Allowed::These(origins.collect::<Result<_, _>>()?)))
    }
}

impl fmt::Display for Origins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Allowed::Any => f.write_str("*"),
            Allowed::These(origins) => {
                let texts = origins
                    .iter()
                    .map(|origin| origin.to_str().unwrap_or_default());
                f.write_str(&texts.collect::<Vec<_>>().join(", "))
            }
        }
    }
}

/// An origin as browsers write it: in lower case, without the usual port of its scheme.
fn origin(text: &str) -> Result<HeaderValue, OriginError> {
    let wrong = || OriginError {
        text: text.to_owned(),
    };
    let uri = Uri::try_from(text).map_err(|_| wrong())?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(wrong());
    };
    let bare = text.len() == scheme.len() + "://".len() + authority.as_str().len();
    if !bare || authority.as_str().contains('@') || authority.host().is_empty() {
        return Err(wrong());
    }
    let usual = match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    };
    let port = authority.port_u16().filter(|port| Some(*port) != usual);
    let port = port.map_or_else(String::new, |port| format!(":{port}"));
    let written = format!("{scheme}://{}{port}", authority.host()).to_lowercase();
    HeaderValue::try_from(written).map_err(|_| wrong())
}

impl Origins {
    /// Whether pages of this origin may write.
    pub(crate) fn allow(&self, origin: &HeaderValue) -> bool {
        match &self.0 {
            Allowed::Any => true,
            Allowed::These(origins) => origins.contains(origin),
        }
    }

    /// Whether pages of every origin may.
    pub(crate) fn is_any(&self) -> bool {
        self.0 == Allowed::Any
    }

    /// What answers preflights and puts the headers on answers; none if no origin is allowed.
    pub(crate) fn layer(&self) -> Option<CorsLayer> {
        let allowed = match &self.0 {
            Allowed::Any => AllowOrigin::any(),
            Allowed::These(origins) if origins.is_empty() => return None,
            Allowed::These(origins) => AllowOrigin::list(origins.iter().cloned()),
        };
        let methods = [
            Method::GET,
            Method::HEAD,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
        ];
        let layer = CorsLayer::new()
            .allow_origin(allowed)
            .allow_methods(methods)
            // A wildcard would not cover Authorization.
            .allow_headers(AllowHeaders::mirror_request())
            .expose_headers(EXPOSED)
            .max_age(MAX_AGE);
        Some(layer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_read_as_browsers_write_them() {
        let read = |text: &str| text.parse::<Origins>();
        assert_eq!(read("").unwrap(), Origins::default());
        assert_eq!(read(" * ").unwrap().to_string(), "*");
        let list = read("HTTPS://App.Example.com:443,http://localhost:3000, http://[::1]:80");
        assert_eq!(
            list.unwrap().to_string(),
            "https://app.example.com, http://localhost:3000, http://[::1]"
        );
        for wrong in [
            "example.com",
            "https://",
            "https://a.example/",
            "https://a.example/path",
            "https://a.example?x",
            "https://me@a.example",
            "https://a.example, *",
            "null",
            "https://a b",
        ] {
            let error = read(wrong).unwrap_err();
            assert!(error.to_string().contains("such as"), "{wrong}");
        }
    }
}
