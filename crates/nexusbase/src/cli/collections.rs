//! `nexusbase collections`: one per line, with its indexes.

use std::io::Write;

use super::args::CollectionsArgs;
use super::failure::Outcome;
use super::output;
use super::target::Missing;

pub(super) fn run(arguments: &CollectionsArgs) -> Outcome {
    let store = arguments.target.open(Missing::Refuse)?;
    let mut out = output::stdout();
    for collection in store.collections()? {
        let paths: Vec<&str> = collection
            .indexes
            .iter()
            .map(|one| one.path.as_str())
            .collect();
        if paths.is_empty() {
            writeln!(out, "{}", collection.name)?;
        } else {
            writeln!(out, "{}  (indexes: {})", collection.name, paths.join(", "))?;
        }
    }
    Ok(out.flush()?)
}
