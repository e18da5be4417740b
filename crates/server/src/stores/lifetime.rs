//! How long what is put stays: in seconds where callers speak (`TTL`, RFC 8030), in milliseconds
//! since 1970 where stores do.

use std::time::{Duration, UNIX_EPOCH};

use hyper::HeaderMap;
use hyper::header::HeaderName;

use crate::auth::Models;
use crate::problem::{Kind, Problem};

pub(super) const TTL: HeaderName = HeaderName::from_static("ttl");

/// The last second that an HTTP date can name.
const LAST_SECOND: u64 = 253_402_300_799;

/// The seconds that a request gives to what it puts.
pub(super) fn ttl(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let mut all = headers.get_all(TTL).iter();
    let Some(value) = all.next() else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default();
    let seconds = check_ttl(text.parse().ok().filter(|_| is_digits(text)));
    match (seconds, all.next()) {
        (Some(seconds), None) => Ok(Some(seconds)),
        _ => {
            let detail = "the header TTL is a whole number of seconds, at least 1, once; without \
                          it the store's own time counts, or none";
            Err(Problem::new(Kind::InvalidHeader, detail).with("header", "ttl"))
        }
    }
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Seconds that something can stay.
pub(super) fn check_ttl(seconds: Option<u64>) -> Option<u64> {
    seconds.filter(|seconds| *seconds > 0 && seconds.checked_mul(1000).is_some())
}

/// What is put now, into a store.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    ms: u64,
    /// The store's own time for what comes without one.
    default_ms: Option<u64>,
}

impl Now {
    /// The store's own time is asked here, and not left to the store, because the time is a part
    /// of the `ETag` that the caller is answered.
    pub(super) fn of(models: &Models, store: &str) -> Result<Self, Problem> {
        let default_ms = models.store_info(store)?.options.ttl_ms;
        Ok(Self {
            ms: now_ms(models),
            default_ms,
        })
    }

    /// When something that is put with so many seconds is gone.
    pub(super) fn expires_ms(self, ttl: Option<u64>) -> Option<u64> {
        let own = ttl.map(|seconds| seconds.saturating_mul(1000));
        own.or(self.default_ms).map(|ms| self.ms.saturating_add(ms))
    }
}

pub(super) fn now_ms(models: &Models) -> u64 {
    models.now_ms()
}

/// `Expires`: an HTTP date.
pub(super) fn http_date(ms: u64) -> String {
    let seconds = (ms / 1000).min(LAST_SECOND);
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds))
}

/// `TTL`: the seconds that are left, begun ones too, so that it is never 0 for what is there.
pub(super) fn seconds_left(expires_ms: u64, now_ms: u64) -> Option<u64> {
    let left = expires_ms.checked_sub(now_ms)?;
    (left > 0).then(|| left.div_ceil(1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_beyond_the_calendar_are_its_last_second() {
        assert_eq!(http_date(784_111_777_999), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(http_date(u64::MAX), "Fri, 31 Dec 9999 23:59:59 GMT");
    }

    #[test]
    fn what_is_there_has_at_least_a_second() {
        assert_eq!(seconds_left(1001, 1000), Some(1));
        assert_eq!(seconds_left(3000, 1000), Some(2));
        assert_eq!(seconds_left(1000, 1000), None);
        assert_eq!(seconds_left(1000, 2000), None);
    }
}
