//! What a request for documents asks: the same from a URL and from a body.
//!
//! Problems are about parameters of the URL; [`Problem::in_body`] turns them into ones about the
//! member of the body that is meant.

use nexusbase_documents::bson::raw::{RawBson, RawBsonRef};
use nexusbase_documents::filter::Filter;
use nexusbase_documents::json::{Form, parse_value, write_value};
use nexusbase_documents::projection::Projection;
use nexusbase_documents::query::{Cursor, Hint, Query};
use nexusbase_documents::sort::Sort;
use nexusbase_documents::{Error, ParseError, ProjectionError, SortError};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::collections::url;
use crate::config::Limits;
use crate::members::{Members, pointer};
use crate::negotiate::{Media, Wanted};
use crate::problem::{Kind, Problem};
use crate::query::Parameters;

/// What of a query must be encoded inside a Link header.
const QUERY: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'{')
    .add(b'}')
    .add(b'&')
    .add(b'+')
    .add(b'%')
    .add(b'=')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'|');

/// The longest URL of a next page that is put into a header for a question from a body.
const LINK_BYTES_MAX: usize = 4 << 10;

const PARAMETERS: &[&str] = &[
    "filter", "sort", "limit", "skip", "cursor", "fields", "explain", "total",
];
const MEMBERS: &[&str] = &[
    "filter",
    "sort",
    "projection",
    "limit",
    "skip",
    "cursor",
    "explain",
    "hint",
    "total",
];

/// What a request for documents asks.
pub(super) struct Question {
    pub(super) query: Query,
    pub(super) limit: usize,
    pub(super) explain: bool,
    pub(super) total: bool,
    /// The URL of the next page, up to the cursor.
    pub(super) next_url: Option<String>,
}

/// The parts of a question that do not say what is looked for.
struct Frame<'a> {
    limit: Option<usize>,
    skip: usize,
    cursor: Option<&'a str>,
    explain: bool,
    total: bool,
}

/// Reads a question from the query part of a URL.
pub(super) fn from_url(
    name: &str,
    query: &str,
    limits: &Limits,
    wanted: Wanted,
) -> Result<Question, Problem> {
    let parameters = Parameters::parse(query, PARAMETERS)?;
    let truth = [("true", true), ("false", false)];
    let frame = Frame {
        limit: parameters.number("limit", 1)?,
        skip: parameters.number("skip", 0)?.unwrap_or(0),
        cursor: parameters.get("cursor"),
        explain: parameters.word("explain", &truth)?.unwrap_or(false),
        total: parameters.word("total", &truth)?.unwrap_or(false),
    };
    let filter = parameters
        .get("filter")
        .map(|text| json(text, Kind::InvalidFilter, "filter"));
    let filter = filter.transpose()?;
    let (sort, fields) = (
        value(&parameters, "sort", Kind::InvalidSort)?,
        value(&parameters, "fields", Kind::InvalidFields)?,
    );
    let query = asked(
        filter.as_ref().map(RawBson::as_raw_bson_ref),
        sort.as_ref().map(RawBson::as_raw_bson_ref),
        fields.as_ref().map(RawBson::as_raw_bson_ref),
    )?;
    let given = ["filter", "sort", "limit", "fields", "explain", "total"];
    let given = given
        .iter()
        .filter_map(|name| Some((*name, parameters.get(name)?.to_owned())));
    let next_url = next_url(name, given);
    framed(query, &frame, limits, wanted, Some(next_url))
}

/// Reads a question from a body.
pub(super) fn from_body(
    name: &str,
    body: &[u8],
    limits: &Limits,
    wanted: Wanted,
) -> Result<Question, Problem> {
    let members = Members::parse(body, MEMBERS)?;
    let frame = Frame {
        limit: members.number("limit", 1)?,
        skip: members.number("skip", 0)?.unwrap_or(0),
        cursor: members.text("cursor")?,
        explain: members.flag("explain")?,
        total: members.flag("total")?,
    };
    let filter = members.get("filter")?;
    let sort = members.get("sort")?;
    let projection = members.get("projection")?;
    let mut query = asked(filter, sort, projection)?;
    query.hint = hint_of(members.get("hint")?)?;
    let mut given = Vec::new();
    for (name, value) in [("filter", filter), ("sort", sort), ("fields", projection)] {
        if let Some(value) = value {
            given.push((name, as_parameter(value)?));
        }
    }
    if let Some(limit) = frame.limit {
        given.push(("limit", limit.to_string()));
    }
    for (name, flag) in [("explain", frame.explain), ("total", frame.total)] {
        if flag {
            given.push((name, flag.to_string()));
        }
    }
    let next_url = next_url(name, given.into_iter());
    let next_url = Some(next_url).filter(|url| url.len() <= LINK_BYTES_MAX);
    framed(query, &frame, limits, wanted, next_url)
}

/// A member of the body as a parameter of a URL.
fn as_parameter(value: RawBsonRef<'_>) -> Result<String, Problem> {
    if let RawBsonRef::String(text) = value {
        return Ok(text.to_owned());
    }
    let mut text = String::new();
    write_value(value, Form::Canonical, &mut text)?;
    Ok(text)
}

