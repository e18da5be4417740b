//! The access changes the cost, never the answer: random documents, indexes and queries, answered
//! by every plan that was considered, must agree with a walk through all documents, in any order,
//! page by page, counted, and as different values; also as a transaction sees them.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use bson::raw::{RawBson, RawDocumentBuf};
use nexusbase_db::{Database, View};
use nexusbase_documents::path::Path;
use nexusbase_documents::query::{Explain, Hint, SortKind};
use nexusbase_documents::store::IndexSpec;
use nexusbase_documents::{Collection, Documents, Error, Query, json};
use nexusbase_io::sim::SimRng;

fn value(rng: &mut SimRng, depth: u64) -> String {
    match rng.below(if depth == 0 { 14 } else { 20 }) {
        0 => "null".to_owned(),
        1 => "true".to_owned(),
        2 => "\"b\"".to_owned(),
        3 => "\"a\\u0000b\"".to_owned(),
        4 => "{\"$numberDecimal\":\"2.5\"}".to_owned(),
        5 => "2.5".to_owned(),
        6 => "{\"$numberDouble\":\"NaN\"}".to_owned(),
        7 => "{\"$minKey\":1}".to_owned(),
        8..=13 => rng.below(4).to_string(),
        14 => {
            let items: Vec<_> = (0..rng.below(4)).map(|_| value(rng, depth - 1)).collect();
            format!("[{}]", items.join(","))
        }
        15..=17 => {
            let items: Vec<_> = (0..rng.below(4))
                .map(|_| rng.below(5).to_string())
                .collect();
            format!("[{}]", items.join(","))
        }
        _ => object(rng, depth - 1),
    }
}

fn fields(rng: &mut SimRng, depth: u64) -> Vec<String> {
    let mut fields = Vec::new();
    for name in ["a", "b", "c"] {
        if rng.below(3) > 0 {
            fields.push(format!("\"{name}\":{}", value(rng, depth)));
        }
    }
    fields
}

fn object(rng: &mut SimRng, depth: u64) -> String {
    format!("{{{}}}", fields(rng, depth).join(","))
}

/// A document; what it has under `u` no other has. `arrays`: how deep they may be.
fn document(rng: &mut SimRng, id: u64, arrays: u64) -> RawDocumentBuf {
    let mut fields = fields(rng, arrays);
    match rng.below(if arrays == 0 { 3 } else { 4 }) {
        0 => fields.push(format!("\"u\":{id}")),
        1 => fields.push(format!("\"u\":\"x{id}\"")),
        2 => fields.push(format!("\"u\":{{\"$numberDecimal\":\"{id}.0\"}}")),
        _ => fields.push(format!("\"u\":[{id},\"x{id}\"]")),
    }
    parse(&format!("{{{}}}", fields.join(",")))
}

fn condition(rng: &mut SimRng) -> String {
    let literal = value(rng, 1);
    match rng.below(17) {
        0..=3 | 14 => format!("{{\"$eq\":{literal}}}"),
        4 => format!("{{\"$gt\":{literal}}}"),
        5 => format!("{{\"$gte\":{literal}}}"),
        6 => format!("{{\"$lt\":{literal}}}"),
        7 => format!("{{\"$lte\":{literal}}}"),
        8 | 15 | 16 => {
            let (low, high) = (rng.below(5), rng.below(5));
            format!("{{\"$gte\":{low},\"$lte\":{high}}}")
        }
        9 | 10 => format!("{{\"$in\":[{literal},{}]}}", value(rng, 0)),
        11 => "{\"$exists\":true}".to_owned(),
        12 => "{\"$exists\":false}".to_owned(),
        _ => format!("{{\"$ne\":{literal}}}"),
    }
}

const PATHS: [&str; 11] = [
    "a", "a", "a", "b", "b", "c", "a.b", "a.a", "a.0", "u", "_id",
];

fn filter(rng: &mut SimRng, depth: u64) -> String {
    let mut parts: BTreeMap<String, String> = BTreeMap::new();
    if rng.below(3) == 0 {
        // What pairs of indexes, and the first parts of long ones, are good for.
        for path in ["a", "b", "c"] {
            parts.insert(path.to_owned(), rng.below(4).to_string());
        }
        parts.remove(["a", "b", "c", "d"][rng.index(4)]);
    }
    for _ in 0..rng.below(4) {
        let path = PATHS[rng.index(PATHS.len())];
        parts.insert(path.to_owned(), condition(rng));
    }
    if depth > 0 && rng.below(3) == 0 {
        let operator = ["$or", "$or", "$and", "$nor"][rng.index(4)];
        let all: Vec<_> = (0..1 + rng.below(3))
            .map(|_| filter(rng, depth - 1))
            .collect();
        parts.insert(operator.to_owned(), format!("[{}]", all.join(",")));
    }
    let parts: Vec<_> = parts
        .into_iter()
        .map(|(name, value)| format!("\"{name}\":{value}"))
        .collect();
    format!("{{{}}}", parts.join(","))
}

