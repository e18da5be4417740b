//! The text of a key: `nxb_`, its id, `_`, and 48 characters of base64url: 256 random bits and a
//! checksum of 32.
//!
//! The checksum tells a mistyped key from a wrong one, for the server's log; callers are told the
//! same in both cases. What is stored is a salted SHA-256 of the secret: a slow hash would protect
//! secrets that people make up, and these are random. Whatever is compared with a secret is
//! compared in constant time. Nothing here shows a secret when it is printed for debugging.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use nexusbase_io::Random;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use xxhash_rust::xxh3::xxh3_64;

/// What every key begins with, so that scanners for leaked secrets know it.
const PREFIX: &str = "nxb_";
const ID_BYTES: usize = 6;
const SECRET_BYTES: usize = 32;
const CHECKSUM_BYTES: usize = 4;
const SALT_BYTES: usize = 16;
/// The shortest admin key that is taken from the environment, in characters.
const ADMIN_KEY_CHARS_MIN: usize = 32;

/// A key as its owner gets it, once.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The text that requests bring.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// A new id.
pub(super) fn new_id(random: &dyn Random) -> nexusbase_io::Result<String> {
    let mut bytes = [0; ID_BYTES];
    random.fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A new key with this id, and what to store of it.
pub(super) fn new_token(id: &str, random: &dyn Random) -> nexusbase_io::Result<(Token, Hash)> {
    let mut secret = [0; SECRET_BYTES];
    random.fill(&mut secret)?;
    let mut salt = [0; SALT_BYTES];
    random.fill(&mut salt)?;
    let mut bytes = secret.to_vec();
    bytes.extend(checksum(id, &secret));
    let token = Token(format!("{PREFIX}{id}_{}", URL_SAFE_NO_PAD.encode(bytes)));
    let hash = Hash {
        digest: digest(&salt, &secret),
        salt,
    };
    Ok((token, hash))
}

/// A key that came with a request, taken apart.
pub(super) struct Presented<'a> {
    pub(super) id: &'a str,
    secret: [u8; SECRET_BYTES],
}

impl<'a> Presented<'a> {
    /// Takes a text apart, or says for the log why it cannot be a key.
    pub(super) fn parse(text: &'a str) -> Result<Self, &'static str> {
        let rest = text.strip_prefix(PREFIX).ok_or("it is no key")?;
        let (id, encoded) = rest.split_once('_').ok_or("it is a part of a key")?;
        let bytes = URL_SAFE_NO_PAD.decode(encoded).unwrap_or_default();
        let parts = bytes.split_first_chunk::<SECRET_BYTES>();
        match parts {
            Some((secret, check)) if check == checksum(id, secret) => Ok(Self {
                id,
                secret: *secret,
            }),
            _ => Err("its checksum is wrong: it was mistyped, or cut off"),
        }
    }
}

fn checksum(id: &str, secret: &[u8; SECRET_BYTES]) -> [u8; CHECKSUM_BYTES] {
    let [a, b, c, d, ..] = xxh3_64(&[id.as_bytes(), secret].concat()).to_le_bytes();
    [a, b, c, d]
}

fn digest(salt: &[u8], secret: &[u8]) -> [u8; 32] {
    Sha256::new()
        .chain_update(salt)
        .chain_update(secret)
        .finalize()
        .into()
}

/// What is stored of a secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "HashText", into = "HashText")]
pub(super) struct Hash {
    salt: [u8; SALT_BYTES],
    digest: [u8; 32],
}

impl Hash {
    /// Whether this is the secret, found out in constant time.
    pub(super) fn fits(&self, presented: &Presented<'_>) -> bool {
        let digest = digest(&self.salt, &presented.secret);
        digest.ct_eq(&self.digest).into()
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hash(…)")
    }
}

/// The same as it is written.
#[derive(Serialize, Deserialize)]
struct HashText {
    salt: String,
    sha256: String,
}

impl From<Hash> for HashText {
    fn from(hash: Hash) -> Self {
        Self {
            salt: STANDARD.encode(hash.salt),
            sha256: STANDARD.encode(hash.digest),
        }
    }
}

impl TryFrom<HashText> for Hash {
    type Error = &'static str;

