//! Write sets: what one commit does to all trees, and its bytes.
//!
//! A write set is encoded once. The same bytes go into the log, are replayed by the recovery and
//! are shown by the change feed. Keys are unique in it and sorted by tree and key, so that what
//! an entry does depends on nothing but the entry. Ranges that it deletes come before the keys of
//! their tree and concern only what earlier entries have put. The layout is in `docs/format.md`.

use std::cmp::Ordering;

use bytes::Bytes;
use nexusbase_forest::{Change, Mutation, TreeId};

const VERSION: u8 = 1;
const PUT: u8 = 1;
const DELETE: u8 = 2;
const MERGE: u8 = 3;
const DELETE_RANGE: u8 = 4;
const HEADER_BYTES: usize = 1 + 8 + 4;

/// What one commit does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteSet {
    /// When it was committed, in milliseconds since 1970.
    pub unix_ms: u64,
    /// What it changes: by tree; within each first the ranges that are deleted, by start and end;
    /// then the rest, by key. A range concerns only what earlier commits have put.
    pub mutations: Vec<Mutation>,
}

/// Encodes `mutations`, which are in their order, committed at `unix_ms`.
pub(crate) fn encode(mutations: &[Mutation], unix_ms: u64) -> Vec<u8> {
    let size = |mutation: &Mutation| 16 + mutation.key.len() + more(&mutation.change).len();
    let mut out = Vec::with_capacity(HEADER_BYTES + mutations.iter().map(size).sum::<usize>());
    out.push(VERSION);
    out.extend_from_slice(&unix_ms.to_le_bytes());
    // The transaction's size limit keeps the count far below 2^32.
    out.extend_from_slice(
        &u32::try_from(mutations.len())
            .unwrap_or(u32::MAX)
            .to_le_bytes(),
    );
    for Mutation { tree, key, change } in mutations {
        put_varint(tree.get(), &mut out);
        out.push(match change {
            Change::Put(_) => PUT,
            Change::Delete => DELETE,
            Change::Merge(_) => MERGE,
            Change::DeleteRange { .. } => DELETE_RANGE,
        });
        put_bytes(key, &mut out);
        if !matches!(change, Change::Delete) {
            put_bytes(more(change), &mut out);
        }
    }
    out
}

/// What a change has beside its key. No range ends with the empty key, so that stands for no end.
fn more(change: &Change) -> &[u8] {
    match change {
        Change::Put(bytes) | Change::Merge(bytes) => bytes,
        Change::DeleteRange { end: Some(end) } => end,
        Change::Delete | Change::DeleteRange { end: None } => &[],
    }
}

