//! `nexusbase export`: all documents of a collection, one per line, in the order of `_id`.

use std::io::Write;

use super::args::ExportArgs;
use super::failure::Outcome;
use super::output;
use super::store::Question;
use super::target::Missing;

pub(super) fn run(arguments: &ExportArgs) -> Outcome {
    let store = arguments.target.open(Missing::Refuse)?;
    let question = Question {
        collection: &arguments.collection,
        filter: "{}",
        sort: Some("_id"),
        limit: None,
        skip: 0,
        fields: None,
        canonical: arguments.canonical,
    };
    let mut out = output::stdout();
    store.find(&question, &mut |line| {
        out.write_all(line.as_bytes())?;
        Ok(out.write_all(b"\n")?)
    })?;
    out.flush()?;
    Ok(())
}
