//! Rules of the house that no compiler checks, each with its exceptions and their reasons.
#![cfg(test)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A module is easier to hold in the head than this; more needs a reason.
const FILE_LINES_MAX: usize = 700;
const FUNCTION_LINES_MAX: usize = 100;

/// Files that may be longer: (file, why).
const LONG_FILES: &[(&str, &str)] = &[];

/// Functions that may be longer: (file, function, why).
const LONG_FUNCTIONS: &[(&str, &str, &str)] = &[(
    "crates/server/tests/http/hostile.rs",
    "targets",
    "a table of requests",
)];

/// Where the outside world may be touched beside `crates/io/src`: (file, what, why).
const WORLDLY: &[(&str, &str, &str)] = &[];

/// Which crates a crate may use: those on lower floors.
const FLOORS: &[(&str, u32)] = &[
    ("nexusbase-io", 0),
    ("nexusbase-log", 1),
    ("nexusbase-forest", 1),
    ("nexusbase-db", 2),
    ("nexusbase-kv", 3),
    ("nexusbase-documents", 3),
    ("nexusbase-events", 3),
    ("nexusbase-series", 3),
    ("nexusbase-cluster", 4),
    ("nexusbase-server", 5),
    ("nexusbase", 6),
    // Beside the house: they see what they need, and none sees them.
    ("nexusbase-kv-compliance", u32::MAX - 1),
    ("nexusbase-example-append-only-engine", u32::MAX),
    ("nexusbase-sim", u32::MAX),
];

fn root() -> PathBuf {
    // Reached through the manifest's folder, so that it works from wherever it is run.
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// All files below `crates` and `examples` that end in `.{extension}`, by their path from the root.
fn files(extension: &str) -> BTreeMap<String, String> {
    fn walk(dir: &Path, name: &str, extension: &str, found: &mut BTreeMap<String, String>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{name}/{}", entry.file_name().to_string_lossy());
            let path = entry.path();
            if path.is_dir() {
                if !name.ends_with("/target") && !name.ends_with("/node_modules") {
                    walk(&path, &name, extension, found);
                }
            } else if path.extension().is_some_and(|found| found == extension) {
                let bytes = std::fs::read_to_string(&path).unwrap();
                found.insert(name, bytes);
            }
        }
    }
    let mut found = BTreeMap::new();
    for top in ["crates", "examples"] {
        walk(&root().join(top), top, extension, &mut found);
    }
    assert!(!found.is_empty(), "where are the files?");
    found
}

fn is_source(name: &str) -> bool {
    name.contains("/src/")
}

fn none(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

/// What breaks a rule: the name that its exception would have, and the complaint.
#[derive(Default)]
struct Found(Vec<(String, String)>);

impl Found {
    fn add(&mut self, exception: impl Into<String>, complaint: String) {
        self.0.push((exception.into(), complaint));
    }

    /// What has no exception, and the exceptions that nothing needs any more.
    fn complaints(&self, exceptions: &[String]) -> Vec<String> {
        let found = self.0.iter().filter(|(name, _)| !exceptions.contains(name));
        let needed = |name: &String| self.0.iter().any(|(found, _)| found == name);
        // Whatever grows under a stale exception would go unnoticed.
        let stale = exceptions.iter().filter(|name| !needed(name));
        found
            .map(|(_, complaint)| complaint.clone())
            .chain(stale.map(|name| format!("the exception for {name} is not needed")))
            .collect()
    }
}

/// Whether `line` has `word` where no identifier goes on before or behind it.
fn has_word(line: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        !line[..at].ends_with(is_part) && !line[at + word.len()..].starts_with(is_part)
    })
}

