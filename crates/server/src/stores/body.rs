//! Bodies of JSON that say what is to be done: nothing unknown in them, and where nothing needs to
//! be said, no body either.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use axum::extract::{FromRequest, Request};
use hyper::Method;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::app::App;
use crate::extract::{Received, receive};
use crate::negotiate::{Media, body_media};
use crate::problem::{Kind, Problem};

/// A body of JSON, not read yet: a large one takes its time, on a thread that may take it.
pub(crate) struct JsonBody(Received);

impl FromRequest<Arc<App>> for JsonBody {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        let offered: &[Media] = if request.method() == Method::PATCH {
            &[Media::Json, Media::MergePatch]
        } else {
            &[Media::Json]
        };
        let media = body_media(request.headers(), offered);
        let received = receive(request, app).await?;
        if !received.bytes.is_empty() {
            media?;
        }
        Ok(Self(received))
    }
}

impl JsonBody {
    /// What it says; the default if there is none.
    pub(crate) fn optional<T: DeserializeOwned + Default>(&self) -> Result<T, Problem> {
        if self.0.bytes.is_empty() {
            return Ok(T::default());
        }
        self.required()
    }

    /// As it came.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    /// What it says.
    pub(crate) fn required<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let Object(said) =
            serde_json::from_slice(&self.0.bytes).map_err(|error| of_json(&error))?;
        Ok(said)
    }
}

/// What is an object: an array with what its members would be, in their order, is none.
#[derive(Debug)]
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Object)
    }
}

/// A body that is no JSON, or says something that this request does not take.
pub(super) fn of_json(error: &serde_json::Error) -> Problem {
    let kind = if error.is_data() {
        Kind::InvalidBody
    } else {
        Kind::InvalidJson
    };
    let problem = Problem::new(kind, error.to_string());
    if error.line() == 0 {
        return problem;
    }
    problem
        .with("line", error.line())
        .with("column", error.column())
}

/// Tells a member that is null from one that is not there.
pub(crate) fn present<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Some)
}
