//! Any bytes as the header of a segment of the log.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = nexusbase_log::fuzzing::segment_header(data);
});
