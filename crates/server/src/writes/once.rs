//! Requests that may come twice and are done once: the header `Idempotency-Key`.
//!
//! A key counts for one caller, method, path and query. The first request of a key that is carried
//! out leaves its answer, in the transaction that carries it out; the same request again gets that
//! answer, for a day. Another body under the key is refused (422), and while a request of the key
//! is under way in this process, another is sent away (409). What is refused has changed nothing
//! and is not kept, so that the key is free to be used again.
//!
//! Answers that have been kept long enough are forgotten by those who come with new keys.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::FromRequestParts;
use hyper::HeaderMap;
use hyper::http::request::Parts;
use nexusbase_db::Transaction;
use nexusbase_documents::store::idempotency::{
    Begun, Fingerprint, KEEP_MS, Request, begin, finish,
};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

use super::answer::Answer;
use crate::app::App;
use crate::auth::{Models, Permit, Write};
use crate::extract::Payload;
use crate::problem::{Kind, Problem};

const HEADER: &str = "idempotency-key";
/// The longest key, in bytes.
const KEY_BYTES_MAX: usize = 255;
/// Old answers are looked for so often, in milliseconds, and so many are forgotten at a time.
const FORGET_MS: u64 = 1000;
const FORGOTTEN_MAX: usize = 2000;

/// The keys of requests that are under way.
#[derive(Debug, Default)]
pub(crate) struct UnderWay {
    /// Lock `server.idempotency`: scopes with keys.
    keys: Mutex<HashSet<Vec<u8>>>,
    /// When old answers were last looked for.
    looked_ms: AtomicU64,
}

/// The turn of one key.
#[derive(Debug)]
struct Turn {
    under_way: Arc<UnderWay>,
    key: Vec<u8>,
}

impl Turn {
    fn take(under_way: &Arc<UnderWay>, scope: &[u8], key: &[u8]) -> Result<Self, Problem> {
        let key = [scope, key].concat();
        if !under_way.keys.lock().insert(key.clone()) {
            let detail = "a request with this Idempotency-Key is under way; nothing was done by \
                          this one. Try again in a moment to get its answer";
            let problem = Problem::new(Kind::IdempotencyUnderWay, detail);
            return Err(problem.with("header", HEADER));
        }
        let under_way = Arc::clone(under_way);
        Ok(Self { under_way, key })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.under_way.keys.lock().remove(&self.key);
    }
}

/// What a request is beside its URL.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Content(Fingerprint);

impl Content {
    /// A request without a body.
    pub(crate) fn none() -> Self {
        Self(Fingerprint::of(b""))
    }

    pub(crate) fn of(payload: &Payload) -> Self {
        let media = format!("{:?}\n", payload.media);
        Self(Fingerprint::of(
            &[media.as_bytes(), &payload.bytes].concat(),
        ))
    }
}

/// Whether a request is to be done once, by what key.
#[derive(Debug)]
pub(crate) struct Once(Option<Keyed>);

#[derive(Debug)]
struct Keyed {
    scope: Vec<u8>,
    key: Vec<u8>,
    _turn: Turn,
}

impl FromRequestParts<Arc<App>> for Once {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let Some(key) = key(&parts.headers)? else {
            return Ok(Self(None));
        };
        // Who may not write has no business with keys.
        let models = Permit::<Write>::from_request_parts(parts, app)
            .await?
            .into_models();
        let url = parts.uri.path_and_query();
        let url = url.map(|url| Sha256::digest(url.as_str()));
        // Lengths are fixed, or end at a character that is in no id and in no method.
        let mut scope = format!("{} {} ", models.caller_id(), parts.method).into_bytes();
        scope.extend_from_slice(&url.unwrap_or_default());
        let turn = Turn::take(models.under_way(), &scope, &key)?;
        Ok(Self(Some(Keyed {
            scope,
            key,
            _turn: turn,
        })))
    }
}

impl Once {
    /// Whether the request came with a key.
    pub(crate) const fn is_keyed(&self) -> bool {
        self.0.is_some()
    }

