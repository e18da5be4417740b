//! Keys: made, changed, rotated, revoked, and never to be seen again.

use std::sync::Arc;

use nexusbase_server::{KeyInfo, Keyring, NewKey, Role};
use serde_json::{Value, json};

use crate::access::{ADMIN, ask, guarded, make, patient};
use crate::logs::{all, keep_log, line, lines};
use crate::running::Running;

fn status(server: &Running, key: &str) -> u16 {
    ask(server, key, "GET", "/collections", "").status
}

#[test]
fn keys_come_and_go() {
    let server = guarded(patient());
    let wanted = json!({
        "name": "shop", "role": "write", "scopes": {"collections": ["a*"]}, "ttl": 60,
        "requests_per_second": 5, "burst": 10,
    });
    let reply = ask(&server, ADMIN, "POST", "/keys", &wanted.to_string());
    let made = reply.expect(201);
    let id = made["id"].as_str().unwrap();
    assert_eq!(reply.header("location"), format!("/keys/{id}"));
    assert!(
        made["key"]
            .as_str()
            .unwrap()
            .starts_with(&format!("nxb_{id}_"))
    );
    let path = format!("/keys/{id}");
    let shown = ask(&server, ADMIN, "GET", &path, "").expect(200);
    assert_eq!(shown["name"], "shop");
    assert_eq!(
        shown["scopes"],
        json!({"collections": ["a*"], "stores": []})
    );
    let lasts = shown["expires_ms"].as_u64().unwrap() - shown["created_ms"].as_u64().unwrap();
    assert_eq!(lasts, 60_000);
    assert_eq!(
        (&shown["key"], &shown["last_used_ms"]),
        (&Value::Null, &Value::Null)
    );

    let key = made["key"].as_str().unwrap();
    assert_eq!(ask(&server, key, "GET", "/stores/s", "").status, 403);
    let change = r#"{"name": "shop 2", "scopes": {"stores": ["s"]}, "requests_per_second": null, "burst": null}"#;
    let changed = ask(&server, ADMIN, "PATCH", &path, change).expect(200);
    assert_eq!(
        (&changed["name"], &changed["role"]),
        (&json!("shop 2"), &json!("write"))
    );
    assert_eq!(
        (&changed["requests_per_second"], &changed["burst"]),
        (&Value::Null, &Value::Null)
    );
    assert!(changed["last_used_ms"].is_u64());
    // From the next request on.
    assert_eq!(ask(&server, key, "GET", "/stores/s", "").status, 404);
    assert_eq!(ask(&server, key, "GET", "/collections/a", "").status, 403);

    let listed = ask(&server, ADMIN, "GET", "/keys", "").expect(200);
    assert_eq!(listed["keys"].as_array().unwrap().len(), 1);
    ask(&server, ADMIN, "DELETE", &path, "").expect(204);
    ask(&server, ADMIN, "DELETE", &path, "").problem(409, "api-key-revoked");
    ask(&server, ADMIN, "PATCH", &path, "{}").problem(409, "api-key-revoked");
    let rotate = format!("{path}/rotate");
    ask(&server, ADMIN, "POST", &rotate, "").problem(409, "api-key-revoked");
    assert!(ask(&server, ADMIN, "GET", &path, "").expect(200)["revoked_ms"].is_u64());
    for (method, path) in [
        ("GET", "/keys/x"),
        ("DELETE", "/keys/x"),
        ("POST", "/keys/x/rotate"),
    ] {
        ask(&server, ADMIN, method, path, "").problem(404, "no-such-api-key");
    }
}

#[test]
fn keys_that_make_no_sense_are_refused() {
    let server = guarded(patient());
    for (wanted, at) in [
        (json!({"name": "", "role": "read"}), "/name"),
        (json!({"name": "a\nb", "role": "read"}), "/name"),
        (json!({"name": "x".repeat(201), "role": "read"}), "/name"),
        (json!({"name": "x", "role": "read", "ttl": 0}), "/ttl"),
        (json!({"name": "x", "role": "read", "burst": 1}), "/burst"),
        (
            json!({"name": "x", "role": "read", "scopes": {"stores": ["a*b"]}}),
            "/scopes/stores/0",
        ),
        (
            json!({"name": "x", "role": "admin", "scopes": {}}),
            "/scopes",
        ),
    ] {
        let problem = ask(&server, ADMIN, "POST", "/keys", &wanted.to_string());
        assert_eq!(problem.problem(400, "invalid-body")["at"], at, "{wanted}");
    }
    for body in [
        "{}",
        "[]",
        r#"{"name": "x", "role": "god"}"#,
        r#"{"name": "x", "role": "read", "x": 1}"#,
    ] {
        ask(&server, ADMIN, "POST", "/keys", body).problem(400, "invalid-body");
    }
    let listed = ask(&server, ADMIN, "GET", "/keys", "").expect(200);
    assert_eq!(listed, json!({"keys": []}));
}

