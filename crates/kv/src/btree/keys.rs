//! The keys of one node, in order, and the search among them.
//!
//! A key is found by its *head*: the eight bytes that follow what all keys of the node have in
//! common at their front (the *prefix*), as a number, so that heads compare as keys do. The heads
//! are an array of their own, which is searched without a branch on them; keys with the same head
//! are told apart by their bytes. The bytes are in one buffer, in the order in which they came, so
//! that a key costs no allocation of its own and inserting one moves no other's bytes.
//!
//! What it promises: the order is that of the bytes, whatever the heads say; the buffer has at
//! most about twice the bytes of the keys. What it does not do: check that the caller keeps the
//! order, or that there is room.

use std::cmp::Ordering;

/// How many heads share a cache line.
const LINE: usize = 8;

/// Bytes of removed keys that a buffer may hold beyond the bytes of its keys.
const SLACK_BYTES: usize = 256;

/// Where a key's bytes are in the buffer.
#[derive(Clone, Copy, Default)]
struct Span {
    start: u32,
    len: u32,
}

/// Up to `N` keys in ascending order.
#[derive(Clone)]
pub(super) struct Keys<const N: usize> {
    /// The head of each key; `u64::MAX` where there is no key, so that a search needs no length.
    heads: [u64; N],
    spans: [Span; N],
    bytes: Vec<u8>,
    len: usize,
    /// How many bytes at the front all keys have in common, at most: removing a key leaves it.
    prefix: usize,
    /// How many of `bytes` belong to a key.
    live: usize,
}

/// Eight bytes of `key` from `skip` on as a number, zeros where the key has ended.
fn head(key: &[u8], skip: usize) -> u64 {
    let rest = key.get(skip..).unwrap_or_default();
    if let Some(eight) = rest.first_chunk() {
        return u64::from_be_bytes(*eight);
    }
    // The rest is shorter than eight bytes, so that the shift is within 8..=64.
    let shift = 8 * (8 - rest.len());
    let tail = key.last_chunk().map_or_else(
        || {
            key.iter()
                .fold(0, |tail, byte| tail << 8 | u64::from(*byte))
        },
        |eight| u64::from_be_bytes(*eight),
    );
    if shift == 64 { 0 } else { tail << shift }
}

