//! Any bytes as a manifest file.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = nexusbase_forest::fuzzing::manifest_file(data);
});
