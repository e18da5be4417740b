//! Keys from the command line: made in a folder, used on a server, and the settings of a server
//! that asks for them.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt as _;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::parts;
use crate::support::{Ended, Place, Server, command, end};

const ADMIN: &str = "an-admin-key-with-at-least-32-letters";

/// A server that asks for keys, as `serve` starts it.
fn serve(place: &Place, change: impl Fn(&mut Command)) -> Server {
    let mut serve = command(place.path());
    serve.args(["serve", "--listen", "127.0.0.1:0", "--data", "data"]);
    change(&mut serve);
    Server::spawn(&mut serve, "serving ")
}

/// Runs a command on a server, with a key from the environment.
fn with_key(place: &Place, server: &Server, key: &str, arguments: &[&str]) -> Ended {
    let mut command = command(place.path());
    command.args(arguments).args(["--server", &server.url]);
    end(command.env("NEXUSBASE_API_KEY", key))
}

fn keys(out: &str) -> Vec<Value> {
    let lines = out.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn the_first_key_is_made_in_a_folder_and_opens_the_server() {
    let place = parts();
    let create = ["keys", "create", "me", "--role", "admin", "--data", "data"];
    let made = place.run(&create);
    assert!(made.err.contains("not shown again"), "{made:?}");
    let admin = made.ok().trim().to_owned();
    assert!(admin.starts_with("nxb_") && !admin.contains(char::is_whitespace));

    let server = serve(&place, |_| {});
    let query = ["query", "parts", "--limit", "1"];
    let target = ["--server", &server.url];
    place
        .run(&[&query[..], &target].concat())
        .fails(1, &["401", "hint: ", "NEXUSBASE_API_KEY"]);
    with_key(&place, &server, "nxb_wrong", &query).fails(1, &["401"]);
    with_key(&place, &server, &admin, &query).ok();
    let named = [&query[..], &target, &["--api-key", &admin]].concat();
    place.run(&named).ok();

    let create = [
        "keys",
        "create",
        "shop",
        "--role",
        "read",
        "--collections",
        "parts,x-*",
        "--expires-in",
        "1h",
        "--json",
    ];
    let made = with_key(&place, &server, &admin, &create).ok();
    let made = keys(&made).remove(0);
    assert_eq!(made["scopes"]["collections"][1], "x-*");
    assert_eq!(made["scopes"]["stores"], serde_json::json!([]));
    let (id, shop) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    with_key(&place, &server, shop, &query).ok();
    with_key(&place, &server, shop, &["kv", "stores"]).ok();
    with_key(&place, &server, shop, &["kv", "create", "s"]).fails(1, &["403", "role write"]);
    with_key(&place, &server, shop, &["keys", "list"]).fails(1, &["403", "role admin"]);

    let rotate = ["keys", "rotate", id];
    let newer = with_key(&place, &server, &admin, &rotate)
        .ok()
        .trim()
        .to_owned();
    with_key(&place, &server, shop, &query).fails(1, &["401"]);
    with_key(&place, &server, &newer, &query).ok();
    let revoked = with_key(&place, &server, &admin, &["keys", "revoke", id]).ok();
    assert_eq!(revoked, format!("revoked the key {id}\n"));
    with_key(&place, &server, &newer, &query).fails(1, &["401"]);
    with_key(&place, &server, &admin, &["keys", "revoke", id]).fails(1, &["revoked"]);
    let listed = with_key(&place, &server, &admin, &["keys", "list", "--json"]).ok();
    let on_server = keys(&listed);
    assert_eq!(on_server.len(), 2);
    assert!(server.terminate().success());

    // The folder says the same, and no list has a secret.
    let listed = place
        .run(&["keys", "list", "--json", "--data", "data"])
        .ok();
    let in_folder = keys(&listed);
    for (a, b) in on_server.iter().zip(&in_folder) {
        for name in ["id", "name", "role", "scopes", "expires_ms", "revoked_ms"] {
            assert_eq!(a[name], b[name]);
        }
        assert!(a["key"].is_null() && b["key"].is_null());
    }
    let table = place.run(&["keys", "list", "--data", "data"]).ok();
    assert!(
        table.contains("shop") && table.contains("revoked 2"),
        "{table}"
    );
    assert!(!table.contains(&admin[17..]));
}

#[test]
fn keys_are_managed_in_a_folder_as_on_a_server() {
    let place = Place::new();
    // Nothing but `create` makes a folder.
    place
        .run(&["keys", "list", "--data", "data"])
        .fails(1, &["does not exist"]);
    let create = [
        "keys", "create", "a", "--role", "write", "--json", "--data", "data",
    ];
    let made = keys(&place.run(&create).ok()).remove(0);
    let id = made["id"].as_str().unwrap();
    let rotate = [
        "keys", "rotate", id, "--grace", "1h", "--json", "--data", "data",
    ];
    let rotated = keys(&place.run(&rotate).ok()).remove(0);
    assert!(rotated["rotated_until_ms"].is_u64() && rotated["key"] != made["key"]);
    let server = serve(&place, |_| {});
    for key in [&made, &rotated] {
        let key = key["key"].as_str().unwrap();
        with_key(&place, &server, key, &["collections"]).ok();
    }
    assert!(server.terminate().success());
    place.run(&["keys", "revoke", id, "--data", "data"]).ok();
    place
        .run(&["keys", "revoke", "x", "--data", "data"])
        .fails(1, &["no key", "\"x\""]);
    let scoped = [
        "keys", "create", "b", "--role", "admin", "--stores", "s", "--data", "data",
    ];
    place
        .run(&scoped)
        .fails(2, &["/scopes", "admin key is for everything"]);
    place
        .run(&["keys", "create", "b", "--data", "data"])
        .fails(2, &["--role"]);
}

#[test]
fn the_admin_key_of_the_environment_is_accepted_and_shown_nowhere() {
    let place = parts();
    let mut short = command(place.path());
    short
        .args(["serve", "--data", "data"])
        .env("NEXUSBASE_ADMIN_KEY", "too short");
    let said = end(&mut short).fails(2, &["NEXUSBASE_ADMIN_KEY", "at least 32 characters"]);
    assert!(!said.contains("too short"), "{said}");
    let server = serve(&place, |serve| {
        serve.env("NEXUSBASE_ADMIN_KEY", ADMIN);
    });
    with_key(&place, &server, ADMIN, &["keys", "list"]).ok();
    with_key(&place, &server, ADMIN, &["query", "parts"]).ok();
    assert!(server.terminate().success());
    // It counts for as long as it is set.
    let server = serve(&place, |_| {});
    let how = "nexusbase keys create NAME --role admin --data DIR";
    with_key(&place, &server, ADMIN, &["query", "parts"]).fails(1, &["401", how]);
    assert!(server.terminate().success());
    let mut config = command(place.path());
    config.args(["config"]).env("NEXUSBASE_ADMIN_KEY", ADMIN);
    let shown = end(&mut config);
    assert!(!shown.err.contains("sets nothing"), "{shown:?}");
    assert!(!shown.ok().contains(ADMIN));
}

#[test]
fn the_settings_of_keys_and_limits_come_from_the_environment() {
    let place = parts();
    // Off is for this machine only.
    for arguments in [&["--allow-remote"][..], &["--listen", "0.0.0.0:0"]] {
        let serve = ["serve", "--data", "data", "--auth", "off"];
        place
            .run(&[&serve[..], arguments].concat())
            .fails(1, &["without authentication", "hint: "]);
    }
    place
        .run(&["serve", "--data", "data", "--auth", "maybe"])
        .fails(2, &["auth", "required or off", "flag --auth"]);
    let server = serve(&place, |serve| {
        serve
            .env("NEXUSBASE_AUTH", "off")
            .env("NEXUSBASE_LIMITS_REQUESTS_PER_SECOND", "1")
            .env("NEXUSBASE_LIMITS_BURST", "3");
    });
    let reply = ureq::get(&format!("{}/collections", server.url))
        .call()
        .unwrap();
    let header = |name: &str| reply.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("ratelimit-policy"), "\"default\";q=3;w=3");
    assert!(header("ratelimit").starts_with("\"default\";r="));
    assert!(server.terminate().success());
    // With keys, others may be served.
    let server = serve(&place, |serve| {
        serve
            .env("NEXUSBASE_OPEN_METRICS", "true")
            .args(["--allow-remote"]);
    });
    let get = |path: &str| {
        let request = ureq::get(&format!("{}{path}", server.url)).header("host", "db.example.com");
        let config = request.config().http_status_as_error(false).build();
        config.call().unwrap().status().as_u16()
    };
    assert_eq!((get("/metrics"), get("/collections")), (200, 401));
    assert!(server.terminate().success());
}

