//! Requests that took long: what they were, in the log, under the target `slow`.
//!
//! A query is logged by its shape: fields, operators and order, and never a value. A handler
//! that knows more than the path says leaves a [`QueryShape`] on its answer.

use std::fmt::Write as _;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use nexusbase_documents::filter::{Comparison, Condition, Test};
use nexusbase_documents::query::Query;

/// A shape is cut off when it is longer than this.
const SHAPE_BYTES: usize = 1024;

/// What a query looks like without its values: `size:$gte $or(kind:$eq kind:$exists)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct QueryShape(pub(crate) String);

impl QueryShape {
    /// The shape of a query for documents.
    pub(crate) fn of(query: &Query) -> Self {
        let mut text = String::new();
        all(query.filter.conjuncts(), &mut text);
        Self(text)
    }

    /// Leaves the shape on an answer, whatever it is.
    pub(crate) fn on(self, answer: impl IntoResponse) -> Response {
        let mut response = answer.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// What is known of a request when it has been answered.
pub(crate) struct Answered<'a> {
    pub(crate) id: &'a str,
    pub(crate) method: &'a str,
    pub(crate) route: &'a str,
    pub(crate) path: &'a str,
    pub(crate) duration: Duration,
}

/// Logs a request that took longer than it should.
pub(crate) fn log(request: &Answered<'_>, response: &Response) {
    let shape = response.extensions().get::<QueryShape>();
    let filter = shape.map(|QueryShape(text)| text.as_str());
    let ms = u64::try_from(request.duration.as_millis()).unwrap_or(u64::MAX);
    tracing::warn!(
        target: "slow",
        id = request.id,
        method = request.method,
        route = request.route,
        path = request.path,
        status = response.status().as_u16(),
        ms,
        filter,
        "slow request"
    );
}

fn all(conditions: &[Condition], text: &mut String) {
    for (n, condition) in conditions.iter().enumerate() {
        if n > 0 {
            text.push(' ');
        }
        if text.len() > SHAPE_BYTES {
            text.push('…');
            return;
        }
        one(condition, text);
    }
}

/// Filters are at most 100 levels deep, so that this ends.
fn one(condition: &Condition, text: &mut String) {
    match condition {
        Condition::Field { path, test } => {
            let operator = match test {
                Test::Compare(Comparison::Eq, _) => "$eq",
                Test::Compare(Comparison::Gt, _) => "$gt",
                Test::Compare(Comparison::Gte, _) => "$gte",
                Test::Compare(Comparison::Lt, _) => "$lt",
                Test::Compare(Comparison::Lte, _) => "$lte",
                Test::In(_) | Test::Either(_) => "$in",
                Test::Exists => "$exists",
                Test::Type(_) => "$type",
                Test::Pattern(_) => "$regex",
                Test::Mod { .. } => "$mod",
                Test::Size(_) => "$size",
                Test::Element(_) => "$elemMatch",
            };
            // Writing into a string does not fail. A long path is cut off with the rest.
            let path: String = path.as_str().chars().take(SHAPE_BYTES).collect();
            let _ = write!(text, "{path}:{operator}");
        }
        Condition::All(conditions) => group("$and", conditions, text),
        Condition::Any(conditions) => group("$or", conditions, text),
        Condition::Not(condition) => group("$not", std::slice::from_ref(condition), text),
        Condition::Text(_) => text.push_str("$text"),
    }
}

fn group(name: &str, conditions: &[Condition], text: &mut String) {
    text.push_str(name);
    text.push('(');
    all(conditions, text);
    text.push(')');
}

#[cfg(test)]
mod tests {
    use nexusbase_documents::json::parse_document;

    use super::*;

    fn shape(filter: &str) -> String {
        let filter = parse_document(filter.as_bytes()).unwrap();
        QueryShape::of(&Query::new(&filter).unwrap()).0
    }

    #[test]
    fn a_shape_has_fields_and_operators_and_no_values() {
        for (filter, expected) in [
            ("{}", ""),
            (r#"{"a": "secret"}"#, "a:$eq"),
            (r#"{"a": {"secret": 1}}"#, "a:$eq"),
            (
                r#"{"a.b": {"$gte": 1, "$lt": 9}, "c": null}"#,
                "a.b:$gte a.b:$lt c:$eq",
            ),
            (
                r#"{"$or": [{"a": {"$in": ["secret"]}}, {"b": {"$exists": true}}]}"#,
                "$or(a:$in b:$exists)",
            ),
            (r#"{"a": {"$not": {"$gt": "secret"}}}"#, "$not(a:$gt)"),
        ] {
            assert_eq!(shape(filter), expected, "{filter}");
        }
    }

    #[test]
    fn a_shape_has_a_bounded_length() {
        let many: Vec<String> = (0..5000).map(|n| format!(r#"{{"f{n}": 1}}"#)).collect();
        let text = shape(&format!(r#"{{"$or": [{}]}}"#, many.join(",")));
        assert!(
            text.len() < 2 * SHAPE_BYTES && text.contains('…'),
            "{}",
            text.len()
        );
        let long = shape(&format!(r#"{{"{}": 1}}"#, "x".repeat(100_000)));
        assert!(long.len() < 2 * SHAPE_BYTES, "{}", long.len());
    }
}
