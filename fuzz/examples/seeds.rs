//! Writes valid bytes into the fuzzers' corpora, so that they need not be guessed.

use std::{fs, io};

fn write(name: &str, samples: &[Vec<u8>]) -> io::Result<()> {
    let folder = format!("{}/corpus/{name}", env!("CARGO_MANIFEST_DIR"));
    fs::create_dir_all(&folder)?;
    for (number, sample) in samples.iter().enumerate() {
        fs::write(format!("{folder}/sample-{number}"), sample)?;
    }
    Ok(())
}

fn main() -> io::Result<()> {
    for target in nexusbase_forest::fuzzing::TARGETS {
        write(target.name, &(target.samples)())?;
    }
    write("log_record", &nexusbase_log::fuzzing::records())?;
    write("segment_header", &nexusbase_log::fuzzing::segment_headers())?;
    write("write_set", &nexusbase_db::fuzzing::write_sets())?;
    write("kv_file", &nexusbase_kv::fuzzing::kv_files())?;
    write("kv_row", &nexusbase_kv::fuzzing::kv_rows())
}
