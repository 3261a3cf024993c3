use std::time::{Duration, Instant};

use serde_json::Value;

use super::phone::Phone;
use super::place::{PATIENCE, Place, Server};
use crate::client::Heard;

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
    server.stops_well();
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

const MESSAGES: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=message 5061 sip null\r\n\
                        a=accept-types:text/plain\r\n";
const AUDIO: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\n";

/// One side of a dialog.
struct Dialog {
    call_id: String,
    local: String,
    remote: String,
    target: String,
    routes: String,
    cseq: u32,
}

impl Dialog {
    /// Who called: by what was answered.
    fn of_caller(answer: &Heard) -> Dialog {
        let header = |name| answer.header(name).expect(name).to_owned();
        let mut routes: Vec<String> = answer.all("Record-Route").map(route).collect();
        routes.reverse();
        Dialog {
            call_id: header("Call-ID"),
            local: header("From"),
            remote: header("To"),
            target: answer.contact().expect("a Contact"),
            routes: routes.concat(),
            cseq: answer.cseq(),
        }
    }

    /// Who was called: by the invitation, which is accepted.
    fn accepted(phone: &mut Phone, invite: &Heard, description: &str) -> Dialog {
        let contact = format!(
            "Contact: <{};transport=tcp>\r\nContent-Type: application/sdp\r\n",
            phone
                .uri()
                .replace("example.com", &phone.local().to_string())
        );
        phone.write(&invite.response(200, "OK", "b", &contact, description));
        let header = |name| invite.header(name).expect(name).to_owned();
        Dialog {
            call_id: header("Call-ID"),
            local: format!("{};tag=b", header("To")),
            remote: header("From"),
            target: invite.contact().expect("a Contact"),
            routes: invite.all("Record-Route").map(route).collect(),
            cseq: 0,
        }
    }

    fn send(&mut self, phone: &mut Phone, method: &str, lines: &str, body: &str) {
        if method != "ACK" {
            self.cseq += 1;
        }
        let (call_id, cseq) = (&self.call_id, self.cseq);
        let text = format!(
            "{method} {} SIP/2.0\r\nVia: SIP/2.0/TCP {};branch=z9hG4bK{method}{call_id}{cseq}\r\nMax-Forwards: 70\r\n{}\
             From: {}\r\nTo: {}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} {method}\r\n{lines}Content-Length: {}\r\n\r\n{body}",
            self.target,
            phone.local(),
            self.routes,
            self.local,
            self.remote,
            body.len(),
        );
        phone.write(text.as_bytes());
    }

    /// Says something that all the others take.
    fn say(&mut self, phone: &mut Phone, others: &mut [&mut Phone]) {
        self.send(phone, "MESSAGE", "Content-Type: text/plain\r\n", "hello");
        for other in others {
            let message = other.request("MESSAGE");
            other.answer(&message, 200);
        }
        assert_eq!(phone.response("MESSAGE").status, Some(200));
    }

    fn bye(&mut self, phone: &mut Phone) {
        self.send(phone, "BYE", "", "");
        assert_eq!(phone.response("BYE").status, Some(200));
    }
}

fn route(value: &str) -> String {
    format!("Route: {value}\r\n")
}

/// One calls another, who accepts: both sides of it.
fn talk(from: &mut Phone, to: &mut Phone, description: &str) -> (Dialog, Dialog) {
    from.send(
        "INVITE",
        &to.uri(),
        "Content-Type: application/sdp\r\n",
        description,
    );
    let invite = to.request("INVITE");
    let callee = Dialog::accepted(to, &invite, description);
    let answer = from.response("INVITE");
    assert_eq!(answer.status, Some(200), "{}", answer.full());
    let mut caller = Dialog::of_caller(&answer);
    caller.send(from, "ACK", "", "");
    to.request("ACK");
    (caller, callee)
}

#[test]
fn each_kind_is_in_the_records() {
    let place = Place::new("");
    place.add("carol");
    let (mut server, mut alice, mut bob) = pair(&place);
    let mut carol = Phone::registered(&mut server, "carol");
    let (mut of_alice, mut of_bob) = talk(&mut alice, &mut bob, MESSAGES);
    of_alice.say(&mut alice, &mut [&mut bob]);
    of_alice.say(&mut alice, &mut [&mut bob]);
    of_bob.say(&mut bob, &mut [&mut alice]);
    // Two become three: both are told by an INVITE in their dialogs, and Carol is invited.
    let refers = format!("Refer-To: <{}>\r\nRefer-Sub: false\r\n", carol.uri());
    of_alice.send(&mut alice, "REFER", &refers, "");
    for phone in [&mut alice, &mut bob] {
        let invite = phone.request("INVITE");
        Dialog::accepted(phone, &invite, MESSAGES);
        phone.request("ACK");
    }
    let invite = carol.request("INVITE");
    let mut of_carol = Dialog::accepted(&mut carol, &invite, MESSAGES);
    carol.request("ACK");
    of_alice.say(&mut alice, &mut [&mut bob, &mut carol]);
    of_carol.bye(&mut carol);
    of_bob.bye(&mut bob);
    of_alice.bye(&mut alice);
    let (mut call, _) = talk(&mut alice, &mut bob, AUDIO);
    call.send(&mut alice, "BYE", "", "");
    let bye = bob.request("BYE");
    bob.answer(&bye, 200);
    assert_eq!(alice.response("BYE").status, Some(200));

    let deadline = Instant::now() + PATIENCE;
    let found = loop {
        let found = so_many_sessions(&place, 3);
        if found.iter().all(|session| session["ended_ms"].is_i64()) {
            break found;
        }
        assert!(Instant::now() < deadline, "{found:#?}");
        std::thread::sleep(Duration::from_millis(100));
    };
    let of_kind = |kind: &str| {
        let one = found.iter().find(|session| session["kind"] == kind);
        one.unwrap_or_else(|| panic!("no {kind} in {found:#?}"))
    };
    let sent = |session: &Value| -> Vec<(String, i64)> {
        let all = session["participants"].as_array().expect("a list").iter();
        let one = |each: &Value| {
            let user = each["user"].as_str().unwrap_or_default();
            let name = user.split('@').next().unwrap_or_default();
            (
                name.to_owned(),
                each["messages_sent"].as_i64().unwrap_or(-1),
            )
        };
        let mut sent: Vec<_> = all.map(one).collect();
        sent.sort();
        sent
    };
    let (two, many, call) = (of_kind("im"), of_kind("conference"), of_kind("call"));
    let expected = |list: &[(&str, i64)]| -> Vec<(String, i64)> {
        list.iter()
            .map(|(name, sent)| ((*name).to_owned(), *sent))
            .collect()
    };
    assert_eq!(
        sent(two),
        expected(&[("alice", 2), ("bob", 1)]),
        "{found:#?}"
    );
    assert_eq!(
        sent(many),
        expected(&[("alice", 1), ("bob", 0), ("carol", 0)]),
        "{found:#?}"
    );
    assert_eq!(
        sent(call),
        expected(&[("alice", 0), ("bob", 0)]),
        "{found:#?}"
    );
    assert_eq!(many["continues"], two["id"]);
    assert_eq!(
        (&two["continues"], &call["continues"]),
        (&Value::Null, &Value::Null)
    );
    for (session, reason) in [(two, "became a conference"), (many, "left"), (call, "left")] {
        assert_eq!(session["end_reason"], reason, "{found:#?}");
        assert_eq!(session["initiator"], "alice@example.com");
    }
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
