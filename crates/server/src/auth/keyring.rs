//! All keys: the tree `server/keys` of the database, and a copy of it in memory.
//!
//! The tree has a row for each key, also for those that are revoked: its id, and what is known
//! about it as a JSON object. It lies in the database itself, so it is in every backup and every
//! copy of it. When a key was last used is in memory only, so that reading never writes.
//!
//! A change is in the tree, durably, before it is in memory and before it is acknowledged; from
//! then on no request is let in by what was before. Two changes of one key can reach the memory in
//! either order: the one with the larger revision stays.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nexusbase_db::{CommitError, Database, Direction, KeyRange, Transaction, View as _};
use parking_lot::RwLock;

use super::record::{KeyChange, KeyInfo, NewKey, Record};
use super::token::{Hash, Presented, Token, new_id, new_token};

/// The tree of the keys.
const TREE: &str = "server/keys";
/// So many keys there may be, the revoked ones included.
const KEYS_MAX: usize = 10_000;

/// Why a key cannot be made, changed or found.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// What was said about it makes no sense.
    #[error("{at} should be {expected}")]
    Invalid {
        /// What of it, as a JSON pointer.
        at: String,
        /// What would be right.
        expected: String,
    },
    /// There is no such key.
    #[error("there is no key with the id {id:?}; the list of keys has those that there are")]
    NoSuchKey {
        /// The id.
        id: String,
    },
    /// The key is revoked, for good.
    #[error("the key {id} is revoked, and stays so; make a new one")]
    Revoked {
        /// Its id.
        id: String,
    },
    /// There are too many keys.
    #[error("there are {KEYS_MAX} keys already, and none of them is revoked; revoke some")]
    TooMany,
    /// What is stored about a key makes no sense.
    #[error("what is stored about the key {id:?} is damaged: {reason}")]
    Damaged {
        /// Its id.
        id: String,
        /// What is wrong.
        reason: String,
    },
    /// The random source failed.
    #[error(transparent)]
    Random(#[from] nexusbase_io::Error),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] nexusbase_db::Error),
}

impl From<CommitError> for KeyError {
    fn from(error: CommitError) -> Self {
        Self::Database(error.into())
    }
}

/// A key that was found.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) id: String,
    pub(super) record: Record,
    /// 0 for never.
    last_used_ms: AtomicU64,
}

impl Key {
    fn info(&self) -> KeyInfo {
        let used = self.last_used_ms.load(Ordering::Relaxed);
        self.record.info(&self.id, (used > 0).then_some(used))
    }
}

/// What somebody was let in by: the hash that the text fitted, of those that a key has.
#[derive(Clone, Debug)]
pub(super) struct Proof(Hash);

type Keys = BTreeMap<String, Arc<Key>>;

/// All keys of a database.
///
/// A server has one of its own. A program may open another only on a database that no server
/// serves: what one changes, the other does not see.
#[derive(Debug)]
pub struct Keyring {
    db: Database,
    /// Lock `server.keys`: held to look or to replace an entry.
    keys: RwLock<Keys>,
}

impl Keyring {
    /// Reads the keys of `db`.
    ///
    /// # Errors
    /// When the database cannot be read, or what is stored makes no sense.
    pub fn open(db: &Database) -> Result<Self, KeyError> {
        let mut keys = Keys::new();
        let snapshot = db.snapshot();
        if let Some(tree) = snapshot.tree(TREE).map_err(nexusbase_db::Error::from)? {
            let rows = snapshot.scan(tree, KeyRange::all(), Direction::Forward);
            for row in rows.map_err(nexusbase_db::Error::from)? {
                let (id, bytes) = row.map_err(nexusbase_db::Error::from)?;
                let id = String::from_utf8_lossy(&id).into_owned();
                let record = decode(&id, &bytes)?;
                keys.insert(id.clone(), Arc::new(new_key(id, record)));
            }
        }
        Ok(Self {
            db: db.clone(),
            keys: RwLock::new(keys),
        })
    }

    /// Makes a key. Its text is never to be had again.
    ///
    /// # Errors
    /// When it makes no sense, there are too many keys, or the database fails.
    pub fn create(&self, wanted: &NewKey) -> Result<(KeyInfo, Token), KeyError> {
        let env = self.db.env();
        let id = loop {
            let id = new_id(&*env.random)?;
            if !self.keys.read().contains_key(&id) {
                break id;
            }
        };
        let (token, hash) = new_token(&id, &*env.random)?;
        let record = Record::new(wanted, hash, self.now_ms())?;
        let forgotten = self.forgettable()?;
        self.db.transact(|tx| {
            if let Some(forgotten) = &forgotten {
                let tree = tree(tx)?;
                tx.delete(tree, forgotten.as_bytes())
                    .map_err(nexusbase_db::Error::from)?;
            }
            put(tx, &id, &record)
        })?;
        if let Some(forgotten) = forgotten {
            self.keys.write().remove(&forgotten);
        }
        Ok((self.remember(&id, record), token))
    }

