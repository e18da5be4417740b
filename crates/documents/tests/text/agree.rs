//! Random documents of few words, written, changed, deleted, reopened, with an index that comes and
//! goes: every search finds what a plain reading of the documents does.

use std::collections::BTreeMap;
use std::sync::Arc;

use nexusbase_db::Options;
use nexusbase_io::Env;
use nexusbase_io::sim::{SimClock, SimDisk, SimRng};

use super::*;

const WORDS: [&str; 6] = ["red", "Blue", "sea", "é", "東", "x1"];

fn open(disk: &SimDisk) -> Documents {
    let options = Options {
        housekeeping_thread: false,
        env: Env {
            clock: Arc::new(SimClock::manual()),
            ..Env::simulated(disk, 7)
        },
        ..Options::default()
    };
    Documents::new(&Database::open_with("/data", options).unwrap())
}

fn sentence(rng: &mut SimRng) -> String {
    let mut text = String::new();
    for _ in 0..rng.below(6) {
        text.push_str(pick(rng, &WORDS));
        text.push_str(pick(rng, &[" ", ", ", "-", "\0", "! "]));
    }
    text
}

fn pick<'a>(rng: &mut SimRng, of: &[&'a str]) -> &'a str {
    of[usize::try_from(rng.below(of.len() as u64)).unwrap()]
}

/// The strings of a document that are searched.
fn content(rng: &mut SimRng) -> (RawDocumentBuf, Vec<String>) {
    let mut strings = Vec::new();
    let mut document = RawDocumentBuf::new();
    match rng.below(4) {
        0 => {}
        1 => document.append(bson::raw::cstr!("title"), 5),
        _ => {
            strings.push(sentence(rng));
            document.append(bson::raw::cstr!("title"), strings[0].as_str());
        }
    }
    let mut list = bson::raw::RawArrayBuf::new();
    for _ in 0..rng.below(3) {
        strings.push(sentence(rng));
        let text = strings[strings.len() - 1].as_str();
        list.push(bson::rawdoc! { "text": text, "hidden": "sea" });
    }
    document.append(bson::raw::cstr!("parts"), list);
    document.append(bson::raw::cstr!("n"), i32::try_from(rng.below(3)).unwrap());
    (document, strings)
}

