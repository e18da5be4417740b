//! Answers that leave compressed, for those who accept it: zstd or gzip.
//!
//! Small answers, pictures and streams of events are left as they are; so are errors, which are
//! written behind this layer. The ETag of an answer is the same in all encodings, because it names
//! the state that is stored, and a later If-Match compares it with that.
//!
//! Which encoding is chosen is decided here. The layer that compresses would refuse a request
//! that accepts nothing it has (406) after the handler has done its work, and a write that was
//! done must not be reported as failed: such a caller gets the answer as it is.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use hyper::header::{self, HeaderMap, HeaderValue};
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{And, NotForContentType, Predicate as _, SizeAbove};

/// Answers of fewer bytes are not worth it: they fit into one packet anyway.
const BYTES_MIN: u64 = 1024;

type Predicate = And<And<SizeAbove, NotForContentType>, NotForContentType>;

/// Compresses what [`choose`] has chosen to compress.
pub(crate) fn layer() -> CompressionLayer<Predicate> {
    CompressionLayer::new()
        .quality(CompressionLevel::Fastest)
        .compress_when(
            SizeAbove::new(BYTES_MIN)
                .and(NotForContentType::SSE)
                .and(NotForContentType::IMAGES),
        )
}

/// Leaves of the header Accept-Encoding only what will be used.
pub(crate) async fn choose(mut request: Request, next: Next) -> Response {
    let chosen = chosen(request.headers());
    let headers = request.headers_mut();
    headers.remove(header::ACCEPT_ENCODING);
    if let Some(encoding) = chosen {
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(encoding));
    }
    next.run(request).await
}

/// The encoding that is accepted most gladly; zstd, which is cheaper, if both are the same.
fn chosen(headers: &HeaderMap) -> Option<&'static str> {
    let (mut zstd, mut gzip, mut other) = (None, None, None);
    for value in headers.get_all(header::ACCEPT_ENCODING) {
        let Ok(text) = value.to_str() else { continue };
        for item in text.split(',') {
            let (name, quality) = match item.split_once(';') {
                Some((name, parameter)) => (name.trim(), quality(parameter)),
                None => (item.trim(), 1.0),
            };
            match name.to_ascii_lowercase().as_str() {
                "zstd" => zstd = Some(quality),
                "gzip" | "x-gzip" => gzip = Some(quality),
                "*" => other = Some(quality),
                _ => {}
            }
        }
    }
    let other = other.unwrap_or(0.0_f32);
    let (zstd, gzip) = (zstd.unwrap_or(other), gzip.unwrap_or(other));
    if zstd > 0.0 && zstd >= gzip {
        Some("zstd")
    } else if gzip > 0.0 {
        Some("gzip")
    } else {
        None
    }
}

/// What `q=0.5` says; what cannot be read counts as a refusal.
fn quality(parameter: &str) -> f32 {
    let value = parameter.split_once('=').map(|(_, value)| value.trim());
    let value = value.and_then(|value| value.parse::<f32>().ok());
    value
        .filter(|value| (0.0..=1.0).contains(value))
        .unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_accepted_most_gladly_is_chosen() {
        for (accepted, expected) in [
            ("", None),
            ("gzip", Some("gzip")),
            ("GZIP, deflate, br", Some("gzip")),
            ("gzip, deflate, br, zstd", Some("zstd")),
            ("gzip;q=1, zstd;q=0.5", Some("gzip")),
            ("gzip;q=0.5, zstd; q=0.5", Some("zstd")),
            ("gzip;q=0, *", Some("zstd")),
            ("zstd;q=0, *;q=0.1", Some("gzip")),
            ("*;q=0", None),
            ("identity;q=0, br", None),
            ("gzip;q=x", None),
            ("gzip;q=7", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, accepted.parse().unwrap());
            assert_eq!(chosen(&headers), expected, "{accepted}");
        }
        assert_eq!(chosen(&HeaderMap::new()), None);
    }
}