    /// When there is no room for one more key: the one that was revoked first.
    fn forgettable(&self) -> Result<Option<String>, KeyError> {
        let keys = self.keys.read();
        if keys.len() < KEYS_MAX {
            return Ok(None);
        }
        let revoked = keys.values().filter(|key| key.record.revoked_ms.is_some());
        let first = revoked.min_by_key(|key| key.record.revoked_ms);
        first
            .map(|key| Some(key.id.clone()))
            .ok_or(KeyError::TooMany)
    }

    /// All keys, by when they were made.
    #[must_use]
    pub fn list(&self) -> Vec<KeyInfo> {
        let mut all: Vec<KeyInfo> = self.keys.read().values().map(|key| key.info()).collect();
        all.sort_by(|a, b| (a.created_ms, &a.id).cmp(&(b.created_ms, &b.id)));
        all
    }

    /// One key.
    ///
    /// # Errors
    /// When there is none with that id.
    pub fn get(&self, id: &str) -> Result<KeyInfo, KeyError> {
        let found = self.find(id).map(|key| key.info());
        found.ok_or_else(|| KeyError::NoSuchKey { id: id.to_owned() })
    }

    /// Gives a key a new text. The old one counts for so many seconds more, if it counts now.
    ///
    /// # Errors
    /// When there is no such key, it is revoked, or the database fails.
    pub fn rotate(&self, id: &str, grace_seconds: u64) -> Result<(KeyInfo, Token), KeyError> {
        let (token, hash) = new_token(id, &*self.db.env().random)?;
        let until_ms = self
            .now_ms()
            .saturating_add(grace_seconds.saturating_mul(1000));
        let info = self.update(id, |record| {
            let old = std::mem::replace(&mut record.hash, hash.clone());
            record.old = (grace_seconds > 0).then_some((old, until_ms));
            Ok(())
        })?;
        Ok((info, token))
    }

    /// Changes what a key is called and is for.
    ///
    /// # Errors
    /// When there is no such key, it is revoked, the change makes no sense, or the database fails.
    pub fn change(&self, id: &str, change: &KeyChange) -> Result<KeyInfo, KeyError> {
        self.update(id, |record| record.change(change))
    }

    /// Revokes a key, for good.
    ///
    /// # Errors
    /// When there is no such key, it is revoked already, or the database fails.
    pub fn revoke(&self, id: &str) -> Result<KeyInfo, KeyError> {
        let now_ms = self.now_ms();
        self.update(id, |record| {
            record.revoked_ms = Some(now_ms);
            record.old = None;
            Ok(())
        })
    }

    /// Whether some key counts.
    pub(super) fn has_usable(&self) -> bool {
        let keys = self.keys.read();
        let mut records = keys.values().map(|key| &key.record);
        records.any(|record| record.revoked_ms.is_none())
    }

    /// The key that a text is, and by which hash; or for the log why it is none.
    pub(super) fn verify(&self, text: &str) -> Result<(Arc<Key>, Proof), &'static str> {
        let presented = Presented::parse(text)?;
        let key = self.find(presented.id).ok_or("there is no such key")?;
        let now_ms = self.now_ms();
        let mut hashes = key.record.hashes(now_ms);
        let Some(proof) = hashes.find(|hash| hash.fits(&presented)) else {
            return Err("its secret is wrong, or was replaced");
        };
        let proof = Proof(proof.clone());
        drop(hashes);
        if key.record.revoked_ms.is_some() {
            return Err("it is revoked");
        }
        if !key.record.counts(now_ms) {
            return Err("it has expired");
        }
        key.last_used_ms.store(now_ms, Ordering::Relaxed);
        Ok((key, proof))
    }

    /// Whether who was let in with a key, by this proof, would be now, with the same rights.
    pub(super) fn is_current(&self, key: &Key, Proof(proof): &Proof) -> bool {
        let Some(found) = self.find(&key.id) else {
            return false;
        };
        let (now_ms, then, record) = (self.now_ms(), &key.record, &found.record);
        record.counts(now_ms)
            && record.role == then.role
            && record.scopes == then.scopes
            && record.hashes(now_ms).any(|hash| hash == proof)
    }

    fn find(&self, id: &str) -> Option<Arc<Key>> {
        self.keys.read().get(id).cloned()
    }

    fn now_ms(&self) -> u64 {
        self.db.env().clock.unix_ms()
    }

    /// Changes a key that is not revoked.
    fn update(
        &self,
        id: &str,
        mut change: impl FnMut(&mut Record) -> Result<(), KeyError>,
    ) -> Result<KeyInfo, KeyError> {
        let record = self.db.transact(|tx| {
            let tree = tree(tx)?;
            let found = tx.get(tree, id.as_bytes());
            let Some(bytes) = found.map_err(nexusbase_db::Error::from)? else {
                return Err(KeyError::NoSuchKey { id: id.to_owned() });
            };
            let mut record = decode(id, &bytes)?;
            if record.revoked_ms.is_some() {
                return Err(KeyError::Revoked { id: id.to_owned() });
            }
            change(&mut record)?;
            record.revision += 1;
            put(tx, id, &record)?;
            Ok(record)
        })?;
        Ok(self.remember(id, record))
    }

    /// Takes over what is in the tree now, unless something newer is known.
    fn remember(&self, id: &str, record: Record) -> KeyInfo {
        let mut keys = self.keys.write();
        let mut key = new_key(id.to_owned(), record);
        if let Some(known) = keys.get(id) {
            key.last_used_ms = known.last_used_ms.load(Ordering::Relaxed).into();
            if known.record.revision > key.record.revision {
                return key.info();
            }
        }
        let info = key.info();
        keys.insert(id.to_owned(), Arc::new(key));
        info
    }
}