/// What is asked, in parts that need no reading: negated, quoted, words.
type Asked = Vec<(bool, bool, Vec<&'static str>)>;

fn asked(rng: &mut SimRng) -> (String, Asked) {
    let (mut text, mut asked) = (String::new(), Vec::new());
    for _ in 0..1 + rng.below(3) {
        let negated = rng.below(4) == 0;
        let quoted = rng.below(3) == 0;
        let count = if quoted { 1 + rng.below(3) } else { 1 };
        let words: Vec<_> = (0..count).map(|_| pick(rng, &WORDS)).collect();
        let mark = if quoted { "\"" } else { "" };
        let minus = if negated { "-" } else { "" };
        text.push_str(&format!("{minus}{mark}{}{mark} ", words.join(" ")));
        asked.push((negated, quoted, words));
    }
    (text, asked)
}

/// Whether the strings are what is asked for, read in the plainest way.
fn naive(strings: &[String], asked: &Asked) -> bool {
    let plain: Vec<Vec<String>> = strings
        .iter()
        .map(|text| {
            let words = text.split(|letter: char| !letter.is_alphanumeric());
            words
                .filter(|word| !word.is_empty())
                .map(str::to_lowercase)
                .collect()
        })
        .collect();
    let occurs = |words: &[&str]| {
        let words: Vec<_> = words.iter().map(|word| word.to_lowercase()).collect();
        plain
            .iter()
            .any(|text| text.windows(words.len()).any(|some| some == words))
    };
    let wanted = asked.iter().filter(|(negated, ..)| !negated);
    let refused = asked
        .iter()
        .any(|(negated, _, words)| *negated && occurs(words));
    let phrases = wanted.clone().filter(|(_, quoted, _)| *quoted);
    let mut words = wanted.flat_map(|(_, _, words)| words);
    !refused
        && phrases.clone().all(|(_, _, words)| occurs(words))
        && words.any(|word| occurs(&[word]))
}

struct World {
    disk: SimDisk,
    things: Collection,
    model: BTreeMap<i32, (i32, Vec<String>)>,
}

impl World {
    fn step(&mut self, rng: &mut SimRng) {
        let number = i32::try_from(rng.below(12)).unwrap();
        let id = RawBsonRef::Int32(number);
        match rng.below(20) {
            0..=10 => {
                let (document, strings) = content(rng);
                self.things.replace(id, &document).unwrap();
                let n = document.get_i32("n").unwrap();
                self.model.insert(number, (n, strings));
            }
            11..=13 => {
                // Something else of the document changes.
                if let Some(before) = self.things.get(id).unwrap() {
                    let mut after = RawDocumentBuf::new();
                    for field in before
                        .iter()
                        .map(Result::unwrap)
                        .filter(|(name, _)| *name != "n")
                    {
                        after.append(field.0, field.1);
                    }
                    after.append(bson::raw::cstr!("n"), 2);
                    assert!(self.things.replace(id, &after).unwrap());
                }
                self.model.entry(number).and_modify(|(n, _)| *n = 2);
            }
            14..=16 => {
                let was = self.model.remove(&number).is_some();
                assert_eq!(self.things.delete(id).unwrap(), was);
            }
            17 => {
                self.disk.crash(rng.below(1 << 40));
                self.things = open(&self.disk).collection("things").unwrap();
            }
            18 => drop(self.things.drop_index("text:title,parts.text").unwrap()),
            _ => {
                let spec = text_index(&["title", "parts.text"]);
                self.things.create_index(&spec, |_| {}).unwrap();
            }
        }
    }

    fn compare(&self, rng: &mut SimRng) {
        let (text, asked) = asked(rng);
        let n = i32::try_from(rng.below(3)).unwrap();
        for least in [0, n] {
            let filter =
                bson::rawdoc! { "$text": { "$search": text.as_str() }, "n": { "$gte": least } };
            let filter = if least == 0 { search(&text) } else { filter };
            let matching = self.model.iter();
            let matching =
                matching.filter(|(_, (n, strings))| *n >= least && naive(strings, &asked));
            let expected: Vec<i32> = matching.map(|(number, _)| *number).collect();
            let asked = query(&filter);
            let up = asked.clone().sort("_id").unwrap();
            assert_eq!(ids(&self.things.find(&up).unwrap()), expected, "{text}");
            let scanned = up.hint(Hint::Collection);
            assert_eq!(
                ids(&self.things.find(&scanned).unwrap()),
                expected,
                "{text}"
            );
            let down = asked.clone().sort("-_id").unwrap();
            let mut found = ids(&self.things.find(&down).unwrap());
            found.reverse();
            assert_eq!(found, expected, "{text}");
            let count = self.things.count(&asked.filter).unwrap();
            assert_eq!(count, expected.len() as u64, "{text}");
            let mut best = asked.clone();
            best.sort = Some(by_score());
            let mut found = ids(&self.things.find(&best).unwrap());
            let scanned = ids(&self.things.find(&best.hint(Hint::Collection)).unwrap());
            assert_eq!(found, scanned, "{text}");
            found.sort_unstable();
            assert_eq!(found, expected, "{text}");
        }
    }
}

#[test]
fn searches_find_what_a_plain_reading_of_the_documents_finds() {
    let (mut compared, mut searched) = (0, 0);
    for seed in 0..60 {
        let rng = &mut SimRng::new(seed);
        let disk = SimDisk::new(seed);
        let things = open(&disk).collection("things").unwrap();
        things.create().unwrap();
        let mut world = World {
            disk,
            things,
            model: BTreeMap::new(),
        };
        for _ in 0..60 {
            world.step(rng);
            let indexes = world.things.info().unwrap().unwrap().indexes;
            if !indexes.is_empty() {
                world.compare(rng);
                compared += 1;
                searched +=
                    usize::from(explain(&world.things, &query(&search("red"))).plan.kind == "text");
            }
        }
        assert_eq!(findings(world.things.documents()), [""; 0]);
    }
    assert!(compared > 500 && searched > 500, "{compared} {searched}");
}
