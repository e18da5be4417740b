//! Any bytes as a record of the log.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = nexusbase_log::fuzzing::record(data);
});
