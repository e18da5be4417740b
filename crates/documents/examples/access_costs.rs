//! What the ways to find documents cost, in memory: nanoseconds per row read, for the constants of
//! the planner. Run it with `cargo run --release -p nexusbase-documents --example access_costs`.

use bson::raw::RawDocument;
use bson::rawdoc;
use nexusbase_db::Database;
use nexusbase_documents::{Collection, Documents, Error, IndexSpec, Query};

const DOCUMENTS: i32 = 200_000;

fn main() -> Result<(), Error> {
    let collection = Documents::new(&Database::in_memory()?).collection("things")?;
    let text = "x".repeat(150);
    let all: Vec<_> = (0..DOCUMENTS)
        .map(|n| {
            let key = (i64::from(n) * 7919) % i64::from(DOCUMENTS);
            rawdoc! { "_id": n, "group": n % 1000, "ten": n % 10, "key": key, "free": key, "text": &*text }
        })
        .collect();
    for chunk in all.chunks(1000) {
        collection.insert_many(chunk).map_err(|(_, error)| error)?;
    }
    for on in ["group", "ten", "key"] {
        collection.create_index(&IndexSpec::on(on)?, |_| {})?;
    }
    let half = i64::from(DOCUMENTS / 2);
    let nothing = i64::from(DOCUMENTS) * 2;
    for (what, filter) in [
        ("index, equality, 200 documents", rawdoc! { "group": 17 }),
        ("index, equality, 20,000 documents", rawdoc! { "ten": 7 }),
        (
            "index, range, 1,000 documents",
            rawdoc! { "key": { "$gte": 5000, "$lt": 6000 } },
        ),
        ("index, range, half", rawdoc! { "key": { "$gte": half } }),
        ("scan, none match", rawdoc! { "free": nothing }),
        ("scan, half match", rawdoc! { "free": { "$lt": half } }),
        ("scan, all match", rawdoc! {}),
    ] {
        measure(&collection, what, &filter)?;
    }
    Ok(())
}

fn measure(collection: &Collection, what: &str, filter: &RawDocument) -> Result<(), Error> {
    let query = Query::new(filter)?;
    let snapshot = collection.snapshot();
    let clock = &collection.documents().database().env().clock;
    let mut best = u128::MAX;
    let (mut rows, mut returned) = (0, 0);
    for _ in 0..5 {
        let started = clock.monotonic();
        let mut answers = collection.find_in(&snapshot, &query)?;
        for document in answers.by_ref() {
            document?;
        }
        best = best.min((clock.monotonic() - started).as_nanos());
        let explain = answers.explain();
        rows = explain.index_rows_read.max(explain.documents_read);
        returned = explain.documents_returned;
    }
    let each = best / u128::from(rows.max(1));
    println!(
        "{what:36} {rows:>8} rows {returned:>8} returned {:>9} us {each:>6} ns per row",
        best / 1000
    );
    Ok(())
}
