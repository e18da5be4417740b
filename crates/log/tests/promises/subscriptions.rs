//! What a subscription promises: every committed entry, once, in order, and nothing else; and
//! that what it needs is not recycled.

use std::time::Duration;

use crate::support::*;
use nexusbase_io::sim::SimDisk;
use nexusbase_log::{Changed, Index, Opened, Record, Subscription, Sync};

fn entries(opened: &mut Opened, range: std::ops::RangeInclusive<u64>) {
    for index in range {
        append(opened, index, &vec![index as u8; 5000]).unwrap();
    }
}

fn drain(subscription: &mut Subscription) -> Vec<u64> {
    let mut seen = Vec::new();
    while let Some(entry) = subscription.try_next().unwrap() {
        assert_eq!(entry.payload[0], entry.id.index.get() as u8);
        seen.push(entry.id.index.get());
    }
    seen
}

#[test]
fn only_committed_entries_are_shown_and_in_order_across_segments() {
    let disk = SimDisk::new(1);
    let mut opened = open(&disk);
    let mut subscription = opened.log.subscribe(G, Index::new(3)).unwrap();
    assert_eq!(drain(&mut subscription), []);
    entries(&mut opened, 1..=40);
    assert!(segments(&disk).len() > 2);
    assert_eq!(drain(&mut subscription), []);
    opened.log.set_committed(G, Index::new(2));
    assert_eq!(drain(&mut subscription), []);
    opened.log.set_committed(G, Index::new(30));
    assert_eq!(drain(&mut subscription), Vec::from_iter(3..=30));
    opened.log.set_committed(G, Index::new(40));
    assert_eq!(subscription.position(), Index::new(31));
    assert_eq!(drain(&mut subscription), Vec::from_iter(31..=40));
}

/// What a reader knows about places in the log is void after a truncation: here it has read
/// entry 4, and the entries 5 to 7 behind it in the file are not those that are committed later.
#[test]
fn entries_that_were_cut_off_are_never_shown() {
    let disk = SimDisk::new(1);
    let mut opened = open(&disk);
    let mut subscription = opened.log.subscribe(G, Index::new(1)).unwrap();
    entries(&mut opened, 1..=7);
    opened.log.set_committed(G, Index::new(4));
    assert_eq!(drain(&mut subscription), [1, 2, 3, 4]);
    let cut = Record::TruncateAfter {
        group: G,
        last: id(4, 1),
    };
    let newer = [
        cut,
        entry(G, 5, 2, b"\x05 newer"),
        entry(G, 6, 2, b"\x06 newer"),
    ];
    opened.writer.append(&newer, Sync::Durable).unwrap();
    opened.log.set_committed(G, Index::new(6));
    for index in 5..=6 {
        let entry = subscription.try_next().unwrap().unwrap();
        assert_eq!(entry.id, id(index, 2));
        assert_eq!(&entry.payload[1..], b" newer");
    }
    assert_eq!(drain(&mut subscription), []);
}

#[test]
fn a_subscription_follows_an_appender_on_another_thread() {
    let disk = SimDisk::new(1);
    let mut opened = open(&disk);
    let mut subscription = opened.log.subscribe(G, Index::new(1)).unwrap();
    let log = opened.log.clone();
    let reader = std::thread::spawn(move || {
        let mut seen = Vec::new();
        loop {
            seen.extend(drain(&mut subscription));
            if subscription.wait(Duration::from_secs(30)) == Changed::Closed {
                seen.extend(drain(&mut subscription));
                return seen;
            }
        }
    });
    for index in 1..=300 {
        append(&mut opened, index, &vec![index as u8; 1500]).unwrap();
        log.set_committed(G, Index::new(index));
    }
    log.close();
    assert_eq!(reader.join().unwrap(), Vec::from_iter(1..=300));
}

#[test]
fn a_subscription_keeps_the_segments_that_it_needs() {
    let disk = SimDisk::new(1);
    let mut opened = open(&disk);
    entries(&mut opened, 1..=40);
    opened.log.set_committed(G, Index::new(40));
    let mut subscription = opened.log.subscribe(G, Index::new(1)).unwrap();
    let purge = Record::PurgeUpTo {
        group: G,
        up_to: id(40, 1),
    };
    opened.writer.append(&[purge], Sync::Durable).unwrap();
    assert!(!opened.log.recycle_step().unwrap());
    // Reading on lets go of what lies behind, and shows all the rest.
    let mut seen = Vec::new();
    while let Some(entry) = subscription.try_next().unwrap() {
        seen.push(entry.id.index.get());
        opened.log.recycle_step().unwrap();
    }
    assert_eq!(seen, Vec::from_iter(1..=40));
    assert!(opened.log.size().0 < 4);
    drop(subscription);
    while opened.log.recycle_step().unwrap() {}
    assert_eq!(opened.log.size().0, 1);
}

#[test]
fn a_subscription_to_what_is_purged_is_refused_with_the_oldest_there_is() {
    let disk = SimDisk::new(1);
    let mut opened = open(&disk);
    entries(&mut opened, 1..=5);
    let purge = Record::PurgeUpTo {
        group: G,
        up_to: id(3, 1),
    };
    opened.writer.append(&[purge], Sync::Durable).unwrap();
    let refused = opened
        .log
        .subscribe(G, Index::new(3))
        .unwrap_err()
        .to_string();
    assert!(refused.contains("the oldest is 4"), "{refused}");
    assert_eq!(
        drain(&mut opened.log.subscribe(G, Index::new(4)).unwrap()),
        []
    );
}

#[test]
fn a_close_ends_the_wait_of_every_subscription() {
    let disk = SimDisk::new(1);
    let opened = open(&disk);
    let subscription = opened.log.subscribe(G, Index::new(1)).unwrap();
    assert_eq!(subscription.wait(Duration::ZERO), Changed::TimedOut);
    opened.log.close();
    assert_eq!(subscription.wait(Duration::from_secs(30)), Changed::Closed);
}
