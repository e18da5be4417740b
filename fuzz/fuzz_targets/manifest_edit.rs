//! Any bytes as an edit of the manifest.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = nexusbase_forest::fuzzing::manifest_edit(data);
});