#[test]
fn only_the_io_crate_touches_the_outside_world() {
    let words = [
        "std::fs",
        "SystemTime",
        "std::time::Instant",
        "getrandom",
        "rand",
        "temp_dir",
        "fastrand",
        "uuid::Uuid::new_v4",
    ];
    let mut worldly = Found::default();
    for (name, text) in files("rs") {
        if !is_source(&name) || name.starts_with("crates/io/") {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            let instant = code.contains("std::time::{") && has_word(code, "Instant");
            let found = words.iter().find(|word| has_word(code, word)).copied();
            let Some(word) = found.or(instant.then_some("std::time::Instant")) else {
                continue;
            };
            let exception = format!("{word} in {name}");
            worldly.add(exception, format!("{name}:{}: {word}", number + 1));
        }
    }
    let exceptions = WORLDLY
        .iter()
        .map(|(file, what, _)| format!("{what} in {file}"));
    none(&worldly.complaints(&exceptions.collect::<Vec<_>>()));
}

/// The crates of this house that a manifest names, in whatever section.
fn dependencies(manifest: &str) -> Vec<&str> {
    let mut in_dependencies = false;
    let mut found = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            in_dependencies = line.contains("dependencies");
        } else if in_dependencies && line.starts_with("nexusbase") {
            let end = line.find([' ', '.', '=']).unwrap_or(line.len());
            found.push(&line[..end]);
        }
    }
    found
}

#[test]
fn a_crate_uses_only_crates_on_lower_floors() {
    let floor = |name: &str| {
        let known = FLOORS.iter().find(|(known, _)| *known == name);
        known.unwrap_or_else(|| panic!("{name} is on no floor")).1
    };
    let mut complaints = Vec::new();
    let manifests = files("toml");
    let manifests: Vec<_> = manifests
        .iter()
        .filter(|(name, text)| name.ends_with("/Cargo.toml") && text.contains("[package]"))
        .collect();
    assert!(manifests.len() >= 6);
    for (file, text) in manifests {
        let name = text.lines().find_map(|line| {
            let name = line.strip_prefix("name = \"")?;
            name.strip_suffix('"')
        });
        let name = name.unwrap_or_else(|| panic!("{file} has no name"));
        for used in dependencies(text) {
            if floor(used) >= floor(name) {
                complaints.push(format!("{name} must not use {used}"));
            }
        }
    }
    none(&complaints);
}

/// What a line of code names of the crate `kv` itself, after `crate::` or `super::`.
fn names_of(code: &str) -> impl Iterator<Item = &str> {
    code.split("crate::").skip(1).map(|rest| {
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
        &rest[..end.unwrap_or(rest.len())]
    })
}

/// Code only: what comments say is nobody's dependency.
fn code_of(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let code = |line| str::split(line, "//").next().unwrap_or_default();
    text.lines().map(code).enumerate()
}

#[test]
fn the_interfaces_of_kv_know_no_engine_and_engines_know_no_other() {
    let (domain, engines) = ("crates/kv/src/domain", "crates/kv/src/engines/");
    let not_for_the_domain = ["engines", "keyspace", "btree", "stores", "standard"];
    let known = ["memory", "file", "lsm"];
    let (mut complaints, mut seen) = (Vec::new(), 0);
    for (name, text) in files("rs") {
        let engine = name.strip_prefix(engines).map(|rest| {
            let end = rest.find(['/', '.']).unwrap_or(rest.len());
            &rest[..end]
        });
        for (number, code) in code_of(&text) {
            let mut complain = |what: &str| {
                complaints.push(format!("{name}:{}: it must not use {what}", number + 1));
            };
            if name.starts_with(domain) {
                seen += 1;
                let forbidden = |used: &&str| not_for_the_domain.contains(used);
                names_of(code).filter(forbidden).for_each(&mut complain);
            }
            if let Some(engine) = engine {
                seen += 1;
                let path = |other: &&&str| code.contains(&format!("engines::{other}"));
                let others = known.iter().filter(|other| **other != engine);
                others.filter(path).for_each(|other| complain(other));
                let others = known.iter().filter(|other| **other != engine);
                let sibling = |other: &&&str| {
                    let is_root = !name[engines.len()..].contains('/');
                    is_root && code.contains(&format!("super::{other}"))
                };
                others.filter(sibling).for_each(|other| complain(other));
            }
        }
    }
    assert!(seen > 1000, "where are the interfaces and the engines?");
    none(&complaints);
}

