//! Key-value stores on a server.
//!
//! Long lists are read page by page: what the server says of the next page is given back to it as
//! it is. Where something is missing, the server is asked what there is, so that the error is the
//! same as for a folder; which kind of problem it names does not matter.

mod answer;
mod events;

use std::borrow::Cow;

use nexusbase::kv::{
    Bytes, CheckMode, CheckReport, CopyProgress, CopyReport, CreateOptions, Difference, Entry,
    StoreOptions, Version, VersionId,
};
use serde_json::{Map, Value, json};
use ureq::Body;
use ureq::http::{Method, Response, StatusCode};

use super::{
    Condition, EngineShown, Keys, Kv, Listing, NewValue, OptionsChange, Progress, StoreShown,
    TakeDifference, TakeRow, no_store, no_version,
};
use crate::cli::failure::{Failure, Outcome};
use crate::cli::http::{Answer, Call, Client, Problem};
use crate::cli::kv::text::Setting;

pub(in crate::cli::kv) use events::Event;

/// Rows per page: what a server with default limits allows.
const PAGE_ROWS: u64 = 1000;
/// So often a value is compared and set while others change it.
const ATTEMPTS_MAX: u32 = 1000;
/// What a value is of which nothing was said.
const BYTES: &str = "application/octet-stream";

/// The stores of a server.
#[derive(Debug)]
pub(in crate::cli::kv) struct Server {
    client: Client,
}

/// What an answer has that it should not, or lacks.
fn odd(what: &str) -> Failure {
    Failure::new(format_args!("the server's answer has {what}"))
        .hint("is it a NexusBase server, of the same version as this program?")
}

/// A path below a store.
fn path<'a>(store: &'a str, rest: &[&'a [u8]]) -> Vec<&'a [u8]> {
    [&[b"stores", store.as_bytes()], rest].concat()
}

/// A version as it stands in a URL.
fn word(id: &VersionId) -> Cow<'_, str> {
    match id {
        VersionId::Number(number) => number.to_string().into(),
        VersionId::Name(name) => name.into(),
    }
}

/// A path below a store, or below a version of it.
fn state_path<'a>(store: &'a str, version: Option<&'a str>, rest: &[&'a [u8]]) -> Vec<&'a [u8]> {
    match version {
        Some(version) => path(store, &[&[b"versions", version.as_bytes()], rest].concat()),
        None => path(store, rest),
    }
}

impl Server {
    pub(in crate::cli::kv) const fn new(client: Client) -> Self {
        Self { client }
    }

    fn send(&self, method: Method, path: &[&[u8]]) -> Outcome<Answer> {
        self.client.send(Call::new(method, path))
    }

    /// The answer about a store, as JSON.
    fn json(&self, store: &str, answer: Answer) -> Outcome<Value> {
        self.json_of(store, &[], answer)
    }

    /// The answer about versions of a store, as JSON.
    fn json_of(&self, store: &str, ids: &[&VersionId], answer: Answer) -> Outcome<Value> {
        match answer {
            Ok(response) => self.client.json(response),
            Err(problem) => Err(self.refused(store, ids, problem)),
        }
    }

    /// Nothing but that it was done.
    fn done(&self, store: &str, ids: &[&VersionId], answer: Answer) -> Outcome {
        answer
            .map(drop)
            .map_err(|problem| self.refused(store, ids, problem))
    }

    /// A problem with a store or its versions: if one is missing, the others are named.
    fn refused(&self, store: &str, ids: &[&VersionId], problem: Problem) -> Failure {
        if problem.status != StatusCode::NOT_FOUND {
            return problem.into();
        }
        let Ok(all) = self.names() else {
            return problem.into();
        };
        if !all.iter().any(|name| name == store) {
            return no_store(store, &all);
        }
        if !ids.is_empty()
            && let Ok(all) = self.versions(store)
        {
            let missing = |id: &&&VersionId| !all.iter().any(|version| version.is(id));
            if let Some(id) = ids.iter().find(missing) {
                return no_version(store, id, &all);
            }
        }
        problem.into()
    }

