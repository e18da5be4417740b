//! Readers beside the applier and background work. Each entry gives the same value to keys in
//! several trees, or deletes them all, and what every snapshot must show is known beforehand.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use nexusbase_forest::{
    Change, Direction, Forest, ForestOptions, KeyRange, Mutation, Seqno, StepError, TreeChange,
    TreeId, TreeKind,
};
use nexusbase_io::sim::{SimDisk, SimRng};

const LEFT: TreeId = TreeId::new(1);
const RIGHT: TreeId = TreeId::new(2);
/// A counted tree, in which each entry moves one of the tokens to another key.
const TOKENS: TreeId = TreeId::new(3);
const GROUPS: usize = 60;
const PLACES: usize = 90;
const TOKEN_COUNT: usize = 30;
const ENTRIES: u64 = 12_000;
const PLANS: u64 = 4;
const READERS: u64 = 2;
const WORKERS: u64 = 2;

const COUNTED: TreeKind = TreeKind {
    name: "counted",
    counted: true,
    ..TreeKind::ROWS
};

enum Step {
    Put(usize),
    Delete(usize),
    /// All groups from the first up to the second, by a range delete.
    DeleteRange(usize, usize),
}

/// What each group of keys is worth from which entry on; `false` is deleted.
struct Plan {
    steps: Vec<(Step, usize, usize)>,
    groups: Vec<BTreeMap<u64, bool>>,
}

impl Plan {
    fn new(seed: u64) -> Self {
        let mut rng = SimRng::new(seed);
        let mut groups = vec![BTreeMap::new(); GROUPS];
        let mut places: Vec<usize> = (0..PLACES).collect();
        let mut step = |at| {
            let group = rng.index(GROUPS);
            let step = match rng.below(100) {
                0 => {
                    let end = (group + 1 + rng.index(10)).min(GROUPS);
                    for group in &mut groups[group..end] {
                        group.insert(at, false);
                    }
                    Step::DeleteRange(group, end)
                }
                1..40 => {
                    groups[group].insert(at, false);
                    Step::Delete(group)
                }
                _ => {
                    groups[group].insert(at, true);
                    Step::Put(group)
                }
            };
            // The first places of the list have the tokens.
            let from = rng.index(TOKEN_COUNT);
            let to = TOKEN_COUNT + rng.index(PLACES - TOKEN_COUNT);
            places.swap(from, to);
            (step, places[to], places[from])
        };
        let steps = (2..=ENTRIES).map(&mut step).collect();
        Self { steps, groups }
    }

    fn first_entry() -> (Vec<TreeChange>, Vec<Mutation>) {
        let kinds = [(LEFT, "rows"), (RIGHT, "rows"), (TOKENS, "counted")];
        let create = |(tree, kind): (TreeId, &str)| {
            let kind = kind.to_owned();
            TreeChange::Create { tree, kind }
        };
        let token = |place| put(TOKENS, key('t', place), 1);
        let tokens = (0..TOKEN_COUNT).map(token).collect();
        (kinds.map(create).to_vec(), tokens)
    }

    fn entry(&self, at: u64) -> Vec<Mutation> {
        let (step, from, to) = &self.steps[usize::try_from(at).unwrap() - 2];
        let wheres = [(LEFT, 'a'), (LEFT, 'z'), (RIGHT, 'a')];
        let mutation = |(tree, prefix)| match step {
            Step::Put(group) => put(tree, key(prefix, *group), at),
            Step::Delete(group) => delete(tree, key(prefix, *group)),
            Step::DeleteRange(start, end) => Mutation {
                change: Change::DeleteRange {
                    end: Some(key(prefix, *end)),
                },
                ..delete(tree, key(prefix, *start))
            },
        };
        let mut mutations = wheres.map(mutation).to_vec();
        mutations.push(delete(TOKENS, key('t', *from)));
        mutations.push(put(TOKENS, key('t', *to), at));
        mutations
    }

    fn expected(&self, group: usize, at: u64) -> Option<Bytes> {
        let (written, put) = self.groups[group].range(..=at).next_back()?;
        put.then(|| value(*written))
    }

    fn rows(&self, prefix: char, at: u64) -> Vec<(Bytes, Bytes)> {
        let row = |group| Some((key(prefix, group), self.expected(group, at)?));
        (0..GROUPS).filter_map(row).collect()
    }
}