/// Functions and how many lines they have. The code is formatted, so a function ends at the first
/// line that is its indentation and a closing brace.
fn functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let head = ["pub ", "pub(crate) ", "pub(super) ", "const ", "async "]
            .iter()
            .fold(code, |code, prefix| {
                code.strip_prefix(prefix).unwrap_or(code)
            });
        let Some(name) = head.strip_prefix("fn ") else {
            continue;
        };
        let end = format!("{}}}", &line[..line.len() - code.len()]);
        let length = lines[start..].iter().position(|line| *line == end);
        let name: String = name
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect();
        // One-liners, and signatures in traits, end elsewhere: they are short.
        let one_line = line.ends_with('}') || line.ends_with(';');
        found.push((name, if one_line { 1 } else { length.unwrap_or(0) + 1 }));
    }
    found
}

#[test]
fn files_and_functions_stay_short() {
    let mut long = Found::default();
    for (name, text) in files("rs") {
        let lines = text.lines().count();
        if lines > FILE_LINES_MAX {
            long.add(&name, format!("{name} has {lines} lines"));
        }
        for (function, lines) in functions(&text) {
            if lines > FUNCTION_LINES_MAX {
                let function = format!("{name}: fn {function}");
                long.add(&function, format!("{function} has {lines} lines"));
            }
        }
    }
    let files = LONG_FILES.iter().map(|(file, _)| (*file).to_owned());
    let functions = LONG_FUNCTIONS
        .iter()
        .map(|(file, function, _)| format!("{file}: fn {function}"));
    none(&long.complaints(&files.chain(functions).collect::<Vec<_>>()));
}

#[test]
fn an_exception_that_nothing_needs_is_a_complaint() {
    let mut found = Found::default();
    found.add("excused", "excused has 800 lines".to_owned());
    found.add("new", "new has 900 lines".to_owned());
    let complaints = found.complaints(&["excused".to_owned(), "gone".to_owned()]);
    let expected = ["new has 900 lines", "the exception for gone is not needed"];
    assert_eq!(complaints, expected);
}

#[test]
fn a_function_is_measured_from_its_head_to_its_brace() {
    let text =
        "impl A {\n    pub(crate) const fn long() {\n        {\n        }\n    }\n}\nfn b() {}\n";
    let expected = [("long".to_owned(), 4), ("b".to_owned(), 1)];
    assert_eq!(functions(text), expected);
}

#[test]
fn nothing_is_left_for_later() {
    // In two halves, or this file would complain about itself.
    let words = [
        concat!("to", "do!"),
        concat!("unimpl", "emented!"),
        concat!("db", "g!"),
        concat!("FIX", "ME"),
        concat!("XX", "X:"),
        // Where it was made is nobody's business.
        concat!("/wo", "rk/"),
    ];
    let mut complaints = Vec::new();
    for (name, text) in files("rs")
        .into_iter()
        .chain(files("toml"))
        .chain(files("md"))
    {
        for (number, line) in text.lines().enumerate() {
            if let Some(word) = words.iter().find(|word| line.contains(*word)) {
                complaints.push(format!("{name}:{}: {word}", number + 1));
            }
        }
    }
    none(&complaints);
}

#[test]
fn every_module_opens_with_what_it_is_for() {
    let mut complaints = Vec::new();
    for (name, text) in files("rs") {
        if is_source(&name) && !text.starts_with("//!") && !text.starts_with("#![doc") {
            complaints.push(format!("{name} does not say what it is for"));
        }
    }
    none(&complaints);
}
