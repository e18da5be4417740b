//! Which access is taken, how much it reads, and what it says of itself.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use bson::raw::{RawBson, RawDocumentBuf};
use nexusbase_db::Database;
use nexusbase_documents::filter::Filter;
use nexusbase_documents::path::Path;
use nexusbase_documents::query::{Access, Explain, Hint, SortKind};
use nexusbase_documents::store::IndexSpec;
use nexusbase_documents::{Collection, Documents, Error, Query, json};
use nexusbase_io::sim::SimRng;

fn parse(text: &str) -> RawDocumentBuf {
    json::parse_document(text.as_bytes()).unwrap()
}

fn query(filter: &str) -> Query {
    Query::new(&parse(filter)).unwrap()
}

/// 1000 documents: `k` has 10 values, `g` 100, `n` is different in each, `t` a list.
fn things(indexes: &[&str]) -> Collection {
    let documents = Documents::new(&Database::in_memory().unwrap());
    let things = documents.collection("things").unwrap();
    let all: Vec<_> = (0..1000)
        .map(|n| {
            let more = (n * 7) % 1000;
            let (k, g) = (n % 10, (n / 7) % 100);
            parse(&format!(
                "{{\"_id\":{n},\"k\":{k},\"g\":{g},\"n\":{more},\"t\":[{k},{g}]}}"
            ))
        })
        .collect();
    things.insert_many(&all).unwrap();
    for on in indexes {
        things
            .create_index(&IndexSpec::on(on).unwrap(), |_| {})
            .unwrap();
    }
    things
}

fn run(things: &Collection, query: &Query) -> (Vec<i32>, Explain) {
    let snapshot = things.snapshot();
    let mut answers = things.find_in(&snapshot, query).unwrap();
    let ids = answers.by_ref();
    let ids = ids
        .map(|one| one.unwrap().get_i32("_id").unwrap())
        .collect();
    (ids, answers.explain())
}

fn by_index(explain: &Explain) -> &str {
    match &explain.access {
        Access::Index { path, .. } => path,
        _ => "",
    }
}

#[test]
fn the_index_with_the_fewest_rows_is_taken_and_only_those_are_read() {
    let things = things(&["k", "g", "g,k"]);
    let (ids, explain) = run(&things, &query("{\"k\":3,\"g\":5}"));
    assert_eq!(by_index(&explain), "g,k");
    assert_eq!(explain.documents_read, ids.len() as u64);
    assert_eq!(explain.index_rows_read, ids.len() as u64);
    let (ids, explain) = run(
        &things,
        &query("{\"g\":{\"$in\":[1,2]},\"k\":{\"$gte\":8}}"),
    );
    assert_eq!(by_index(&explain), "g,k");
    assert_eq!(explain.documents_read, ids.len() as u64);
    assert_eq!(explain.plan.ranges, 2);
    assert_eq!(explain.plan.bounds[1].bounds, ">= 8");
}

#[test]
fn what_is_known_of_a_part_behind_a_range_is_checked_before_documents_are_read() {
    let things = things(&["n,k"]);
    let (ids, explain) = run(&things, &query("{\"n\":{\"$lt\":100},\"k\":4}"));
    assert_eq!(by_index(&explain), "n,k");
    assert_eq!(explain.index_rows_read, 100);
    assert_eq!((ids.len(), explain.documents_read), (10, 10));
}

#[test]
fn an_index_gives_an_order_behind_fixed_values_and_a_limit_stops_the_reading() {
    let things = things(&["k,n", "-g,n"]);
    for (filter, sort, index) in [
        ("{\"k\":3}", "-n", "k,n"),
        ("{\"k\":3}", "n", "k,n"),
        ("{\"k\":3}", "k,-n", "k,n"),
        ("{}", "-g,n", "-g,n"),
        ("{}", "g,-n", "-g,n"),
        ("{\"g\":{\"$in\":[1,50,99]}}", "g,-n", "-g,n"),
    ] {
        let query = query(filter).sort(sort).unwrap().limit(5);
        let (ids, explain) = run(&things, &query);
        assert_eq!(by_index(&explain), index, "{filter} {sort}");
        assert_eq!(explain.sort, SortKind::ByAccess, "{filter} {sort}");
        assert_eq!(explain.documents_read, 5, "{filter} {sort}");
        let scanned = run(&things, &query.hint(Hint::Collection)).0;
        assert_eq!(ids, scanned, "{filter} {sort}");
    }
    // A wrong direction, and a list, give no order.
    for (filter, sort) in [("{}", "g,n"), ("{\"g\":1}", "k,-n,-_id")] {
        let (_, explain) = run(&things, &query(filter).sort(sort).unwrap());
        assert_eq!(explain.sort, SortKind::InMemory, "{filter} {sort}");
    }
}