/// Trees come and go all the time.
fn passing_tree(at: u64, entry: &mut Vec<Mutation>) -> Vec<TreeChange> {
    const LIFE: u64 = 100;
    let tree = TreeId::new(10 + u32::try_from(at / LIFE).unwrap());
    match at % LIFE {
        5 => {
            let kind = "rows".to_owned();
            vec![TreeChange::Create { tree, kind }]
        }
        95 => vec![TreeChange::Drop { tree }],
        6..95 => {
            entry.push(put(tree, key('p', usize::try_from(at % 20).unwrap()), at));
            Vec::new()
        }
        _ => Vec::new(),
    }
}

fn put(tree: TreeId, key: Bytes, at: u64) -> Mutation {
    Mutation {
        tree,
        key,
        change: Change::Put(value(at)),
    }
}

fn delete(tree: TreeId, key: Bytes) -> Mutation {
    Mutation {
        tree,
        key,
        change: Change::Delete,
    }
}

fn key(prefix: char, group: usize) -> Bytes {
    Bytes::from(format!("{prefix}{group:04}"))
}

/// Some are kept apart from their keys.
fn value(at: u64) -> Bytes {
    let mut value = at.to_be_bytes().to_vec();
    value.resize(if at.is_multiple_of(5) { 50 } else { 12 }, b'.');
    value.into()
}

/// What the database does: which seqno is visible, and which ones readers hold.
struct Snapshots<'a> {
    forest: &'a Forest,
    held: Mutex<BTreeMap<u64, usize>>,
    visible: AtomicU64,
    /// Somebody failed; the others stop.
    failed: AtomicBool,
}

impl Snapshots<'_> {
    fn take(&self) -> u64 {
        let mut held = self.held.lock().unwrap();
        let at = self.visible.load(Ordering::Acquire);
        *held.entry(at).or_default() += 1;
        at
    }

    fn give_back(&self, at: u64) {
        let mut held = self.held.lock().unwrap();
        let count = held.get_mut(&at).unwrap();
        *count -= 1;
        if *count == 0 {
            held.remove(&at);
        }
    }

    /// Makes an entry visible. Every other time the oldest snapshot keeps the floor down, else
    /// all that are held are pinned.
    fn publish(&self, at: u64) {
        let held = self.held.lock().unwrap();
        self.visible.store(at, Ordering::Release);
        let pins: Vec<Seqno> = held.keys().map(|at| Seqno::new(*at)).collect();
        let oldest = pins.first().copied().unwrap_or(Seqno::new(at));
        let floor = if at % 1000 < 500 {
            oldest
        } else {
            Seqno::new(at)
        };
        self.forest.set_pins(&pins);
        self.forest.set_oldest_needed(floor);
    }

    fn is_over(&self) -> bool {
        self.failed.load(Ordering::Acquire) || self.visible.load(Ordering::Acquire) >= ENTRIES
    }
}

/// Tells the others when its thread panics.
struct Alarm<'a>(&'a AtomicBool);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::Release);
        }
    }
}

fn read_everything(forest: &Forest, plan: &Plan, at: u64, rng: &mut SimRng) {
    let seqno = Seqno::new(at);
    let scan = |tree, prefix: &str, direction| -> Vec<(Bytes, Bytes)> {
        let range = KeyRange::prefix(prefix.as_bytes());
        let scan = forest.scan(tree, range, direction, seqno).unwrap();
        scan.map(Result::unwrap).collect()
    };
    for _ in 0..5 {
        let group = rng.index(GROUPS);
        let expected = plan.expected(group, at);
        for (tree, prefix) in [(RIGHT, 'a'), (LEFT, 'z'), (LEFT, 'a')] {
            let found = forest.get(tree, &key(prefix, group), seqno).unwrap();
            assert_eq!(found, expected, "group {group} at {at}");
        }
    }
    let rows = plan.rows('a', at);
    assert_eq!(scan(LEFT, "a", Direction::Forward), rows, "at {at}");
    assert_eq!(scan(RIGHT, "", Direction::Forward), rows, "at {at}");
    let mut backward = scan(LEFT, "z", Direction::Reverse);
    backward.reverse();
    assert_eq!(backward, plan.rows('z', at), "at {at}");
    let tokens = forest.sum(TOKENS, &KeyRange::all(), seqno).unwrap();
    assert_eq!(tokens.rows, TOKEN_COUNT as u64, "tokens at {at}");
    let counted = forest.sum(RIGHT, &KeyRange::all(), seqno).unwrap();
    assert_eq!(counted.rows, rows.len() as u64, "rows at {at}");
    assert_eq!(scan(TOKENS, "t", Direction::Forward).len(), TOKEN_COUNT);
}

