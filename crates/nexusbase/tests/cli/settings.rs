//! Settings: four sources, three file formats, and what is said about mistakes.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::ids;
use crate::support::{Place, Server, command, end};

#[test]
fn settings_come_from_four_sources_and_the_later_wins() {
    let place = Place::new();
    let toml = place.file(
        "a.toml",
        "listen = \"127.0.0.1:1111\"\ndurability = \"never\"\nlog_level = \"warn\"\n\
         [limits]\nbody_bytes = 1000\npage_max = 50\n",
    );
    let run = end(command(place.path())
        .args(["config", "--log-level", "debug", "--config"])
        .arg(&toml)
        .env("NEXUSBASE_DURABILITY", "interval")
        .env("NEXUSBASE_LOG_LEVEL", "error")
        .env("NEXUSBASE_LIMITS_PAGE_MAX", "60")
        .env("NEXUSBASE_LIMITS_PAGEMAX", "70"));
    let warned = "the variable NEXUSBASE_LIMITS_PAGEMAX sets nothing; did you mean \
                  NEXUSBASE_LIMITS_PAGE_MAX?";
    assert!(run.err.contains(warned), "{run:?}");
    let out = run.ok();
    let line = |key: &str| {
        let line = out.lines().find(|line| line.starts_with(key));
        line.unwrap_or_else(|| panic!("{key} is missing in {out}"))
            .to_owned()
    };
    for (key, value, origin) in [
        ("listen", "\"127.0.0.1:1111\"", "# file "),
        (
            "durability =",
            "\"interval\"",
            "# environment NEXUSBASE_DURABILITY",
        ),
        ("log_level", "\"debug\"", "# flag --log-level"),
        (
            "limits.page_max",
            "60",
            "# environment NEXUSBASE_LIMITS_PAGE_MAX",
        ),
        ("limits.body_bytes", "1000", "# file "),
        ("limits.connections", "1024", "# default"),
        ("limits.event_streams", "256", "# default"),
        ("limits.open_transactions", "64", "# default"),
        ("log_format", "\"text\"", "# default"),
        ("slow_query_ms", "1000", "# default"),
        ("cors.origins", "\"\"", "# default"),
        ("# tls.certificate", "", "# not set"),
        ("# tls.key", "", "# not set"),
        ("# data", "", "# not set"),
    ] {
        let line = line(key);
        assert!(line.contains(value) && line.contains(origin), "{line}");
    }

    // The output is a settings file itself.
    let again = place.file("b.toml", &out);
    let second = place
        .run(&["config", "--config", again.to_str().unwrap()])
        .ok();
    assert!(second.contains("limits.page_max = 60 "), "{second}");
}

/// Files with mistakes, and what must be said about each.
const MISTAKES: &[(&str, &str, &[&str])] = &[
    (
        "b.toml",
        "limits.pagemax = 7",
        &["\"limits.pagemax\"", "mean \"limits.page_max\""],
    ),
    (
        "b.yaml",
        "lisen: 1",
        &["\"lisen\"", "b.yaml", "did you mean \"listen\"?"],
    ),
    (
        "b.json",
        r#"{"xyz": 1}"#,
        &["\"xyz\"", "`nexusbase config` lists"],
    ),
    (
        "c.json",
        r#"{"listen": [1]}"#,
        &["setting listen in c.json should be one text"],
    ),
    (
        "c.toml",
        "limits.page_max = 0",
        &["at least 1", "\"0\" (from file c.toml)"],
    ),
    (
        "d.toml",
        "limits.page_max = -1",
        &["at least 1", "\"-1\" (from file d.toml)"],
    ),
    (
        "e.toml",
        "listen = \"here\"",
        &["setting listen should be an address", "here"],
    ),
    (
        "e.yaml",
        "tls: {certificate: c.pem}",
        &["tls.key should be set, because tls.certificate is"],
    ),
    (
        "f.yaml",
        "cors:\n  origins: [https://a.example/path]",
        &["cors.origins should be origins such as", "from file f.yaml"],
    ),
    (
        "g.yaml",
        "cors.origins: [1]",
        &["cors.origins in g.yaml should be a text or a list of texts"],
    ),
    (
        "h.yaml",
        "log_format: xml",
        &["log_format should be text or json", "\"xml\""],
    ),
    (
        "i.yaml",
        "log_level: info,access=loud",
        &["log_level should be off, error", "access=loud"],
    ),
    (
        "j.yaml",
        "slow_query_ms: soon",
        &["slow_query_ms should be a whole number", "soon"],
    ),
    ("f.toml", "a = [", &["cannot understand f.toml", "line 1"]),
    ("g.ini", "", &["g.ini", ".toml, .yaml, .yml or .json"]),
    ("h.json", "[]", &["h.json should consist of settings"]),
];

