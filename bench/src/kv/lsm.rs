//! The engine `lsm` against the trees that it is on: what the interface costs.

use std::collections::BTreeMap;

use nexusbase_db::{
    Database, Durability, Error as DbError, ForestOptions, Options, TreeId, View as _,
};
use nexusbase_kv::{Direction, KeyRange, Put, Store, Write, engines};

use super::{BENCH, Result, VALUE_BYTES, keys, rate, shuffled, store};
use crate::report::{OURS, Report};
use crate::scratch::Scratch;

const BARE: &str = "the tree alone";
/// The tree of the first store.
const STORE_TREE: &str = "kv.1.0";
/// A value as the store writes it: with one byte more.
const ROW_BYTES: usize = 1 + VALUE_BYTES;
/// Keys of one write when filling.
const BATCH: usize = 1000;

pub(super) fn run(quick: bool, report: &mut Report) -> Result<()> {
    let (rounds, count, durable) = if quick {
        (1, 20_000, 50)
    } else {
        (5, 1_000_000, 2000)
    };
    let scratch = Scratch::new()?;
    let keys = keys(count);
    let order = shuffled(&keys);
    let folder = scratch.path().join("data");
    let options = Options {
        durability: Durability::Never,
        // Both trees fit, so that the interface is what is measured.
        forest: ForestOptions {
            memory_bytes: 1 << 30,
            ..ForestOptions::new([0; 16])
        },
        ..Options::default()
    };
    let db = Database::open_with(&folder, options)?;
    let stores = nexusbase_kv::standard(&db, &folder)?;
    let ours = store(&*stores, "bench", engines::lsm::NAME)?;
    fill(&*ours, &keys)?;
    db.settle()?;
    // The very same rows: two trees would differ in how far they are compacted.
    let tree = db
        .snapshot()
        .tree(STORE_TREE)?
        .ok_or("the store has no tree")?;
    let mut rates: BTreeMap<(&str, &str), Vec<f64>> = BTreeMap::new();
    for _ in 0..rounds {
        reads(&db, tree, &*ours, &order, &mut rates)?;
    }
    stores.close()?;
    db.close()?;
    writes(rounds, count / 10, durable, &mut rates)?;
    for work in ["get", "scan", "set, not synced", "set, durable"] {
        for system in [OURS, BARE] {
            let rates = rates.remove(&(work, system)).unwrap_or_default();
            report.add_median(BENCH, format!("lsm: {work}"), system, rates, "ops/s", true);
        }
    }
    report.note(format!(
        "lsm: {count} keys of 16 bytes, {VALUE_BYTES}-byte values, in tables and cached; \"{BARE}\" reads the same rows of the \
         forest, one snapshot for all gets, and sets by a transaction of the database"
    ));
    Ok(())
}

fn fill(ours: &dyn Store, keys: &[[u8; 16]]) -> Result<()> {
    let value = [1; VALUE_BYTES];
    for batch in keys.chunks(BATCH) {
        let writes: Vec<_> = batch
            .iter()
            .map(|key| Write::Put(key, Put::new(&value)))
            .collect();
        ours.write(&writes)?;
    }
    Ok(())
}

fn reads(
    db: &Database,
    tree: TreeId,
    ours: &dyn Store,
    order: &[[u8; 16]],
    rates: &mut BTreeMap<(&'static str, &'static str), Vec<f64>>,
) -> Result<()> {
    let count = order.len();
    let mut add = |work, system, rate| rates.entry((work, system)).or_default().push(rate);
    let snapshot = db.snapshot();
    let get = rate(count, || {
        let mut bytes = 0;
        for key in order {
            bytes += snapshot.get(tree, key)?.map_or(0, |value| value.len());
        }
        assert_eq!(bytes, count * ROW_BYTES, "every key has its value");
        Ok(())
    })?;
    add("get", BARE, get);
    let get = rate(count, || {
        let mut bytes = 0;
        for key in order {
            bytes += ours.get(key)?.map_or(0, |value| value.len());
        }
        assert_eq!(bytes, count * VALUE_BYTES, "every key has its value");
        Ok(())
    })?;
    add("get", OURS, get);
    let scan = rate(count, || {
        let (mut cursor, mut bytes) = (
            snapshot.cursor(tree, KeyRange::all(), Direction::Forward)?,
            0,
        );
        while cursor.advance()? {
            let (key, value) = cursor.row()?;
            bytes += key.len() + value.len();
        }
        assert_eq!(bytes, count * (16 + ROW_BYTES), "every row is there");
        Ok(())
    })?;
    add("scan", BARE, scan);
    let scan = rate(count, || {
        let (mut cursor, mut bytes) = (ours.cursor(KeyRange::all(), Direction::Forward)?, 0);
        while let Some(row) = cursor.next()? {
            bytes += row.key.len() + row.value.len();
        }
        assert_eq!(bytes, count * (16 + VALUE_BYTES), "every row is there");
        Ok(())
    })?;
    add("scan", OURS, scan);
    Ok(())
}

/// One commit for each set, in databases of their own.
fn writes(
    rounds: usize,
    unsynced: usize,
    durable: usize,
    rates: &mut BTreeMap<(&'static str, &'static str), Vec<f64>>,
) -> Result<()> {
    let modes = [
        ("set, not synced", Durability::Never, unsynced),
        ("set, durable", Durability::Always, durable),
    ];
    for (work, durability, count) in modes {
        let keys = keys(count);
        let value = [1; VALUE_BYTES];
        for _ in 0..rounds {
            let scratch = Scratch::new()?;
            let folder = scratch.path().join("data");
            let db = Database::open_with(
                &folder,
                Options {
                    durability,
                    ..Options::default()
                },
            )?;
            let tree = db.transact(|tx| Ok::<_, DbError>(tx.create_tree("bare")?))?;
            let stores = nexusbase_kv::standard(&db, &folder)?;
            let ours = store(&*stores, "bench", engines::lsm::NAME)?;
            let bare = rate(count, || {
                for key in &keys {
                    db.transact(|tx| Ok::<_, DbError>(tx.put(tree, key, &value)?))?;
                }
                Ok(())
            })?;
            let through = rate(count, || {
                for key in &keys {
                    ours.set(key, &value)?;
                }
                Ok(())
            })?;
            rates.entry((work, BARE)).or_default().push(bare);
            rates.entry((work, OURS)).or_default().push(through);
            stores.close()?;
            db.close()?;
        }
    }
    Ok(())
}