    /// All stores, without figures.
    fn infos(&self) -> Outcome<Vec<StoreShown>> {
        let answer = self.client.json(self.send(Method::GET, &[b"stores"])??)?;
        answer::list(&answer, "stores", answer::store)
    }

    /// The answer to the question for a value; none if there is no such key.
    fn get(
        &self,
        store: &str,
        key: &[u8],
        version: Option<&VersionId>,
    ) -> Outcome<Option<Response<Body>>> {
        let version_word = version.map(word);
        check_key(key)?;
        let path = state_path(store, version_word.as_deref(), &[b"keys", key]);
        match self.send(Method::GET, &path)? {
            Ok(response) => Ok(Some(response)),
            Err(problem) if problem.status == StatusCode::NOT_FOUND => {
                // It may be the store that is missing, or the version.
                self.store(store)?;
                match version {
                    Some(id) if !self.versions(store)?.iter().any(|v| v.is(id)) => {
                        Err(self.refused(store, &[id], problem))
                    }
                    _ => Ok(None),
                }
            }
            Err(problem) => Err(self.refused(store, version.as_slice(), problem)),
        }
    }

    /// Puts a value if `condition`, a header, holds. Returns whether it did.
    fn put(
        &self,
        store: &str,
        new: &NewValue<'_>,
        condition: Option<(&'static str, String)>,
    ) -> Outcome<bool> {
        check_key(new.key)?;
        let mut call = Call::new(Method::PUT, &path(store, &[b"keys", new.key]))
            .body(new.media_type, new.value.to_vec());
        if let Some(ttl) = new.ttl {
            call = call.header("TTL", ttl.as_secs().to_string());
        }
        if let Some((name, value)) = condition {
            call = call.header(name, value);
        }
        match self.client.send(call)? {
            Ok(_) => Ok(true),
            Err(problem) if problem.status == StatusCode::PRECONDITION_FAILED => Ok(false),
            Err(problem) => Err(self.refused(store, &[], problem)),
        }
    }

    /// Puts a value in the place of `old`: what is there is read, and replaced if nobody else was
    /// faster.
    fn swap(&self, store: &str, new: &NewValue<'_>, old: &[u8]) -> Outcome<bool> {
        for _ in 0..ATTEMPTS_MAX {
            let Some(response) = self.get(store, new.key, None)? else {
                return Ok(false);
            };
            let tag = header(&response, "etag").ok_or_else(|| odd("no ETag"))?;
            if self.client.bytes(response)? != old {
                return Ok(false);
            }
            if self.put(store, new, Some(("If-Match", tag)))? {
                return Ok(true);
            }
        }
        Err(Failure::new("others change this value all the time").hint("try again"))
    }

    /// One page of rows; where the next one begins.
    fn page(
        &self,
        store: &str,
        listing: &Listing,
        limit: u64,
        after: Option<&str>,
    ) -> Outcome<Value> {
        let version_word = listing.version.as_ref().map(word);
        let path = state_path(store, version_word.as_deref(), &[b"keys"]);
        let order = if listing.reverse { "desc" } else { "asc" };
        let mut call = with_keys(Call::new(Method::GET, &path), &listing.keys)
            .query("limit", limit.to_string())
            .query("order", order)
            .query("values", listing.values.to_string());
        if let Some(after) = after {
            call = call.query("after", after);
        }
        let ids: Vec<&VersionId> = listing.version.iter().collect();
        self.json_of(store, &ids, self.client.send(call)?)
    }

    /// Listens to a store, or to all, and gives each event to `take`. `on_ready` is called when
    /// nothing more can be missed. It ends when the server does.
    pub(in crate::cli::kv) fn watch(
        &self,
        store: Option<&str>,
        on_ready: impl FnOnce() -> Outcome,
        take: &mut dyn FnMut(&Event) -> Outcome,
    ) -> Outcome {
        let path = match store {
            Some(store) => path(store, &[b"events"]),
            None => vec![&b"events"[..]],
        };
        let call = Call::new(Method::GET, &path).header("Accept", "text/event-stream");
        let response = match self.client.send(call)? {
            Ok(response) => response,
            Err(problem) => {
                return Err(match store {
                    Some(store) => self.refused(store, &[], problem),
                    None => problem.into(),
                });
            }
        };
        on_ready()?;
        let reader = std::io::BufReader::new(response.into_body().into_reader());
        events::read(reader, |e| self.client.broken(&e), take)
    }
}

/// What two parts of a copy have done together.
const fn joined(first: CopyReport, then: CopyReport) -> CopyReport {
    CopyReport {
        copied: CopyProgress {
            rows: first.copied.rows + then.copied.rows,
            bytes: first.copied.bytes + then.copied.bytes,
        },
        resumed: first.resumed,
        complete: then.complete,
    }
}

/// Refuses the key for which a server has no address.
fn check_key(key: &[u8]) -> Outcome<()> {
    if key.is_empty() {
        let message = "a server has no address for the empty key";
        return Err(Failure::usage(message).hint("use --data, or send a batch to the server"));
    }
    Ok(())
}

fn with_keys<'a>(mut call: Call<'a>, keys: &Keys) -> Call<'a> {
    let parameters = [
        ("prefix", &keys.prefix),
        ("start", &keys.start),
        ("end", &keys.end),
    ];
    for (name, value) in parameters {
        if let Some(value) = value {
            call = call.query(name, value);
        }
    }
    call
}

