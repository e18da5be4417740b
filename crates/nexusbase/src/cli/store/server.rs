//! Documents on a server.
//!
//! Long answers are read page by page in the order of `_id` where no other order is asked for:
//! each page continues behind the last document of the one before, so nothing that stays in the
//! collection meanwhile is left out or shown twice.

use std::io::BufRead;

use serde_json::Value;
use ureq::http::Response;

use super::{CollectionShown, Explained, IndexShown, Inserted, Line, Question, Refused, Take,
    no_collection};
use crate::cli::args::OnError;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::http::{Client, NDJSON, Problem};

/// Documents per page: what a server with default limits allows.
const PAGE_DOCUMENTS: usize = 1000;

pub(super) fn find(client: &Client, question: &Question<'_>, take: &mut Take<'_>) -> Outcome {
    let mut left = question.limit.unwrap_or(usize::MAX);
    let mut cursor = None;
    loop {
        let page = left.min(PAGE_DOCUMENTS);
        let query = parameters(question, page, cursor.as_deref());
        let path = documents_path(question.collection);
        let response = match client.get(&path, &query, NDJSON)? {
            Ok(response) => response,
            Err(problem) => return Err(refused(client, question.collection, problem)),
        };
        let next = next_cursor(&response);
        let taken = take_lines(client, response, take)?;
        left = left.saturating_sub(taken);
        if next.is_none() || left == 0 {
            return Ok(());
        }
        cursor = next;
    }
}

/// Lines, one by one, without holding the answer.
fn take_lines(
    client: &Client,
    response: Response<ureq::Body>,
    take: &mut Take<'_>,
) -> Outcome<usize> {
    let reader = std::io::BufReader::new(response.into_body().into_reader());
    let mut taken = 0;
    for line in reader.lines() {
        let line = line.map_err(|e| client.broken(&e))?;
        if !line.is_empty() {
            take(&line)?;
            taken += 1;
        }
    }
    Ok(taken)
}

fn documents_path(collection: &str) -> [&str; 3] {
    ["collections", collection, "documents"]
}

fn parameters(
    question: &Question<'_>,
    limit: usize,
    cursor: Option<&str>,
) -> Vec<(&'static str, String)> {
    let mut query = vec![
        ("filter", question.filter.to_owned()),
        ("limit", limit.to_string()),
    ];
    if let Some(sort) = question.sort {
        query.push(("sort", sort.to_owned()));
    }
    if let Some(fields) = question.fields {
        query.push(("fields", fields.to_owned()));
    }
    match cursor {
        Some(cursor) => query.push(("cursor", cursor.to_owned())),
        None if question.skip > 0 => query.push(("skip", question.skip.to_string())),
        None => {}
    }
    query
}

fn next_cursor(response: &Response<ureq::Body>) -> Option<String> {
    let header = response.headers().get("x-next-cursor")?;
    header.to_str().ok().map(str::to_owned)
}

/// A problem with a collection: if it is missing, the others are named.
fn refused(client: &Client, collection: &str, problem: Problem) -> Failure {
    if problem.kind == "no-such-collection"
        && let Ok(all) = collections(client)
    {
        return no_collection(collection, &all);
    }
    problem.into()
}
