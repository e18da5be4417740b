//! The description for people: a page at `/docs` that shows `/openapi.json` and tries requests.
//!
//! It is written by hand and small. The usual pages either load themselves from a network that a
//! server may not reach (Scalar, through utoipa-scalar) or are megabytes to carry along
//! (Swagger UI). This one consists of three files, has no dependency, and works without any
//! network but the server itself. Its policy allows no inline script and no foreign address; a
//! key that is typed in stays in the page's memory and goes when the page does.

use axum::response::{IntoResponse, Response};
use hyper::header::{self, HeaderName};

use crate::openapi::ServiceProblems;

const HTML: &str = include_str!("docs_page/page.html");
const SCRIPT: &str = include_str!("docs_page/page.js");
const STYLE: &str = include_str!("docs_page/page.css");

/// What the page may do: load its script and style from here, and speak to here.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

fn file(media_type: &'static str, text: &'static str) -> Response {
    let headers: [(HeaderName, &str); 3] = [
        (header::CONTENT_TYPE, media_type),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, text).into_response()
}

/// This description as a page
///
/// For people: shows what `/openapi.json` says, and sends requests.
#[utoipa::path(
    get,
    path = "/docs",
    operation_id = "docs",
    tag = "service",
    responses(
        (status = 200, description = "A page.", body = String, content_type = "text/html"),
        ServiceProblems,
    ),
)]
pub(crate) async fn page() -> Response {
    file("text/html; charset=utf-8", HTML)
}

/// The script of the page
#[utoipa::path(
    get,
    path = "/docs/page.js",
    operation_id = "docsScript",
    tag = "service",
    responses(
        (status = 200, description = "A script.", body = String, content_type = "text/javascript"),
        ServiceProblems,
    ),
)]
pub(crate) async fn script() -> Response {
    file("text/javascript; charset=utf-8", SCRIPT)
}

/// The style of the page
#[utoipa::path(
    get,
    path = "/docs/page.css",
    operation_id = "docsStyle",
    tag = "service",
    responses(
        (status = 200, description = "A style sheet.", body = String, content_type = "text/css"),
        ServiceProblems,
    ),
)]
pub(crate) async fn style() -> Response {
    file("text/css; charset=utf-8", STYLE)
}