fn header(response: &Response<Body>, name: &str) -> Option<String> {
    let value = response.headers().get(name)?;
    value.to_str().ok().map(str::to_owned)
}

/// Options as they are sent with a new store.
fn options_json(options: &StoreOptions) -> Value {
    json!({
        "ttl_ms": options.ttl_ms,
        "keep_versions": options.retention.count,
        "keep_versions_ms": options.retention.age_ms,
        "read_only": options.read_only,
        "labels": options.labels,
    })
}

/// What is changed about options, as a merge patch.
fn patch_json(change: &OptionsChange) -> Value {
    let mut patch = Map::new();
    let numbers = [
        ("ttl_ms", change.ttl_ms),
        ("keep_versions", change.keep_versions),
        ("keep_versions_ms", change.keep_versions_ms),
    ];
    for (name, setting) in numbers {
        if let Some(setting) = setting {
            patch.insert(name.to_owned(), json!(Setting::into_option(setting)));
        }
    }
    if let Some(read_only) = change.read_only {
        patch.insert("read_only".to_owned(), json!(read_only));
    }
    if !change.labels.is_empty() {
        patch.insert("labels".to_owned(), json!(change.labels));
    }
    Value::Object(patch)
}

impl Kv for Server {
    fn stores(&self) -> Outcome<Vec<StoreShown>> {
        let mut all = self.infos()?;
        for shown in &mut all {
            let name = &shown.info.name;
            if shown.copy_of().is_some() {
                continue;
            }
            match self.send(Method::GET, &path(name, &[]))? {
                Ok(response) => shown.stats = answer::store(&self.client.json(response)?)?.stats,
                // One that is damaged is no reason not to show the others.
                Err(problem) => shown.trouble = Some(problem.detail),
            }
        }
        Ok(all)
    }

    fn names(&self) -> Outcome<Vec<String>> {
        let all = self.infos()?.into_iter();
        Ok(all.map(|shown| shown.info.name).collect())
    }

    fn store(&self, name: &str) -> Outcome<StoreShown> {
        let answer = self.send(Method::GET, &path(name, &[]))?;
        answer::store(&self.json(name, answer)?)
    }