fn index(rng: &mut SimRng) -> IndexSpec {
    const ON: [&str; 16] = [
        "a", "b", "-b", "-c", "a.b", "c", "a,b", "a,-b", "-b,a", "c,-a,b", "b,_id", "a,-_id",
        "a.a,a.b", "c,a.b", "b,_id,c", "-a,-c",
    ];
    if rng.below(5) == 0 {
        let on = ["u", "-u", "u,a", "c,-u"][rng.index(4)];
        return IndexSpec::on(on).unwrap().unique();
    }
    let spec = IndexSpec::on(ON[rng.index(ON.len())]).unwrap();
    match rng.below(5) {
        0 => spec.sparse(),
        1 => {
            let only = match rng.below(4) {
                0 => "{\"a\":{\"$gte\":1}}".to_owned(),
                1 => "{\"b\":{\"$exists\":true}}".to_owned(),
                2 => "{\"a\":{\"$in\":[1,2,3]},\"c\":{\"$lt\":3}}".to_owned(),
                _ => filter(rng, 1),
            };
            spec.partial(&parse(&only))
                .unwrap_or_else(|_| IndexSpec::on("b").unwrap())
        }
        _ => spec,
    }
}

fn parse(text: &str) -> RawDocumentBuf {
    json::parse_document(text.as_bytes())
        .map_err(|e| format!("{text}: {e}"))
        .unwrap()
}

fn shown(document: &RawDocumentBuf) -> String {
    json::to_string(document, json::Form::Canonical).unwrap()
}

fn answers(collection: &Collection, view: &dyn View, query: &Query) -> Vec<String> {
    let found = collection.find_in(view, query).unwrap();
    found.map(|one| shown(&one.unwrap())).collect()
}

fn pages(collection: &Collection, view: &dyn View, query: &Query, size: usize) -> Vec<String> {
    let mut all = Vec::new();
    let mut query = query.clone().limit(size);
    loop {
        let mut page = collection.find_in(view, &query).unwrap();
        let before = all.len();
        for one in page.by_ref() {
            all.push(shown(&one.unwrap()));
        }
        match page.cursor().filter(|_| all.len() > before) {
            Some(cursor) => query.after = Some(cursor),
            None => return all,
        }
    }
}

fn id(rng: &mut SimRng) -> (u64, RawBson) {
    let number = rng.below(40);
    let id = if number.is_multiple_of(3) {
        RawBson::String(format!("i{number}"))
    } else {
        RawBson::Int32(i32::try_from(number).unwrap())
    };
    (number, id)
}

/// Writes the same random history into both collections.
fn fill(rng: &mut SimRng, plain: &Collection, indexed: &Collection) {
    let arrays = rng.below(3);
    for n in 0..60 {
        let (number, id) = id(rng);
        let id = id.as_raw_bson_ref();
        if n % 5 == 4 {
            assert_eq!(plain.delete(id).unwrap(), indexed.delete(id).unwrap());
        } else {
            let document = document(rng, number, arrays);
            match indexed.replace(id, &document) {
                Ok(_) => drop(plain.replace(id, &document).unwrap()),
                Err(Error::ParallelArrays { .. }) => {}
                Err(error) => assert!(error.to_string().is_empty(), "{error}"),
            }
        }
    }
}

/// How often each kind of plan was tried.
#[derive(Debug, Default)]
struct Tried(BTreeMap<String, usize>);

impl Tried {
    fn count(&mut self, explain: &Explain) {
        let sort = if explain.sort == SortKind::ByAccess {
            ", in order"
        } else {
            ""
        };
        *self
            .0
            .entry(format!("{}{sort}", explain.plan.kind))
            .or_default() += 1;
    }
}

struct Both<'a> {
    plain: &'a Collection,
    indexed: &'a Collection,
    view: &'a dyn View,
}

