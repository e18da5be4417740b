//! Any bytes as the frame of a value in a blob file.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = nexusbase_forest::fuzzing::blob_frame(data);
});