    fn engines(&self) -> Outcome<Vec<EngineShown>> {
        let answer = self.client.json(self.send(Method::GET, &[b"engines"])??)?;
        answer::list(&answer, "engines", answer::engine)
    }

    fn create(&self, name: &str, options: &CreateOptions) -> Outcome {
        let mut body = json!({ "options": options_json(&options.options) });
        if let Some(engine) = &options.engine {
            body["engine"] = json!(engine);
        }
        let call = Call::new(Method::PUT, &path(name, &[])).json(&body);
        self.client.send(call)??;
        Ok(())
    }

    fn drop_store(&self, name: &str) -> Outcome {
        let answer = self.send(Method::DELETE, &path(name, &[]))?;
        self.done(name, &[], answer)
    }

    fn rename(&self, from: &str, to: &str) -> Outcome {
        let call = Call::new(Method::POST, &path(from, &[b"rename"])).json(&json!({ "to": to }));
        self.done(from, &[], self.client.send(call)?)
    }

    fn set_options(&self, name: &str, change: &OptionsChange) -> Outcome {
        let call = Call::new(Method::PATCH, &path(name, &[])).json(&patch_json(change));
        self.done(name, &[], self.client.send(call)?)
    }

    fn copy(
        &self,
        from: &str,
        to: &str,
        engine: Option<&str>,
        progress: &mut Progress<'_>,
    ) -> Outcome<CopyReport> {
        let mut body = json!({ "to": to });
        if let Some(engine) = engine {
            body["engine"] = json!(engine);
        }
        let mut total: Option<CopyReport> = None;
        loop {
            let call = Call::new(Method::POST, &path(from, &[b"copy"])).json(&body);
            let part = answer::copy(&self.json(from, self.client.send(call)?)?)?;
            let sum = match total {
                // It goes on where the part before has ended.
                Some(total) if part.resumed => joined(total, part),
                Some(_) if !part.complete => {
                    return Err(Failure::new(format_args!(
                        "the server begins the copy of {from:?} anew each time, and does not \
                         reach its end in one request"
                    ))
                    .hint(
                        "the engine keeps no versions to go on with; stop the server, and \
                           copy with --data",
                    ));
                }
                _ => part,
            };
            if sum.complete || progress(sum.copied).is_break() {
                return Ok(sum);
            }
            total = Some(sum);
        }
    }

    fn check(&self, name: &str, mode: CheckMode) -> Outcome<CheckReport> {
        let body = json!({ "accept_edits": mode == CheckMode::AcceptEdits });
        let call = Call::new(Method::POST, &path(name, &[b"check"])).json(&body);
        answer::check(&self.json(name, self.client.send(call)?)?)
    }

    fn value(
        &self,
        store: &str,
        key: &[u8],
        version: Option<&VersionId>,
    ) -> Outcome<Option<Bytes>> {
        let response = self.get(store, key, version)?;
        let bytes = response.map(|response| self.client.bytes(response));
        Ok(bytes.transpose()?.map(Bytes::from))
    }

    fn entry(
        &self,
        store: &str,
        key: &[u8],
        version: Option<&VersionId>,
    ) -> Outcome<Option<Entry>> {
        // A list says when an entry expires. A key is the first one of those that begin with it.
        let listing = Listing {
            keys: Keys {
                prefix: Some(key.to_vec()),
                ..Keys::default()
            },
            version: version.cloned(),
            values: true,
            ..Listing::default()
        };
        let page = self.page(store, &listing, 1, None)?;
        let rows = answer::list(&page, "keys", answer::row)?;
        let found = rows.into_iter().find(|row| row.key == key);
        Ok(found.map(|row| row.entry))
    }

    fn set(&self, store: &str, new: NewValue<'_>, condition: Condition<'_>) -> Outcome<bool> {
        match condition {
            Condition::Any => self.put(store, &new, None),
            Condition::Absent => self.put(store, &new, Some(("If-None-Match", "*".to_owned()))),
            Condition::Value(old) => self.swap(store, &new, old),
        }
    }

