//! `docs/kv-engine.md` shows every file of this crate as it is.
#![cfg(test)]

use std::path::Path;

const FILES: &[&str] = &[
    "Cargo.toml",
    "src/record.rs",
    "src/folder.rs",
    "src/store.rs",
    "src/lib.rs",
    "tests/compliance.rs",
    "tests/crash.rs",
];

/// The code blocks of a page, each with the path in the line before it.
fn blocks(page: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut path = None;
    let mut block: Option<String> = None;
    for line in page.lines() {
        if let Some(text) = &mut block {
            if line == "```" {
                blocks.extend(path.take().zip(block.take()));
            } else {
                text.push_str(line);
                text.push('\n');
            }
        } else if line.starts_with("```") {
            block = Some(String::new());
        } else if !line.is_empty() {
            let name = line
                .strip_prefix('`')
                .and_then(|line| line.strip_suffix("`:"));
            path = name.map(str::to_owned);
        }
    }
    blocks
}

#[test]
fn who_types_in_the_blocks_of_the_page_gets_this_crate() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &Path| {
        std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    };
    let blocks = blocks(&read(&root.join("../../docs/kv-engine.md")));
    for file in FILES {
        let name = format!("examples/append-only-engine/{file}");
        let shown = blocks.iter().find(|(path, _)| *path == name);
        let (_, text) = shown.unwrap_or_else(|| panic!("the page does not show {name}"));
        assert!(
            *text == read(&root.join(file)),
            "{name} is shown otherwise than it is"
        );
    }
    let named = |path: &str| FILES.iter().any(|file| path.ends_with(file));
    assert!(
        blocks.iter().all(|(path, _)| named(path)),
        "a block of a file that is not here"
    );
}
