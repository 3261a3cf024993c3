use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use super::phone::Phone;
use super::place::{PATIENCE, Place, Server};

/// One writes to another, who takes it.
fn say(from: &mut Phone, to: &mut Phone, text: &str) {
    from.send("MESSAGE", &to.uri(), "", text);
    let message = to.request("MESSAGE");
    assert_eq!(message.text(), text);
    to.answer(&message, 200);
    assert_eq!(from.response("MESSAGE").status, Some(200));
}

fn pair(place: &Place) -> (Server, Phone, Phone) {
    place.add("alice");
    place.add("bob");
    let mut server = place.serve();
    let (alice, bob) = (
        Phone::registered(&mut server, "alice"),
        Phone::registered(&mut server, "bob"),
    );
    (server, alice, bob)
}

fn sessions(place: &Place, arguments: &[&str]) -> Vec<Value> {
    let done = place.muster(&[&["cdr", "--format", "json"], arguments].concat(), "");
    match serde_json::from_str(done.fine()) {
        Ok(Value::Array(sessions)) => sessions,
        other => panic!("{other:?}: {done:#?}"),
    }
}

/// The same, once there are so many: what happens is on the disk a second later, on a machine that is busy later than that.
fn so_many_sessions(place: &Place, count: usize) -> Vec<Value> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = sessions(place, &[]);
        if found.len() >= count {
            assert_eq!(found.len(), count, "{found:#?}");
            return found;
        }
        assert!(Instant::now() < deadline, "{found:#?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_conversation_that_goes_on_is_on_the_disk() {
    let place = Place::new("");
    let (_server, mut alice, mut bob) = pair(&place);
    say(&mut alice, &mut bob, "tell nobody");
    let found = so_many_sessions(&place, 1);
    assert_eq!(
        (&found[0]["kind"], &found[0]["ended_ms"]),
        (&Value::from("im"), &Value::Null),
        "it goes on"
    );
    assert_eq!(found[0]["initiator"], "alice@example.com");
    let mut users: Vec<_> = found[0]["participants"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|each| each["user"].clone())
        .collect();
    users.sort_by_key(Value::to_string);
    assert_eq!(users, ["alice@example.com", "bob@example.com"]);

    assert_eq!(sessions(&place, &["--user", "bob@example.com"]).len(), 1);
    assert_eq!(sessions(&place, &["--user", "carol@example.com"]).len(), 0);
    assert_eq!(sessions(&place, &["--since", "1h"]).len(), 1);
    let csv = place.muster(&["cdr", "--format", "csv"], "");
    assert_eq!(csv.fine().lines().count(), 3, "{csv:#?}");
    let table = place.muster(&["cdr"], "");
    assert!(
        table.fine().contains("alice@example.com") && table.out.contains("goes on"),
        "{table:#?}"
    );
    // The text of a message is in none of the files.
    for name in ["cdr.db", "cdr.db-wal", "muster.db"] {
        let bytes = std::fs::read(place.data(name)).unwrap_or_default();
        assert!(
            !bytes.windows(11).any(|each| each == b"tell nobody"),
            "{name}"
        );
    }
}

#[test]
fn kill_minus_9_loses_no_record_and_the_next_start_closes_them() {
    let place = Place::new("");
    let (server, mut alice, mut bob) = pair(&place);
    say(&mut alice, &mut bob, "one");
    so_many_sessions(&place, 1);
    server.kill();
    assert_eq!(
        sessions(&place, &[])[0]["ended_ms"],
        Value::Null,
        "nobody could close it"
    );

    let mut server = place.serve();
    let found = sessions(&place, &[]);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0]["end_reason"], "server stopped");
    let (started, ended) = (
        found[0]["started_ms"].as_i64(),
        found[0]["ended_ms"].as_i64(),
    );
    assert!(started.is_some() && started <= ended, "{found:#?}");
    for each in found[0]["participants"].as_array().expect("a list") {
        assert_eq!(each["leave_reason"], "server stopped");
        assert!(
            each["left_ms"].as_i64() >= each["joined_ms"].as_i64(),
            "{each:#?}"
        );
    }
    // And the server that does so serves.
    Phone::registered(&mut server, "alice");
}

#[test]
fn a_graceful_stop_closes_every_session() {
    let place = Place::new("");
    let (mut server, mut alice, mut bob) = pair(&place);
    say(&mut alice, &mut bob, "one");
    say(&mut bob, &mut alice, "two");
    server.signal(Signal::TERM);
    assert_eq!(
        server.end(Duration::from_secs(8)),
        Some(0),
        "{}",
        server.said()
    );
    let found = sessions(&place, &[]);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0]["ended_ms"].is_i64(), "{found:#?}");
    assert_ne!(found[0]["end_reason"], "");
    let sent: i64 = found[0]["participants"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|each| each["messages_sent"].as_i64())
        .sum();
    assert_eq!(sent, 2, "{found:#?}");
}

#[test]
fn a_pager_session_ends_when_it_is_idle() {
    let place = Place::new("[im]\npager_idle_s = 1");
    let (_server, mut alice, mut bob) = pair(&place);
    say(&mut alice, &mut bob, "one");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = sessions(&place, &[]);
        if found
            .first()
            .is_some_and(|session| session["ended_ms"].is_i64())
        {
            break;
        }
        assert!(Instant::now() < deadline, "{found:#?}");
        std::thread::sleep(Duration::from_millis(100));
    }
    say(&mut alice, &mut bob, "two");
    so_many_sessions(&place, 2);
}