impl Both<'_> {
    /// Answers a query by each plan. Returns how many there are.
    fn check(&self, query: &Query, story: &str, tried: &mut Tried) -> usize {
        let explain = |hint| {
            let query = query.clone().hint(hint);
            let answers = self.indexed.find_in(self.view, &query);
            answers.map(|answers| answers.explain())
        };
        let plans = explain(Hint::Number(0)).unwrap().rejected.len() + 1;
        let expected = answers(self.plain, self.view, query);
        let part = query.clone().skip(2).limit(4);
        let mut ordered = expected.clone();
        ordered.sort();
        for number in (0..plans).map(Some).chain([None]) {
            let hinted = |query: &Query| match number {
                Some(number) => query.clone().hint(Hint::Number(number)),
                None => query.clone(),
            };
            let query = &hinted(query);
            let explain = self.indexed.find_in(self.view, query).unwrap().explain();
            tried.count(&explain);
            let story = format!("{story}, by {:?}, {:?}", explain.plan, explain.sort);
            let mut found = answers(self.indexed, self.view, query);
            let some = answers(self.indexed, self.view, &hinted(&part));
            if query.sort.is_some() {
                assert_eq!(found, expected, "{story}");
                let rest = expected.iter().skip(2).take(4);
                assert_eq!(some, rest.cloned().collect::<Vec<_>>(), "{story}");
                let paged = pages(self.indexed, self.view, query, 3);
                assert_eq!(paged, expected, "{story}, by pages");
            } else {
                found.sort();
                assert_eq!(found, ordered, "{story}");
                assert_eq!(
                    some.len(),
                    expected.len().saturating_sub(2).min(4),
                    "{story}"
                );
            }
        }
        plans
    }

    fn check_counts(&self, query: &Query, rng: &mut SimRng, story: &str) {
        let filter = &query.filter;
        let hints = (0..).map(Hint::Number).map(Some);
        let count = self.plain.count_in(self.view, filter, None).unwrap();
        assert_eq!(count, answers(self.plain, self.view, query).len() as u64);
        let path = Path::parse(PATHS[rng.index(PATHS.len())]).unwrap();
        // As text: NaN is not equal to itself.
        let different = |collection: &Collection, hint: Option<&Hint>| {
            let found = collection.distinct_in(self.view, &path, filter, hint);
            format!("{:?}", found.unwrap())
        };
        let expected = different(self.plain, None);
        for hint in [None].into_iter().chain(hints) {
            let hint = hint.as_ref();
            let found = match self.indexed.count_in(self.view, filter, hint) {
                Err(Error::Hint { .. }) => break,
                found => found.unwrap(),
            };
            assert_eq!(found, count, "{story}, {hint:?}");
            let found = different(self.indexed, hint);
            assert_eq!(found, expected, "{story}, {hint:?}, values of {path}");
        }
    }
}

fn run(seed: u64, tried: &mut Tried) {
    let mut rng = SimRng::new(seed);
    let documents = Documents::new(&Database::in_memory().unwrap());
    let plain = documents.collection("plain").unwrap();
    let indexed = documents.collection("indexed").unwrap();
    let mut specs = String::new();
    for number in 0..2 + rng.below(5) {
        let spec = index(&mut rng).named(&format!("index-{number}"));
        specs += &format!("{spec:?} ");
        indexed.create_index(&spec, |_| {}).unwrap();
    }
    fill(&mut rng, &plain, &indexed);
    let mut check = |rng: &mut SimRng, view: &dyn View, queries: u64| {
        let both = Both {
            plain: &plain,
            indexed: &indexed,
            view,
        };
        for _ in 0..queries {
            let filter = filter(rng, 2);
            let Ok(query) = Query::new(&parse(&filter)) else {
                continue;
            };
            let story = format!("seed {seed}, indexes {specs}, filter {filter}");
            both.check(&query, &story, tried);
            both.check_counts(&query, rng, &story);
            let sorts = [
                "_id", "-_id", "a", "-a", "b,-a", "-b", "a,b", "c,-a", "u", "b,_id", "a,-_id",
                "a.b,c",
            ];
            for sort in [sorts[rng.index(sorts.len())], sorts[rng.index(sorts.len())]] {
                let query = query.clone().sort(sort).unwrap();
                both.check(&query, &format!("{story}, sort {sort}"), tried);
            }
        }
    };
    check(&mut rng, &indexed.snapshot(), 12);
    // What a transaction has changed itself is laid over what it reads.
    let mut tx = documents.database().begin();
    for _ in 0..5 {
        let (number, id) = id(&mut rng);
        let id = id.as_raw_bson_ref();
        let document = document(&mut rng, number, 0);
        if indexed.within(&mut tx).replace(id, &document).is_ok() {
            plain.within(&mut tx).replace(id, &document).unwrap();
        }
    }
    check(&mut rng, &tx, 4);
}

#[test]
fn every_plan_gives_the_same_answers() {
    let mut tried = Tried::default();
    for seed in 0..120 {
        run(seed, &mut tried);
    }
    for kind in [
        "collection",
        "id",
        "index",
        "index, in order",
        "intersection",
        "intersection, in order",
        "union",
    ] {
        let times = tried.0.get(kind).copied().unwrap_or_default();
        assert!(times > 50, "{kind} was tried only {times} times: {tried:?}");
    }
}
