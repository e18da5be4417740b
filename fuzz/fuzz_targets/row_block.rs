//! Any bytes as a block of rows.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = nexusbase_forest::fuzzing::row_block(data);
});