/// How many bytes two keys have in common at their front.
pub(super) fn common(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

impl<const N: usize> Keys<N> {
    pub(super) fn new() -> Self {
        Self {
            heads: [u64::MAX; N],
            spans: [Span::default(); N],
            bytes: Vec::new(),
            len: 0,
            prefix: 0,
            live: 0,
        }
    }

    /// These keys, which are ascending and at most `N`.
    pub(super) fn collect<'a>(keys: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut all = Self::new();
        for key in keys {
            all.spans[all.len] = all.store(key);
            all.len += 1;
        }
        if all.len > 0 {
            let prefix = common(all.key(0), all.key(all.len - 1));
            all.set_prefix(prefix);
        }
        all
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The key at a place below `len`.
    #[inline]
    pub(super) fn key(&self, at: usize) -> &[u8] {
        let span = self.spans[at];
        // A span is within the buffer: `store` made it, and the buffer only grows.
        &self.bytes[span.start as usize..][..span.len as usize]
    }

    /// The keys from one place up to another.
    pub(super) fn range(&self, from: usize, to: usize) -> impl Iterator<Item = &[u8]> {
        (from..to).map(|at| self.key(at))
    }

    /// Where a key is if it is here. Does not look at the prefix: a key that is here has it, and
    /// one that has not equals none.
    #[inline]
    pub(super) fn find(&self, key: &[u8]) -> Option<usize> {
        self.search_heads(key).ok()
    }

    /// Where a key is, or where it would be inserted.
    #[inline]
    pub(super) fn search(&self, key: &[u8]) -> Result<usize, usize> {
        if self.prefix > 0 {
            // `prefix` is above 0 only if there is a key, and no longer than any key.
            let prefix = &self.key(0)[..self.prefix];
            match key[..self.prefix.min(key.len())].cmp(prefix) {
                Ordering::Less => return Err(0),
                Ordering::Equal => {}
                Ordering::Greater => return Err(self.len),
            }
        }
        self.search_heads(key)
    }

    /// [`Self::search`] for a key that has the prefix.
    #[inline]
    fn search_heads(&self, key: &[u8]) -> Result<usize, usize> {
        let head = head(key, self.prefix);
        let mut low = self.heads_below(head);
        if low >= self.len || self.heads[low] != head {
            return Err(low);
        }
        let same = self.heads[low..self.len].iter();
        let mut high = low + same.take_while(|other| **other == head).count();
        while low < high {
            let middle = low.midpoint(high);
            match self.key(middle).cmp(key) {
                Ordering::Less => low = middle + 1,
                Ordering::Equal => return Ok(middle),
                Ordering::Greater => high = middle,
            }
        }
        Err(low)
    }

    /// How many heads are less than this one. Looks at the last head of every cache line first:
    /// no look depends on another, so that the lines are fetched at the same time.
    #[inline]
    fn heads_below(&self, head: u64) -> usize {
        let lines = self.heads.chunks_exact(LINE);
        let start = LINE
            * lines
                .map(|line| usize::from(line[LINE - 1] < head))
                .sum::<usize>();
        let rest = &self.heads[start..];
        let below = |heads: &[u64]| {
            let below = heads.iter().map(|other| usize::from(*other < head));
            below.sum::<usize>()
        };
        start
            + rest
                .first_chunk::<LINE>()
                .map_or_else(|| below(rest), |line| below(line))
    }

    /// Which child of an inner node a key belongs to: how many separators are not above it.
    #[inline]
    pub(super) fn route(&self, key: &[u8]) -> usize {
        self.search(key).map_or_else(|at| at, |at| at + 1)
    }

    /// The place of the first key that is not below this one (`len` if all are).
    pub(super) fn lower(&self, key: &[u8]) -> usize {
        self.search(key).unwrap_or_else(|at| at)
    }

    /// Puts a key in at the place where it belongs. There is room for it.
    pub(super) fn insert(&mut self, at: usize, key: &[u8]) {
        let prefix = if self.len == 0 {
            key.len()
        } else {
            common(key, &self.key(0)[..self.prefix])
        };
        if prefix < self.prefix || self.len == 0 {
            self.set_prefix(prefix);
        }
        self.heads.copy_within(at..self.len, at + 1);
        self.spans.copy_within(at..self.len, at + 1);
        self.heads[at] = head(key, self.prefix);
        self.spans[at] = self.store(key);
        self.len += 1;
    }

    /// Takes the key at a place below `len` out.
    pub(super) fn remove(&mut self, at: usize) {
        self.live -= self.spans[at].len as usize;
        self.heads.copy_within(at + 1..self.len, at);
        self.spans.copy_within(at + 1..self.len, at);
        self.len -= 1;
        self.heads[self.len] = u64::MAX;
        if self.bytes.len() > 2 * self.live + SLACK_BYTES {
            *self = Self::collect(self.range(0, self.len));
        }
    }

    /// Adds a key's bytes to the buffer.
    fn store(&mut self, key: &[u8]) -> Span {
        // Cannot be cut off: a buffer has at most `SLACK_BYTES` and twice `N` keys of 64 KiB.
        let short = |bytes| u32::try_from(bytes).unwrap_or(u32::MAX);
        let span = Span {
            start: short(self.bytes.len()),
            len: short(key.len()),
        };
        self.bytes.extend_from_slice(key);
        self.live += key.len();
        span
    }

    /// Sets how much of every key the heads leave out.
    fn set_prefix(&mut self, prefix: usize) {
        self.prefix = prefix;
        for at in 0..self.len {
            self.heads[at] = head(self.key(at), prefix);
        }
    }
}

#[cfg(test)]
impl<const N: usize> Keys<N> {
    /// Checks what the search relies on.
    pub(super) fn check(&self) {
        assert!(self.len <= N);
        for at in 0..self.len {
            let key = self.key(at);
            assert!(at == 0 || self.key(at - 1) < key, "order");
            assert!(self.prefix <= common(key, self.key(0)), "prefix");
            assert_eq!(self.heads[at], head(key, self.prefix), "head");
        }
        assert!(self.heads[self.len..].iter().all(|head| *head == u64::MAX));
        let live: usize = self.range(0, self.len).map(<[u8]>::len).sum();
        assert_eq!(self.live, live);
        assert!(self.bytes.len() <= 2 * live + SLACK_BYTES, "dead bytes");
    }
}
