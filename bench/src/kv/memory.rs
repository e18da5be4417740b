//! The engine `memory` against a `RwLock<BTreeMap>`.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};

use nexusbase_io::Env;
use nexusbase_kv::{Direction, KeyRange, Store, engines};

use super::{BENCH, Result, VALUE_BYTES, keys, rate, shuffled, store};
use crate::report::{OURS, Report};

const PEER: &str = "RwLock<BTreeMap>";

/// What both can do.
trait Map: Sync {
    fn get(&self, key: &[u8]) -> Option<usize>;
    fn set(&self, key: &[u8], value: &[u8]);
    fn scan(&self) -> usize;
}

impl Map for Arc<dyn Store> {
    fn get(&self, key: &[u8]) -> Option<usize> {
        let value = (**self).get(key).expect("memory can be read");
        value.map(|value| value.len())
    }

    fn set(&self, key: &[u8], value: &[u8]) {
        (**self).set(key, value).expect("memory can be written");
    }

    fn scan(&self) -> usize {
        let cursor = self.cursor(KeyRange::all(), Direction::Forward);
        let mut cursor = cursor.expect("memory can be read");
        let mut bytes = 0;
        while let Some(row) = cursor.next().expect("memory can be read") {
            bytes += row.key.len() + row.value.len();
        }
        bytes
    }
}

impl Map for RwLock<BTreeMap<Vec<u8>, Vec<u8>>> {
    fn get(&self, key: &[u8]) -> Option<usize> {
        // A copy, as whoever gets a value from behind a lock has to make.
        let value = self.read().expect("nobody panics").get(key).cloned();
        value.map(|value| std::hint::black_box(value).len())
    }

    fn set(&self, key: &[u8], value: &[u8]) {
        let mut map = self.write().expect("nobody panics");
        map.insert(key.to_vec(), value.to_vec());
    }

    fn scan(&self) -> usize {
        let map = self.read().expect("nobody panics");
        map.iter().map(|(key, value)| key.len() + value.len()).sum()
    }
}

pub(super) fn run(quick: bool, report: &mut Report) -> Result<()> {
    let (rounds, count) = if quick { (1, 20_000) } else { (5, 1_000_000) };
    let keys = keys(count);
    let order = shuffled(&keys);
    let mut rates: BTreeMap<(&str, &str), Vec<f64>> = BTreeMap::new();
    for _ in 0..rounds {
        let stores = nexusbase_kv::stores(&Env::os());
        stores.register(engines::memory::engine(&Env::os()))?;
        let ours = store(&*stores, "bench", engines::memory::NAME)?;
        round(OURS, &ours, &keys, &order, &mut rates)?;
        let peer = RwLock::new(BTreeMap::<Vec<u8>, Vec<u8>>::new());
        round(PEER, &peer, &keys, &order, &mut rates)?;
    }
    for work in ["set, new", "set, over", "get", "get, 2 threads", "scan"] {
        for system in [OURS, PEER] {
            let rates = rates.remove(&(work, system)).unwrap_or_default();
            report.add_median(
                BENCH,
                format!("memory: {work}"),
                system,
                rates,
                "ops/s",
                true,
            );
        }
    }
    report.note(format!(
        "memory: {count} keys of 16 bytes in random order, {VALUE_BYTES}-byte values"
    ));
    Ok(())
}

fn round(
    system: &'static str,
    map: &impl Map,
    keys: &[[u8; 16]],
    order: &[[u8; 16]],
    rates: &mut BTreeMap<(&'static str, &'static str), Vec<f64>>,
) -> Result<()> {
    let count = keys.len();
    let mut add = |work, rate| rates.entry((work, system)).or_default().push(rate);
    let set = |keys: &[[u8; 16]], byte| {
        for key in keys {
            map.set(key, &[byte; VALUE_BYTES]);
        }
        Ok(())
    };
    let get = |keys: &[[u8; 16]]| {
        let found: usize = keys.iter().filter_map(|key| map.get(key)).sum();
        assert_eq!(found, keys.len() * VALUE_BYTES, "every key has its value");
    };
    add("set, new", rate(count, || set(keys, 1))?);
    add("set, over", rate(count, || set(order, 2))?);
    add(
        "get",
        rate(count, || {
            get(order);
            Ok(())
        })?,
    );
    let two = rate(2 * count, || {
        std::thread::scope(|scope| {
            scope.spawn(|| get(order));
            scope.spawn(|| get(keys));
        });
        Ok(())
    })?;
    add("get, 2 threads", two);
    let scan = rate(count, || {
        assert_eq!(map.scan(), count * (16 + VALUE_BYTES), "every row is there");
        Ok(())
    })?;
    add("scan", scan);
    Ok(())
}