const fn new_key(id: String, record: Record) -> Key {
    Key {
        id,
        record,
        last_used_ms: AtomicU64::new(0),
    }
}

fn tree(tx: &mut Transaction) -> Result<nexusbase_db::TreeId, nexusbase_db::Error> {
    Ok(match tx.tree(TREE)? {
        Some(tree) => tree,
        None => tx.create_tree(TREE)?,
    })
}

fn put(tx: &mut Transaction, id: &str, record: &Record) -> Result<(), KeyError> {
    let bytes = serde_json::to_vec(record).map_err(|error| damaged(id, &error))?;
    let tree = tree(tx)?;
    let put = tx.put(tree, id.as_bytes(), &bytes);
    Ok(put.map_err(nexusbase_db::Error::from)?)
}

fn decode(id: &str, bytes: &[u8]) -> Result<Record, KeyError> {
    serde_json::from_slice(bytes).map_err(|error| damaged(id, &error))
}

fn damaged(id: &str, error: &serde_json::Error) -> KeyError {
    KeyError::Damaged {
        id: id.to_owned(),
        reason: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::{Role, Scopes};
    use super::*;

    fn wanted() -> NewKey {
        NewKey {
            name: "k".to_owned(),
            role: Role::Read,
            scopes: Some(Scopes::all()),
            ttl: None,
            requests_per_second: None,
            burst: None,
        }
    }

    fn keyring() -> Keyring {
        Keyring::open(&Database::in_memory().unwrap()).unwrap()
    }

    /// A change that reaches the memory late does not bring a revoked key back.
    #[test]
    fn what_is_older_never_replaces_what_is_newer() {
        let keyring = keyring();
        let (info, token) = keyring.create(&wanted()).unwrap();
        let (before, proof) = keyring.verify(token.reveal()).unwrap();
        assert!(keyring.is_current(&before, &proof));
        keyring.revoke(&info.id).unwrap();
        assert!(!keyring.is_current(&before, &proof));
        keyring.remember(&info.id, before.record.clone());
        assert!(keyring.verify(token.reveal()).is_err());
        assert!(keyring.get(&info.id).unwrap().revoked_ms.is_some());
    }

    #[test]
    fn when_there_is_no_room_the_key_that_was_revoked_first_makes_it() {
        let keyring = keyring();
        let ids: Vec<String> = (0..2)
            .map(|_| keyring.create(&wanted()).unwrap().0.id)
            .collect();
        keyring.revoke(&ids[1]).unwrap();
        let record = keyring.find(&ids[0]).unwrap().record.clone();
        for n in 2..KEYS_MAX {
            keyring.remember(&format!("filler {n}"), record.clone());
        }
        let (new, token) = keyring.create(&wanted()).unwrap();
        assert!(keyring.get(&ids[1]).is_err() && keyring.get(&ids[0]).is_ok());
        assert!(keyring.verify(token.reveal()).is_ok());
        let full = keyring.create(&wanted()).unwrap_err();
        assert!(matches!(full, KeyError::TooMany), "{full}");
        let again = Keyring::open(&keyring.db).unwrap().list();
        let kept: Vec<&str> = again.iter().map(|key| key.id.as_str()).collect();
        assert_eq!(kept.len(), 2);
        assert!(kept.contains(&ids[0].as_str()) && kept.contains(&new.id.as_str()));
    }
}
