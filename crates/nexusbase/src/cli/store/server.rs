//! Documents on a server.
//!
//! Long answers are read page by page in the order of `_id` where no other order is asked for:
//! each page continues behind the last document of the one before, so nothing that stays in the
//! collection meanwhile is left out or shown twice.

use std::io::BufRead;

use serde_json::Value;
use ureq::http::{Response, StatusCode};

use super::{
    CollectionShown, Explained, IndexShown, Inserted, Line, Question, Refused, Take, no_collection,
};
use crate::cli::args::OnError;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::http::{Client, JSON, NDJSON, Problem};

/// Documents per page: what a server with default limits allows.
const PAGE_DOCUMENTS: usize = 1000;

pub(super) fn find(client: &Client, question: &Question<'_>, take: &mut Take<'_>) -> Outcome {
    let mut left = question.limit.unwrap_or(usize::MAX);
    if left == 0 {
        return Ok(()); // a page has at least one document
    }
    let mut cursor = None;
    let accept = if question.canonical {
        "application/x-ndjson; form=canonical"
    } else {
        NDJSON
    };
    loop {
        let page = left.min(PAGE_DOCUMENTS);
        let query = parameters(question, page, cursor.as_deref());
        let path = documents_path(question.collection);
        let response = match client.get(&path, &query, accept)? {
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

pub(super) fn explain(client: &Client, question: &Question<'_>) -> Outcome<Explained> {
    let mut explained: Option<Explained> = None;
    let mut left = question.limit.unwrap_or(usize::MAX).max(1);
    let mut cursor = None;
    loop {
        // What is read does not depend on the fields, so as little as possible is sent.
        let asked = Question {
            fields: Some("_id"),
            ..*question
        };
        let mut query = parameters(&asked, left.min(PAGE_DOCUMENTS), cursor.as_deref());
        query.push(("explain", "true".to_owned()));
        let path = documents_path(question.collection);
        let response = match client.get(&path, &query, JSON)? {
            Ok(response) => response,
            Err(problem) => return Err(refused(client, question.collection, problem)),
        };
        let next = next_cursor(&response);
        let page = client.json(response)?;
        let page = page.get("explain").unwrap_or(&Value::Null);
        let number = |name: &str| page.get(name).and_then(Value::as_u64).unwrap_or_default();
        let total = explained.get_or_insert_with(|| access(page));
        total.index_rows_read += number("index_rows_read");
        total.documents_read += number("documents_read");
        total.documents_returned += number("documents_returned");
        total.micros += number("micros");
        let returned = usize::try_from(number("documents_returned")).unwrap_or(usize::MAX);
        left = left.saturating_sub(returned);
        match (next, explained.take()) {
            (Some(next), Some(so_far)) if left > 0 => {
                (cursor, explained) = (Some(next), Some(so_far));
            }
            (_, Some(done)) => return Ok(done),
            (_, None) => return Err(odd("no explanation")),
        }
    }
}

/// The access that a page explains, with nothing counted yet.
fn access(page: &Value) -> Explained {
    let of = |name: &str| page.pointer(name).and_then(Value::as_str);
    let access = match (of("/access/kind"), of("/access/path")) {
        (Some("index"), Some(path)) => format!("index on {path}"),
        (Some("id"), _) => "_id".to_owned(),
        (Some("collection"), _) => "whole collection".to_owned(),
        (kind, _) => kind.unwrap_or("unknown").to_owned(),
    };
    Explained {
        access,
        bounds: of("/access/bounds").map(str::to_owned),
        sort: of("/sort").unwrap_or("unknown").replace('-', " "),
        index_rows_read: 0,
        documents_read: 0,
        documents_returned: 0,
        micros: 0,
    }
}

pub(super) fn create_index(client: &Client, collection: &str, path: &str) -> Outcome<bool> {
    let response = client.put(&["collections", collection, "indexes", path])?;
    Ok(response?.status() == StatusCode::CREATED)
}

pub(super) fn drop_index(client: &Client, collection: &str, path: &str) -> Outcome<bool> {
    match client.delete(&["collections", collection, "indexes", path])? {
        Ok(_) => Ok(true),
        Err(problem) if problem.kind == "no-such-index" => Ok(false),
        Err(problem) => Err(refused(client, collection, problem)),
    }
}

pub(super) fn collections(client: &Client) -> Outcome<Vec<CollectionShown>> {
    let answer = client.json(client.get(&["collections"], &[], JSON)??)?;
    let all = answer.get("collections").and_then(Value::as_array);
    let all = all.ok_or_else(|| odd("no list of collections"))?;
    Ok(all.iter().map(shown).collect())
}

fn shown(collection: &Value) -> CollectionShown {
    let flag = |index: &Value, name: &str| index.get(name).and_then(Value::as_bool);
    let text = |value: &Value, name: &str| {
        let text = value.get(name).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    let indexes = collection.get("indexes").and_then(Value::as_array);
    CollectionShown {
        name: text(collection, "name"),
        indexes: indexes
            .into_iter()
            .flatten()
            .map(|index| IndexShown {
                path: text(index, "path"),
                multikey: flag(index, "multikey").unwrap_or(false),
                ready: flag(index, "ready").unwrap_or(true),
            })
            .collect(),
    }
}

fn odd(what: &str) -> Failure {
    Failure::new(format_args!("the server's answer has {what}"))
        .hint("is it a NexusBase server, of the same version as this program?")
}

pub(super) fn insert(
    client: &Client,
    collection: &str,
    lines: &[Line],
    on_error: OnError,
) -> Outcome<Inserted> {
    let mut body = Vec::with_capacity(lines.iter().map(|line| line.text.len() + 1).sum());
    for line in lines {
        body.extend_from_slice(&line.text);
        body.push(b'\n');
    }
    let word = match on_error {
        OnError::Stop => "stop",
        OnError::Skip => "skip",
    };
    let query = [("on_error", word.to_owned())];
    let path = documents_path(collection);
    match client.post(&path, &query, NDJSON, &body)? {
        Ok(response) => {
            let answer = client.json(response)?;
            let failures = answer.get("failures").and_then(Value::as_array);
            Ok(Inserted {
                inserted: count(&answer)?,
                refused: failures
                    .into_iter()
                    .flatten()
                    .filter_map(|failure| refused_line(failure, failure.get("error")?, lines))
                    .collect(),
            })
        }
        Err(problem) if is_about_a_line(&problem) => {
            let refused = refused_line(&problem.members, &problem.members, lines);
            Ok(Inserted {
                inserted: count(&problem.members)?,
                refused: vec![refused.ok_or_else(|| odd("no line"))?],
            })
        }
        Err(problem) => Err(problem.into()),
    }
}

fn count(answer: &Value) -> Outcome<u64> {
    let count = answer.get("inserted").and_then(Value::as_u64);
    count.ok_or_else(|| odd("no number of documents"))
}

/// Whether a line was refused, rather than the whole request or by a failing server.
fn is_about_a_line(problem: &Problem) -> bool {
    problem.status.is_client_error()
        && problem.kind != "conflict"
        && problem.members.get("line").is_some()
        && problem.members.get("inserted").is_some()
}

/// A refused line, by its number in the file instead of the one in the body.
fn refused_line(numbered: &Value, error: &Value, lines: &[Line]) -> Option<Refused> {
    let number = usize::try_from(numbered.get("line")?.as_u64()?).ok()?;
    let detail = error.get("detail").and_then(Value::as_str);
    Some(Refused {
        line: lines.get(number.checked_sub(1)?)?.number,
        // The text that was parsed is one line; its number there says nothing.
        reason: detail
            .unwrap_or("refused")
            .replace("at line 1, column", "at column"),
    })
}
