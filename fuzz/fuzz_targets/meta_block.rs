//! Any bytes as the meta block of a table.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = nexusbase_forest::fuzzing::meta_block(data);
});