    fn delete(&self, store: &str, key: &[u8]) -> Outcome<bool> {
        check_key(key)?;
        match self.send(Method::DELETE, &path(store, &[b"keys", key]))? {
            Ok(_) => Ok(true),
            Err(problem) if problem.status == StatusCode::NOT_FOUND => {
                // It may be the store that is missing.
                self.store(store)?;
                Ok(false)
            }
            Err(problem) => Err(problem.into()),
        }
    }

    fn list(&self, store: &str, listing: &Listing, take: &mut TakeRow<'_>) -> Outcome {
        let mut left = listing.limit.unwrap_or(u64::MAX);
        let mut after = None;
        while left > 0 {
            let page = self.page(store, listing, left.min(PAGE_ROWS), after.as_deref())?;
            let rows = answer::list(&page, "keys", answer::row)?;
            left = left.saturating_sub(rows.len() as u64);
            for row in rows {
                take(answer::row_ref(&row))?;
            }
            after = answer::next(&page);
            if after.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn count(&self, store: &str, keys: &Keys, version: Option<&VersionId>) -> Outcome<u64> {
        if version.is_some() {
            // The server counts the newest state only.
            let listing = Listing {
                keys: keys.clone(),
                version: version.cloned(),
                ..Listing::default()
            };
            let mut count = 0;
            self.list(store, &listing, &mut |_| {
                count += 1;
                Ok(())
            })?;
            return Ok(count);
        }
        let call = with_keys(Call::new(Method::GET, &path(store, &[b"count"])), keys);
        let answer = self.json(store, self.client.send(call)?)?;
        answer::number(&answer, "count")
    }

    fn versions(&self, store: &str) -> Outcome<Vec<Version>> {
        let answer = self.send(Method::GET, &path(store, &[b"versions"]))?;
        let answer = self.json(store, answer)?;
        answer::list(&answer, "versions", answer::version)
    }

    fn take_version(&self, store: &str, name: Option<&str>, note: &str) -> Outcome<Version> {
        let mut body = json!({ "note": note });
        if let Some(name) = name {
            body["name"] = json!(name);
        }
        let call = Call::new(Method::POST, &path(store, &[b"versions"])).json(&body);
        answer::version(&self.json(store, self.client.send(call)?)?)
    }

    fn delete_version(&self, store: &str, version: &VersionId) -> Outcome {
        let word = word(version);
        let path = path(store, &[b"versions", word.as_bytes()]);
        let answer = self.send(Method::DELETE, &path)?;
        self.done(store, &[version], answer)
    }

    fn restore_version(&self, store: &str, version: &VersionId) -> Outcome<Version> {
        let word = word(version);
        let path = path(store, &[b"versions", word.as_bytes(), b"restore"]);
        let answer = self.send(Method::POST, &path)?;
        answer::version(&self.json_of(store, &[version], answer)?)
    }

    fn diff(
        &self,
        store: &str,
        from: &VersionId,
        to: Option<&VersionId>,
        take: &mut TakeDifference<'_>,
    ) -> Outcome {
        let ids: Vec<&VersionId> = std::iter::once(from).chain(to).collect();
        let mut after: Option<String> = None;
        loop {
            let mut call = Call::new(Method::GET, &path(store, &[b"diff"]))
                .query("from", word(from).as_bytes())
                .query("limit", PAGE_ROWS.to_string());
            if let Some(to) = to {
                call = call.query("to", word(to).as_bytes());
            }
            if let Some(after) = &after {
                call = call.query("after", after);
            }
            let page = self.json_of(store, &ids, self.client.send(call)?)?;
            let found: Vec<Difference> = answer::list(&page, "differences", answer::difference)?;
            found.into_iter().try_for_each(&mut *take)?;
            after = answer::next(&page);
            if after.is_none() {
                return Ok(());
            }
        }
    }

    fn close(&self) -> Outcome {
        Ok(())
    }
}
