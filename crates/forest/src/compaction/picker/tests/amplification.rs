//! How much is rewritten while keys come in at random: printed, and held against a bound.

use super::*;

/// Loads so many rows of 150 bytes, 100 to a simulated one, through memtables of 64 MB.
fn load(rows: u64, spread: impl Fn(u64, &mut SimRng) -> u64) -> (f64, f64, String) {
    // A row takes some 190 bytes in a memtable and 100 in a compressed table.
    let per_memtable = 64_000_000 / 190 / 100;
    let mut sim = Sim::new(Shape::default(), 100 * 100);
    let mut rng = SimRng::new(7);
    let mut batch = Vec::new();
    let mut read_cost = 0.0;
    let mut flushes = 0.0;
    for i in 0..rows / 100 {
        batch.push((spread(i, &mut rng), true));
        if batch.len() as u64 == per_memtable {
            sim.flush(&batch, &[]);
            batch.clear();
            sim.floor = Seqno::new(sim.seqno);
            sim.settle();
            flushes += 1.0;
            let files = sim.files();
            let runs = files.levels[1..].iter().filter(|level| !level.is_empty());
            read_cost += (files.level(0).len() + runs.count()) as f64;
        }
    }
    let (flushed, written) = (sim.flushed_bytes as f64, sim.written_bytes as f64);
    let levels = sim.files().levels.iter();
    let levels = levels.map(|level| format!("{}x{}M", level.len(), bytes(level) >> 20));
    let text = levels.collect::<Vec<_>>().join(" ");
    (1.0 + written / flushed, read_cost / flushes, text)
}

#[test]
fn a_random_load_is_rewritten_a_few_times() {
    for (rows, most) in [(3_000_000, 2.5), (20_000_000, 7.0)] {
        let (factor, runs, levels) = load(rows, |_, rng| rng.next_u64());
        println!("{rows} random rows: {factor:.2} x written, {runs:.1} runs on average, {levels}");
        assert!(factor < most, "{factor}");
    }
}

#[test]
fn a_load_in_order_is_written_about_once() {
    let (factor, runs, levels) = load(20_000_000, |i, _| i);
    println!("in order: {factor:.2} x written, {runs:.1} runs on average, {levels}");
    assert!(factor < 1.2, "{factor}");
}

#[test]
#[ignore = "prints a table for choosing the shape"]
fn other_loads() {
    for rows in [
        1_000_000, 3_000_000, 5_000_000, 10_000_000, 20_000_000, 50_000_000,
    ] {
        let (factor, runs, levels) = load(rows, |_, rng| rng.next_u64());
        println!("{rows} random rows: {factor:.2} x, {runs:.1} runs, {levels}");
        let (factor, runs, levels) = load(rows, |_, rng| rng.below(20_000));
        println!("{rows} rows over 2 M keys: {factor:.2} x, {runs:.1} runs, {levels}");
    }
}
