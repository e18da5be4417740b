//! The description as a page: served whole, small, and bound by a strict policy.

use crate::running::Running;

const FILES: [(&str, &str); 3] = [
    ("/docs", "text/html; charset=utf-8"),
    ("/docs/page.js", "text/javascript; charset=utf-8"),
    ("/docs/page.css", "text/css; charset=utf-8"),
];

#[test]
fn the_page_is_small_and_needs_nothing_else() {
    let server = Running::start();
    let mut bytes = 0;
    for (path, media_type) in FILES {
        let reply = server.get(path);
        assert_eq!(reply.status, 200, "{path}");
        assert_eq!(reply.header("content-type"), media_type);
        let policy = reply.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; "), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
        // No address of anything else.
        assert!(
            !reply.body.contains("//cdn") && !reply.body.contains("https:"),
            "{path}"
        );
        bytes += reply.body.len();
    }
    assert!(bytes <= 40_000, "{bytes}");
}

/// The policy would block them, and then they would be missing.
#[test]
fn the_page_has_no_inline_script_or_style() {
    let server = Running::start();
    let html = server.get("/docs").body;
    assert_eq!(html.matches("<script").count(), 1);
    assert!(html.contains(r#"<script src="docs/page.js" defer></script>"#));
    assert!(!html.contains("<style") && !html.contains("style=") && !html.contains(" on"));
    let script = server.get("/docs/page.js").body;
    for dangerous in [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
    ] {
        assert!(!script.contains(dangerous), "{dangerous}");
    }
    // The key is kept nowhere.
    for storage in [
        "localStorage",
        "sessionStorage",
        "document.cookie",
        "indexedDB",
    ] {
        assert!(!script.contains(storage), "{storage}");
    }
}

#[test]
fn the_script_finds_all_places_of_the_page() {
    let server = Running::start();
    let html = server.get("/docs").body;
    let script = server.get("/docs/page.js").body;
    let mut found = 0;
    for part in script.split("byId(\"").skip(1) {
        let id = part.split('"').next().unwrap();
        assert!(html.contains(&format!("id=\"{id}\"")), "{id}");
        found += 1;
    }
    assert!(found > 5, "{found}");
}
