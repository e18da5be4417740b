//! Frames come back, and every damage to one is noticed.

use super::*;

const FILE: FileId = FileId(0x1234);
const ALL: [Compression; 3] = [Compression::None, Compression::Lz4, Compression::Zstd];

fn sealed(raw: &[u8], compression: Compression, offset: u64) -> Vec<u8> {
    let mut out = b"before".to_vec();
    let length = seal(raw, compression, FILE, offset, &mut out);
    assert_eq!(out.len(), 6 + length as usize);
    out.split_off(6)
}

/// Compresses well, but not to nothing.
fn text(length: usize) -> Vec<u8> {
    let words = (0..).flat_map(|number: u64| format!("word {} ", number % 91).into_bytes());
    words.take(length).collect()
}

/// Does not compress.
fn noise(length: usize) -> Vec<u8> {
    let numbers = (1_u64..)
        .flat_map(|number| xxhash_rust::xxh3::xxh3_64(&number.to_le_bytes()).to_le_bytes());
    numbers.take(length).collect()
}

#[test]
fn what_was_sealed_comes_out_whatever_was_in_the_scratch() {
    let mut scratch = Vec::new();
    for length in [0, 1, 5, 4096, 65_534, 65_535, 70_000, 300_000, 10] {
        for (compression, raw) in ALL
            .into_iter()
            .flat_map(|how| [(how, text(length)), (how, noise(length))])
        {
            let frame = sealed(&raw, compression, 77);
            assert!(frame.len() <= raw.len() + TRAILER);
            assert_eq!(unseal(&frame, FILE, 77, &mut scratch), Ok(raw.as_slice()));
        }
    }
}

#[test]
fn what_saves_little_is_stored_as_it_is() {
    for (length, raw) in [(4096, noise(4096)), (20, text(20)), (0, Vec::new())] {
        for compression in ALL {
            let frame = sealed(&raw, compression, 0);
            assert_eq!(frame.len(), length + TRAILER);
            assert_eq!(frame[length], NONE);
        }
    }
    for compression in [Compression::Lz4, Compression::Zstd] {
        assert!(sealed(&text(4096), compression, 0).len() < 2048);
    }
}

#[test]
fn the_bytes_of_a_frame_do_not_depend_on_what_the_thread_sealed_before() {
    let (small, large) = (text(5000), text(200_000));
    for compression in ALL {
        let first = sealed(&small, compression, 9);
        sealed(&large, compression, 9);
        assert_eq!(sealed(&small, compression, 9), first);
        let other = std::thread::spawn(move || sealed(&text(5000), compression, 9));
        assert_eq!(other.join().unwrap(), first);
    }
}

#[test]
fn the_bytes_of_a_frame_never_change() {
    let frame = sealed(b"Rabc", Compression::None, 0x500);
    assert_eq!(frame, *b"Rabc\x00\x43\x98\xef\xda");
}

#[test]
fn a_frame_at_another_place_is_an_error() {
    for compression in ALL {
        let (frame, mut scratch) = (sealed(&text(1000), compression, 4096), Vec::new());
        assert!(unseal(&frame, FILE, 4096, &mut scratch).is_ok());
        assert!(unseal(&frame, FILE, 0, &mut scratch).is_err());
        assert!(unseal(&frame, FILE, 4097, &mut scratch).is_err());
        assert!(unseal(&frame, FileId(0x1235), 4096, &mut scratch).is_err());
        assert!(unseal(&frame, FileId(4096), FILE.0, &mut scratch).is_err());
    }
}

#[test]
fn every_flipped_bit_and_every_cut_is_an_error() {
    for compression in ALL {
        let (frame, mut scratch) = (sealed(&text(600), compression, 5), Vec::new());
        for bit in 0..8 * frame.len() {
            let mut frame = frame.clone();
            frame[bit / 8] ^= 1 << (bit % 8);
            assert!(unseal(&frame, FILE, 5, &mut scratch).is_err());
        }
        for cut in 0..frame.len() {
            assert!(unseal(&frame[..cut], FILE, 5, &mut scratch).is_err());
        }
    }
}

/// Damage that the checksum does not see must still neither panic nor allocate at will.
#[test]
fn a_right_checksum_over_nonsense_is_an_error_and_takes_no_memory() {
    let seal_by_hand = |payload: &[u8], compression: u8| {
        let mut frame = [payload, &[compression]].concat();
        let sum = checksum(&frame, FILE, 5);
        frame.extend_from_slice(&sum.to_le_bytes());
        frame
    };
    let huge = u32::MAX.to_le_bytes();
    for (payload, compression) in [
        (&b"abc"[..], 3),
        (b"abc", LZ4),
        (b"abc", ZSTD),
        (&huge, LZ4),
        (&huge, ZSTD),
        (b"\x40\0\0\0aaaaaaaa", LZ4),
        (b"\x40\0\0\0aaaaaaaa", ZSTD),
    ] {
        let mut scratch = Vec::new();
        let frame = seal_by_hand(payload, compression);
        assert!(unseal(&frame, FILE, 5, &mut scratch).is_err());
        assert!(scratch.capacity() < 1024);
    }
    for compression in [LZ4, ZSTD] {
        let how = if compression == LZ4 {
            Compression::Lz4
        } else {
            Compression::Zstd
        };
        let good = sealed(&text(600), how, 5);
        for at in 0..good.len() - TRAILER {
            for bits in [1, 0x80, 0xff] {
                let mut payload = good[..good.len() - TRAILER].to_vec();
                payload[at] ^= bits;
                let mut scratch = Vec::new();
                let _ = unseal(&seal_by_hand(&payload, compression), FILE, 5, &mut scratch);
                assert!(scratch.capacity() <= 128 << 10);
            }
        }
    }
}
