//! The change feed.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use nexusbase_db::{Changed, Database, Index, Options};
use nexusbase_documents::filter::Filter;
use nexusbase_documents::store::{
    Changes, ChangesError, Event, EventKind, IndexSpec, Position, UpdateOptions,
};
use nexusbase_documents::{Collection, Documents, Error, json};
use nexusbase_io::Env;
use nexusbase_io::sim::SimDisk;

use crate::{collection, document, documents, insert, int, operators, selection, text};

fn words(event: &Event) -> String {
    let value = |id: &bson::raw::RawBson| {
        let mut text = String::new();
        json::write_value(id.as_raw_bson_ref(), json::Form::Relaxed, &mut text).unwrap();
        text
    };
    let what = match &event.kind {
        EventKind::Put { document, .. } => format!("put {}", text(document)),
        EventKind::Unmatched { id } => format!("unmatched {}", value(id)),
        EventKind::Delete { id } => format!("delete {}", value(id)),
        EventKind::Created => "created".to_owned(),
        EventKind::Dropped => "dropped".to_owned(),
        EventKind::Renamed { from } => format!("renamed from {from}"),
        EventKind::Options => "options".to_owned(),
    };
    format!("{} {what}", event.collection)
}

fn read(changes: &mut Changes) -> Vec<Event> {
    std::iter::from_fn(|| changes.try_next().unwrap()).collect()
}

fn read_words(changes: &mut Changes) -> Vec<String> {
    read(changes).iter().map(words).collect()
}

const START: Option<Position> = Some(Position::behind(Index::new(0)));

