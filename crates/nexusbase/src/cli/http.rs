//! A client for a running NexusBase server: one connection, kept open, one request at a time.
//!
//! HTTPS trusts the authorities that browsers trust, or, if `NEXUSBASE_CA` names a file, those in
//! it and no others. Proxies from the environment are not used: what answered then would not be
//! the server that was named.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use serde_json::Value;
use ureq::http::{Method, Request, Response, StatusCode};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Body, RequestBuilder};

use super::failure::{Failure, Outcome};
use super::target::variable;

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the server may take to begin its answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);
/// The longest answer that is read at once; lists of documents are read line by line. A page of a
/// key-value store has at least one row, whose value of 64 MiB may be all escapes.
const ANSWER_BYTES_MAX: u64 = 512 << 20;
/// The longest part of an answer that is no problem document which is shown.
const SHOWN_CHARS: usize = 200;

/// What may stand in a segment of a path as it is.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The header that a key comes in.
const API_KEY: &str = "X-API-Key";

/// One JSON value as a body or an answer.
pub(super) const JSON: &str = "application/json";
/// Lines of JSON as an answer.
pub(super) const NDJSON: &str = "application/x-ndjson";

/// The key that requests bring. It is not shown, and not written for debugging.
#[derive(Clone)]
pub(super) struct ApiKey(String);

impl FromStr for ApiKey {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("a key is visible ASCII without spaces");
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

/// A client of one server.
#[derive(Debug)]
pub(super) struct Client {
    base: String,
    key: Option<ApiKey>,
    agent: ureq::Agent,
}

/// An answer that is no success: what the server says about it.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    /// The last part of the kind's URI, such as `duplicate-id`.
    pub(super) kind: String,
    pub(super) detail: String,
    /// The whole problem document; null if there is none.
    pub(super) members: Value,
}

