//! Writing documents: one by its URL, those that a filter finds, and many at once.
//!
//! Every write is one piece of work on one transaction, and its answer is made inside of it. So
//! what an answer says is what was committed, conditions are compared in the step that changes,
//! and the answer to a request with an `Idempotency-Key` is committed with what it tells of.
//!
//! | file | what it has |
//! | --- | --- |
//! | `answer` | an answer as it can be stored and sent again |
//! | `once` | requests that may come twice and are done once |
//! | `body` | bodies taken apart, with the place of what is wrong |
//! | `change` | from bodies to changes of documents |
//! | `prefer` | what a caller would like to see of a result |
//! | `document` | get, replace, change, delete one document |
//! | `selected` | change and delete what a filter finds |
//! | `bulk` | many operations in one request |

mod answer;
mod body;
mod bulk;
mod change;
mod document;
mod once;
mod prefer;
mod selected;

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) use answer::Answer;
pub(crate) use body::{Members, body_document};
pub(crate) use document::created;
pub(crate) use once::{Content, Once, UnderWay};
pub(crate) use prefer::Prefer;
use prefer::Return;

use crate::app::App;

/// The routes with their descriptions.
pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(
            document::get,
            document::replace,
            document::change,
            document::remove
        ))
        .routes(routes!(selected::update))
        .routes(routes!(selected::delete))
        .routes(routes!(bulk::bulk))
}