#[test]
fn a_range_that_holds_nearly_everything_is_not_read_by_an_index() {
    let things = things(&["n"]);
    let (_, explain) = run(&things, &query("{\"n\":{\"$gte\":10}}"));
    assert_eq!(explain.access, Access::Collection);
    let (_, explain) = run(&things, &query("{\"n\":{\"$gte\":990}}"));
    assert_eq!((by_index(&explain), explain.documents_read), ("n", 10));
}

#[test]
fn branches_are_answered_by_an_index_each() {
    let things = things(&["g", "n"]);
    let (ids, explain) = run(
        &things,
        &query("{\"$or\":[{\"g\":5},{\"n\":{\"$lt\":9}},{\"_id\":1}]}"),
    );
    assert_eq!(explain.plan.kind, "union");
    assert_eq!(explain.plan.inputs.len(), 3);
    assert!(explain.documents_read <= ids.len() as u64 + 3);
    assert_eq!(by_index(&explain), "g | n | _id");
    // Without an index for one of them, nothing is gained.
    let (_, explain) = run(&things, &query("{\"$or\":[{\"g\":5},{\"k\":3}]}"));
    assert_eq!(explain.access, Access::Collection);
}

#[test]
fn two_indexes_are_walked_through_at_once() {
    let things = things(&["k", "g"]);
    let query = query("{\"k\":3,\"g\":9}");
    let plans = run(&things, &query).1.rejected.len() + 1;
    let mut pairs = 0;
    for number in 0..plans {
        let (ids, explain) = run(&things, &query.clone().hint(Hint::Number(number)));
        if explain.plan.kind == "intersection" {
            pairs += 1;
            assert_eq!(explain.documents_read, ids.len() as u64);
        }
    }
    assert_eq!(pairs, 1);
}

#[test]
fn an_index_that_lacks_documents_is_used_only_where_none_is_asked_for() {
    let things = things(&[]);
    things.insert(&parse("{\"_id\":5000,\"n\":null}")).unwrap();
    let sparse = IndexSpec::on("n").unwrap().sparse().named("sparse");
    let partial = IndexSpec::on("g").unwrap().named("partial");
    let partial = partial.partial(&parse("{\"k\":{\"$gte\":5}}")).unwrap();
    for spec in [sparse, partial] {
        things.create_index(&spec, |_| {}).unwrap();
    }
    for (filter, index) in [
        ("{\"n\":7}", "sparse"),
        ("{\"n\":null}", ""),
        ("{\"n\":{\"$in\":[1,null]}}", ""),
        ("{\"n\":{\"$exists\":false}}", ""),
        ("{\"g\":7}", ""),
        ("{\"g\":7,\"k\":{\"$gt\":4}}", ""),
        ("{\"g\":7,\"k\":{\"$gt\":5}}", "partial"),
        ("{\"g\":7,\"k\":8}", "partial"),
        ("{\"g\":7,\"$or\":[{\"k\":8},{\"k\":9}]}", "partial"),
        ("{\"g\":7,\"$or\":[{\"k\":8},{\"k\":1}]}", ""),
    ] {
        let query = query(filter);
        let (ids, explain) = run(&things, &query);
        assert_eq!(by_index(&explain), index, "{filter}");
        let mut scanned = run(&things, &query.clone().hint(Hint::Collection)).0;
        let mut ids = ids;
        ids.sort_unstable();
        scanned.sort_unstable();
        assert_eq!(ids, scanned, "{filter}");
        if index.is_empty() {
            let snapshot = things.snapshot();
            for name in ["sparse", "partial"] {
                let hinted = query.clone().hint(Hint::Index(name.into()));
                let refused = things.find_in(&snapshot, &hinted).unwrap_err();
                assert!(matches!(refused, Error::Hint { .. }), "{filter}: {refused}");
            }
        }
    }
    let unknown = query("{}").hint(Hint::Index("none".into()));
    let message = things.find(&unknown).unwrap_err().to_string();
    assert_eq!(
        message,
        "the query cannot be answered by the index \"none\": there is no such index; leave out \
         the hint"
    );
}

