//! `nexusbase index`: create, drop and list.

use std::io::Write;

use super::Terminal;
use super::args::{IndexArgs, IndexCommand, IndexListArgs};
use super::failure::{Failure, Outcome};
use super::output;
use super::target::Missing;

pub(super) fn run(command: &IndexCommand, terminal: Terminal) -> Outcome {
    match command {
        IndexCommand::Create(arguments) => create(arguments, terminal),
        IndexCommand::Drop(arguments) => drop(arguments, terminal),
        IndexCommand::List(arguments) => list(arguments),
    }
}

fn create(arguments: &IndexArgs, terminal: Terminal) -> Outcome {
    let IndexArgs {
        collection,
        path,
        target,
    } = arguments;
    let store = target.open(Missing::Refuse)?;
    // An index makes its collection; from here a misspelt name is more likely meant.
    store.collection(collection)?;
    let bar = terminal.document_progress("indexing");
    let created = store.create_index(collection, path, |done| bar.set_position(done));
    bar.finish_and_clear();
    let created = created?;
    store.close()?;
    let text = if created {
        format!("created an index on {path} in {collection}")
    } else {
        format!("there is an index on {path} in {collection} already")
    };
    Ok(terminal.done(text)?)
}

fn drop(arguments: &IndexArgs, terminal: Terminal) -> Outcome {
    let IndexArgs {
        collection,
        path,
        target,
    } = arguments;
    let store = target.open(Missing::Refuse)?;
    let shown = store.collection(collection)?;
    if !store.drop_index(collection, path)? {
        let paths: Vec<&str> = shown.indexes.iter().map(|one| one.path.as_str()).collect();
        let message = format!("collection {collection:?} has no index on {path:?}");
        return Err(Failure::new(message).hint(if paths.is_empty() {
            "it has none but the one on _id, which stays".to_owned()
        } else {
            format!("there is one on: {}", paths.join(", "))
        }));
    }
    store.close()?;
    Ok(terminal.done(format_args!("dropped the index on {path} in {collection}"))?)
}

fn list(arguments: &IndexListArgs) -> Outcome {
    let store = arguments.target.open(Missing::Refuse)?;
    let shown = store.collection(&arguments.collection)?;
    let mut out = output::stdout();
    writeln!(out, "_id")?;
    for index in shown.indexes {
        let several = if index.multikey {
            "  (several values per document)"
        } else {
            ""
        };
        let unfinished = if index.ready {
            ""
        } else {
            "  (not finished: create it again)"
        };
        writeln!(out, "{}{several}{unfinished}", index.path)?;
    }
    Ok(out.flush()?)
}
