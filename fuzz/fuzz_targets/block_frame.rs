//! Any bytes as the frame of a block.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = nexusbase_forest::fuzzing::block_frame(data);
});