fn next_url(collection: &str, given: impl Iterator<Item = (&'static str, String)>) -> String {
    let mut next_url = format!("{}/documents?", url(collection));
    for (name, value) in given {
        let value = utf8_percent_encode(&value, QUERY);
        next_url.push_str(&format!("{name}={value}&"));
    }
    next_url
}

/// A parameter that is an object, or else text.
pub(crate) fn value(
    parameters: &Parameters,
    name: &str,
    kind: Kind,
) -> Result<Option<RawBson>, Problem> {
    match parameters.get(name) {
        Some(text) if text.trim_start().starts_with('{') => json(text, kind, name).map(Some),
        Some(text) => Ok(Some(RawBson::String(text.to_owned()))),
        None => Ok(None),
    }
}

/// A parameter that is JSON.
pub(crate) fn json(text: &str, kind: Kind, parameter: &str) -> Result<RawBson, Problem> {
    let refused = |error: ParseError| {
        let problem = Problem::new(kind, error.to_string());
        let problem = problem.with("at", error.at).with("column", error.column);
        problem.with("line", error.line).parameter(parameter)
    };
    parse_value(text.as_bytes()).map_err(refused)
}

/// What is looked for, in which order, and what of it is shown.
fn asked(
    filter: Option<RawBsonRef<'_>>,
    sort: Option<RawBsonRef<'_>>,
    fields: Option<RawBsonRef<'_>>,
) -> Result<Query, Problem> {
    Ok(Query {
        filter: filter_of(filter)?,
        sort: Some(sort_of(sort)?),
        projection: fields.map(projection_of).transpose()?,
        ..Query::default()
    })
}

/// The filter that a member of a body, or a parameter, is.
pub(crate) fn filter_of(value: Option<RawBsonRef<'_>>) -> Result<Filter, Problem> {
    let filter = value.map(Filter::from_value).transpose();
    Ok(filter.map_err(Error::from)?.unwrap_or_default())
}

/// How documents are to be found: by the index of a name, by the plan of a number, or through the
/// whole collection (`{"$natural": 1}`).
pub(crate) fn hint_of(value: Option<RawBsonRef<'_>>) -> Result<Option<Hint>, Problem> {
    let found = match value {
        None | Some(RawBsonRef::Null) => return Ok(None),
        Some(RawBsonRef::String(name)) => Some(Hint::Index(name.into())),
        Some(RawBsonRef::Int32(number)) => usize::try_from(number).ok().map(Hint::Number),
        Some(RawBsonRef::Int64(number)) => usize::try_from(number).ok().map(Hint::Number),
        Some(RawBsonRef::Document(object)) => {
            let natural = object.iter().flatten().map(|(name, _)| name.as_str());
            natural.eq(["$natural"]).then_some(Hint::Collection)
        }
        Some(_) => None,
    };
    let refused = || {
        let detail = "a hint is the name of an index, the number of a plan, or {\"$natural\": 1} \
                      for the whole collection";
        Problem::new(Kind::InvalidParameter, detail).parameter("hint")
    };
    found.map(Some).ok_or_else(refused)
}

fn sort_of(value: Option<RawBsonRef<'_>>) -> Result<Sort, Problem> {
    let (sort, in_object) = match value {
        None => (Sort::parse(""), false),
        Some(RawBsonRef::String(text)) => (Sort::parse(text), false),
        Some(value) => (Sort::from_value(value), true),
    };
    sort.map_err(|error| {
        let key = match &error {
            SortError::Path { key, .. }
            | SortError::Direction { key }
            | SortError::Duplicate { key } => Some(pointer(key)),
            _ => None,
        };
        placed(Error::from(error), key.filter(|_| in_object))
    })
}

fn projection_of(value: RawBsonRef<'_>) -> Result<Projection, Problem> {
    let (projection, in_object) = match value {
        RawBsonRef::String(text) => (Projection::parse(text), false),
        value => (Projection::from_value(value), true),
    };
    projection.map_err(|error| {
        let field = match &error {
            ProjectionError::Path { field, .. }
            | ProjectionError::Collision { field, .. }
            | ProjectionError::Mixed { field, .. }
            | ProjectionError::Computed { field, .. }
            | ProjectionError::Operand { field, .. }
            | ProjectionError::Positional { field, .. }
            | ProjectionError::Condition { field, .. } => Some(pointer(field)),
            _ => None,
        };
        placed(Error::from(error), field.filter(|_| in_object))
    })
}

fn placed(error: Error, at: Option<String>) -> Problem {
    let problem = Problem::from(error);
    match at {
        Some(at) => problem.with("at", at),
        None => problem,
    }
}

fn framed(
    mut query: Query,
    frame: &Frame<'_>,
    limits: &Limits,
    wanted: Wanted,
    next_url: Option<String>,
) -> Result<Question, Problem> {
    let limit = frame
        .limit
        .unwrap_or(limits.page_default)
        .min(limits.page_max);
    for (name, asked) in [("explain", frame.explain), ("total", frame.total)] {
        if asked && wanted.media == Media::Ndjson {
            let detail =
                format!("{name} is part of a JSON answer; ask for Accept: application/json");
            return Err(Problem::new(Kind::InvalidParameter, detail).parameter(name));
        }
    }
    if let Some(cursor) = frame.cursor {
        query.after = Some(cursor.parse::<Cursor>().map_err(Error::from)?);
    }
    query.skip = frame.skip;
    if query.skip > 0 && query.after.is_some() {
        // Each page would leave out some more, which nobody means.
        let detail = "skip counts from the first document, and a cursor starts behind a later one; \
                      leave skip out of all pages but the first";
        return Err(Problem::new(Kind::InvalidParameter, detail).parameter("skip"));
    }
    // One more than asked for tells whether something follows.
    query.limit = Some(limit.saturating_add(1));
    Ok(Question {
        query,
        limit,
        explain: frame.explain,
        total: frame.total,
        next_url,
    })
}
