//! The access changes the cost, never the answer: random documents and filters, answered with
//! and without indexes, must agree, in any order and page by page.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use bson::raw::{RawBson, RawDocumentBuf};
use nexusbase_db::Database;
use nexusbase_documents::store::IndexSpec;
use nexusbase_documents::{Collection, Documents, Query, json};
use nexusbase_io::sim::SimRng;

fn value(rng: &mut SimRng, depth: u64) -> String {
    match rng.below(if depth == 0 { 10 } else { 13 }) {
        0 => "null".to_owned(),
        1 => "true".to_owned(),
        2 => "\"b\"".to_owned(),
        3 => "\"a\\u0000b\"".to_owned(),
        4 => "{\"$numberDecimal\":\"2.5\"}".to_owned(),
        5 => "2.5".to_owned(),
        6 => "{\"$numberDouble\":\"NaN\"}".to_owned(),
        7 => "{\"$minKey\":1}".to_owned(),
        8..=9 => rng.below(4).to_string(),
        10 => {
            let items: Vec<_> = (0..rng.below(4)).map(|_| value(rng, depth - 1)).collect();
            format!("[{}]", items.join(","))
        }
        _ => object(rng, depth - 1),
    }
}

fn object(rng: &mut SimRng, depth: u64) -> String {
    let mut fields = Vec::new();
    for name in ["a", "b"] {
        if rng.below(3) > 0 {
            fields.push(format!("\"{name}\":{}", value(rng, depth)));
        }
    }
    format!("{{{}}}", fields.join(","))
}

fn condition(rng: &mut SimRng) -> String {
    let literal = value(rng, 1);
    match rng.below(8) {
        0 | 1 => format!("{{\"$eq\":{literal}}}"),
        2 => format!("{{\"$gt\":{literal}}}"),
        3 => format!("{{\"$gte\":{literal}}}"),
        4 => format!("{{\"$lt\":{literal}}}"),
        5 => format!("{{\"$gte\":{literal},\"$lte\":{}}}", value(rng, 1)),
        6 => format!("{{\"$in\":[{literal},{}]}}", value(rng, 0)),
        _ => format!("{{\"$ne\":{literal}}}"),
    }
}

fn parse(text: &str) -> RawDocumentBuf {
    json::parse_document(text.as_bytes())
        .map_err(|e| format!("{text}: {e}"))
        .unwrap()
}

fn answers(collection: &Collection, query: &Query) -> Vec<String> {
    let found = collection.find(query).unwrap();
    found
        .iter()
        .map(|one| json::to_string(one, json::Form::Canonical).unwrap())
        .collect()
}

fn pages(collection: &Collection, query: &Query, size: usize) -> Vec<String> {
    let mut all = Vec::new();
    let mut query = query.clone().limit(size);
    let snapshot = collection.snapshot();
    loop {
        let mut page = collection.find_in(&snapshot, &query).unwrap();
        let before = all.len();
        for one in page.by_ref() {
            all.push(json::to_string(&one.unwrap(), json::Form::Canonical).unwrap());
        }
        match page.cursor().filter(|_| all.len() > before) {
            Some(cursor) => query.after = Some(cursor),
            None => return all,
        }
    }
}

/// Writes the same random history into both collections.
fn fill(rng: &mut SimRng, plain: &Collection, indexed: &Collection) {
    for n in 0..60 {
        let id = RawBson::Int32(i32::try_from(rng.below(40)).unwrap());
        let id = id.as_raw_bson_ref();
        if n % 5 == 4 {
            assert_eq!(plain.delete(id).unwrap(), indexed.delete(id).unwrap());
        } else {
            let document = parse(&object(rng, 2));
            plain.replace(id, &document).unwrap();
            indexed.replace(id, &document).unwrap();
        }
    }
}

#[test]
fn answers_with_and_without_indexes_agree() {
    let mut used = 0;
    for seed in 0..150 {
        let mut rng = SimRng::new(seed);
        let documents = Documents::new(&Database::in_memory().unwrap());
        let plain = documents.collection("plain").unwrap();
        let indexed = documents.collection("indexed").unwrap();
        for path in ["a", "b", "a.b"] {
            if rng.below(3) > 0 {
                indexed
                    .create_index(&IndexSpec::on(path).unwrap(), |_| {})
                    .unwrap();
            }
        }
        fill(&mut rng, &plain, &indexed);
        for _ in 0..20 {
            let path = ["a", "b", "a.b", "a.a", "a.0"][rng.index(5)];
            let mut filter = format!("{{\"{path}\":{}", condition(&mut rng));
            if rng.below(2) == 0 {
                filter += &format!(",\"b.a\":{}", condition(&mut rng));
            }
            filter.push('}');
            let Ok(query) = Query::new(&parse(&filter)) else {
                continue;
            };
            let story = format!("seed {seed}, filter {filter}");

            let (mut expected, mut found) = (answers(&plain, &query), answers(&indexed, &query));
            expected.sort();
            found.sort();
            assert_eq!(found, expected, "{story}");
            for sort in ["_id", "-_id", "a", "-a", "b,-a"] {
                let query = query.clone().sort(sort).unwrap();
                let expected = answers(&plain, &query);
                assert_eq!(answers(&indexed, &query), expected, "{story}, sort {sort}");
                assert_eq!(
                    pages(&indexed, &query, 3),
                    expected,
                    "{story}, pages by {sort}"
                );
                let part = query.clone().skip(2).limit(4);
                assert_eq!(
                    answers(&indexed, &part),
                    answers(&plain, &part),
                    "{story} {sort}"
                );
            }
            let snapshot = indexed.snapshot();
            let explain = indexed.find_in(&snapshot, &query).unwrap().explain();
            used += u64::from(matches!(
                explain.access,
                nexusbase_documents::query::Access::Index { .. }
            ));
        }
    }
    assert!(
        used > 300,
        "indexes were used only {used} times: this test proves nothing"
    );
}
