use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::place::Place;

#[test]
fn every_command_explains_itself() {
    let place = Place::new("");
    for (arguments, words) in [
        (&["--help"][..], "serve"),
        (&["serve", "--help"], "--config"),
        (&["check", "--help"], "--config"),
        (&["user", "--help"], "import"),
        (&["user", "add", "--help"], "--display-name"),
        (&["user", "import", "--help"], "user,password,display_name"),
        (&["user", "password", "--help"], "standard input"),
        (&["user", "list", "--help"], "--config"),
        (&["user", "remove", "--help"], "NAME@DOMAIN"),
        (&["cdr", "--help"], "--since"),
        (&["--version"], env!("CARGO_PKG_VERSION")),
    ] {
        let done = place.bare(arguments, "");
        assert!(done.fine().contains(words), "{arguments:?}: {done:#?}");
    }
    assert!(
        !place.path().join("muster-data").exists(),
        "help makes no files"
    );
}

#[test]
fn bad_usage_is_status_2() {
    let place = Place::new("");
    place.bare(&["dance"], "").refused(2, &["dance"]);
    place
        .bare(&["serve", "--colour"], "")
        .refused(2, &["--colour"]);
    place.bare(&["user"], "").refused(2, &["Usage"]);
    place
        .bare(&["user", "add"], "")
        .refused(2, &["NAME@DOMAIN"]);
    place
        .muster(&["cdr", "--since", "yesterday"], "")
        .refused(2, &["yesterday", "2h"]);
    place
        .muster(&["cdr", "--format", "xml"], "")
        .refused(2, &["xml", "json"]);
    place
        .muster(&["cdr", "--user", "@"], "")
        .refused(2, &["NAME@DOMAIN"]);
}

#[test]
fn the_config_may_be_named_before_the_command() {
    let place = Place::new("");
    place.add("alice");
    let listed = place.bare(&["--config", "muster.toml", "user", "list"], "");
    assert_eq!(listed.fine(), "alice@example.com\n");
    let checked = place.bare(&["--config", "absent.toml", "check"], "");
    checked.refused(2, &["absent.toml", "cannot be read"]);
}

#[test]
fn a_bad_config_is_status_2_with_file_and_line() {
    let place = Place::new("");
    for command in [&["serve"][..], &["check"], &["user", "list"], &["cdr"]] {
        place.configure("[auth]\nscheems = []");
        place.muster(command, "").refused(
            2,
            &["muster.toml:6: unknown key `auth.scheems`; did you mean `auth.schemes`?"],
        );
    }
    place
        .bare(&["serve", "--config", "absent.toml"], "")
        .refused(2, &["absent.toml", "cannot be read"]);
    assert!(
        !place.path().join("muster-data").exists(),
        "a start that fails leaves nothing"
    );
}

#[test]
fn an_unusable_certificate_stops_the_start_with_file_and_line() {
    let place = Place::new("[tls]\ncert = \"c.pem\"\nkey = \"k.pem\"");
    place
        .muster(&["serve"], "")
        .refused(2, &["muster.toml:6:", "c.pem"]);
    std::fs::write(place.path().join("c.pem"), "nonsense").expect("written");
    std::fs::write(place.path().join("k.pem"), "nonsense").expect("written");
    place
        .muster(&["serve"], "")
        .refused(2, &["muster.toml:6:", "c.pem", "BEGIN CERTIFICATE"]);
    let checked = place.muster(&["check"], "");
    assert_eq!(checked.status, Some(1), "{checked:#?}");
    assert!(checked.out.contains("c.pem"), "{checked:#?}");
}