#[test]
fn a_rotated_key_counts_at_once_and_the_old_one_for_the_grace_period() {
    let server = guarded(patient());
    let (id, first) = make(&server, &json!({"name": "k", "role": "read"}));
    let rotate = |body: &str| {
        let reply = ask(&server, ADMIN, "POST", &format!("/keys/{id}/rotate"), body);
        reply.expect(200)["key"].as_str().unwrap().to_owned()
    };
    let second = rotate("");
    assert_eq!(
        (status(&server, &first), status(&server, &second)),
        (401, 200)
    );
    let third = rotate(r#"{"grace": 30}"#);
    assert_eq!(
        (status(&server, &second), status(&server, &third)),
        (200, 200)
    );
    server.clock.advance(30_000);
    assert_eq!(
        (status(&server, &second), status(&server, &third)),
        (401, 200)
    );
    // Revoking ends both, also within the grace period.
    let fourth = rotate(r#"{"grace": 1000}"#);
    ask(&server, ADMIN, "DELETE", &format!("/keys/{id}"), "").expect(204);
    assert_eq!(
        (status(&server, &third), status(&server, &fourth)),
        (401, 401)
    );
}

#[test]
fn a_revoked_key_stops_at_once_for_all_who_have_it() {
    let server = guarded(patient());
    let (id, key) = make(&server, &json!({"name": "k", "role": "read"}));
    let (server, key) = (&server, &*key);
    let revoked = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let revoked = &revoked;
            scope.spawn(move || {
                for _ in 0..10_000 {
                    // What is known before the request is what counts.
                    let known = revoked.load(std::sync::atomic::Ordering::SeqCst);
                    let status = status(server, key);
                    assert!(status == 401 || (status == 200 && !known), "{status}");
                    if known {
                        return;
                    }
                }
                panic!("it was never revoked");
            });
        }
        ask(server, ADMIN, "DELETE", &format!("/keys/{id}"), "").expect(204);
        revoked.store(true, std::sync::atomic::Ordering::SeqCst);
    });
}

#[test]
fn a_key_counts_until_it_expires() {
    let server = guarded(patient());
    let (_, key) = make(&server, &json!({"name": "k", "role": "read", "ttl": 3600}));
    assert_eq!(status(&server, &key), 200);
    server.clock.advance(3_600_000);
    assert_eq!(status(&server, &key), 401);
}

/// Keys lie in the database: they are there when it is opened again, and of their secrets only
/// hashes are.
#[test]
fn keys_are_hashed_at_rest_and_survive() {
    let dir = "/data";
    let mut server = guarded(patient());
    let (_, key) = make(&server, &json!({"name": "find me", "role": "read"}));
    let (gone, _) = make(&server, &json!({"name": "gone", "role": "read"}));
    ask(&server, ADMIN, "DELETE", &format!("/keys/{gone}"), "").expect(204);
    server.join();
    server.stores.close().unwrap();
    server.db.close().unwrap();
    let secret = &key[17..];
    let raw = base64_bytes(secret);
    let (mut files, mut named) = (0, false);
    for path in server.disk.paths() {
        let bytes = server.disk.file_bytes(&path).unwrap_or_default();
        files += 1;
        let has = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
        named |= has(b"find me");
        assert!(
            !has(secret.as_bytes()) && !has(&raw[..32]),
            "{}",
            path.display()
        );
    }
    assert!(files > 0 && named, "the keys are not where the test looks");
    let options = nexusbase_db::Options {
        env: nexusbase_io::Env {
            fs: Arc::new(server.disk.clone()),
            ..nexusbase_io::Env::os()
        },
        segment_bytes: 1 << 20,
        ..nexusbase_db::Options::default()
    };
    let db = nexusbase_db::Database::open_with(dir, options).unwrap();
    let keys: Vec<KeyInfo> = Keyring::open(&db).unwrap().list();
    let mut found: Vec<_> = keys
        .iter()
        .map(|key| (key.name.as_str(), key.revoked_ms.is_some()))
        .collect();
    found.sort_unstable();
    assert_eq!(found, [("find me", false), ("gone", true)]);
}