#[test]
fn a_plan_explains_itself_as_an_object() {
    let things = things(&["k,-n"]);
    let (_, explain) = run(&things, &query("{\"k\":3,\"n\":{\"$gt\":900}}"));
    let shown = json::to_string(&explain.to_document(), json::Form::Relaxed).unwrap();
    let beginning = "{\"plan\":{\"kind\":\"index\",\"index\":\"k,-n\",\"bounds\":[{\"path\":\"k\",\
                     \"descending\":false,\"bounds\":\"= 3\"},{\"path\":\"n\",\"descending\":true,\
                     \"bounds\":\"> 900\"}],\"ranges\":1,\"reverse\":false,\"estimated_rows\":";
    assert!(shown.starts_with(beginning), "{shown}");
    assert!(shown.contains("\"rejected\":[{\"number\":0,\"plan\":{\"kind\":\"collection\""));
}

#[test]
fn different_values_are_found_and_too_many_of_them_refused() {
    let things = things(&["k"]);
    let path = Path::parse("k").unwrap();
    let all = things.distinct(&path, &Filter::default()).unwrap();
    assert_eq!(all, (0..10).map(RawBson::Int32).collect::<Vec<_>>());
    let long = "x".repeat(1 << 20);
    for n in 0..17 {
        things
            .insert(&parse(&format!(
                "{{\"_id\":\"{n}\",\"long\":\"{n}{long}\"}}"
            )))
            .unwrap();
    }
    let path = Path::parse("long").unwrap();
    let refused = things.distinct(&path, &Filter::default());
    assert!(matches!(refused, Err(Error::TooManyValues { .. })));
}

#[test]
fn a_sort_of_more_than_is_kept_reads_documents_again_and_returns_them_all() {
    let documents = Documents::new(&Database::in_memory().unwrap());
    let things = documents.collection("things").unwrap();
    let long = "x".repeat(500_000);
    for n in 0..50 {
        let rank = (n * 7) % 50;
        let one = format!("{{\"_id\":{n},\"rank\":{rank},\"long\":\"{long}\"}}");
        things.insert(&parse(&one)).unwrap();
    }
    let (ids, explain) = run(&things, &query("{}").sort("-rank").unwrap());
    let mut expected: Vec<i32> = (0..50).collect();
    expected.sort_by_key(|n| -((n * 7) % 50));
    assert_eq!(ids, expected);
    assert!((51..=100).contains(&explain.documents_read));
}

#[test]
fn lists_meet_conditions_with_different_elements_and_sort_by_their_least_or_greatest() {
    let documents = Documents::new(&Database::in_memory().unwrap());
    let things = documents.collection("things").unwrap();
    for on in ["a", "-a", "a,b", "o.x", "o.y"] {
        things
            .create_index(&IndexSpec::on(on).unwrap(), |_| {})
            .unwrap();
    }
    for one in [
        "{\"_id\":1,\"a\":[1,9],\"b\":1}",
        "{\"_id\":2,\"a\":5,\"b\":1}",
        "{\"_id\":3,\"a\":[],\"b\":1}",
        "{\"_id\":4,\"o\":[{\"x\":1,\"y\":2},{\"x\":3}]}",
        "{\"_id\":5,\"o\":[{\"y\":2}]}",
    ] {
        things.insert(&parse(one)).unwrap();
    }
    for (filter, sort, expected) in [
        ("{\"a\":{\"$gt\":8,\"$lt\":2}}", "_id", vec![1]),
        ("{\"a\":{\"$gt\":8,\"$lt\":2},\"b\":1}", "_id", vec![1]),
        ("{\"a\":{\"$gte\":2}}", "a", vec![1, 2]),
        ("{\"a\":{\"$lte\":6}}", "-a", vec![1, 2]),
        ("{\"a\":{\"$in\":[1,9]}}", "_id", vec![1]),
        ("{\"a\":{\"$ne\":9},\"b\":1}", "_id", vec![2, 3]),
        ("{\"o.x\":1,\"o.y\":2}", "_id", vec![4]),
        ("{\"o.x\":{\"$gt\":2},\"o.y\":{\"$lt\":3}}", "_id", vec![4]),
    ] {
        let query = query(filter).sort(sort).unwrap();
        let plans = run(&things, &query).1.rejected.len() + 1;
        assert!(plans > 1, "{filter}");
        for number in 0..plans {
            let (ids, explain) = run(&things, &query.clone().hint(Hint::Number(number)));
            assert_eq!(ids, expected, "{filter} {sort} by {:?}", explain.plan);
        }
    }
}