    /// Does `work` in one transaction, which keeps its answer if the request came with a key; or
    /// gives the answer that was kept.
    pub(crate) fn run(
        &self,
        models: &Models,
        content: Content,
        mut work: impl FnMut(&mut Transaction) -> Result<Answer, Problem>,
    ) -> Result<Answer, Problem> {
        let Some(Keyed { scope, key, .. }) = &self.0 else {
            return models.transact(work);
        };
        let now = models.now_ms();
        forget(models, now)?;
        let request = Request {
            scope,
            key,
            fingerprint: content.0,
        };
        models.transact(|tx| match begin(tx, &request, now)? {
            Begun::Replay(kept) => Ok(Answer::decode(&kept)?.replayed()),
            Begun::Mismatch => {
                let detail = "this Idempotency-Key came before, with another body; nothing was \
                              done. Take a new key for a new request";
                let problem = Problem::new(Kind::IdempotencyMismatch, detail);
                Err(problem.with("header", HEADER))
            }
            Begun::New => {
                let answer = work(tx)?;
                finish(tx, &request, &answer.encode()?, now, KEEP_MS)?;
                Ok(answer)
            }
        })
    }
}

/// Forgets old answers, if nobody has done so just now.
fn forget(models: &Models, now_ms: u64) -> Result<(), Problem> {
    let looked_ms = &models.under_way().looked_ms;
    let before = looked_ms.load(Ordering::Relaxed);
    let is_due = now_ms.abs_diff(before) >= FORGET_MS;
    let order = Ordering::Relaxed;
    if is_due
        && looked_ms
            .compare_exchange(before, now_ms, order, order)
            .is_ok()
    {
        models.forget_answers(FORGOTTEN_MAX)?;
    }
    Ok(())
}

/// The key that headers bring: a string in quotation marks as RFC 8941 has it, or a token without.
fn key(headers: &HeaderMap) -> Result<Option<Vec<u8>>, Problem> {
    let mut all = headers.get_all(HEADER).iter();
    let Some(value) = all.next() else {
        return Ok(None);
    };
    let read = if all.next().is_some() {
        None
    } else {
        value.to_str().ok().and_then(|text| read(text.trim()))
    };
    let key = read.filter(|key| (1..=KEY_BYTES_MAX).contains(&key.len()));
    key.map(|key| Some(key.into_bytes())).ok_or_else(|| {
        let detail = format!(
            "the header Idempotency-Key is one text of 1 to {KEY_BYTES_MAX} characters, in \
             quotation marks, or without if it consists of letters, digits and -._~:/+*!#$%&'^`|"
        );
        Problem::new(Kind::InvalidHeader, detail).with("header", HEADER)
    })
}

fn read(text: &str) -> Option<String> {
    let Some(rest) = text.strip_prefix('"') else {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._~:/+*!#$%&'^`|".contains(c);
        return text.chars().all(plain).then(|| text.to_owned());
    };
    let quoted = rest.strip_suffix('"')?;
    let (mut key, mut chars) = (String::new(), quoted.chars());
    while let Some(c) = chars.next() {
        key.push(match c {
            '\\' => chars.next().filter(|c| matches!(c, '"' | '\\'))?,
            '"' => return None,
            c if c.is_ascii_graphic() || c == ' ' => c,
            _ => return None,
        });
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_strings_or_tokens() {
        let read = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(HEADER, value.parse().unwrap());
            key(&headers).ok().flatten()
        };
        assert_eq!(read("abc-1").unwrap(), b"abc-1");
        assert_eq!(read(" \"abc-1\" ").unwrap(), b"abc-1");
        assert_eq!(read(r#""a \"b\" \\ c""#).unwrap(), br#"a "b" \ c"#);
        for bad in [
            "", "\"\"", "a b", "\"a", "a\"", "a,b", "\"a\"b\"", r#""\n""#, r#""\""#,
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert_eq!(key(&HeaderMap::new()).unwrap(), None);
        let mut twice = HeaderMap::new();
        twice.append(HEADER, "a".parse().unwrap());
        twice.append(HEADER, "a".parse().unwrap());
        assert!(key(&twice).is_err());
        for (length, good) in [(255, true), (256, false)] {
            let mut long = HeaderMap::new();
            long.insert(HEADER, "x".repeat(length).parse().unwrap());
            assert_eq!(key(&long).is_ok(), good, "{length}");
        }
    }

    #[test]
    fn a_turn_ends_when_it_is_dropped() {
        let under_way = Arc::default();
        let first = Turn::take(&under_way, b"s", b"k").unwrap();
        let second = Turn::take(&under_way, b"s", b"k").unwrap_err();
        assert_eq!(second.kind(), Kind::IdempotencyUnderWay);
        Turn::take(&under_way, b"s", b"other").unwrap();
        drop(first);
        Turn::take(&under_way, b"s", b"k").unwrap();
    }
}