#[test]
fn settings_files_have_three_formats() {
    let place = Place::new();
    for (name, text) in [
        ("a.toml", "limits.page_max = 7"),
        ("a.yaml", "limits:\n  page_max: 7\n"),
        ("a.yml", "limits.page_max: 7"),
        ("a.json", r#"{"limits": {"page_max": 7}}"#),
    ] {
        place.file(name, text);
        let out = place.run(&["config", "--config", name]).ok();
        assert!(out.contains("limits.page_max = 7 "), "{name}: {out}");
    }
    for (name, text, says) in MISTAKES {
        place.file(name, text);
        place.run(&["config", "--config", name]).fails(2, says);
        place
            .run(&["serve", "--data", "d", "--config", name])
            .fails(2, says);
    }
    place
        .run(&["config", "--config", "no.toml"])
        .fails(1, &["no.toml"]);
    place
        .run(&["serve"])
        .fails(2, &["which folder to serve", "--data DIR"]);
    place
        .run(&["serve", "--data", "d", "--durability", "maybe"])
        .fails(2, &["flag --durability"]);
    let remote = ["serve", "--data", "d", "--listen", "0.0.0.0:0"];
    place
        .run(&remote)
        .fails(1, &["other machines", "--allow-remote"]);
}

#[test]
fn a_server_is_set_up_by_file_and_environment() {
    let place = Place::new();
    place.file(
        "s.yaml",
        "data: data\nlisten: 127.0.0.1:0\nlimits: {page_max: 2}\n",
    );
    let mut serve = command(place.path());
    serve
        .args(["serve", "--config", "s.yaml"])
        .env("NEXUSBASE_AUTH", "off")
        .env("NEXUSBASE_LOG_LEVEL", "off");
    let server = Server::spawn(&mut serve, "serving ");
    assert!(
        server.said.contains("0 entries recovered in "),
        "{}",
        server.said
    );
    let lines = "{\"_id\":1}\n{\"_id\":2}\n{\"_id\":3}\n{\"_id\":4}\n{\"_id\":5}\n";
    place
        .run_with(&["import", "c", "-", "--server", &server.url], lines)
        .ok();
    // The target of other commands comes from the environment too; pages are small here.
    let run = end(command(place.path())
        .args(["query", "c", "--limit", "4"])
        .env("NEXUSBASE_SERVER", &server.url));
    assert_eq!(ids(&run.ok()), [1, 2, 3, 4]);
    assert!(server.terminate().success());
    let run = end(command(place.path())
        .args(["export", "c"])
        .env("NEXUSBASE_DATA", "data"));
    assert_eq!(run.ok().lines().count(), 5);
}

#[test]
fn the_transport_is_set_up_by_file_and_environment() {
    let place = Place::new();
    place.file(
        "s.toml",
        "slow_query_ms = 0\nlog_format = \"json\"\n[cors]\n\
         origins = [\"https://App.example.com:443\", \"http://localhost:3000\"]\n\
         [tls]\ncertificate = \"c.pem\"\nkey = \"k.pem\"\n",
    );
    let run = end(command(place.path())
        .args(["config", "--config", "s.toml"])
        .env("NEXUSBASE_TLS_KEY", "other.pem")
        .env("NEXUSBASE_LOG_LEVEL", "warn,access=info"));
    let out = run.ok();
    for line in [
        "slow_query_ms = 0 ",
        "log_format = \"json\" ",
        "cors.origins = \"https://App.example.com:443, http://localhost:3000\" ",
        "tls.certificate = \"c.pem\" ",
        "tls.key = \"other.pem\" ",
        "log_level = \"warn,access=info\" ",
    ] {
        assert!(
            out.lines().any(|found| found.starts_with(line)),
            "{line} in {out}"
        );
    }
    place.file("again.toml", &out);
    place.run(&["config", "--config", "again.toml"]).ok();
    let every = end(command(place.path())
        .arg("config")
        .env("NEXUSBASE_CORS_ORIGINS", "*"));
    assert!(every.ok().contains("cors.origins = \"*\" "));
    // The files are looked at when they are used.
    place
        .run(&[
            "serve",
            "--data",
            "d",
            "--listen",
            "127.0.0.1:0",
            "--config",
            "s.toml",
        ])
        .fails(1, &["c.pem"]);
}

/// A request on a connection of its own; TLS trusts only this certificate.
fn https(address: &str, certificate: &rcgen::Certificate, path: &str) -> std::io::Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let session = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = StreamOwned::new(session, TcpStream::connect(address)?);
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn a_served_certificate_is_read_again_on_sighup() {
    let place = Place::new();
    let renew = || {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        place.file("c.pem", &made.cert.pem());
        place.file("k.pem", &made.signing_key.serialize_pem());
        made.cert
    };
    let first = renew();
    let mut serve = command(place.path());
    serve
        .args([
            "serve",
            "--data",
            "d",
            "--listen",
            "127.0.0.1:0",
            "--auth",
            "off",
        ])
        .env("NEXUSBASE_TLS_CERTIFICATE", "c.pem")
        .env("NEXUSBASE_TLS_KEY", "k.pem")
        .env("NEXUSBASE_LOG_LEVEL", "off");
    let server = Server::spawn(&mut serve, "serving ");
    let address = server.said.split("https://").nth(1).unwrap();
    let address = address.split_whitespace().next().unwrap().to_owned();
    let answer = https(&address, &first, "/ready").unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    // The other commands speak it, too, and trust whom they are told to.
    let collections = |ca: &str| {
        end(command(place.path())
            .args(["collections", "--server"])
            .arg(format!(
                "https://localhost:{}",
                address.split(':').nth(1).unwrap()
            ))
            .env("NEXUSBASE_CA", ca))
    };
    collections("c.pem").ok();
    collections("").fails(1, &["https://localhost", "UnknownIssuer"]);
    collections("k.pem").fails(2, &["k.pem", "no certificate"]);
    let second = renew();
    https(&address, &second, "/ready").unwrap_err();
    let pid = rustix::process::Pid::from_raw(server.pid().try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
    let renewed = (0..500).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        https(&address, &second, "/ready").is_ok()
    });
    assert!(renewed, "the certificate is not read again");
    https(&address, &first, "/ready").unwrap_err();
    assert!(server.terminate().success());
}