/// Pages through with each plan while others write; returns how many plans there were.
fn pages_under_writes(seed: u64) -> usize {
    let mut rng = SimRng::new(seed);
    let documents = Documents::new(&Database::in_memory().unwrap());
    let things = documents.collection("things").unwrap();
    for on in ["a", "b,-a", "-a,b", "b"] {
        things
            .create_index(&IndexSpec::on(on).unwrap(), |_| {})
            .unwrap();
    }
    things
        .create_index(&IndexSpec::on("u").unwrap().unique(), |_| {})
        .unwrap();
    let write = |rng: &mut SimRng, id: u64| {
        let (a, b) = (rng.below(4), rng.below(3));
        let text = format!("{{\"a\":{a},\"b\":{b},\"u\":{id}}}");
        let id = RawBson::Int64(i64::try_from(id).unwrap());
        things.replace(id.as_raw_bson_ref(), &parse(&text)).unwrap();
    };
    // Even ones stay as they are.
    (0..60).for_each(|id| write(&mut rng, id));
    let filter = [
        "{}",
        "{\"b\":1}",
        "{\"a\":{\"$lt\":3}}",
        "{\"a\":2,\"b\":1}",
    ][rng.index(4)];
    let sort = ["a", "-a", "b,-a", "-b,a", "u", "-u", "_id", "-_id"][rng.index(8)];
    for number in 0.. {
        let ordered = query(filter).sort(sort).unwrap().hint(Hint::Number(number));
        let stays = query(filter).hint(Hint::Collection);
        let stay: Vec<_> = things.find(&stays).unwrap();
        let mut seen: BTreeMap<i64, usize> = BTreeMap::new();
        let mut page = ordered.limit(4);
        loop {
            let snapshot = things.snapshot();
            let mut answers = match things.find_in(&snapshot, &page) {
                Err(Error::Hint { .. }) => return number,
                answers => answers.unwrap(),
            };
            let mut any = false;
            for one in answers.by_ref() {
                *seen
                    .entry(one.unwrap().get_i64("_id").unwrap())
                    .or_default() += 1;
                any = true;
            }
            let Some(cursor) = answers.cursor().filter(|_| any) else {
                break;
            };
            page.after = Some(cursor);
            for _ in 0..4 {
                let id = rng.below(60) | 1;
                if rng.below(2) == 0 {
                    let id = RawBson::Int64(i64::try_from(id).unwrap());
                    things.delete(id.as_raw_bson_ref()).unwrap();
                } else {
                    write(&mut rng, id);
                }
            }
        }
        for one in stay {
            let id = one.get_i64("_id").unwrap();
            if id % 2 == 0 {
                assert_eq!(
                    seen.get(&id),
                    Some(&1),
                    "{seed}: {filter} {sort} plan {number}: {id}"
                );
            }
        }
    }
    0
}

#[test]
fn a_document_that_stays_is_on_one_page_whatever_is_written_meanwhile_with_every_plan() {
    let plans: usize = (0..40).map(pages_under_writes).sum();
    assert!(plans > 120, "{plans} plans");
}

/// Without limits these took minutes, with costs that grew with the square of the filter.
#[test]
fn planning_does_not_take_longer_than_the_filter_is_long() {
    let filter = |text: &str| Filter::parse(&parse(text)).unwrap();
    let documents = Documents::new(&Database::in_memory().unwrap());
    let things = documents.collection("things").unwrap();
    things
        .create_index(&IndexSpec::on("a").unwrap(), |_| {})
        .unwrap();
    things.insert(&parse(r#"{"_id": 1, "a": 1}"#)).unwrap();
    let all = |one: &dyn Fn(i32) -> String| {
        let parts: Vec<String> = (0..20_000).map(one).collect();
        filter(&format!("{{\"$and\":[{}]}}", parts.join(",")))
    };
    let choices = all(&|i| format!("{{\"$or\":[{{\"a\":{i}}},{{\"a\":1}}]}}"));
    assert_eq!(things.count(&choices).unwrap(), 1);
    let negations = all(&|i| format!("{{\"_id\":{{\"$ne\":{}}}}}", i + 2));
    assert_eq!(things.count(&negations).unwrap(), 1);
    let one_of: Vec<String> = (0..20_000).map(|i| format!("{{\"a\":{i}}}")).collect();
    let one_of = filter(&format!("{{\"$or\":[{}]}}", one_of.join(",")));
    assert_eq!(things.count(&one_of).unwrap(), 1);
}
