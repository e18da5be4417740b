//! The package documents that ship with the repository, as many as wanted.

/// The data set of the demo.
const PACKAGES: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../crates/nexusbase/data/packages.jsonl"
));

/// `count` package documents as JSON texts with their `_id`s: the shipped ones over and over, with
/// a number behind the `_id` that makes it unique.
pub fn packages(count: usize) -> Vec<(String, String)> {
    let lines: Vec<&str> = PACKAGES.lines().collect();
    let one = |number: usize| {
        let line = lines[number % lines.len()];
        let rest = line
            .strip_prefix("{\"_id\":\"")
            .expect("every record starts with its _id");
        let (id, rest) = rest.split_once('"').expect("the _id ends");
        let id = format!("{id}-{number}");
        let text = format!("{{\"_id\":\"{id}\"{rest}");
        (id, text)
    };
    (0..count).map(one).collect()
}