/// Environments may hold anything; only what is for this program has to be text.
#[test]
fn variables_that_are_no_text_are_borne_or_refused() {
    let place = parts();
    let odd = OsStr::from_bytes(b"\xff");
    let mut config = command(place.path());
    end(config
        .arg("config")
        .env("SOMETHING_ELSE", odd)
        .env(odd, "1"))
    .ok();
    for name in ["NEXUSBASE_ADMIN_KEY", "NEXUSBASE_LISTEN"] {
        // An admin key that was not taken would lock everybody out without a word.
        let mut serve = command(place.path());
        serve.args(["serve", "--data", "data"]).env(name, odd);
        end(&mut serve).fails(2, &[name, "not UTF-8"]);
    }
}

/// A key is for the server that was named, and for no other that this one names.
#[test]
fn a_key_does_not_follow_a_redirect() {
    let place = Place::new();
    let named = TcpListener::bind("127.0.0.1:0").unwrap();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", named.local_addr().unwrap());
    let elsewhere = format!("http://{}/keys", other.local_addr().unwrap());
    let redirects = std::thread::spawn(move || {
        let (mut stream, _) = named.accept().unwrap();
        let bytes = stream.read(&mut [0; 4096]).unwrap();
        assert!(bytes > 0);
        let answer = format!(
            "HTTP/1.1 307 Temporary Redirect\r\nLocation: {elsewhere}\r\nContent-Length: 0\r\n\
             Connection: close\r\n\r\n"
        );
        stream.write_all(answer.as_bytes()).unwrap();
    });
    let stolen = std::thread::spawn(move || {
        other.set_nonblocking(true).unwrap();
        for _ in 0..200 {
            if let Ok((mut stream, _)) = other.accept() {
                stream.set_nonblocking(false).unwrap();
                let mut head = [0; 4096];
                let bytes = stream.read(&mut head).unwrap();
                return String::from_utf8_lossy(&head[..bytes]).into_owned();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        String::new()
    });
    let mut list = command(place.path());
    list.args(["keys", "list", "--server", &url]);
    end(list.env("NEXUSBASE_API_KEY", "nxb_secret")).fails(1, &["307"]);
    redirects.join().unwrap();
    assert_eq!(stolen.join().unwrap(), "");
}