fn base64_bytes(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(text)
        .unwrap()
}

/// Two who change one key at the same time both count, and the newest state is the one in memory.
#[test]
fn no_change_of_a_key_is_lost() {
    let db = nexusbase_db::Database::in_memory().unwrap();
    let keyring = Keyring::open(&db).unwrap();
    let wanted = NewKey {
        name: "k".to_owned(),
        role: Role::Read,
        scopes: None,
        ttl: None,
        requests_per_second: None,
        burst: None,
    };
    for _ in 0..50 {
        let (info, _) = keyring.create(&wanted).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for n in 0..5 {
                    let change = nexusbase_server::KeyChange {
                        name: Some(format!("name {n}")),
                        ..nexusbase_server::KeyChange::default()
                    };
                    // It is refused once the key is revoked.
                    let _ = keyring.change(&info.id, &change);
                }
            });
            scope.spawn(|| keyring.revoke(&info.id).unwrap());
        });
        assert!(keyring.get(&info.id).unwrap().revoked_ms.is_some());
    }
    let again = Keyring::open(&db).unwrap().list();
    assert_eq!(again, keyring.list());
}

#[test]
fn writes_and_refusals_are_on_record_and_secrets_are_not() {
    keep_log();
    let server = guarded(patient());
    let (id, key) = make(&server, &json!({"name": "k", "role": "read"}));
    let rotated = ask(
        &server,
        ADMIN,
        "POST",
        &format!("/keys/{id}/rotate"),
        r#"{"grace": 60}"#,
    );
    let newer = rotated.expect(200)["key"].as_str().unwrap().to_owned();
    let (_, writer) = make(&server, &json!({"name": "w", "role": "write"}));
    let with_id = |key: &str, method: &str, path: &str, request: &str| {
        let headers = [("x-api-key", key), ("x-request-id", request)];
        server.request(method, path, &headers, b"").status
    };
    assert_eq!(
        with_id(&writer, "PUT", "/collections/audited", "a-write"),
        201
    );
    assert_eq!(
        with_id(&newer, "PUT", "/collections/audited", "a-refusal"),
        403
    );
    assert_eq!(with_id(&key, "GET", "/collections", "a-read"), 200);
    let mistyped = format!("{}!", &newer[..newer.len() - 1]);
    assert_eq!(with_id(&mistyped, "GET", "/collections", "a-typo"), 401);
    let answers = ask(&server, ADMIN, "GET", "/keys", "").body;
    let metrics = ask(&server, ADMIN, "GET", "/metrics", "").body;

    let write = line("audit", "a-write");
    for (name, value) in [
        ("key", &writer[4..16]),
        ("method", "PUT"),
        ("route", "/collections/{name}"),
        ("name", "audited"),
        ("outcome", "done"),
    ] {
        assert_eq!(write[name], value, "{write}");
    }
    let refusal = line("audit", "a-refusal");
    assert_eq!(refusal["key"], id);
    assert_eq!(refusal["outcome"], "refused");
    // A typo is told from a wrong key here, and nowhere else.
    let typo = line("audit", "a-typo");
    assert!(typo["reason"].as_str().unwrap().contains("mistyped"));
    assert_eq!(lines("audit", "a-read").len(), 0);
    let log = all();
    for secret in [&key, &newer, &writer, &mistyped] {
        let secret = &secret[17..];
        for text in [&*log, &answers, &metrics] {
            assert!(!text.contains(secret), "a secret is shown");
        }
    }
    assert!(!log.contains(ADMIN));
    let debug = format!("{:?}", nexusbase_server::AdminKey::new(ADMIN).unwrap());
    assert!(!debug.contains(ADMIN));
}

/// Whatever is compared with a secret is compared by `subtle`: there is no `==` on hashes.
#[test]
fn secrets_are_compared_in_constant_time() {
    let source = include_str!("../../src/auth/token.rs");
    let code = source.split("#[cfg(test)]").next().unwrap();
    let fits: Vec<&str> = code.split("fn fits").skip(1).collect();
    assert_eq!(fits.len(), 2);
    for body in fits {
        let body = body.split("\n    }").next().unwrap();
        assert!(body.contains(".ct_eq(") && !body.contains("=="), "{body}");
    }
    let keyring = include_str!("../../src/auth/keyring.rs");
    assert!(!keyring.contains("digest"), "hashes are compared elsewhere");
}
