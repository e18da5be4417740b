//! Problem documents (RFC 9457): what every error of the service looks like.
//!
//! A [`Problem`] is a [`Kind`] (stable: its URI, title and status are part of the interface), a
//! sentence about this case, and members that a program can use: `at`, `line`, `column`, `index`,
//! `parameter` and so on. Handlers return it; [`observe`](crate::observe) writes it into the
//! answer, together with the request's id, and makes one of any other error on its way out, so
//! that no answer with an error status leaves without one.
//!
//! A problem never shows a path of the server's disk or the inside of a failure: those go to the
//! log, under the request's id.

mod change;
mod from;
mod kind;
mod pipeline;
mod stores;

use axum::response::{IntoResponse, Response};
use hyper::header::{self, HeaderValue};
use serde_json::{Map, Value};

use crate::auth::CHALLENGE;
use crate::decode::ENCODINGS;
use crate::negotiate::put_header;

pub(crate) use change::invalid_update;
pub(crate) use from::{foreign, json_error, of_error, panicked};
pub(crate) use kind::Kind;

/// The media type of problem documents.
pub(crate) const MEDIA_TYPE: &str = "application/problem+json";

/// One error, for the one who asked.
#[derive(Clone, Debug)]
pub(crate) struct Problem(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    kind: Kind,
    detail: String,
    members: Map<String, Value>,
}

impl Problem {
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            detail: detail.into(),
            members: Map::new(),
        }))
    }

    /// The same, with one more member.
    pub(crate) fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.0.members.insert(member.to_owned(), value.into());
        self
    }

    /// The same, about a parameter of the URL.
    pub(crate) fn parameter(self, name: &str) -> Self {
        self.with("parameter", name)
    }

    /// The same, about a place in the body that lies in what `at` speaks of so far.
    pub(crate) fn within(mut self, prefix: &str) -> Self {
        let inside = self.0.members.get("at").and_then(Value::as_str);
        let at = format!("{prefix}{}", inside.unwrap_or_default());
        self.0.members.insert("at".to_owned(), at.into());
        self
    }

    /// The same, about the member of the body that is meant by the parameter it is about.
    pub(crate) fn by_member(self) -> Self {
        let parameter = self.0.members.get("parameter").and_then(Value::as_str);
        let member = match parameter {
            Some("fields") => "/projection",
            Some("filter") => "/filter",
            Some("sort") => "/sort",
            Some("skip") => "/skip",
            Some("cursor") => "/cursor",
            Some("explain") => "/explain",
            Some("total") => "/total",
            Some("hint") => "/hint",
            Some("path") => "/path",
            _ => return self,
        };
        self.in_body(member)
    }

    /// The same, about no parameter.
    pub(crate) fn without_parameter(mut self) -> Self {
        self.0.members.remove("parameter");
        self
    }

    /// The same, about the part of a body at `pointer` instead of a parameter of the URL.
    pub(crate) fn in_body(self, pointer: &str) -> Self {
        self.without_parameter().within(pointer)
    }

    /// The problem that [`Self::to_json`] has written; none if it is not one of today's.
    pub(crate) fn from_json(json: &Value) -> Option<Self> {
        let uri = json.get("type")?.as_str()?;
        let kind = Kind::ALL.iter().find(|kind| kind.uri() == uri)?;
        let mut problem = Self::new(*kind, json.get("detail")?.as_str()?);
        let own = ["type", "title", "status", "detail"];
        let members = json.as_object()?.iter();
        let members = members.filter(|(name, _)| !own.contains(&name.as_str()));
        for (name, value) in members {
            problem = problem.with(name, value.clone());
        }
        Some(problem)
    }

    pub(crate) fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The problem as an object.
    pub(crate) fn to_json(&self, instance: Option<&str>) -> Value {
        let kind = self.0.kind;
        let mut object = Map::new();
        object.insert("type".into(), kind.uri().into());
        object.insert("title".into(), kind.title().into());
        object.insert("status".into(), kind.status().as_u16().into());
        object.insert("detail".into(), self.0.detail.as_str().into());
        if let Some(instance) = instance {
            object.insert("instance".into(), instance.into());
        }
        object.extend(self.0.members.clone());
        Value::Object(object)
    }

    /// Writes the problem into an answer, which keeps its headers and its status.
    pub(crate) fn write(&self, response: Response, instance: &str) -> Response {
        let (mut parts, _) = response.into_parts();
        parts
            .headers
            .insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        parts.headers.remove(header::CONTENT_LENGTH);
        parts.headers.remove(header::CONTENT_ENCODING);
        let body = self.to_json(Some(instance)).to_string();
        Response::from_parts(parts, body.into())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.0.kind.status().into_response();
        if let Some(seconds) = self.0.kind.retry_after_seconds() {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.0.kind == Kind::UnsupportedEncoding {
            response
                .headers_mut()
                .insert(header::ACCEPT_ENCODING, HeaderValue::from_static(ENCODINGS));
        }
        if self.0.kind == Kind::PreconditionFailed
            && let Some(etag) = self.0.members.get("etag").and_then(Value::as_str)
        {
            put_header(&mut response, header::ETAG, etag);
        }
        if self.0.kind == Kind::Unauthorized {
            let headers = response.headers_mut();
            headers.insert(header::WWW_AUTHENTICATE, CHALLENGE);
        }
        response.extensions_mut().insert(self);
        response
    }
}