#[test]
fn users_are_added_listed_and_removed() {
    let place = Place::new("");
    assert_eq!(place.muster(&["user", "list"], "").fine(), "");
    assert!(
        !place.path().join("muster-data").exists(),
        "a question makes no files"
    );

    place
        .muster(
            &[
                "user",
                "add",
                "bob@example.com",
                "--display-name",
                "Bob, the second",
            ],
            "p w\n",
        )
        .fine();
    place
        .muster(&["user", "add", "alice@Example.COM"], "secret")
        .fine();
    assert_eq!(
        place.muster(&["user", "list"], "").fine(),
        "alice@example.com\nbob@example.com\tBob, the second\n"
    );

    let add = |name: &str, password: &str| place.muster(&["user", "add", name], password);
    add("bob@example.com", "x\n").refused(1, &["user password bob@example.com"]);
    add("carol@example.com", "\n").refused(1, &["empty"]);
    add("carol@example.com", "").refused(1, &["empty"]);
    add("carol@elsewhere.com", "x\n").refused(1, &["elsewhere.com", "example.com"]);
    add("carol", "x\n").refused(1, &["NAME@DOMAIN"]);
    add("conference@example.com", "x\n").refused(1, &["conference factory"]);
    add("im-00@example.com", "x\n").refused(1, &["belong to sessions"]);
    add("a:b@example.com", "x\n").refused(1, &["cannot be a name"]);

    let password = |name: &str, password: &str| place.muster(&["user", "password", name], password);
    password("bob@example.com", "another\n").fine();
    password("bob@example.com", "").refused(1, &["empty"]);
    password("carol@example.com", "x\n").refused(1, &["no user carol@example.com"]);
    password("carol", "x\n").refused(1, &["NAME@DOMAIN"]);
    assert_eq!(
        place.muster(&["user", "list"], "").fine(),
        "alice@example.com\nbob@example.com\tBob, the second\n"
    );

    place
        .muster(&["user", "remove", "bob@example.com"], "")
        .fine();
    place
        .muster(&["user", "remove", "bob@example.com"], "")
        .refused(1, &["no user bob@example.com"]);
    assert_eq!(
        place.muster(&["user", "list"], "").fine(),
        "alice@example.com\n"
    );
}

/// Who may not look into the folder is not told that there is nobody. Links that lead round in a ring stand for that: they
/// keep out root as well.
#[test]
fn what_cannot_be_looked_at_is_not_said_to_be_absent() {
    let place = Place::new("");
    let data_dir = place.path().join("muster-data");
    let ring = |path: &Path| std::os::unix::fs::symlink(path, path).expect("a link");
    let refused = |name: &str| {
        for command in [
            &["user", "list"][..],
            &["user", "remove", "bob@example.com"],
            &["user", "contacts", "list", "bob@example.com"],
            &["user", "card", "set", "bob@example.com", "title", "Cook"],
            &["cdr"],
        ] {
            let done = place.muster(command, "");
            done.refused(1, &[name, "this user may"]);
            assert!(!done.err.contains("no user"), "{done:#?}");
        }
    };
    ring(&data_dir);
    refused("muster-data");
    std::fs::remove_file(&data_dir).expect("removed");
    std::fs::create_dir(&data_dir).expect("a folder");
    ring(&data_dir.join("muster.db"));
    ring(&data_dir.join("cdr.db"));
    refused(".db");
}

