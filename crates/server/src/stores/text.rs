//! Bytes in JSON: a string if they are UTF-8, and `{"base64": "…"}` otherwise.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hyper::body::Bytes;
use serde::de::{Error, MapAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Schema, Type};
use utoipa::openapi::{Object, RefOr};
use utoipa::{PartialSchema, ToSchema};

/// The member that holds bytes that are not text.
const BASE64: &str = "base64";

/// Bytes, as they stand in JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text(pub(crate) Bytes);

impl Text {
    pub(crate) fn copy(bytes: &[u8]) -> Self {
        Self(Bytes::copy_from_slice(bytes))
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Ok(text) = std::str::from_utf8(&self.0) {
            return serializer.serialize_str(text);
        }
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(BASE64, &STANDARD.encode(&self.0))?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, or {\"base64\": \"…\"} for bytes that are no text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Text, E> {
        Ok(Text::copy(text.as_bytes()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Text, E> {
        Ok(Text(text.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Text, A::Error> {
        let wrong = || A::Error::custom("bytes are an object with one member, \"base64\"");
        let (name, encoded): (String, String) = map.next_entry()?.ok_or_else(wrong)?;
        if name != BASE64 || map.next_key::<String>()?.is_some() {
            return Err(wrong());
        }
        let decoded = STANDARD.decode(encoded);
        decoded
            .map(|bytes| Text(bytes.into()))
            .map_err(|error| A::Error::custom(format!("it is no base64: {error}")))
    }
}

impl PartialSchema for Text {
    fn schema() -> RefOr<Schema> {
        let string = |example: &str| -> Object {
            ObjectBuilder::new()
                .schema_type(Type::String)
                .examples([example])
                .build()
        };
        let bytes = ObjectBuilder::new()
            .property(BASE64, string("AP8="))
            .required(BASE64);
        OneOfBuilder::new()
            .description(Some(
                "Bytes: a string if they are UTF-8, otherwise an object with their base64.",
            ))
            .item(string("user:1"))
            .item(bytes)
            .into()
    }
}

impl ToSchema for Text {
    fn name() -> std::borrow::Cow<'static, str> {
        "Bytes".into()
    }
}

/// Where a page ended, as it stands in a URL.
pub(crate) fn token(key: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(key)
}

/// The place that a token means.
pub(crate) fn from_token(token: &str) -> Option<Bytes> {
    URL_SAFE_NO_PAD.decode(token).ok().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back(bytes: &'static [u8], json: &str) {
        let text = Text(Bytes::from_static(bytes));
        assert_eq!(serde_json::to_string(&text).unwrap(), json);
        assert_eq!(serde_json::from_str::<Text>(json).unwrap(), text);
    }

    #[test]
    fn any_bytes_go_through_json_unchanged() {
        there_and_back(b"", r#""""#);
        there_and_back(b"user:1", r#""user:1""#);
        there_and_back(b"a\0\"", r#""a\u0000\"""#);
        there_and_back("é".as_bytes(), r#""é""#);
        there_and_back(b"\xff\x00", r#"{"base64":"/wA="}"#);
    }

    #[test]
    fn what_is_no_bytes_is_refused() {
        for bad in [
            "1",
            "null",
            "[1]",
            "{}",
            r#"{"base64":1}"#,
            r#"{"base64":"?"}"#,
            r#"{"base64":"AA==","x":1}"#,
            r#"{"hex":"00"}"#,
            r#"{"base64":"AA==","base64":"AA=="}"#,
        ] {
            assert!(serde_json::from_str::<Text>(bad).is_err(), "{bad}");
        }
    }
}
