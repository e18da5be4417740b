//! Collecting in order, in bounded memory.

use std::collections::BinaryHeap;

use crate::error::SortError;

/// How much memory a sort may use unless its caller says otherwise.
pub const SORT_MEMORY_BYTES_MAX: usize = 100 * 1024 * 1024;

/// What an entry takes beside its key and payload.
const ENTRY_BYTES: usize = 64;

/// Collects payloads with keys and gives them back in the order of the keys: all of them, or the
/// first `limit`, of which never more than those are kept.
///
/// Memory is counted as the callers report it. At the limit the sort fails; it never answers with
/// a part.
#[derive(Debug)]
pub struct TopK<P> {
    limit: Option<usize>,
    bytes_max: usize,
    bytes: usize,
    /// The largest on top.
    heap: BinaryHeap<Entry<P>>,
    /// How many were offered, so that equal keys stay in the order in which they came.
    offered: u64,
}

#[derive(Debug)]
struct Entry<P> {
    key: Box<[u8]>,
    number: u64,
    bytes: usize,
    payload: P,
}

impl<P> Entry<P> {
    fn rank(&self) -> (&[u8], u64) {
        (&self.key, self.number)
    }
}

impl<P> PartialEq for Entry<P> {
    fn eq(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }
}

impl<P> Eq for Entry<P> {}

impl<P> PartialOrd for Entry<P> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<P> Ord for Entry<P> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank().cmp(&other.rank())
    }
}

impl<P> TopK<P> {
    /// A collector that keeps the `limit` smallest keys, or all, in at most `bytes_max`.
    #[must_use]
    pub fn new(limit: Option<usize>, bytes_max: usize) -> Self {
        Self {
            limit,
            bytes_max,
            bytes: 0,
            heap: BinaryHeap::new(),
            offered: 0,
        }
    }

    /// Whether something with this key would be kept if it were offered now.
    #[must_use]
    pub fn wants(&self, key: &[u8]) -> bool {
        match self.limit {
            Some(limit) if self.heap.len() >= limit => {
                // A later equal key comes after the ones that are there.
                limit > 0 && self.heap.peek().is_some_and(|largest| key < &*largest.key)
            }
            _ => true,
        }
    }

    /// Offers a payload of about `payload_bytes`, which is made only if it is kept.
    ///
    /// # Errors
    /// [`SortError::Memory`] when keeping it would need more than the limit.
    pub fn offer(
        &mut self,
        key: &[u8],
        payload_bytes: usize,
        payload: impl FnOnce() -> P,
    ) -> Result<(), SortError> {
        let number = self.offered;
        self.offered += 1;
        if !self.wants(key) {
            return Ok(());
        }
        if self.limit == Some(self.heap.len())
            && let Some(dropped) = self.heap.pop()
        {
            self.bytes -= dropped.bytes;
        }
        let bytes = payload_bytes
            .saturating_add(key.len())
            .saturating_add(ENTRY_BYTES);
        if self.bytes.saturating_add(bytes) > self.bytes_max {
            return Err(SortError::Memory {
                bytes_max: self.bytes_max,
            });
        }
        self.bytes += bytes;
        self.heap.push(Entry {
            key: key.into(),
            number,
            bytes,
            payload: payload(),
        });
        Ok(())
    }

    /// How many are kept now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether none is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// The keys and payloads in order.
    #[must_use]
    pub fn into_sorted(self) -> Vec<(Box<[u8]>, P)> {
        let sorted = self.heap.into_sorted_vec();
        sorted
            .into_iter()
            .map(|entry| (entry.key, entry.payload))
            .collect()
    }
}