/// Walks through a tree slowly, while the files that it reads are replaced.
fn read_slowly(forest: &Forest, plan: &Plan, at: u64) {
    let scan = forest.scan(LEFT, KeyRange::all(), Direction::Forward, Seqno::new(at));
    let mut found = Vec::new();
    for row in scan.unwrap() {
        found.push(row.unwrap());
        std::thread::yield_now();
    }
    let mut rows = plan.rows('a', at);
    rows.extend(plan.rows('z', at));
    assert_eq!(found, rows, "a slow scan at {at}");
}

fn read(seed: u64, plan: &Plan, snapshots: &Snapshots<'_>, reads: &AtomicU64) {
    let _alarm = Alarm(&snapshots.failed);
    let mut rng = SimRng::new(seed);
    while snapshots.visible.load(Ordering::Acquire) == 0 {
        std::thread::yield_now();
    }
    while !snapshots.is_over() {
        let at = snapshots.take();
        read_slowly(snapshots.forest, plan, at);
        // Some snapshots live on while much is applied.
        for _ in 0..1 + rng.below(6) {
            read_everything(snapshots.forest, plan, at, &mut rng);
            reads.fetch_add(1, Ordering::Relaxed);
        }
        snapshots.give_back(at);
    }
}

fn work(snapshots: &Snapshots<'_>) {
    let _alarm = Alarm(&snapshots.failed);
    let forest = snapshots.forest;
    let step = || -> Result<bool, StepError> {
        let busy = forest.flush_step()? | forest.compact_step()?;
        let busy = busy | forest.remove_tree_step()?;
        Ok(busy | (forest.remove_obsolete_step()? > 0))
    };
    while !snapshots.is_over() {
        if !step().unwrap() {
            std::thread::yield_now();
        }
    }
}

fn options() -> ForestOptions {
    ForestOptions {
        kinds: Arc::new([COUNTED]),
        memory_bytes: 100_000,
        memtable_bytes: 10_000,
        block_bytes: 128,
        blob_bytes: Some(40),
        l0_tables: 2,
        base_bytes: 2_000,
        level_ratio: 2,
        table_bytes: 1_500,
        ..ForestOptions::new([7; 16])
    }
}

#[test]
fn readers_see_exactly_their_snapshot_while_entries_are_applied_flushed_and_compacted() {
    for seed in 0..PLANS {
        carry_out(&Plan::new(seed));
    }
}

fn carry_out(plan: &Plan) {
    let disk = Arc::new(SimDisk::new(1));
    let forest = Forest::open(disk, Path::new("/forest"), options()).unwrap();
    let reads = AtomicU64::new(0);
    let snapshots = Snapshots {
        forest: &forest,
        held: Mutex::default(),
        visible: AtomicU64::new(0),
        failed: AtomicBool::new(false),
    };
    std::thread::scope(|scope| {
        let (snapshots, reads) = (&snapshots, &reads);
        for seed in 0..READERS {
            scope.spawn(move || read(seed, plan, snapshots, reads));
        }
        for _ in 0..WORKERS {
            scope.spawn(|| work(snapshots));
        }
        let _alarm = Alarm(&snapshots.failed);
        let (trees, tokens) = Plan::first_entry();
        forest.apply(Seqno::new(1), &trees, tokens).unwrap();
        snapshots.publish(1);
        for at in 2..=ENTRIES {
            let mut entry = plan.entry(at);
            let trees = passing_tree(at, &mut entry);
            forest.apply(Seqno::new(at), &trees, entry).unwrap();
            snapshots.publish(at);
            // As slow as background work needs, and now and then as readers need.
            let readers_behind = || at > 200 + 20 * reads.load(Ordering::Relaxed);
            while (forest.pressure().thousandths > 1000 || readers_behind()) && !snapshots.is_over()
            {
                std::thread::yield_now();
            }
            if snapshots.failed.load(Ordering::Acquire) {
                return;
            }
        }
    });
    let stats = forest.stats();
    assert!(reads.load(Ordering::Relaxed) > 400, "{reads:?}");
    assert!(stats.flushes > 20 && stats.compactions > 50, "{stats:?}");
    assert_eq!(stats.weight_faults, 0);
    read_everything(&forest, plan, ENTRIES, &mut SimRng::new(9));
}
