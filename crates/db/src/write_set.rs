//! Write sets: what one commit does to all trees, and its bytes.
//!
//! A write set is encoded once. The same bytes go into the log, are replayed by the recovery and
//! are shown by the change feed. Keys are unique in it and sorted by tree and key, so that what
//! an entry does depends on nothing but the entry. The layout is in `docs/format.md`.

use std::collections::BTreeMap;

use bytes::Bytes;
use nexusbase_forest::{Change, Mutation, TreeId};

const VERSION: u8 = 1;
const PUT: u8 = 1;
const DELETE: u8 = 2;
const HEADER_BYTES: usize = 1 + 8 + 4;

/// The writes of a transaction: at most one per tree and key.
pub(crate) type Writes = BTreeMap<(TreeId, Bytes), Option<Bytes>>;

/// What one commit does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteSet {
    /// When it was committed, in milliseconds since 1970.
    pub unix_ms: u64,
    /// What it changes, by tree and key.
    pub mutations: Vec<Mutation>,
}

/// Encodes `writes`, committed at `unix_ms`.
pub(crate) fn encode(writes: &Writes, unix_ms: u64) -> Vec<u8> {
    let size = |(key, value): (&(TreeId, Bytes), &Option<Bytes>)| {
        16 + key.1.len() + value.as_ref().map_or(0, Bytes::len)
    };
    let mut out = Vec::with_capacity(HEADER_BYTES + writes.iter().map(size).sum::<usize>());
    out.push(VERSION);
    out.extend_from_slice(&unix_ms.to_le_bytes());
    // The transaction's size limit keeps the count far below 2^32.
    out.extend_from_slice(
        &u32::try_from(writes.len())
            .unwrap_or(u32::MAX)
            .to_le_bytes(),
    );
    for ((tree, key), value) in writes {
        put_varint(tree.get(), &mut out);
        out.push(if value.is_some() { PUT } else { DELETE });
        put_bytes(key, &mut out);
        if let Some(value) = value {
            put_bytes(value, &mut out);
        }
    }
    out
}

impl WriteSet {
    /// Reads a write set. Keys and values share `bytes`.
    ///
    /// # Errors
    /// When the bytes are not a write set, with the reason.
    pub fn decode(bytes: &Bytes) -> Result<Self, String> {
        let header = bytes
            .first_chunk::<HEADER_BYTES>()
            .ok_or("it is too short")?;
        if header[0] != VERSION {
            return Err(format!("its version is {}, expected {VERSION}", header[0]));
        }
        let mut time = [0; 8];
        time.copy_from_slice(&header[1..9]);
        let count = u32::from_le_bytes([header[9], header[10], header[11], header[12]]);
        let mut input = Input {
            bytes,
            at: HEADER_BYTES,
        };
        // Each change takes at least three bytes: a damaged count cannot ask for much memory.
        let mut mutations = Vec::with_capacity((count as usize).min(bytes.len() / 3));
        for _ in 0..count {
            mutations.push(input.mutation()?);
        }
        if input.at != bytes.len() {
            return Err(format!(
                "{} bytes follow its last change",
                bytes.len() - input.at
            ));
        }
        if !mutations.is_sorted_by(|a, b| (a.tree, &a.key) < (b.tree, &b.key)) {
            return Err("its changes are not in order of tree and key".to_owned());
        }
        Ok(Self {
            unix_ms: u64::from_le_bytes(time),
            mutations,
        })
    }
}

struct Input<'a> {
    bytes: &'a Bytes,
    at: usize,
}

impl Input<'_> {
    fn mutation(&mut self) -> Result<Mutation, String> {
        let tree = TreeId::new(self.varint()?);
        let kind = *self.bytes.get(self.at).ok_or("it ends inside a change")?;
        self.at += 1;
        let key = self.slice()?;
        let change = match kind {
            PUT => Change::Put(self.slice()?),
            DELETE => Change::Delete,
            other => return Err(format!("a change has kind {other}")),
        };
        Ok(Mutation { tree, key, change })
    }

    fn slice(&mut self) -> Result<Bytes, String> {
        let length = self.varint()? as usize;
        let end = self
            .at
            .checked_add(length)
            .filter(|end| *end <= self.bytes.len());
        let end = end.ok_or_else(|| format!("a length of {length} bytes leads beyond its end"))?;
        let slice = self.bytes.slice(self.at..end);
        self.at = end;
        Ok(slice)
    }

    fn varint(&mut self) -> Result<u32, String> {
        let mut value = 0;
        for shift in (0..35).step_by(7) {
            let byte = *self.bytes.get(self.at).ok_or("it ends inside a number")?;
            self.at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return u32::try_from(value).map_err(|_| "a number is too large".to_owned());
            }
        }
        Err("a number is too long".to_owned())
    }
}

/// LEB128: seven bits a byte, lowest first.
fn put_varint(mut value: u32, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    // Keys and values are below the limits, which fit.
    put_varint(u32::try_from(bytes.len()).unwrap_or(u32::MAX), out);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn writes() -> impl Strategy<Value = Writes> {
        let bytes = || proptest::collection::vec(any::<u8>(), 0..300).prop_map(Bytes::from);
        let one = (
            (any::<u32>().prop_map(TreeId::new), bytes()),
            proptest::option::of(bytes()),
        );
        proptest::collection::btree_map(one.0, one.1, 0..20)
    }

    /// The bytes of format 1, as `docs/format.md` describes them. Never change what is expected
    /// here: databases that were written with it must open.
    #[test]
    fn golden_write_set() {
        let writes = Writes::from([
            (
                (TreeId::new(5), Bytes::from_static(b"key")),
                Some(Bytes::from_static(b"value")),
            ),
            ((TreeId::new(300), Bytes::from_static(b"gone")), None),
        ]);
        let hex: String = encode(&writes, 0x0102_0304)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let header = "01 0403020100000000 02000000";
        let put = "05 01 03 6b6579 05 76616c7565";
        let delete = "ac02 02 04 676f6e65";
        assert_eq!(hex, [header, put, delete].concat().replace(' ', ""));
    }

    proptest! {
        #[test]
        fn a_write_set_comes_back(writes in writes(), unix_ms in any::<u64>()) {
            let decoded = WriteSet::decode(&encode(&writes, unix_ms).into()).unwrap();
            prop_assert_eq!(decoded.unix_ms, unix_ms);
            let back: Writes = decoded
                .mutations
                .into_iter()
                .map(|m| {
                    let value = match m.change {
                        Change::Put(value) => Some(value),
                        Change::Delete => None,
                    };
                    ((m.tree, m.key), value)
                })
                .collect();
            prop_assert_eq!(back, writes);
        }

        #[test]
        fn any_bytes_give_a_write_set_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = WriteSet::decode(&bytes.into());
        }

        #[test]
        fn a_cut_write_set_is_an_error(writes in writes(), cut in any::<proptest::sample::Index>()) {
            let bytes = encode(&writes, 7);
            let cut = cut.index(bytes.len());
            prop_assert!(WriteSet::decode(&bytes[..cut].to_vec().into()).is_err());
        }
    }
}
