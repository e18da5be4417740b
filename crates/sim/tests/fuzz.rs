//! A short run of the fuzzers over every decoder: valid bytes, damaged by chance from a seed.
//! `fuzz/` has the long one.
#![cfg(test)]

use std::any::Any;
use std::panic::catch_unwind;

use nexusbase_io::sim::SimRng;

/// Inputs for each decoder.
const INPUTS: u64 = 20_000;
/// An input is never longer.
const BYTES_MAX: usize = 16 << 10;
/// How much more memory the process may ever have asked for when a decoder is done. What is left
/// of it beside the heap of the test's thread is more than inputs of this length may claim, and
/// far less than a length that is believed as it stands.
const MEMORY_MAX: u64 = 256 << 20;

struct Target {
    name: &'static str,
    run: fn(&[u8]) -> bool,
    samples: Vec<Vec<u8>>,
}

fn targets() -> Vec<Target> {
    let forest = nexusbase_forest::fuzzing::TARGETS.iter();
    let mut targets: Vec<_> = forest
        .map(|target| Target {
            name: target.name,
            run: target.run,
            samples: (target.samples)(),
        })
        .collect();
    targets.push(Target {
        name: "log_record",
        run: nexusbase_log::fuzzing::record,
        samples: nexusbase_log::fuzzing::records(),
    });
    targets.push(Target {
        name: "segment_header",
        run: nexusbase_log::fuzzing::segment_header,
        samples: nexusbase_log::fuzzing::segment_headers(),
    });
    targets.push(Target {
        name: "write_set",
        run: nexusbase_db::fuzzing::write_set,
        samples: nexusbase_db::fuzzing::write_sets(),
    });
    targets.push(Target {
        name: "kv_file",
        run: nexusbase_kv::fuzzing::kv_file,
        samples: nexusbase_kv::fuzzing::kv_files(),
    });
    targets.push(Target {
        name: "kv_row",
        run: nexusbase_kv::fuzzing::kv_row,
        samples: nexusbase_kv::fuzzing::kv_rows(),
    });
    targets
}

/// A byte that decoders find hard, or any.
fn byte(rng: &mut SimRng) -> u8 {
    let hard = [0, 1, 0x7f, 0x80, 0xfe, 0xff];
    let any = rng.next_u64().to_le_bytes()[0];
    hard.get(rng.index(12)).copied().unwrap_or(any)
}

/// A place in the first bytes, where lengths and counts are, or anywhere.
fn place(rng: &mut SimRng, bytes: &[u8]) -> usize {
    let near = if rng.chance(0.4) { 24 } else { usize::MAX };
    rng.index(bytes.len().min(near))
}

fn mutate(rng: &mut SimRng, bytes: &mut Vec<u8>, samples: &[Vec<u8>]) {
    if bytes.is_empty() {
        bytes.push(byte(rng));
        return;
    }
    let at = place(rng, bytes);
    match rng.below(8) {
        0 => bytes.truncate(at),
        1..=2 => bytes[at] ^= 1 << rng.below(8),
        3 => bytes[at] = byte(rng),
        // A length or an offset: large as often as small.
        4 => {
            let number = rng.next_u64() >> rng.below(64);
            let width = [1, 2, 4, 8][rng.index(4)].min(bytes.len() - at);
            bytes[at..at + width].copy_from_slice(&number.to_le_bytes()[..width]);
        }
        // A piece of another sample in the place of a piece of this one.
        5 => {
            let other = &samples[rng.index(samples.len())];
            let from = rng.index(other.len());
            let piece = &other[from..from + rng.index(other.len() - from + 1).min(64)];
            let end = (at + rng.index(64)).min(bytes.len());
            bytes.splice(at..end, piece.iter().copied());
        }
        // A piece once more, or many times.
        6 => {
            let end = (at + 1 + rng.index(40)).min(bytes.len());
            let piece = bytes[at..end].repeat(1 + rng.index(9));
            bytes.splice(at..at, piece);
        }
        _ => {
            let end = (at + 1 + rng.index(9)).min(bytes.len());
            bytes.drain(at..end);
        }
    }
    bytes.truncate(BYTES_MAX);
}

/// The input of a seed: a damaged sample, now and then nothing but chance behind its first byte.
fn input(seed: u64, samples: &[Vec<u8>]) -> Vec<u8> {
    let mut rng = SimRng::new(seed);
    let mut bytes = samples[rng.index(samples.len())].clone();
    if rng.chance(0.05) {
        bytes.truncate(1);
        bytes.resize(rng.index(200) + 1, 0);
        rng.fill(&mut bytes[1..]);
    }
    for _ in 0..=rng.index(4) {
        mutate(&mut rng, &mut bytes, samples);
    }
    bytes
}

/// The most memory that this process ever had asked for, touched or not; where that can be known.
fn memory_peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmPeak:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied())
        .unwrap_or_default()
}

/// One test, as memory is counted for the whole process.
#[test]
fn no_decoder_panics_or_takes_much_memory_whatever_bytes_it_gets() {
    for Target { name, run, samples } in targets() {
        for (number, sample) in samples.iter().enumerate() {
            assert!(run(sample), "{name}: sample {number} is not read");
        }
        let before = memory_peak();
        let mut read = 0;
        for seed in 0..INPUTS {
            let bytes = input(seed, &samples);
            match catch_unwind(|| run(&bytes)) {
                Ok(was_read) => read += u64::from(was_read),
                Err(panic) => panic!("{name}, seed {seed}: {}: {bytes:02x?}", words(&*panic)),
            }
        }
        // Neither is of any use: a decoder that refuses all, or one that was never asked hard.
        assert!(
            read > INPUTS / 500 && read < INPUTS,
            "{name} has read {read} of {INPUTS} inputs"
        );
        let asked = memory_peak()
            .zip(before)
            .map_or(0, |(now, before)| now - before);
        assert!(asked <= MEMORY_MAX, "{name} has asked for {asked} bytes");
        println!("{name}: {read} of {INPUTS} read, {} MiB", asked >> 20);
    }
}

/// Every decoder has its fuzzer, and every fuzzer a decoder.
#[test]
fn the_folder_of_the_fuzzers_has_one_for_each_decoder() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/fuzz_targets");
    let mut found: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort();
    let mut expected: Vec<_> = targets()
        .iter()
        .map(|target| format!("{}.rs", target.name))
        .collect();
    expected.sort();
    assert_eq!(found, expected);
}