    fn try_from(text: HashText) -> Result<Self, Self::Error> {
        let salt = STANDARD.decode(text.salt).ok();
        let digest = STANDARD.decode(text.sha256).ok();
        let salt = salt.and_then(|bytes| bytes.try_into().ok());
        let digest = digest.and_then(|bytes| bytes.try_into().ok());
        let parts = salt.zip(digest);
        let (salt, digest) = parts.ok_or("the hash of a secret is not whole")?;
        Ok(Self { salt, digest })
    }
}

/// A key that is accepted for as long as the server runs, and may do everything: for containers,
/// which get it from their environment. Only its hash is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct AdminKey([u8; 32]);

/// The text cannot be an admin key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "an admin key has at least {ADMIN_KEY_CHARS_MIN} characters, all of them visible ASCII, and \
     this one has {chars}; make one of 32 bytes from a random source, in hexadecimal"
)]
pub struct AdminKeyError {
    /// How many characters it has.
    pub chars: usize,
}

impl AdminKey {
    /// Takes a text of at least 32 characters.
    ///
    /// # Errors
    /// When it is shorter, or has characters that no header can have.
    pub fn new(text: &str) -> Result<Self, AdminKeyError> {
        let chars = text.chars().count();
        if chars < ADMIN_KEY_CHARS_MIN || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(AdminKeyError { chars });
        }
        Ok(Self(digest(&[], text.as_bytes())))
    }

    /// Whether this is it, found out in constant time.
    pub(super) fn fits(&self, text: &str) -> bool {
        digest(&[], text.as_bytes()).ct_eq(&self.0).into()
    }
}

impl fmt::Debug for AdminKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use nexusbase_io::Env;

    use super::*;

    fn new() -> (Token, Hash) {
        new_token("0123456789ab", &*Env::os().random).unwrap()
    }

    #[test]
    fn a_key_fits_its_own_hash_and_no_other() {
        let ((token, hash), (_, other)) = (new(), new());
        let presented = Presented::parse(token.reveal()).unwrap();
        assert_eq!(presented.id, "0123456789ab");
        assert!(hash.fits(&presented) && !other.fits(&presented));
        let written = serde_json::to_string(&hash).unwrap();
        assert_eq!(serde_json::from_str::<Hash>(&written).unwrap(), hash);
        assert!(!written.contains(&token.reveal()[17..]));
    }

    #[test]
    fn every_mistyped_character_is_noticed() {
        let (token, _) = new();
        let text = token.reveal();
        assert_eq!(text.len(), 4 + 12 + 1 + 48);
        for at in 0..text.len() {
            let other = if text.as_bytes()[at] == b'b' {
                "c"
            } else {
                "b"
            };
            let mut typed = text.to_owned();
            typed.replace_range(at..=at, other);
            assert!(Presented::parse(&typed).is_err(), "{at}");
            assert!(Presented::parse(&text[..at]).is_err(), "{at}");
        }
        assert!(Presented::parse(&format!("{text}A")).is_err());
        assert!(Presented::parse("").is_err());
    }

    #[test]
    fn nothing_that_is_printed_shows_a_secret() {
        let (token, hash) = new();
        let admin = AdminKey::new(&"s".repeat(32)).unwrap();
        let printed = format!("{token:?} {hash:?} {admin:?}");
        assert_eq!(printed, "Token(…) Hash(…) AdminKey(…)");
    }

    #[test]
    fn admin_keys_are_long() {
        assert_eq!(AdminKey::new("short").unwrap_err().chars, 5);
        assert!(AdminKey::new(&" ".repeat(40)).is_err());
        let key = AdminKey::new(&"k".repeat(32)).unwrap();
        assert!(key.fits(&"k".repeat(32)) && !key.fits(&"k".repeat(33)) && !key.fits(""));
    }
}
