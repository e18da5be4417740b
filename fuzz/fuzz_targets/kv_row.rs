//! Any bytes as a row of a store.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = nexusbase_kv::fuzzing::kv_row(data);
});
