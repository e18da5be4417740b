//! Random trees under random work: whatever is picked, readers see what they must.

use super::*;

/// What was there after each flush.
type History = BTreeMap<u64, BTreeSet<u64>>;

fn flush_something(sim: &mut Sim, rng: &mut SimRng, history: &mut History) {
    let mut present = history.last_key_value().unwrap().1.clone();
    let mut changes = Vec::new();
    // In order, in one place or anywhere.
    let start = rng.below(900);
    let width = [20, 100, 1000][rng.index(3)];
    for _ in 0..1 + rng.below(30) {
        let key = (start + rng.below(width)) % 1000;
        let put = rng.chance(0.7);
        if put {
            present.insert(key);
        } else {
            present.remove(&key);
        }
        changes.push((key, put));
    }
    let mut deletes = Vec::new();
    if rng.chance(0.15) {
        let start = rng.below(900);
        let end = start + 1 + rng.below(300);
        present.retain(|key| !(start..end).contains(key));
        deletes.push((start, end));
    }
    sim.flush(&changes, &deletes);
    history.insert(sim.seqno, present);
}

fn check(sim: &Sim, history: &History) {
    let readers = sim.pins.iter().map(|pin| pin.get());
    for at in readers.chain([sim.floor.get(), sim.seqno]) {
        let present = &history[&at];
        for key in 0..1200 {
            let found = sim.get(key, Seqno::new(at));
            assert_eq!(found, present.contains(&key), "key {key} at {at}");
        }
    }
}

fn some_moment(history: &History, from: Seqno, rng: &mut SimRng) -> Seqno {
    let moments: Vec<u64> = history.range(from.get()..).map(|(at, _)| *at).collect();
    Seqno::new(moments[rng.index(moments.len())])
}

fn check_job(sim: &Sim, busy: &Busy, job: &Job) {
    assert!(!job.inputs.is_empty());
    if job.action != Action::Drop {
        assert!(busy.allows(job), "{job:?}");
    }
    assert!(job.inputs.iter().all(|(_, table)| !busy.has(table)));
    for (level, table) in &job.inputs {
        let there = sim.files().level(*level);
        assert!(there.iter().any(|other| Arc::ptr_eq(other, table)));
    }
}

#[test]
fn whatever_is_picked_and_however_jobs_overlap_readers_see_the_same() {
    for seed in 0..40 {
        let mut rng = SimRng::new(seed);
        let mut sim = Sim::new(small_shape(), 10);
        let mut history = History::from([(0, BTreeSet::new())]);
        let mut busy = Busy::default();
        let mut running: Vec<Job> = Vec::new();
        for _ in 0..150 {
            match rng.below(10) {
                0..3 => flush_something(&mut sim, &mut rng, &mut history),
                3 => sim.floor = some_moment(&history, sim.floor, &mut rng),
                4 if sim.pins.len() < 3 && rng.chance(0.3) => {
                    let pin = some_moment(&history, sim.floor, &mut rng);
                    sim.pins.push(pin);
                }
                4 if rng.chance(0.5) => {
                    sim.pins.pop();
                }
                5..8 if running.len() < 3 => {
                    if let Some(job) = sim.pick(&busy) {
                        check_job(&sim, &busy, &job);
                        busy.start(&job);
                        running.push(job);
                    }
                }
                _ if !running.is_empty() => {
                    let job = running.swap_remove(rng.index(running.len()));
                    // Now and then a job fails.
                    if rng.chance(0.9) {
                        sim.finish(&job);
                    }
                    busy.finish(&job);
                }
                _ => {}
            }
            if rng.chance(0.1) {
                check(&sim, &history);
            }
        }
        for job in running {
            sim.finish(&job);
            busy.finish(&job);
        }
        assert!(busy.is_empty());
        check(&sim, &history);
        sim.settle();
        check(&sim, &history);
        if let Some(job) = full(sim.files(), &sim.shape, &busy) {
            sim.finish(&job);
        }
        check(&sim, &history);
    }
}

#[test]
fn without_pins_all_range_deletes_are_retired_in_the_end() {
    for seed in 100..120 {
        let mut rng = SimRng::new(seed);
        let mut sim = Sim::new(small_shape(), 10);
        let mut history = History::from([(0, BTreeSet::new())]);
        for _ in 0..60 {
            flush_something(&mut sim, &mut rng, &mut history);
            if rng.chance(0.5) {
                sim.settle();
            }
        }
        sim.floor = Seqno::new(sim.seqno);
        sim.settle();
        assert_eq!(sim.files().range_deletes, []);
        assert!(score(sim.files(), &sim.shape) < 1.0);
        check(&sim, &history);
    }
}

#[test]
fn a_settled_tree_has_its_shape_and_nothing_pending() {
    let mut rng = SimRng::new(3);
    let mut sim = Sim::new(small_shape(), 10);
    let mut most = 0;
    for _ in 0..200 {
        let batch: Vec<_> = (0..30).map(|_| (rng.next_u64(), true)).collect();
        sim.flush(&batch, &[]);
        most = most.max(pending_bytes(sim.files(), &sim.shape));
        sim.floor = Seqno::new(sim.seqno);
        sim.settle();
        assert!(score(sim.files(), &sim.shape) < 1.0);
        assert_eq!(pending_bytes(sim.files(), &sim.shape), 0);
    }
    assert!(most > 0);
    // The levels above the last have about a fourth of what is beneath, altogether a third.
    let sizes: Vec<u64> = sim
        .files()
        .levels
        .iter()
        .map(|level| bytes(level))
        .collect();
    let above: u64 = sizes[1..4].iter().sum();
    assert!(above * 2 <= sizes[4], "{sizes:?}");
}
