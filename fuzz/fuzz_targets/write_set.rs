//! Any bytes as a write set.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = nexusbase_db::fuzzing::write_set(data);
});
