//! What is known about a key: its name, role and scopes, when it counts, and how often it may ask.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::keyring::KeyError;
use super::rate::Rate;
use super::token::Hash;

/// The longest name of a key, and the longest scope, in bytes.
const NAME_BYTES_MAX: usize = 200;
/// So many collections, and so many stores, may stand in the scopes of a key.
const SCOPES_MAX: usize = 100;

/// What a key may do, in what its scopes cover. Each role may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Read documents, keys, versions, events, and the descriptions of collections and stores.
    Read,
    /// Change all that, and create, change, rename and drop collections, indexes and stores.
    Write,
    /// Manage keys; its scopes always cover everything.
    Admin,
}

impl Role {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

/// Which collections and stores a key is for: each by its name, or by how its name begins, with a
/// `*` behind it. `*` alone is all of them; an empty list is none, and so is one that is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({"collections": ["orders", "public-*"], "stores": []}))]
pub struct Scopes {
    /// Collections.
    pub collections: Vec<String>,
    /// Key-value stores.
    pub stores: Vec<String>,
}

impl Scopes {
    /// Everything.
    #[must_use]
    pub fn all() -> Self {
        let all = || vec!["*".to_owned()];
        Self {
            collections: all(),
            stores: all(),
        }
    }

    /// Whether the collection called `name` is among them.
    #[must_use]
    pub fn covers_collection(&self, name: &str) -> bool {
        self.collections.iter().any(|scope| covers(scope, name))
    }

    /// Whether the store called `name` is among them.
    #[must_use]
    pub fn covers_store(&self, name: &str) -> bool {
        self.stores.iter().any(|scope| covers(scope, name))
    }

    fn check(&self) -> Result<(), KeyError> {
        for (member, list) in [("collections", &self.collections), ("stores", &self.stores)] {
            if list.len() > SCOPES_MAX {
                let reason = format!("at most {SCOPES_MAX} names; a * at the end covers several");
                return Err(invalid(&format!("/scopes/{member}"), reason));
            }
            for (at, scope) in list.iter().enumerate() {
                let name = scope.strip_suffix('*').unwrap_or(scope);
                if scope.is_empty() || scope.len() > NAME_BYTES_MAX || name.contains('*') {
                    let reason =
                        "a name, or the beginning of names with one * behind it".to_owned();
                    return Err(invalid(&format!("/scopes/{member}/{at}"), reason));
                }
            }
        }
        Ok(())
    }
}

fn covers(scope: &str, name: &str) -> bool {
    match scope.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == scope,
    }
}

fn invalid(at: &str, expected: String) -> KeyError {
    KeyError::Invalid {
        at: at.to_owned(),
        expected,
    }
}

/// A key that is to be made.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CreateApiKey, example = json!({
    "name": "web shop", "role": "write",
    "scopes": {"collections": ["orders", "public-*"], "stores": ["sessions"]},
    "ttl": 7_776_000,
}))]
pub struct NewKey {
    /// What people call it, such as the program that has it; at most 200 bytes.
    pub name: String,
    /// What it may do.
    #[schema(inline)]
    pub role: Role,
    /// What it is for; everything if nothing is said. Of an admin key it is always everything.
    #[serde(default)]
    pub scopes: Option<Scopes>,
    /// After how many seconds it counts no more; never if nothing is said.
    #[serde(default)]
    #[schema(minimum = 1)]
    pub ttl: Option<u64>,
    /// How many requests per second; the server's setting if nothing is said, 0 for any number.
    #[serde(default)]
    pub requests_per_second: Option<u32>,
    /// How many at once; as many as per second if nothing is said.
    #[serde(default)]
    pub burst: Option<u32>,
}

/// What is to change about a key; what is not said stays.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = ChangeApiKey, example = json!({"name": "web shop 2", "requests_per_second": 50}))]
pub struct KeyChange {
    /// What people call it.
    pub name: Option<String>,
    /// What it is for.
    pub scopes: Option<Scopes>,
    /// How many requests per second; null for the server's setting, 0 for any number.
    #[serde(deserialize_with = "crate::stores::present")]
    #[schema(value_type = Option<u32>)]
    pub requests_per_second: Option<Option<u32>>,
    /// How many at once; null for as many as per second.
    #[serde(deserialize_with = "crate::stores::present")]
    #[schema(value_type = Option<u32>)]
    pub burst: Option<Option<u32>>,
}

/// What may be shown of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ApiKey, example = json!({
    "id": "3f9a1c2b7d04", "name": "web shop", "role": "write",
    "scopes": {"collections": ["orders", "public-*"], "stores": ["sessions"]},
    "created_ms": 1_767_225_600_000_u64, "expires_ms": 1_775_001_600_000_u64,
    "revoked_ms": null, "rotated_until_ms": null,
    "requests_per_second": null, "burst": null, "last_used_ms": null,
}))]
pub struct KeyInfo {
    /// Its id, which is a part of its text.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// What it may do.
    #[schema(inline)]
    pub role: Role,
    /// What it is for.
    pub scopes: Scopes,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
    /// From when on it counts no more.
    #[schema(required)]
    pub expires_ms: Option<u64>,
    /// When it was revoked.
    #[schema(required)]
    pub revoked_ms: Option<u64>,
    /// How long its secret from before the last rotation counts.
    #[schema(required)]
    pub rotated_until_ms: Option<u64>,
    /// How many requests per second it may send, if that is not the server's setting.
    #[schema(required)]
    pub requests_per_second: Option<u32>,
    /// How many at once.
    #[schema(required)]
    pub burst: Option<u32>,
    /// When it was last used, as far as this run of the server knows.
    #[schema(required)]
    pub last_used_ms: Option<u64>,
}

