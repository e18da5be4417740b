//! Media types: what a body is, what an answer is to be, and how answers are made.
//!
//! Bodies must say what they are. A browser can send three types from any page without asking
//! (forms and plain text), so those are never taken for JSON. Answers are JSON, or lines of JSON
//! where there are many documents; `form=canonical` behind either asks for the canonical form of
//! extended JSON. Errors are problem documents whatever was asked for.

use axum::response::{IntoResponse, Response};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{StatusCode, http};
use nexusbase_documents::json::Form;
use serde::Serialize;

use crate::problem::{Kind, Problem};

pub(crate) const JSON: &str = "application/json";
pub(crate) const NDJSON: &str = "application/x-ndjson";
const MERGE_PATCH: &str = "application/merge-patch+json";
const JSON_PATCH: &str = "application/json-patch+json";

/// The types of bodies that change a document, as a header lists them.
pub(crate) const PATCHES: &str =
    "application/merge-patch+json, application/json-patch+json, application/json";

/// What a body is, or an answer is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Media {
    Json,
    Ndjson,
    /// JSON that says what is to be different (RFC 7396).
    MergePatch,
    /// JSON that lists changes (RFC 6902).
    JsonPatch,
}

/// What an answer is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) media: Media,
    pub(crate) form: Form,
}

impl Media {
    fn of(essence: &str) -> Option<Self> {
        let is = |name: &str| essence.eq_ignore_ascii_case(name);
        if is(JSON) {
            Some(Self::Json)
        } else if is(NDJSON) || is("application/ndjson") || is("application/jsonl") {
            Some(Self::Ndjson)
        } else if is(MERGE_PATCH) {
            Some(Self::MergePatch)
        } else if is(JSON_PATCH) {
            Some(Self::JsonPatch)
        } else {
            None
        }
    }

    /// The header of an answer.
    pub(crate) fn header(self, form: Form) -> HeaderValue {
        HeaderValue::from_static(match (self, form) {
            (Self::Json, Form::Relaxed) => JSON,
            (Self::Json, Form::Canonical) => "application/json; form=canonical",
            (Self::Ndjson, Form::Relaxed) => NDJSON,
            (Self::Ndjson, Form::Canonical) => "application/x-ndjson; form=canonical",
            (Self::MergePatch, _) => MERGE_PATCH,
            (Self::JsonPatch, _) => JSON_PATCH,
        })
    }
}

/// What the body is, which is one of `offered`.
pub(crate) fn body_media(headers: &HeaderMap, offered: &[Media]) -> Result<Media, Problem> {
    let refuse = |found: &str| {
        let list = if offered.contains(&Media::Ndjson) {
            "application/json or application/x-ndjson"
        } else if offered.contains(&Media::JsonPatch) {
            PATCHES
        } else if offered.contains(&Media::MergePatch) {
            "application/merge-patch+json or application/json"
        } else {
            JSON
        };
        let detail = format!("the body needs the header Content-Type: {list}; {found}");
        Problem::new(Kind::UnsupportedMediaType, detail).with("header", "content-type")
    };
    let mut all = headers.get_all(header::CONTENT_TYPE).iter();
    let value = all.next().ok_or_else(|| refuse("it has none"))?;
    if all.next().is_some() {
        return Err(refuse("it has several"));
    }
    let text = value
        .to_str()
        .map_err(|_| refuse("it has an unreadable one"))?;
    let (essence, parameters) = split_type(text);
    let media = Media::of(essence).filter(|media| offered.contains(media));
    let media = media.ok_or_else(|| refuse(&format!("it has {essence:?}")))?;
    for (name, value) in parameters {
        if name.eq_ignore_ascii_case("charset") && !value.eq_ignore_ascii_case("utf-8") {
            return Err(refuse(&format!(
                "JSON is UTF-8, and it says charset={value:?}"
            )));
        }
    }
    Ok(media)
}

/// What the answer is to be, which is one of `offered`; the first of them if all the same.
pub(crate) fn wanted(headers: &HeaderMap, offered: &[Media]) -> Result<Wanted, Problem> {
    let mut best: Option<(f32, Wanted)> = None;
    let mut asked = false;
    for value in headers.get_all(header::ACCEPT) {
        let Ok(text) = value.to_str() else { continue };
        for range in text
            .split(',')
            .map(str::trim)
            .filter(|range| !range.is_empty())
        {
            asked = true;
            let Some((quality, wanted)) = range_wants(range, offered)? else {
                continue;
            };
            if quality > 0.0 && best.is_none_or(|(known, _)| quality > known) {
                best = Some((quality, wanted));
            }
        }
    }
    match (best, asked, offered.first()) {
        (Some((_, wanted)), _, _) => Ok(wanted),
        (None, false, Some(media)) => Ok(Wanted {
            media: *media,
            form: Form::Relaxed,
        }),
        _ => {
            let detail = "the answer can be application/json, and application/x-ndjson where it \
                          is a list of documents";
            Err(Problem::new(Kind::NotAcceptable, detail).with("header", "accept"))
        }
    }
}

fn range_wants(range: &str, offered: &[Media]) -> Result<Option<(f32, Wanted)>, Problem> {
    let (essence, parameters) = split_type(range);
    let any = essence == "*/*" || essence.eq_ignore_ascii_case("application/*");
    let media = if any {
        offered.first().copied()
    } else {
        Media::of(essence).filter(|media| offered.contains(media))
    };
    let (mut quality, mut form) = (1.0, Form::Relaxed);
    for (name, value) in parameters {
        if name.eq_ignore_ascii_case("q") {
            quality = value.parse().unwrap_or(0.0);
        } else if name.eq_ignore_ascii_case("form") && !any && media.is_some() {
            form = match value {
                "canonical" => Form::Canonical,
                "relaxed" => Form::Relaxed,
                _ => {
                    let detail = format!("form={value:?} is not one of canonical and relaxed");
                    let problem = Problem::new(Kind::NotAcceptable, detail);
                    return Err(problem.with("header", "accept"));
                }
            };
        }
    }
    Ok(media.map(|media| (quality, Wanted { media, form })))
}

/// A media type and its parameters.
fn split_type(text: &str) -> (&str, impl Iterator<Item = (&str, &str)>) {
    let mut parts = text.split(';');
    let essence = parts.next().unwrap_or_default().trim();
    let parameters = parts.filter_map(|part| {
        let (name, value) = part.split_once('=')?;
        Some((name.trim(), value.trim().trim_matches('"')))
    });
    (essence, parameters)
}

/// An answer that is JSON already.
pub(crate) fn text(status: StatusCode, wanted: Wanted, body: String) -> Response {
    let mut response = (status, body).into_response();
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, wanted.media.header(wanted.form));
    response
}

/// A value as a JSON answer.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Result<Response, Problem> {
    let body =
        serde_json::to_string(value).map_err(|e| Problem::new(Kind::Internal, e.to_string()))?;
    let wanted = Wanted {
        media: Media::Json,
        form: Form::Relaxed,
    };
    Ok(text(status, wanted, body))
}

/// Puts a header whose value the server made itself; what does not fit into one is left out.
pub(crate) fn put_header(response: &mut Response, name: http::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