/// A request with everything that one may have.
#[derive(Debug)]
pub(super) struct Call<'a> {
    method: Method,
    path: Vec<&'a [u8]>,
    query: String,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl<'a> Call<'a> {
    /// A request for `path`, whose segments may be any bytes.
    pub(super) fn new(method: Method, path: &[&'a [u8]]) -> Self {
        Self {
            method,
            path: path.to_vec(),
            query: String::new(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// Adds a parameter, whose value may be any bytes.
    pub(super) fn query(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.query
            .push(if self.query.is_empty() { '?' } else { '&' });
        self.query.push_str(name);
        self.query.push('=');
        self.query
            .extend(percent_encode(value.as_ref(), NON_ALPHANUMERIC));
        self
    }

    /// Adds a header.
    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Adds a body of this media type; none leaves open what it is.
    pub(super) fn body(self, media: Option<&str>, body: Vec<u8>) -> Self {
        let mut call = match media {
            Some(media) => self.header("Content-Type", media),
            None => self,
        };
        call.body = body;
        call
    }

    /// Adds a JSON value as the body.
    pub(super) fn json(self, value: &Value) -> Self {
        self.body(Some(JSON), value.to_string().into_bytes())
    }
}

/// Whom HTTPS trusts.
fn trust() -> Outcome<TlsConfig> {
    let roots = match variable("NEXUSBASE_CA") {
        None => RootCerts::WebPki,
        Some(path) => {
            let text = nexusbase_io::user_file::read_text(Path::new(&path))?;
            let certificates = parse_pem(text.as_bytes()).filter_map(|item| match item {
                Ok(PemItem::Certificate(certificate)) => Some(certificate),
                _ => None,
            });
            let certificates: Vec<_> = certificates.collect();
            if certificates.is_empty() {
                return Err(Failure::usage(format_args!(
                    "{path}, which NEXUSBASE_CA names, holds no certificate as PEM"
                )));
            }
            RootCerts::Specific(Arc::new(certificates))
        }
    };
    Ok(TlsConfig::builder().root_certs(roots).build())
}

/// An answer, or what is wrong.
pub(super) type Answer = Result<Response<Body>, Problem>;

impl Client {
    /// A client of the server at `url`; requests bring the key.
    pub(super) fn new(url: &str, key: Option<ApiKey>) -> Outcome<Self> {
        let example = "write it like http://127.0.0.1:7700";
        let base = url.trim_end_matches('/');
        let secure = base.strip_prefix("https://");
        let authority = secure.or_else(|| base.strip_prefix("http://"));
        let authority = authority.unwrap_or_default();
        let uri = base.parse::<ureq::http::Uri>();
        if authority.is_empty() || authority.contains('/') || uri.is_err() {
            let message = format!("{url:?} is not the address of a server");
            return Err(Failure::usage(message).hint(example));
        }
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_recv_response(Some(ANSWER_TIMEOUT))
            .proxy(None)
            // No server of this kind redirects, and whoever does would get the key sent on.
            .max_redirects(0)
            .tls_config(trust()?)
            .user_agent(concat!("nexusbase/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self {
            base: base.to_owned(),
            key,
            agent: config.into(),
        })
    }

    pub(super) fn get(
        &self,
        path: &[&str],
        query: &[(&str, String)],
        accept: &str,
    ) -> Outcome<Answer> {
        let request = self.with_key(self.agent.get(self.url(path)));
        let request = request.header("Accept", accept);
        let query = query.iter().map(|(name, value)| (*name, value.as_str()));
        self.answer(request.query_pairs(query).call())
    }

    pub(super) fn post(
        &self,
        path: &[&str],
        query: &[(&str, String)],
        media: &str,
        body: &[u8],
    ) -> Outcome<Answer> {
        let request = self.with_key(self.agent.post(self.url(path)));
        let query = query.iter().map(|(name, value)| (*name, value.as_str()));
        let request = request.header("Content-Type", media).query_pairs(query);
        self.answer(request.send(body))
    }

    pub(super) fn put(&self, path: &[&str]) -> Outcome<Answer> {
        let request = self.with_key(self.agent.put(self.url(path)));
        self.answer(request.send_empty())
    }

    pub(super) fn delete(&self, path: &[&str]) -> Outcome<Answer> {
        let request = self.with_key(self.agent.delete(self.url(path)));
        self.answer(request.call())
    }

    /// Sends a request with everything that one may have.
    pub(super) fn send(&self, call: Call<'_>) -> Outcome<Answer> {
        let mut request = Request::builder()
            .method(call.method)
            .uri(self.url_of_bytes(&call.path) + &call.query);
        if let Some(ApiKey(key)) = &self.key {
            request = request.header(API_KEY, key);
        }
        for (name, value) in call.headers {
            request = request.header(name, value);
        }
        // Requests without a body say so by having none; the others by its length.
        let result = if call.body.is_empty() {
            request.body(()).map(|request| self.agent.run(request))
        } else {
            request
                .body(call.body)
                .map(|request| self.agent.run(request))
        };
        let result = result.map_err(|e| {
            Failure::usage("this cannot be written as an HTTP request")
                .because(Some(&e))
                .hint("very long keys, and media types with strange characters, need --data")
        });
        self.answer(result?)
    }

    fn with_key<B>(&self, request: RequestBuilder<B>) -> RequestBuilder<B> {
        match &self.key {
            Some(ApiKey(key)) => request.header(API_KEY, key),
            None => request,
        }
    }

    fn url(&self, path: &[&str]) -> String {
        let path: Vec<&[u8]> = path.iter().map(|segment| segment.as_bytes()).collect();
        self.url_of_bytes(&path)
    }

    fn url_of_bytes(&self, path: &[&[u8]]) -> String {
        let mut url = self.base.clone();
        for segment in path {
            url.push('/');
            if matches!(*segment, b"." | b"..") {
                // As they are, they would mean a folder.
                url.push_str(&"%2E".repeat(segment.len()));
            } else {
                url.extend(percent_encode(segment, SEGMENT));
            }
        }
        url
    }

    fn answer(&self, result: Result<Response<Body>, ureq::Error>) -> Outcome<Answer> {
        let response = result.map_err(|e| self.unreachable(&e))?;
        let status = response.status();
        if status.is_success() {
            return Ok(Ok(response));
        }
        let text = self.text(response)?;
        let members: Value = serde_json::from_str(&text).unwrap_or_default();
        let member = |name: &str| members.get(name).and_then(Value::as_str);
        let kind = member("type").unwrap_or_default();
        let kind = kind.rsplit('/').next().unwrap_or_default().to_owned();
        let detail = match member("detail") {
            Some(detail) => detail.to_owned(),
            None => {
                let shown: String = text.chars().take(SHOWN_CHARS).collect();
                format!("no NexusBase server, or a broken one: it says {shown:?}")
            }
        };
        Ok(Err(Problem {
            status,
            kind,
            detail,
            members,
        }))
    }

    /// The answer as JSON.
    pub(super) fn json(&self, response: Response<Body>) -> Outcome<Value> {
        let text = self.text(response)?;
        serde_json::from_str(&text).map_err(|e| {
            Failure::new(format_args!("{} sent an answer that is no JSON", self.base))
                .because(Some(&e))
        })
    }

    /// The answer as it is.
    pub(super) fn bytes(&self, mut response: Response<Body>) -> Outcome<Vec<u8>> {
        let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX);
        body.read_to_vec().map_err(|e| self.broken(&e))
    }

    fn text(&self, mut response: Response<Body>) -> Outcome<String> {
        let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX);
        body.read_to_string().map_err(|e| self.broken(&e))
    }

    /// The answer stopped in the middle.
    pub(super) fn broken(&self, error: &(dyn std::error::Error + 'static)) -> Failure {
        Failure::new(format_args!("{} did not finish its answer", self.base)).because(Some(error))
    }

    fn unreachable(&self, error: &ureq::Error) -> Failure {
        Failure::new(format_args!("cannot reach a server at {}", self.base))
            .because(Some(error))
            .hint("check the address, or start a server: nexusbase serve --data DIR")
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        let Problem {
            status,
            kind,
            detail,
            ..
        } = problem;
        // What the user wrote is wrong; that a server noticed it does not matter.
        if kind.starts_with("invalid-") {
            return Self::usage(detail);
        }
        let failure = Self::new(format_args!(
            "the server answered {}: {detail}",
            status.as_u16()
        ));
        match kind.as_str() {
            "unauthorized" => failure
                .hint("name the key: in the variable NEXUSBASE_API_KEY, or with --api-key KEY"),
            "too-many-requests" => failure.hint("wait, or ask for a higher limit of the key"),
            "busy" | "conflict" => failure.hint("the server is busy; try again"),
            "outcome-unknown" => {
                failure.hint("look whether the change is there before repeating it")
            }
            _ => failure,
        }
    }
}