/// What is stored about a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// Grows with each change, so that the newest one is known.
    pub(super) revision: u64,
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) scopes: Scopes,
    pub(super) hash: Hash,
    /// The hash from before the last rotation, and how long it counts.
    pub(super) old: Option<(Hash, u64)>,
    pub(super) created_ms: u64,
    pub(super) expires_ms: Option<u64>,
    pub(super) revoked_ms: Option<u64>,
    pub(super) requests_per_second: Option<u32>,
    pub(super) burst: Option<u32>,
}

impl Record {
    /// A new key, if it makes sense.
    pub(super) fn new(wanted: &NewKey, hash: Hash, now_ms: u64) -> Result<Self, KeyError> {
        if wanted.ttl == Some(0) {
            return Err(invalid(
                "/ttl",
                "a number of seconds, at least 1".to_owned(),
            ));
        }
        let lasts = wanted.ttl.map(|seconds| seconds.saturating_mul(1000));
        let record = Self {
            revision: 1,
            name: wanted.name.clone(),
            role: wanted.role,
            scopes: wanted.scopes.clone().unwrap_or_else(Scopes::all),
            hash,
            old: None,
            created_ms: now_ms,
            expires_ms: lasts.map(|ms| now_ms.saturating_add(ms)),
            revoked_ms: None,
            requests_per_second: wanted.requests_per_second,
            burst: wanted.burst,
        };
        record.check()?;
        Ok(record)
    }

    /// Changes what is said.
    pub(super) fn change(&mut self, change: &KeyChange) -> Result<(), KeyError> {
        if let Some(name) = &change.name {
            self.name.clone_from(name);
        }
        if let Some(scopes) = &change.scopes {
            self.scopes = scopes.clone();
        }
        if let Some(requests_per_second) = change.requests_per_second {
            self.requests_per_second = requests_per_second;
        }
        if let Some(burst) = change.burst {
            self.burst = burst;
        }
        self.check()
    }

    fn check(&self) -> Result<(), KeyError> {
        let length = self.name.len();
        if !(1..=NAME_BYTES_MAX).contains(&length) || self.name.chars().any(char::is_control) {
            let expected = format!("a text of 1 to {NAME_BYTES_MAX} bytes on one line");
            return Err(invalid("/name", expected));
        }
        self.scopes.check()?;
        if self.role == Role::Admin && self.scopes != Scopes::all() {
            // It could give itself another one.
            let expected = "nothing: an admin key is for everything".to_owned();
            return Err(invalid("/scopes", expected));
        }
        if self.burst.is_some() && self.requests_per_second.is_none() {
            let expected = "together with requests_per_second".to_owned();
            return Err(invalid("/burst", expected));
        }
        Ok(())
    }

    /// Whether it counts at that time.
    pub(super) fn counts(&self, now_ms: u64) -> bool {
        self.revoked_ms.is_none() && self.expires_ms.is_none_or(|end| now_ms < end)
    }

    /// The hashes of the texts that count at that time, if the key does.
    pub(super) fn hashes(&self, now_ms: u64) -> impl Iterator<Item = &Hash> {
        let old = self.old.as_ref().filter(|(_, until_ms)| now_ms < *until_ms);
        std::iter::once(&self.hash).chain(old.map(|(hash, _)| hash))
    }

    /// Its own limit, if it has one: `Some(None)` is none at all.
    pub(super) fn rate(&self) -> Option<Option<Rate>> {
        let per_second = self.requests_per_second?;
        Some(Rate::of(per_second, self.burst.unwrap_or(0)))
    }

    /// What may be shown.
    pub(super) fn info(&self, id: &str, last_used_ms: Option<u64>) -> KeyInfo {
        KeyInfo {
            id: id.to_owned(),
            name: self.name.clone(),
            role: self.role,
            scopes: self.scopes.clone(),
            created_ms: self.created_ms,
            expires_ms: self.expires_ms,
            revoked_ms: self.revoked_ms,
            rotated_until_ms: self.old.as_ref().map(|(_, until_ms)| *until_ms),
            requests_per_second: self.requests_per_second,
            burst: self.burst,
            last_used_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_cover_names_and_beginnings_of_names() {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let scopes = Scopes {
            collections: list(&["a", "b-*"]),
            stores: list(&["*"]),
        };
        for (name, covered) in [
            ("a", true),
            ("ab", false),
            ("b-", true),
            ("b-x", true),
            ("b", false),
        ] {
            assert_eq!(scopes.covers_collection(name), covered, "{name}");
            assert!(scopes.covers_store(name));
            assert!(!Scopes::default().covers_store(name));
        }
        for bad in ["", "**", "a*b", "*a"] {
            let scopes = Scopes {
                collections: list(&[bad]),
                stores: Vec::new(),
            };
            assert!(scopes.check().is_err(), "{bad}");
        }
    }
}
