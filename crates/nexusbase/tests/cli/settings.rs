//! Settings: four sources, three file formats, and what is said about mistakes.

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
    for (name, text, says) in [
        (
            "b.toml",
            "limits.pagemax = 7",
            &["\"limits.pagemax\"", "mean \"limits.page_max\""][..],
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
        ("f.toml", "a = [", &["cannot understand f.toml", "line 1"]),
        ("g.ini", "", &["g.ini", ".toml, .yaml, .yml or .json"]),
        ("h.json", "[]", &["h.json should consist of settings"]),
    ] {
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