/// The order of changes in a write set. No two may be equal.
fn order(a: &Mutation, b: &Mutation) -> Ordering {
    let is_key = |mutation: &Mutation| !matches!(mutation.change, Change::DeleteRange { .. });
    let by_end = || match (&a.change, &b.change) {
        (Change::DeleteRange { end: a }, Change::DeleteRange { end: b }) => {
            // No end lies behind all others.
            (a.is_none(), a).cmp(&(b.is_none(), b))
        }
        _ => Ordering::Equal,
    };
    (a.tree, is_key(a), &a.key)
        .cmp(&(b.tree, is_key(b), &b.key))
        .then_with(by_end)
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
        if !mutations.is_sorted_by(|a, b| order(a, b) == Ordering::Less) {
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
            MERGE => Change::Merge(self.slice()?),
            DELETE_RANGE => {
                let end = Some(self.slice()?).filter(|end| !end.is_empty());
                if end.as_ref().is_some_and(|end| *end <= key) {
                    return Err("a range of keys ends where it starts, or before".to_owned());
                }
                Change::DeleteRange { end }
            }
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

    fn mutations() -> impl Strategy<Value = Vec<Mutation>> {
        let bytes = || proptest::collection::vec(any::<u8>(), 0..300).prop_map(Bytes::from);
        let change = prop_oneof![
            bytes().prop_map(Change::Put),
            Just(Change::Delete),
            bytes().prop_map(Change::Merge),
            proptest::option::of(bytes()).prop_map(|end| Change::DeleteRange { end }),
        ];
        let tree = prop_oneof![0u32..3, any::<u32>()].prop_map(TreeId::new);
        let one =
            (tree, bytes(), change).prop_map(|(tree, key, change)| Mutation { tree, key, change });
        proptest::collection::vec(one, 0..20).prop_map(|mut mutations| {
            mutations.retain(|m| match &m.change {
                Change::DeleteRange { end: Some(end) } => m.key < *end,
                _ => true,
            });
            mutations.sort_by(order);
            mutations.dedup_by(|a, b| order(a, b) == Ordering::Equal);
            mutations
        })
    }

    fn mutation(tree: u32, key: &'static str, change: Change) -> Mutation {
        Mutation {
            tree: TreeId::new(tree),
            key: key.into(),
            change,
        }
    }

    fn delete_range(end: Option<&'static str>) -> Change {
        Change::DeleteRange {
            end: end.map(Bytes::from),
        }
    }

    /// The bytes of format 1, as `docs/format.md` describes them. Never change what is expected
    /// here: databases that were written with it must open.
    #[test]
    fn golden_write_set() {
        let mutations = [
            mutation(5, "b", delete_range(Some("c"))),
            mutation(5, "b", delete_range(None)),
            mutation(5, "apple", Change::Merge("more".into())),
            mutation(5, "key", Change::Put("value".into())),
            mutation(300, "gone", Change::Delete),
        ];
        let hex: String = encode(&mutations, 0x0102_0304)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let header = "01 0403020100000000 05000000";
        let ranges = "05 04 01 62 01 63  05 04 01 62 00";
        let merge = "05 03 05 6170706c65 04 6d6f7265";
        let put = "05 01 03 6b6579 05 76616c7565";
        let delete = "ac02 02 04 676f6e65";
        let expected = [header, ranges, merge, put, delete].concat();
        assert_eq!(hex, expected.replace(' ', ""));
    }

    /// What no transaction writes, so damage or a defect.
    #[test]
    fn changes_out_of_order_or_twice_and_ranges_that_hold_nothing_are_errors() {
        let put = || Change::Put("x".into());
        let refused = [
            vec![mutation(2, "a", put()), mutation(1, "a", put())],
            vec![mutation(1, "b", put()), mutation(1, "a", put())],
            vec![mutation(1, "a", put()), mutation(1, "a", Change::Delete)],
            vec![
                mutation(1, "a", Change::Merge("x".into())),
                mutation(1, "a", put()),
            ],
            vec![
                mutation(1, "a", put()),
                mutation(1, "b", delete_range(None)),
            ],
            vec![
                mutation(1, "b", delete_range(None)),
                mutation(1, "a", delete_range(None)),
            ],
            vec![
                mutation(1, "a", delete_range(None)),
                mutation(1, "a", delete_range(None)),
            ],
            vec![
                mutation(1, "a", delete_range(None)),
                mutation(1, "a", delete_range(Some("b"))),
            ],
            vec![mutation(1, "b", delete_range(Some("b")))],
            vec![mutation(1, "b", delete_range(Some("a")))],
        ];
        for mutations in refused {
            let decoded = WriteSet::decode(&encode(&mutations, 7).into());
            assert!(decoded.is_err(), "{mutations:?}");
        }
    }

    proptest! {
        #[test]
        fn a_write_set_comes_back(mutations in mutations(), unix_ms in any::<u64>()) {
            let decoded = WriteSet::decode(&encode(&mutations, unix_ms).into()).unwrap();
            let expected = WriteSet { unix_ms, mutations };
            prop_assert_eq!(decoded, expected);
        }

        #[test]
        fn any_bytes_give_a_write_set_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = WriteSet::decode(&bytes.into());
        }

        /// The header is valid, so that the changes are read.
        #[test]
        fn any_changes_give_a_write_set_or_an_error(
            count in 0u32..5, bytes in proptest::collection::vec(0u8..6, 0..40),
        ) {
            let mut all = encode(&[], 7);
            all[9..13].copy_from_slice(&count.to_le_bytes());
            all.extend(bytes);
            if let Ok(decoded) = WriteSet::decode(&all.clone().into()) {
                prop_assert_eq!(encode(&decoded.mutations, 7), all);
            }
        }

        #[test]
        fn a_cut_write_set_is_an_error(mutations in mutations(), cut in any::<proptest::sample::Index>()) {
            let bytes = encode(&mutations, 7);
            let cut = cut.index(bytes.len());
            prop_assert!(WriteSet::decode(&bytes[..cut].to_vec().into()).is_err());
        }
    }
}