#[test]
fn the_store_is_the_owners_alone_and_holds_no_password() {
    let place = Place::new("[auth]\nschemes = [\"digest-sha-256\"]");
    place.add("alice");
    let mode = |name| {
        std::fs::metadata(place.data(name))
            .expect("it is there")
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(mode("muster.db"), 0o600);
    assert_eq!(mode(""), 0o700);
    let bytes = std::fs::read(place.data("muster.db")).expect("readable by its owner");
    let has = |needle: &[u8]| bytes.windows(needle.len()).any(|each| each == needle);
    assert!(has(b"alice@example.com"));
    assert!(!has(b"alice-secret"));
    // MD5 is not enabled, so nothing of it is kept.
    let sha256 = muster::auth::ha1_sha256("alice", "example.com", "alice-secret");
    let md5 = muster::auth::ha1_md5("alice", "example.com", "alice-secret");
    assert!(has(&sha256.name) && has(&sha256.address.expect("of the address")));
    assert!(!has(&md5.name) && !has(&md5.address.expect("of the address")));
}

#[test]
fn an_import_is_all_or_nothing() {
    let place = Place::new("");
    let file = place.path().join("users.csv");
    let import = |text: &str| {
        std::fs::write(&file, text).expect("written");
        place.muster(&["user", "import", "users.csv"], "")
    };
    let plain = import("user,password,display_name\na@example.com,x,\"A, B\"\nb@example.com,y,\n");
    assert_eq!(plain.fine(), "2 users were added\n");
    assert_eq!(plain.err, "");
    assert_eq!(
        place.muster(&["user", "list"], "").fine(),
        "a@example.com\tA, B\nb@example.com\n"
    );
    let capital = import("user,password\nC@example.com,x\nd@example.com,x\nE@example.com,y\n");
    assert_eq!(capital.fine(), "3 users were added\n");
    let single = import("user,password\nf@example.com,x\n");
    assert_eq!(single.fine(), "1 user was added\n");
    place
        .muster(&["user", "remove", "f@example.com"], "")
        .fine();
    assert!(capital.err.starts_with("2 of them have"), "{capital:#?}");
    for name in ["C", "d", "E"] {
        let aor = format!("{name}@example.com");
        place.muster(&["user", "remove", &aor], "").fine();
    }
    import("user,password\nc@example.com,x\nb@example.com,x\nd@example.com,x\n")
        .refused(1, &["users.csv", "3", "b@example.com"]);
    import("user,password\nc@example.com,x\nconference@example.com,x\n")
        .refused(1, &["users.csv", "3", "conference factory"]);
    import("name,secret\n").refused(1, &["users.csv", "user,password,display_name"]);
    place
        .muster(&["user", "import", "absent.csv"], "")
        .refused(1, &["absent.csv"]);
    assert_eq!(
        place.muster(&["user", "list"], "").fine().lines().count(),
        2
    );
}

#[test]
fn a_store_of_a_newer_muster_is_left_alone() {
    let place = Place::new("");
    place.add("alice");
    let database = rusqlite::Connection::open(place.data("muster.db")).expect("a database");
    database
        .pragma_update(None, "user_version", 99)
        .expect("written");
    for command in [&["user", "list"][..], &["serve"]] {
        place
            .muster(command, "")
            .refused(1, &["muster.db", "version 99", "newer Muster"]);
    }
}

#[test]
fn check_says_what_would_stop_serve() {
    let place = Place::new("");
    let checked = place.muster(&["check"], "");
    let out = checked.fine();
    assert!(
        !place.path().join("muster-data").exists(),
        "a question makes no files"
    );
    for words in [
        "kernel",
        "io_uring",
        "open files",
        "shards",
        "data_dir",
        "somaxconn",
    ] {
        assert!(out.contains(words), "{words} is missing in\n{out}");
    }
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound");
    place.configure(&format!(
        "[listen]\nsips = [\"{address}\"]\nadmin = \"127.0.0.1:0\""
    ));
    let checked = place.muster(&["check"], "");
    assert_eq!(checked.status, Some(1), "{checked:#?}");
    assert!(checked.out.contains(&address.to_string()), "{checked:#?}");
    place
        .muster(&["serve"], "")
        .refused(1, &[&address.to_string(), "another port"]);
    drop(taken);
    // Each is free, but not both.
    let port = address.port();
    place.configure(&format!(
        "[listen]\nsips = [\"0.0.0.0:{port}\"]\nadmin = \"127.0.0.1:{port}\""
    ));
    let checked = place.muster(&["check"], "");
    assert_eq!(checked.status, Some(1), "{checked:#?}");
    assert!(checked.out.contains("MUST"), "{checked:#?}");

    // These look as if they were in each other's way, and are not.
    for listen in [
        format!("sips = [\"0.0.0.0:{port}\", \"[::]:{port}\"]\nadmin = \"127.0.0.1:0\""),
        format!("sips = [\"0.0.0.0:{port}\", \"{address}\"]\nadmin = \"127.0.0.1:0\""),
        format!("sips = [\"[::]:{port}\"]\nadmin = \"{address}\""),
    ] {
        place.configure(&format!("[listen]\n{listen}"));
        place.muster(&["check"], "").fine();
        place.serve();
    }

    // What is no database of ours stops serve as well.
    place.configure("");
    let data_dir = place.path().join("muster-data");
    std::fs::create_dir_all(&data_dir).expect("a folder");
    for database in ["muster.db", "cdr.db"] {
        let path = data_dir.join(database);
        let mut of_the_future = vec![0; 100];
        of_the_future[..16].copy_from_slice(b"SQLite format 3\0");
        of_the_future[62] = 1;
        for (content, why) in [
            (&b"Dear diary"[..], "no SQLite database"),
            (&of_the_future, "newer"),
        ] {
            std::fs::write(&path, content).expect("written");
            let checked = place.muster(&["check"], "");
            assert_eq!(checked.status, Some(1), "{checked:#?}");
            for words in [database, why] {
                assert!(checked.out.contains(words), "{words}: {checked:#?}");
            }
        }
        std::fs::remove_file(&path).expect("removed");
    }
    place.muster(&["check"], "").fine();

    place.configure("[shards]\ncores = [4000]");
    let checked = place.muster(&["check"], "");
    assert_eq!(checked.status, Some(1), "{checked:#?}");
    assert!(checked.out.contains("4000"), "{checked:#?}");
}

/// A limit on the size of files stands for the full disk: a folder can be made, and no byte be written.
#[test]
fn check_tries_to_write() {
    let place = Place::new("");
    let full = |command: &str| {
        let line = format!("trap '' XFSZ; ulimit -f 0; \"$MUSTER\" {command} --config \"$CONFIG\"");
        place.shell(&line)
    };
    let checked = full("check");
    assert_eq!(checked.status, Some(1), "{checked:#?}");
    assert!(checked.out.contains("MUST   data_dir"), "{checked:#?}");
    let left = std::fs::read_dir(place.path()).expect("the folder");
    assert_eq!(left.count(), 1, "the config alone");
    full("serve").refused(1, &["muster-data"]);
}

/// A server that nobody could come to is not ready.
#[test]
fn without_room_for_a_connection_there_is_no_server() {
    let place = Place::new("");
    let cramped = |command: &str| {
        let line = format!("ulimit -n 64; \"$MUSTER\" {command} --config \"$CONFIG\"");
        place.shell(&line)
    };
    cramped("serve").refused(1, &["room for 0 connections", "ulimit -Hn"]);
    let checked = cramped("check");
    assert_eq!(checked.status, Some(1), "{checked:#?}");
    assert!(
        checked.out.contains("MUST   room for 0 connections"),
        "{checked:#?}"
    );
}

/// Who has had enough of what is printed, as `grep -q` has, ends nothing and changes no status.
#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let place = Place::new("");
    let file = place.path().join("users.csv");
    std::fs::write(&file, "user,password\na@example.com,x\nB@example.com,x\n").expect("written");
    let config = place.config();
    let with_config = ["--config", config.to_str().expect("a path of ASCII")];
    let command = |words: &[&'static str]| [words, &with_config].concat();
    for words in [
        &["check"][..],
        &["user", "import", "users.csv"],
        &["user", "list"],
        &["cdr"],
    ] {
        place.unread(&command(words), "").fine();
    }
    let list = place.muster(&["user", "list"], "");
    assert_eq!(list.fine(), "B@example.com\na@example.com\n");
    place
        .unheard(&command(&["user", "add", "Carol@example.com"]), "x\n")
        .fine();
    let again = place.unheard(&command(&["user", "add", "Carol@example.com"]), "x\n");
    assert_eq!(again.status, Some(1));

    // What is in the way of `serve` is in the status too.
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound");
    place.configure(&format!(
        "[listen]\nsips = [\"{address}\"]\nadmin = \"127.0.0.1:0\""
    ));
    let checked = place.unread(&command(&["check"]), "");
    assert_eq!(checked.status, Some(1), "{checked:#?}");
}

#[test]
fn no_records_are_an_empty_answer() {
    let place = Place::new("");
    assert_eq!(
        place.muster(&["cdr", "--format", "json"], "").fine().trim(),
        "[]"
    );
    assert_eq!(
        place
            .muster(&["cdr", "--format", "csv"], "")
            .fine()
            .lines()
            .count(),
        1
    );
    assert_eq!(place.muster(&["cdr"], "").fine().lines().count(), 1);
    assert!(
        !place.path().join("muster-data").exists(),
        "a question makes no files"
    );
}
