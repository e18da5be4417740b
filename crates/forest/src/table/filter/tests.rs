//! No key is missed, and few are seen that are not there.

use super::*;

fn hashes(keys: std::ops::Range<u64>) -> impl Iterator<Item = u64> {
    keys.map(|key| hash_key(&key.to_be_bytes()))
}

fn bytes(keys: std::ops::Range<u64>, bits_per_key: u32) -> Vec<u8> {
    let mut builder = FilterBuilder::default();
    hashes(keys).for_each(|hash| builder.add(hash));
    let (foretold, mut out) = (builder.bytes(bits_per_key), b"before".to_vec());
    builder.finish(bits_per_key, &mut out);
    assert_eq!((out.len(), builder.len()), (6 + foretold, 0));
    out.split_off(6)
}

#[test]
fn the_bytes_of_a_filter_never_change() {
    assert_eq!(hash_key(b""), 0x2d06_8005_38d3_94c2);
    let hex: String = bytes(0..20, 10)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let words = [
        "084e41a9840e4004",
        "883a422010000202",
        "00440404017208e8",
        "4101106000014010",
        "a689060020822081",
        "1139002410a08421",
        "8078001060280490",
        "0402804500400a00",
    ];
    assert_eq!(hex, format!("06{}", words.concat()));
}

#[test]
fn no_key_that_was_added_is_denied() {
    for keys in [1, 2, 51, 52, 100_000] {
        for bits_per_key in (0..=16).chain([20, 50]) {
            let filter = Filter::parse(&bytes(0..keys, bits_per_key)).unwrap();
            assert!(hashes(0..keys).all(|hash| filter.may_contain(hash)));
        }
    }
}

#[test]
fn false_positives_stay_below_what_the_table_says() {
    // In tenths of a per mille.
    for (bits_per_key, most) in [(4, 1600), (6, 590), (8, 240), (10, 100), (12, 46), (16, 12)] {
        let filter = Filter::parse(&bytes(0..100_000, bits_per_key)).unwrap();
        let others = hashes(1_000_000..1_100_000);
        let wrong = others.filter(|hash| filter.may_contain(*hash)).count();
        assert!(
            wrong < 10 * most,
            "{bits_per_key} bits per key: {wrong} of 100,000"
        );
    }
}

#[test]
fn a_filter_of_no_keys_denies_all_and_one_of_no_bits_none() {
    let denies = Filter::parse(&bytes(0..0, 10)).unwrap();
    assert!(hashes(0..100).all(|hash| !denies.may_contain(hash)));
    let admits = Filter::parse(&bytes(0..100, 0)).unwrap();
    assert!(hashes(0..1000).all(|hash| admits.may_contain(hash)));
}

#[test]
fn versions_of_a_key_count_once() {
    let mut builder = FilterBuilder::default();
    for hash in [7, 7, 7, 8, 8, 7] {
        builder.add(hash);
    }
    assert_eq!(builder.len(), 3);
}

#[test]
fn bytes_that_are_no_filter_are_an_error() {
    let good = bytes(0..100, 10);
    assert!(Filter::parse(&[]).is_err());
    for cut in 2..64 {
        assert!(Filter::parse(&good[..good.len() - cut]).is_err());
    }
    for probes in [0, PROBES_MAX + 1, 255] {
        let mut bad = good.clone();
        bad[0] = probes;
        assert!(Filter::parse(&bad).is_err());
    }
}