#[test]
fn changes_come_in_commit_order_once_and_without_a_gap() {
    let things = collection();
    things
        .create_index(&IndexSpec::on("a").unwrap(), |_| {})
        .unwrap();
    let mut live = things.changes(None, None).unwrap();
    insert(&things, &[r#"{"_id":1,"a":[1,2]}"#, r#"{"_id":2}"#]);
    things
        .update(
            &selection("{}"),
            &operators(r#"{"$set":{"a":3}}"#),
            &UpdateOptions::many(),
        )
        .unwrap();
    things.delete(int(1).as_raw_bson_ref()).unwrap();
    things.delete(int(1).as_raw_bson_ref()).unwrap();
    let events = read(&mut live);
    let expected = [
        r#"things put {"_id":1,"a":[1,2]}"#,
        r#"things put {"_id":2}"#,
        r#"things put {"_id":1,"a":3}"#,
        r#"things put {"_id":2,"a":3}"#,
        "things delete 1",
    ];
    assert_eq!(events.iter().map(words).collect::<Vec<_>>(), expected);
    let indexes: Vec<_> = events
        .iter()
        .map(|event| event.position.index.get())
        .collect();
    assert_eq!(indexes[0], indexes[1]);
    assert_eq!([indexes[2], indexes[4]], [indexes[0] + 1, indexes[0] + 2]);
    assert!(events.is_sorted_by(|a, b| a.position < b.position));
    assert!(events.iter().all(|event| event.unix_ms > 0));
    let from_start = read_words(&mut things.changes(START, None).unwrap());
    assert_eq!(from_start[0], "things created");
    assert_eq!(from_start[1..], expected);
}

#[test]
fn a_feed_goes_on_from_every_event_also_within_a_commit() {
    let documents = documents();
    let [a, b] = ["a", "b"].map(|name| documents.collection(name).unwrap());
    for round in 0..3 {
        documents
            .transact(|tx| {
                for i in 0..4 {
                    a.within(tx)
                        .insert(&document(&format!(r#"{{"_id":"{round}.{i}"}}"#)))?;
                    b.within(tx)
                        .insert(&document(&format!(r#"{{"_id":"{round}.{i}"}}"#)))?;
                }
                Ok(())
            })
            .unwrap();
        insert(&a, &[&format!(r#"{{"_id":"{round}.a"}}"#)]);
        insert(&b, &[&format!(r#"{{"_id":"{round}.b"}}"#)]);
        a.rename("c", true).unwrap();
        let c = documents.collection("c").unwrap();
        insert(&c, &[&format!(r#"{{"_id":"{round}.c"}}"#)]);
        b.drop_collection().unwrap();
    }
    for only in [None, Some("a"), Some("b"), Some("c")] {
        let open = |since| match only {
            None => documents.changes(since, None).unwrap(),
            Some(name) => documents
                .collection(name)
                .unwrap()
                .changes(since, None)
                .unwrap(),
        };
        let all = read(&mut open(START));
        assert!(all.len() >= 5, "{only:?}: {}", all.len());
        for (number, event) in all.iter().enumerate() {
            let mut rest = open(Some(event.position));
            assert_eq!(
                read(&mut rest),
                all[number + 1..],
                "{only:?} behind {event:?}"
            );
            let behind = Position::behind(event.position.index);
            let next = all
                .iter()
                .find(|other| other.position.index > event.position.index);
            assert_eq!(open(Some(behind)).try_next().unwrap().as_ref(), next);
        }
    }
}

#[test]
fn what_becomes_of_the_collection_is_told_and_its_name_is_followed() {
    let documents = documents();
    let [a, b] = ["a", "b"].map(|name| documents.collection(name).unwrap());
    let (mut of_a, mut of_b) = (
        a.changes(None, None).unwrap(),
        b.changes(None, None).unwrap(),
    );
    insert(&a, &[r#"{"_id":1}"#]);
    a.drop_collection().unwrap();
    insert(&a, &[r#"{"_id":2}"#]);
    a.set_require_conditions(true).unwrap();
    a.set_require_conditions(true).unwrap();
    a.rename("b", false).unwrap();
    insert(&b, &[r#"{"_id":3}"#]);
    insert(&a, &[r#"{"_id":4}"#]);
    a.rename("b", true).unwrap();
    let expected_a = [
        "a created",
        r#"a put {"_id":1}"#,
        "a dropped",
        "a created",
        r#"a put {"_id":2}"#,
        "a options",
        "b renamed from a",
        "a created",
        r#"a put {"_id":4}"#,
        "b renamed from a",
    ];
    assert_eq!(read_words(&mut of_a), expected_a);
    let expected_b = [
        "b renamed from a",
        r#"b put {"_id":3}"#,
        "b dropped",
        "b renamed from a",
    ];
    assert_eq!(read_words(&mut of_b), expected_b);
    // What is read later is the same, though the names of today are others.
    assert_eq!(read_words(&mut a.changes(START, None).unwrap()), expected_a);
    assert_eq!(read_words(&mut b.changes(START, None).unwrap()), expected_b);
}

#[test]
fn what_happens_to_a_collection_within_one_transaction_is_told_as_it_ends() {
    let documents = documents();
    let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| documents.collection(name).unwrap());
    insert(&a, &[r#"{"_id":"a"}"#]);
    insert(&b, &[r#"{"_id":"b"}"#]);
    let mut changes = documents.changes(None, None).unwrap();
    documents
        .transact(|tx| {
            a.within(tx).rename("c", false)?;
            b.within(tx).rename("a", false)?;
            c.within(tx).rename("b", false)?;
            b.within(tx).insert(&document(r#"{"_id":1}"#))?;
            // Nobody ever sees this one.
            d.within(tx).insert(&document("{}"))?;
            d.within(tx).drop_collection()
        })
        .unwrap();
    assert_eq!(
        read_words(&mut changes),
        ["b renamed from a", "a renamed from b", r#"b put {"_id":1}"#]
    );
    documents
        .transact(|tx| {
            a.within(tx).rename("c", false)?;
            c.within(tx).rename("a", false)?;
            b.within(tx).set_require_conditions(true)?;
            b.within(tx).drop_collection()?;
            b.within(tx).create()?;
            b.within(tx).rename("e", false)
        })
        .unwrap();
    assert_eq!(read_words(&mut changes), ["b dropped", "e created"]);
}

#[test]
fn with_a_filter_who_keeps_a_copy_knows_what_to_add_and_what_to_remove() {
    let things = collection();
    insert(&things, &[r#"{"_id":1,"n":1}"#]);
    let filter = Filter::parse(&document(r#"{"n":{"$lt":5}}"#)).unwrap();
    let mut changes = things.changes(None, Some(filter.clone())).unwrap();
    insert(&things, &[r#"{"_id":2,"n":2}"#, r#"{"_id":3,"n":9}"#]);
    things
        .update(
            &selection(r#"{"_id":1}"#),
            &operators(r#"{"$set":{"n":7}}"#),
            &UpdateOptions::one(),
        )
        .unwrap();
    things.delete(int(3).as_raw_bson_ref()).unwrap();
    let expected = [
        r#"things put {"_id":2,"n":2}"#,
        "things unmatched 3",
        "things unmatched 1",
        "things delete 3",
    ];
    assert_eq!(read_words(&mut changes), expected);
}

#[test]
fn the_id_of_a_deletion_is_the_one_that_was_stored() {
    let things = collection();
    let ids = [
        "1",
        "1.5",
        "\"x\"",
        r#"{"$numberLong":"7"}"#,
        r#"{"$numberDecimal":"0.10"}"#,
        r#"{"$oid":"0123456789abcdef01234567"}"#,
        r#"{"a":[1,{"b":null}]}"#,
        r#"{"$uuid":"01890a5d-ac96-774b-bcce-b302099a8057"}"#,
        "9007199254740993",
        "true",
        "null",
    ];
    let mut changes = things.changes(None, None).unwrap();
    for id in ids {
        things
            .insert(&document(&format!(r#"{{"_id":{id}}}"#)))
            .unwrap();
        let stored = json::parse_value(id.as_bytes()).unwrap();
        assert!(things.delete(stored.as_raw_bson_ref()).unwrap());
        let events = read(&mut changes);
        let Some(Event {
            kind: EventKind::Delete { id: deleted },
            ..
        }) = events.last()
        else {
            panic!("{events:?}");
        };
        let equal =
            nexusbase_documents::value::equal(stored.as_raw_bson_ref(), deleted.as_raw_bson_ref());
        assert!(equal.unwrap(), "{id}: {deleted:?}");
    }
}

#[test]
fn a_feed_waits_and_is_woken_and_ends_with_the_database() {
    let things = collection();
    things.create().unwrap();
    let mut changes = things.changes(None, None).unwrap();
    assert_eq!(changes.wait(Duration::ZERO), Changed::TimedOut);
    let mut context = Context::from_waker(Waker::noop());
    assert!(changes.poll_ready(&mut context).is_pending());
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut seen = Vec::new();
            while seen.len() < 50 {
                match changes.try_next().unwrap() {
                    Some(event) => {
                        // What is told can be read.
                        let EventKind::Put { id, .. } = &event.kind else {
                            panic!("{event:?}");
                        };
                        assert!(things.get(id.as_raw_bson_ref()).unwrap().is_some());
                        seen.push(words(&event));
                    }
                    None => assert!(matches!(
                        changes.wait(Duration::from_secs(60)),
                        Changed::To(_)
                    )),
                }
            }
            seen
        });
        for i in 0..50 {
            insert(&things, &[&format!(r#"{{"_id":{i}}}"#)]);
        }
        let expected: Vec<_> = (0..50)
            .map(|i| format!(r#"things put {{"_id":{i}}}"#))
            .collect();
        assert_eq!(reader.join().unwrap(), expected);
    });
    insert(&things, &[r#"{"_id":"a"}"#, r#"{"_id":"b"}"#]);
    assert!(matches!(
        changes.poll_ready(&mut context),
        Poll::Ready(Changed::To(_))
    ));
    changes.try_next().unwrap().unwrap();
    // The other of the same commit.
    assert!(matches!(changes.wait(Duration::ZERO), Changed::To(_)));
    changes.try_next().unwrap().unwrap();
    assert!(changes.try_next().unwrap().is_none());
    things.documents().database().close().unwrap();
    assert_eq!(changes.wait(Duration::from_secs(60)), Changed::Closed);
}

#[test]
fn writers_at_once_are_all_in_the_feed_and_a_copy_made_from_it_is_the_collection() {
    let things = collection();
    let mut changes = things.changes(START, None).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let things = &things;
            scope.spawn(move || {
                for i in 0..40 {
                    let id = int((thread * 7 + i) % 20);
                    if i % 3 == 2 {
                        things.delete(id.as_raw_bson_ref()).unwrap();
                    } else {
                        let new = document(&format!(r#"{{"by":{thread},"i":{i}}}"#));
                        things.replace(id.as_raw_bson_ref(), &new).unwrap();
                    }
                }
            });
        }
    });
    let mut copy = std::collections::BTreeMap::new();
    for event in read(&mut changes) {
        match event.kind {
            EventKind::Put { id, document } => {
                drop(copy.insert(format!("{id:?}"), text(&document)));
            }
            EventKind::Delete { id } => assert!(copy.remove(&format!("{id:?}")).is_some()),
            _ => {}
        }
    }
    let mut copy: Vec<_> = copy.into_values().collect();
    let mut there = crate::all(&things);
    copy.sort();
    there.sort();
    assert_eq!(copy, there);
}

fn small(disk: &SimDisk) -> Collection {
    let options = Options {
        env: Env::simulated(disk, 1),
        segment_bytes: 1 << 16,
        housekeeping_thread: false,
        ..Options::default()
    };
    let db = Database::open_with("/data", options).unwrap();
    Documents::new(&db).collection("things").unwrap()
}

#[test]
fn history_that_is_gone_is_an_error_that_says_where_it_begins() {
    let things = small(&SimDisk::new(1));
    let db = things.documents().database();
    let long = "x".repeat(60_000);
    let first = Index::new(1);
    for i in 0..2000 {
        if db.oldest_change() > first.next() {
            break;
        }
        things
            .insert(&document(&format!(r#"{{"_id":{i},"a":"{long}"}}"#)))
            .unwrap();
        db.housekeeping_step();
    }
    let oldest = db.oldest_change();
    assert!(oldest > first.next(), "nothing was purged");
    insert(&things, &[r#"{"_id":"last"}"#]);
    for since in [
        Position::behind(first),
        Position {
            index: first,
            events: Some(1),
        },
    ] {
        let gone = things.changes(Some(since), None);
        let Err(Error::Changes(ChangesError::HistoryGone { oldest: found, .. })) = gone else {
            panic!("{gone:?}");
        };
        assert_eq!(found.next(), oldest);
        assert!(
            things
                .changes(Some(Position::behind(found)), None)
                .unwrap()
                .try_next()
                .unwrap()
                .is_some()
        );
    }
    let last = db.snapshot().index();
    let ahead = things.changes(Some(Position::behind(last.next())), None);
    assert!(
        matches!(ahead, Err(Error::Changes(ChangesError::Ahead { .. }))),
        "{ahead:?}"
    );
    let now = things
        .changes(Some(Position::behind(last)), None)
        .unwrap()
        .try_next()
        .unwrap();
    assert_eq!(now, None);
}

#[test]
fn a_feed_goes_on_after_a_restart() {
    let disk = SimDisk::new(1);
    let things = small(&disk);
    insert(&things, &[r#"{"_id":1}"#, r#"{"_id":2}"#]);
    let mut changes = things.changes(START, None).unwrap();
    let second = changes
        .try_next()
        .unwrap()
        .and_then(|_| changes.try_next().unwrap())
        .unwrap();
    things.rename("others", false).unwrap();
    let expected = read_words(&mut changes);
    drop((changes, things));
    disk.crash(3);
    let things = small(&disk);
    let mut changes = things.changes(Some(second.position), None).unwrap();
    assert_eq!(read_words(&mut changes), expected);
    assert_eq!(
        expected,
        [r#"things put {"_id":2}"#, "others renamed from things"]
    );
    let _: Arc<str> = second.collection;
}

#[test]
fn a_feed_does_not_search_texts_and_says_so_at_the_start() {
    let things = collection();
    things
        .create_index(&IndexSpec::full_text(&["t"]).unwrap(), |_| {})
        .unwrap();
    let filter = Filter::parse(&document(r#"{"$text": {"$search": "word"}}"#)).unwrap();
    let refused = things.changes(None, Some(filter));
    assert!(
        matches!(refused, Err(Error::Changes(ChangesError::TextFilter))),
        "{refused:?}"
    );
}
