//! Any bytes as a partition of a table's index.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = nexusbase_forest::fuzzing::index_partition(data);
});
