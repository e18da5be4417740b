//! The kinds of trees that the tests have, and their keys.

use std::sync::LazyLock;

use nexusbase_forest::{FingerprintSum, TreeKind, Zone};

/// How many keys a tree may have: few, so that each has many versions.
pub(crate) const KEYS: u64 = 256;

/// Values are sets of bits, and merging is their union.
const SETS: TreeKind = TreeKind {
    name: "sets",
    merge: Some(union),
    ..TreeKind::ROWS
};

const COUNTED: TreeKind = TreeKind {
    name: "counted",
    zones: &ZONES,
    fingerprint: Some(fingerprint),
    counted: true,
    ..TreeKind::ROWS
};

/// Zones of the counted kind: one by which keys are ordered, one by which they are not.
pub(crate) const ZONES: [Zone; 2] = [first_byte, last_byte];

pub(crate) const KINDS: [TreeKind; 3] = [TreeKind::ROWS, SETS, COUNTED];

pub(crate) fn union(a: &[u8], b: &[u8]) -> Vec<u8> {
    let (mut long, short) = match a.len() >= b.len() {
        true => (a.to_vec(), b),
        false => (b.to_vec(), a),
    };
    for (bits, other) in long.iter_mut().zip(short) {
        *bits |= other;
    }
    long
}

fn first_byte(key: &[u8]) -> u64 {
    key.first().map_or(0, |byte| u64::from(*byte))
}

fn last_byte(key: &[u8]) -> u64 {
    key.last().map_or(0, |byte| u64::from(*byte))
}

fn fingerprint(key: &[u8]) -> [u8; 32] {
    let mut print = [0; 32];
    let mut state = 0xcbf2_9ce4_8422_2325_u64;
    for byte in key {
        state = (state ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    for part in print.chunks_exact_mut(8) {
        state = state.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29) | 1;
        part.copy_from_slice(&state.to_le_bytes());
    }
    print
}

/// Adds the fingerprint of a key to a sum, in the simplest way.
pub(crate) fn add_fingerprint(sum: &mut FingerprintSum, key: &[u8]) {
    let mut carry = 0;
    for (word, part) in sum.0.iter_mut().zip(fingerprint(key).chunks_exact(8)) {
        let part = u64::from_le_bytes(part.try_into().unwrap());
        let total = u128::from(*word) + u128::from(part) + carry;
        *word = u64::try_from(total & u128::from(u64::MAX)).unwrap();
        carry = total >> 64;
    }
}

/// The key of a number, in the order of numbers; 0 has the empty key. Some share long prefixes,
/// some end in 0xff.
pub(crate) fn key(number: u64) -> Vec<u8> {
    static ALL: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
        let mut all: Vec<_> = (0..KEYS).map(make_key).collect();
        all.sort_unstable();
        all
    });
    let place = usize::try_from(number).unwrap();
    ALL.get(place).cloned().unwrap_or_else(|| vec![0xff; 8])
}

fn make_key(number: u64) -> Vec<u8> {
    if number == 0 {
        return Vec::new();
    }
    let byte = |number: u64| u8::try_from(number & 0xff).unwrap();
    let mut key = vec![byte(number / 16 * 17)];
    match number % 4 {
        0 => {}
        1 => key.extend_from_slice(b"-a part of keys that is shared and longer than 24 bytes"),
        2 => key.extend_from_slice(&[0xff, 0xff]),
        _ => key.extend_from_slice(b"-a part"),
    }
    key.push(byte(number % 16 * 17));
    key
}
