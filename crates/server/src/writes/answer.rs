//! An answer as data: it can be kept and sent again, word for word.

use axum::response::{IntoResponse, Response};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::negotiate::{JSON, Wanted};
use crate::problem::{Kind, Problem};

const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// What a request is answered with.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
    /// The body instead, if what was done ended early.
    problem: Option<Problem>,
}

/// An answer as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
    problem: Option<Value>,
}

impl Answer {
    /// An answer without a body.
    pub(crate) fn empty(status: StatusCode) -> Self {
        Self {
            status,
            headers: HeaderMap::new(),
            body: String::new(),
            problem: None,
        }
    }

    /// An answer whose body is extended JSON.
    pub(crate) fn text(status: StatusCode, wanted: Wanted, body: String) -> Self {
        let mut answer = Self {
            body,
            ..Self::empty(status)
        };
        let media = wanted.media.header(wanted.form);
        answer.headers.insert(header::CONTENT_TYPE, media);
        answer
    }

    /// A value as JSON.
    pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Result<Self, Problem> {
        let body = serde_json::to_string(value);
        let body = body.map_err(|error| Problem::new(Kind::Internal, error.to_string()))?;
        let answer = Self {
            body,
            ..Self::empty(status)
        };
        Ok(answer.with(header::CONTENT_TYPE, JSON))
    }

    /// A problem that says what was done all the same.
    pub(crate) fn problem(problem: Problem) -> Self {
        let status = problem.kind().status();
        Self {
            problem: Some(problem),
            ..Self::empty(status)
        }
    }

    /// The same, with one more header; what does not fit into one is left out.
    pub(crate) fn with(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    /// The same, as one that was given before.
    pub(super) fn replayed(self) -> Self {
        self.with(REPLAYED, "true")
    }

    /// The answer as it is kept.
    pub(super) fn encode(&self) -> Result<Vec<u8>, Problem> {
        let headers = self.headers.iter().filter_map(|(name, value)| {
            let value = value.to_str().ok()?;
            Some((name.as_str().to_owned(), value.to_owned()))
        });
        let kept = Kept {
            status: self.status.as_u16(),
            headers: headers.collect(),
            body: self.body.clone(),
            problem: self.problem.as_ref().map(|problem| problem.to_json(None)),
        };
        let encoded = serde_json::to_vec(&kept);
        encoded.map_err(|error| Problem::new(Kind::Internal, error.to_string()))
    }

    /// What [`Self::encode`] has written.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Problem> {
        let damaged = |reason: String| {
            tracing::error!(reason, "the answer kept for a repeated request is damaged");
            let detail = "the answer to the first request of this key cannot be read; the \
                          server's log says more. It was done";
            Problem::new(Kind::Damaged, detail)
        };
        let kept: Kept = serde_json::from_slice(bytes).map_err(|e| damaged(e.to_string()))?;
        let status = StatusCode::from_u16(kept.status).map_err(|e| damaged(e.to_string()))?;
        let mut answer = match &kept.problem {
            Some(json) => match Problem::from_json(json) {
                Some(problem) => Self::problem(problem),
                None => return Err(damaged("no such problem".to_owned())),
            },
            None => Self {
                body: kept.body,
                ..Self::empty(status)
            },
        };
        for (name, value) in &kept.headers {
            let name = HeaderName::try_from(name).map_err(|e| damaged(e.to_string()))?;
            answer = answer.with(name, value);
        }
        Ok(answer)
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = match self.problem {
            Some(problem) => problem.into_response(),
            None if self.body.is_empty() => self.status.into_response(),
            None => (self.status, self.body).into_response(),
        };
        response.headers_mut().extend(self.headers);
        response
    }
}

#[cfg(test)]
mod tests {
    use nexusbase_documents::json::Form;

    use super::*;
    use crate::negotiate::Media;

    #[test]
    fn what_is_kept_comes_back() {
        let wanted = Wanted {
            media: Media::Json,
            form: Form::Canonical,
        };
        let problem = Problem::new(Kind::DuplicateId, "two \"x\"").with("line", 3);
        let answers = [
            Answer::empty(StatusCode::NO_CONTENT).with(header::ETAG, "\"a\""),
            Answer::text(StatusCode::CREATED, wanted, "{\"_id\":\"ü\"}".to_owned()),
            Answer::problem(problem),
        ];
        for answer in answers {
            let back = Answer::decode(&answer.encode().unwrap()).unwrap();
            assert_eq!(format!("{back:?}"), format!("{answer:?}"));
        }
        for damaged in [
            &b""[..],
            b"{}",
            b"{\"status\":1,\"headers\":[],\"body\":\"\"}",
        ] {
            assert_eq!(Answer::decode(damaged).unwrap_err().kind(), Kind::Damaged);
        }
    }
}
