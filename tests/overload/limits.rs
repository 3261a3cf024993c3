//! How much one user and one connection may have of a thing, and that others cannot use it up.

use super::{Client, call, far_from};
use crate::client::{Heard, authorization};
use crate::world::World;
use muster::immcu;
use muster::presence::{Level, Member};
use muster::registrar;
use muster::shard::Settings;
use muster::shard::standing::Standing;

pub const MESSAGES: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=message 5061 sip null\r\n\
                        a=accept-types:text/plain\r\n";
pub const AUDIO: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\n";

impl Client {
    /// Another connection of a user, who authenticates with the request `number` on it, and with what the server says to that. It is
    /// an endpoint's where `lines` say so.
    fn come_in(world: &mut World, name: &str, number: u32, lines: &str) -> (Client, Heard) {
        let mut client = Client::connect(world, name);
        client.requests = number;
        let asked = client.ask(world, "REGISTER", name, lines, "");
        let uri = format!("sip:{name}@example.com");
        let proof = authorization(&asked, "REGISTER", &uri, name, "secret", 1).expect("a digest");
        let lines = format!("{lines}Authorization: {proof}\r\n");
        let answer = client.ask(world, "REGISTER", name, &lines, "");
        (client, answer)
    }

    /// INVITE with this description; it is left at that.
    fn invite(&mut self, world: &mut World, whom: &str, description: &str) {
        let contact = format!(
            "Contact: <sip:{}@10.0.0.1:5060;transport=tls>\r\nContent-Type: application/sdp\r\n",
            self.name
        );
        self.send(world, "INVITE", whom, &contact, description);
        world.settle();
    }

    /// What has come, by method or status; nothing is answered.
    fn titles(&mut self, world: &mut World) -> Vec<String> {
        let bytes = world.read(self.socket);
        let heard = self.inbox.push(&bytes).into_iter();
        let title = |heard: Heard| match heard.status {
            Some(status) => status.to_string(),
            None => heard.method,
        };
        heard.map(title).collect()
    }

    /// What has come; nothing is answered.
    fn hear(&mut self, world: &mut World) -> Vec<Heard> {
        let bytes = world.read(self.socket);
        self.inbox.push(&bytes)
    }

    fn contact(&self) -> String {
        format!(
            "Contact: <sip:{}@10.0.0.1:5060;transport=tls>\r\n",
            self.name
        )
    }

    /// CANCEL or ACK of the request with the number `of`.
    fn follow_up(&mut self, world: &mut World, method: &str, of: u32, to: &str, lines: &str) {
        let name = &self.name;
        // The ACK of a 2xx is a transaction of its own (RFC 3261 §13.2.2.4).
        let own = if method == "ACK" { "-ack" } else { "" };
        let request = format!(
            "{method} sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/TLS 10.0.0.1:5060;branch=z9hG4bK{name}{of}{own}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:{name}@example.com>;tag=f\r\nTo: {to}\r\nCall-ID: {name}{of}\r\n\
             CSeq: {of} {method}\r\n{lines}Content-Length: 0\r\n\r\n"
        );
        world.send(self.socket, request.as_bytes());
        world.settle();
    }

    /// A conference of one's own, and the dialog with it.
    fn open_room(&mut self, world: &mut World) -> Heard {
        let lines = format!("{}Content-Type: application/sdp\r\n", self.contact());
        let room = self.ask(world, "INVITE", "conference", &lines, MESSAGES);
        assert_eq!(room.status, Some(200), "{}", room.full());
        room
    }

    /// A request in the dialog that an answer has made.
    fn within(&mut self, world: &mut World, method: &str, made: &Heard, lines: &str) -> Heard {
        let target = made.contact().expect("a Contact");
        let lines = format!(
            "To: {}\r\nCall-ID: {}\r\n{}{lines}",
            made.header("To").expect("To"),
            made.call_id(),
            self.contact(),
        );
        self.ask_at(world, method, &target, &lines, "")
    }
}

/// CANCEL and ACK make room or take none: they pass. A refusal says when to come again.
#[test]
fn one_connection_has_so_many_requests_waiting() {
    let settings = Settings {
        pending_max: 3,
        ..Settings::default()
    };
    let mut world = World::new(1, 24, &settings);
    let mut alice = Client::up(&mut world, "alice");
    let mut bob = Client::up(&mut world, "bob");
    // A call that Bob has taken, and whose ACK is still to come.
    alice.invite(&mut world, "bob", AUDIO);
    let call = alice.requests();
    let rings = bob.hear(&mut world).pop().expect("an INVITE");
    let lines = format!("{}Content-Type: application/sdp\r\n", bob.contact());
    world.send(bob.socket, &rings.response(200, "OK", "b", &lines, AUDIO));
    world.settle();
    let taken = alice.hear(&mut world).pop().expect("an answer");
    assert_eq!(taken.status, Some(200), "{}", taken.full());

    alice.invite(&mut world, "bob", AUDIO);
    let second = alice.requests();
    alice.page(&mut world, "bob");
    alice.page(&mut world, "bob");
    world.settle();
    let waiting = bob.hear(&mut world);
    assert_eq!(waiting.len(), 3);
    assert_eq!(alice.titles(&mut world), ["100"]);
    let refused = |alice: &mut Client, world: &mut World| {
        alice.page(world, "bob");
        world.settle();
        let refused = alice.hear(world).pop().expect("an answer");
        assert_eq!(refused.status, Some(503), "{}", refused.full());
        assert!(refused.header("Retry-After").is_some());
    };
    refused(&mut alice, &mut world);
    assert!(bob.titles(&mut world).is_empty());
    let routes: String = taken
        .all("Record-Route")
        .map(|route| format!("Route: {route}\r\n"))
        .collect();
    let to = taken.header("To").expect("To").to_owned();
    alice.follow_up(&mut world, "ACK", call, &to, &routes);
    assert_eq!(bob.titles(&mut world), ["ACK"]);
    alice.follow_up(&mut world, "CANCEL", second, "<sip:bob@example.com>", "");
    assert_eq!(alice.titles(&mut world), ["200", "487"]);
    // What is cancelled waits no more.
    alice.page(&mut world, "bob");
    world.settle();
    assert!(alice.titles(&mut world).is_empty());
    refused(&mut alice, &mut world);
    // And one answer makes room for one.
    let page = waiting.iter().find(|heard| heard.method == "MESSAGE");
    let page = page.expect("a page");
    world.send(bob.socket, &page.response(200, "OK", "w", "", ""));
    world.settle();
    assert_eq!(alice.titles(&mut world), ["200"]);
    alice.page(&mut world, "bob");
    world.settle();
    assert!(alice.titles(&mut world).is_empty());
    refused(&mut alice, &mut world);
}

/// Each that makes a dialog finds no room where two are, finds some when one has ended, and takes it.
#[test]
fn whatever_makes_a_dialog_counts() {
    let settings = Settings {
        dialogs_max: 2,
        ..Settings::default()
    };
    const UNWATCHES: &str = "Event: presence\r\nExpires: 0\r\n";
    for door in ["SUBSCRIBE", "INVITE", "REFER", "INVITE to a focus"] {
        let mut world = World::new(1, 25, &settings);
        let mut alice = Client::up(&mut world, "alice");
        let mut bob = Client::up(&mut world, "bob");
        let _carol = Client::up(&mut world, "carol");
        let theirs = bob.open_room(&mut world).contact().expect("a Contact");
        let name = theirs.split_once("sip:im-").expect("a session's").1;
        let name = name.split('@').next().unwrap_or_default();
        let focus = format!("sip:bob@example.com;gruu;opaque=app:conf:focus:id:{name}");
        // Whoever refers is in a conference, which is one of the two.
        let own = (door == "REFER").then(|| alice.open_room(&mut world));
        let watched = alice.watch(&mut world, "bob", 600);
        assert_eq!(watched.status, Some(200));
        if own.is_none() {
            assert_eq!(alice.watch(&mut world, "carol", 600).status, Some(200));
        }
        let enter = |alice: &mut Client, world: &mut World| match (door, &own) {
            ("SUBSCRIBE", _) => alice.watch(world, "alice", 600),
            ("INVITE", _) => {
                let lines = format!("{}Content-Type: application/sdp\r\n", alice.contact());
                alice.ask(world, "INVITE", "conference", &lines, MESSAGES)
            }
            (_, Some(own)) => {
                // She rings, and the story goes on.
                alice.within(world, "REFER", own, "Refer-To: <sip:carol@example.com>\r\n")
            }
            _ => {
                let body = format!(
                    "<request xmlns=\"urn:ietf:params:xml:ns:cccp\" C3PVersion=\"1\" to=\"{focus}\" \
                     from=\"sip:alice@example.com\" requestId=\"1\"><addUser><conferenceKeys confEntity=\"{focus}\"/>\
                     <user xmlns=\"urn:ietf:params:xml:ns:conference-info\" entity=\"sip:alice@example.com\">\
                     <endpoint entity=\"a\"/></user></addUser></request>"
                );
                let contact = alice.contact();
                let lines = format!("{contact}Content-Type: application/cccp+xml\r\n");
                alice.ask_at(world, "INVITE", &focus, &lines, &body)
            }
        };
        assert_eq!(enter(&mut alice, &mut world).status, Some(503), "{door}");
        let ended = alice.within(&mut world, "SUBSCRIBE", &watched, UNWATCHES);
        assert_eq!(ended.status, Some(200), "{door}");
        world.settle();
        alice.read_all(&mut world);
        let entered = enter(&mut alice, &mut world);
        assert!(
            matches!(entered.status, Some(200 | 202)),
            "{door}: {}",
            entered.full()
        );
        assert_eq!(enter(&mut alice, &mut world).status, Some(503), "{door}");
        let ended = match (door, &own) {
            ("SUBSCRIBE", _) => alice.within(&mut world, "SUBSCRIBE", &entered, UNWATCHES),
            (_, own) => alice.within(&mut world, "BYE", own.as_ref().unwrap_or(&entered), ""),
        };
        assert_eq!(ended.status, Some(200), "{door}: {}", ended.full());
        alice.read_all(&mut world);
        let again = alice.watch(&mut world, "bob", 600);
        assert_eq!(again.status, Some(200), "{door}: {}", again.full());
    }
}

#[test]
fn who_is_invited_by_many_has_room_for_so_many_dialogs() {
    let settings = Settings {
        dialogs_max: 2,
        ..Settings::default()
    };
    let mut world = World::new(1, 21, &settings);
    let mut bob = Client::up(&mut world, "bob");
    let mut others = ["alice", "carol", "dave"].map(|name| Client::up(&mut world, name));
    for other in &mut others {
        other.invite(&mut world, "bob", MESSAGES);
    }
    assert_eq!(bob.titles(&mut world), ["INVITE", "INVITE"]);
    assert_eq!(others[2].titles(&mut world), ["100", "480"]);
}

/// Who rings and rings takes neither the room in which the user would do something, nor that of others who ring.
#[test]
fn rings_leave_room_for_the_user_and_for_others() {
    let settings = Settings {
        dialogs_max: 40,
        ..Settings::default()
    };
    for description in [MESSAGES, AUDIO] {
        let mut world = World::new(1, 24, &settings);
        let mut bob = Client::up(&mut world, "bob");
        let mut mallory = Client::up(&mut world, "mallory");
        for number in 0..20 {
            mallory.invite(&mut world, "bob", description);
            let expected: &[&str] = if number < 8 {
                &["100"]
            } else {
                &["100", "486"]
            };
            assert_eq!(mallory.titles(&mut world), expected, "{number}");
        }
        assert_eq!(bob.titles(&mut world), ["INVITE"; 8]);
        // A quarter of 40 for all who ring.
        let mut others = ["carol", "dave", "erin"].map(|name| Client::up(&mut world, name));
        for other in &mut others {
            other.invite(&mut world, "bob", description);
        }
        assert_eq!(bob.titles(&mut world), ["INVITE"; 2]);
        assert_eq!(others[2].titles(&mut world), ["100", "480"]);
        let watches = bob.watch(&mut world, "carol", 600);
        assert_eq!(watches.status, Some(200), "{}", watches.full());
        bob.titles(&mut world);
        bob.invite(&mut world, "carol", description);
        assert_eq!(
            bob.titles(&mut world).first().map(String::as_str),
            Some("100")
        );
        assert!(others[0].titles(&mut world).contains(&"INVITE".to_owned()));
    }
}

/// Whether they ring one after the other or all at once, and say who they are or not; at each of the user's endpoints.
#[test]
fn who_rings_often_rings_eight_times_however_it_is_done() {
    let settings = Settings {
        pending_max: 1_000,
        ..Settings::default()
    };
    for shards in [1, 2] {
        for nameless in [false, true] {
            for at_once in [false, true] {
                let what = format!("{shards} shards, nameless {nameless}, at once {at_once}");
                let mut world = World::new(shards, 27, &settings);
                let mut bob = Client::up(&mut world, "bob");
                let mut desk = Client::another(&mut world, "bob");
                // That took the address over.
                for (client, user) in [(&mut bob, "phone"), (&mut desk, "bob")] {
                    let contact = format!("Contact: <sip:{user}@10.0.0.1:5060;transport=tls>\r\n");
                    let answer = client.ask(&mut world, "REGISTER", "bob", &contact, "");
                    assert_eq!(answer.status, Some(200), "{}", answer.full());
                }
                let mut mallory = Client::up(&mut world, &far_from("bob"));
                let name = if nameless {
                    "From: <sip:anonymous@anonymous.invalid>;tag=f\r\nPrivacy: id\r\n"
                } else {
                    ""
                };
                let contact = mallory.contact();
                let lines = format!("{name}{contact}Content-Type: application/sdp\r\n");
                for _ in 0..100 {
                    mallory.send(&mut world, "INVITE", "bob", &lines, AUDIO);
                    if !at_once {
                        world.settle();
                    }
                }
                world.settle();
                assert_eq!(bob.titles(&mut world), ["INVITE"; 8], "{what}");
                assert_eq!(desk.titles(&mut world), ["INVITE"; 8], "{what}");
                let heard = mallory.titles(&mut world);
                let refused = heard.iter().filter(|title| *title == "486");
                assert_eq!(refused.count(), 92, "{what}");
                assert_eq!(heard.len(), 192, "{what}");
                // Others ring.
                let mut carol = Client::up(&mut world, "carol");
                carol.invite(&mut world, "bob", AUDIO);
                assert_eq!(bob.titles(&mut world), ["INVITE"], "{what}");
            }
        }
    }
}

/// Two REFERs wait at once. A call that is over is kept for the story of one that was taken, and of no other.
#[test]
fn a_refer_that_comes_to_nothing_keeps_no_call() {
    const REFUSED: u16 = 603;
    const NONE: u16 = 0;
    const TAKEN: u16 = 202;
    for shards in [1, 2] {
        for (answers, kept) in [
            ([REFUSED, REFUSED], 0),
            ([REFUSED, NONE], 0),
            ([NONE, REFUSED], 0),
            ([NONE, NONE], 0),
            ([TAKEN, REFUSED], 2),
            ([NONE, TAKEN], 2),
        ] {
            let mut world = World::new(shards, 28, &Settings::default());
            let mut bob = Client::up(&mut world, "bob");
            let mut alice = Client::up(&mut world, &far_from("bob"));
            let [hers, his] = call(&mut world, &mut alice, &mut bob);
            let ends = |world: &World| -> usize {
                let census = world.census();
                census.iter().map(|shard| shard.ends).sum()
            };
            assert_eq!(ends(&world), 2);
            let refers = format!("{his}Refer-To: <sip:carol@example.com>\r\n");
            for _ in answers {
                bob.send(&mut world, "REFER", &alice.name, &refers, "");
                world.settle();
            }
            let heard = alice.hear(&mut world);
            assert_eq!(heard.len(), 2);
            for (refer, status) in heard.iter().zip(answers) {
                if status != NONE {
                    world.send(alice.socket, &refer.response(status, "So", "", "", ""));
                }
            }
            world.settle();
            world.pass(std::time::Duration::from_secs(33));
            let mut told = bob.titles(&mut world);
            told.sort();
            let mut expected = answers.map(|status| match status {
                NONE => "408".to_owned(),
                status => status.to_string(),
            });
            expected.sort();
            assert_eq!(told, expected);
            bob.send(&mut world, "BYE", &alice.name, &his, "");
            alice.read_all(&mut world);
            assert_eq!(bob.titles(&mut world), ["200"]);
            assert_eq!(ends(&world), kept, "{answers:?}");
            if kept == 0 {
                continue;
            }
            let told = format!("{hers}Event: refer\r\nSubscription-State: active\r\n");
            alice.send(&mut world, "NOTIFY", "bob", &told, "");
            bob.read_all(&mut world);
            assert_eq!(alice.titles(&mut world), ["200"]);
            assert_eq!(ends(&world), kept, "{answers:?}");
            if answers[0] == TAKEN {
                let last = told.replace("active", "terminated");
                alice.send(&mut world, "NOTIFY", "bob", &last, "");
                bob.read_all(&mut world);
                assert_eq!(alice.titles(&mut world), ["200"]);
            } else {
                // He has forgotten it.
                alice.send(&mut world, "NOTIFY", "bob", &told, "");
                world.settle();
                let notify = bob.hear(&mut world).pop().expect("a NOTIFY");
                world.send(bob.socket, &notify.response(481, "Gone", "", "", ""));
                world.settle();
                assert_eq!(alice.titles(&mut world), ["481"]);
            }
            assert_eq!(ends(&world), 0, "{answers:?}");
        }
    }
}

/// Dave calls Bob, who answers.
fn talk(world: &mut World, bob: &mut Client, dave: &mut Client) {
    dave.invite(world, "bob", AUDIO);
    let bytes = world.read(bob.socket);
    let heard = bob.inbox.push(&bytes);
    let invite = heard
        .iter()
        .find(|heard| heard.method == "INVITE" && heard.status.is_none());
    let lines =
        "Contact: <sip:bob@10.0.0.1:5060;transport=tls>\r\nContent-Type: application/sdp\r\n";
    let answer = invite
        .expect("it rings")
        .response(200, "OK", "b", lines, AUDIO);
    world.send(bob.socket, &answer);
    world.settle();
    assert_eq!(dave.titles(world), ["100", "200"]);
}

/// A lamp has room for 32 calls: whoever lets more of them ring would else hide the one that matters.
#[test]
fn who_talks_is_seen_to_talk_however_much_rings() {
    for level in [Level::Colleagues, Level::Workgroup] {
        for talks_first in [true, false] {
            let mut world = World::new(1, 25, &Settings::default());
            let [mut bob, mut carol, mut dave] =
                ["bob", "carol", "dave"].map(|name| Client::up(&mut world, name));
            let rule = |standing: &mut Standing| {
                let set = standing.access.set(Member::Everyone, level);
                set.map(drop).map_err(|error| error.to_string())
            };
            world.edit("bob@example.com", rule).expect("a rule");
            if talks_first {
                talk(&mut world, &mut bob, &mut dave);
            }
            for number in 0..5 {
                let callee = Client::up(&mut world, &format!("u{number}"));
                for _ in 0..8 {
                    bob.invite(&mut world, &callee.name, AUDIO);
                }
            }
            let heard = bob.titles(&mut world);
            assert_eq!(heard.iter().filter(|title| *title == "100").count(), 40);
            if !talks_first {
                talk(&mut world, &mut bob, &mut dave);
            }
            let lines = "Contact: <sip:carol@10.0.0.1:5060;transport=tls>\r\nEvent: dialog\r\nExpires: 600\r\n";
            carol.send(&mut world, "SUBSCRIBE", "bob", lines, "");
            let heard = carol.read_all(&mut world);
            let lamp = heard
                .iter()
                .find(|heard| heard.method == "NOTIFY" && heard.status.is_none());
            let text = lamp.expect("a lamp").text();
            assert_eq!(
                text.matches("<state>confirmed</state>").count(),
                1,
                "{level} {text}"
            );
        }
    }
}

/// However many connections a user has.
#[test]
fn a_user_has_so_many_conferences_at_a_time() {
    let mut world = World::new(1, 26, &Settings::default());
    let mut alice = Client::up(&mut world, "alice");
    let mut more = Client::another(&mut world, "alice");
    for _ in 0..16 {
        for client in [&mut alice, &mut more] {
            client.invite(&mut world, "conference", MESSAGES);
            assert_eq!(client.titles(&mut world), ["100", "200"]);
        }
    }
    alice.invite(&mut world, "conference", MESSAGES);
    assert_eq!(alice.titles(&mut world), ["403"]);
    // Others begin theirs, and when some are over there is room again.
    let mut bob = Client::up(&mut world, "bob");
    bob.invite(&mut world, "conference", MESSAGES);
    assert_eq!(bob.titles(&mut world), ["100", "200"]);
    world.cut(more.socket);
    world.settle();
    alice.invite(&mut world, "conference", MESSAGES);
    assert_eq!(alice.titles(&mut world), ["100", "200"]);
}

#[test]
fn conversations_and_calls_share_the_room_of_their_shard() {
    let settings = Settings {
        immcu: immcu::Settings {
            sessions_max: 2,
            ..immcu::Settings::default()
        },
        ..Settings::default()
    };
    for descriptions in [[MESSAGES, AUDIO], [AUDIO, MESSAGES], [AUDIO, AUDIO]] {
        for last in [MESSAGES, AUDIO] {
            let mut world = World::new(1, 22, &settings);
            let mut alice = Client::up(&mut world, "alice");
            let bob = Client::up(&mut world, "bob");
            for description in descriptions {
                alice.invite(&mut world, &bob.name, description);
                let heard = alice.titles(&mut world);
                assert_eq!(heard.first().map(String::as_str), Some("100"));
            }
            alice.invite(&mut world, &bob.name, last);
            assert_eq!(alice.titles(&mut world), ["503"], "{descriptions:?}");
        }
    }
}

/// The more active of Bob's endpoints has each of them for four seconds for itself, and says nothing.
#[test]
fn so_many_messages_wait_for_who_does_not_answer() {
    let settings = Settings {
        pending_max: 1_000,
        ..Settings::default()
    };
    let mut world = World::new(1, 23, &settings);
    let mut alice = Client::up(&mut world, "alice");
    let mut bob = Client::up(&mut world, "bob");
    let mut desk = Client::another(&mut world, "bob");
    // That took the address over.
    for (client, user, q) in [(&mut bob, "phone", "1.0"), (&mut desk, "bob", "0.5")] {
        let contact = format!("Contact: <sip:{user}@10.0.0.1:5060;transport=tls>;q={q}\r\n");
        let answer = client.ask(&mut world, "REGISTER", "bob", &contact, "");
        assert_eq!(answer.status, Some(200), "{}", answer.full());
    }
    for _ in 0..600 {
        alice.page(&mut world, "bob");
    }
    world.settle();
    let heard = alice.read(&mut world);
    let refused = heard.iter().filter(|heard| heard.status == Some(503));
    assert!(
        refused
            .clone()
            .all(|heard| heard.header("Retry-After").is_some())
    );
    assert_eq!(refused.count(), 600 - 512);
    assert_eq!(bob.titles(&mut world).len(), 512);
    assert!(desk.titles(&mut world).is_empty());
    world.pass(std::time::Duration::from_secs(6));
    world.settle();
    assert_eq!(desk.read_all(&mut world).len(), 512);
    let heard = alice.read(&mut world);
    let taken = heard.iter().filter(|heard| heard.status == Some(200));
    assert_eq!(taken.count(), 512, "none of them was lost");
}

fn endpoints(most: usize, dialogs_max: usize) -> Settings {
    Settings {
        registrar: registrar::Settings {
            endpoints_max: most,
            ..registrar::Settings::default()
        },
        dialogs_max,
        ..Settings::default()
    }
}

/// Else whoever has a password takes all places of the server.
#[test]
fn a_user_has_so_many_connections() {
    for shards in [1, 2] {
        let mut world = World::new(shards, 27, &endpoints(2, 40));
        let mut alice = Client::up(&mut world, "alice");
        let counted = |world: &World| -> usize {
            let shards = world.census();
            shards.iter().map(|shard| shard.counted).sum()
        };
        let mut more: Vec<Client> = (1..8)
            .map(|number| {
                let (client, answer) = Client::come_in(&mut world, "alice", 10 * number, "");
                assert_eq!(answer.status, Some(200), "{number}: {}", answer.full());
                client
            })
            .collect();
        let (late, refused) = Client::come_in(&mut world, "alice", 100, "");
        assert_eq!(refused.status, Some(403));
        let says = "At Most 8 Connections A User: Close Others First";
        assert!(refused.full().contains(says), "{}", refused.full());
        assert!(world.is_closed(late.socket));
        // Who is in stays, others come, and what has gone makes room.
        assert_eq!(alice.register(&mut world), 200);
        let _bob = Client::up(&mut world, "bob");
        assert_eq!(counted(&world), 9);
        world.cut(more.pop().expect("seven").socket);
        let (last, answer) = Client::come_in(&mut world, "alice", 110, "");
        assert_eq!(answer.status, Some(200), "{}", answer.full());
        // Whoever gets the name next begins with none, and those of before take none away.
        world.remove_user("alice@example.com");
        assert!(world.is_closed(last.socket));
        world.settle();
        assert_eq!(counted(&world), 1);
        let _alice = Client::up(&mut world, "alice");
        assert_eq!(counted(&world), 2);
    }
}

/// Until the network has told which connections are dead, minutes go by.
#[test]
fn who_comes_back_and_back_is_never_one_too_many() {
    let mut world = World::new(1, 28, &endpoints(2, 40));
    world.add_user("alice@example.com", "alice", "secret");
    for number in 1..50 {
        for device in ["desk", "phone"] {
            let contact = format!(
                "Contact: <sip:alice@10.0.0.1:{};transport=tls>;+sip.instance=\"<{device}>\"\r\n",
                1000 + number
            );
            let (_, answer) = Client::come_in(&mut world, "alice", 10 * number, &contact);
            assert_eq!(answer.status, Some(200), "{number}: {}", answer.full());
        }
    }
    let census = world.census()[0];
    assert_eq!((census.endpoints, census.counted), (2, census.connections));
    assert!(census.connections <= 5, "{census:?}");
}

/// Else who opens more connections has more of them.
#[test]
fn conversations_and_calls_of_a_user_count_over_all_connections() {
    for description in [MESSAGES, AUDIO] {
        let mut world = World::new(1, 29, &endpoints(4, 40));
        let mut alice = Client::up(&mut world, "alice");
        let mut more = Client::another(&mut world, "alice");
        for number in 0..5 {
            let callee = Client::up(&mut world, &format!("u{number}"));
            for client in [&mut alice, &mut more] {
                for _ in 0..4 {
                    client.invite(&mut world, &callee.name, description);
                    assert_eq!(client.titles(&mut world), ["100"]);
                }
            }
        }
        let mut bob = Client::up(&mut world, "bob");
        for client in [&mut alice, &mut more] {
            client.invite(&mut world, "bob", description);
            let refused = client.hear(&mut world).pop().expect("an answer");
            assert_eq!(refused.status, Some(503));
            let says = "Too Many Conversations And Calls Of Yours";
            assert!(refused.full().contains(says), "{}", refused.full());
        }
        assert!(bob.titles(&mut world).is_empty());
        // What is subscribed to has a bound of its own.
        assert_eq!(alice.watch(&mut world, "bob", 600).status, Some(200));
        alice.read_all(&mut world);
        // What goes makes room.
        world.cut(more.socket);
        world.settle();
        alice.invite(&mut world, "bob", description);
        assert_eq!(alice.titles(&mut world), ["100"]);
        assert_eq!(bob.titles(&mut world), ["INVITE"]);
    }
}

/// However many endpoints ring, there is room for what their user does.
#[test]
fn rings_at_all_endpoints_leave_room_for_the_user() {
    for description in [MESSAGES, AUDIO] {
        let mut world = World::new(1, 30, &endpoints(4, 40));
        let mut bob = Client::up(&mut world, "bob");
        let contact = "Contact: <sip:desk@10.0.0.1:5060;transport=tls>\r\n";
        let (mut desk, answer) = Client::come_in(&mut world, "bob", 1000, contact);
        assert_eq!(answer.status, Some(200), "{}", answer.full());
        desk.titles(&mut world);
        for name in ["carol", "dave", "erin"] {
            let mut caller = Client::up(&mut world, name);
            for _ in 0..4 {
                caller.invite(&mut world, "bob", description);
            }
        }
        world.pass(std::time::Duration::from_secs(10));
        world.settle();
        let rings = |client: &mut Client, world: &mut World| {
            let heard = client.titles(world);
            heard.iter().filter(|title| *title == "INVITE").count()
        };
        let rung = rings(&mut bob, &mut world) + rings(&mut desk, &mut world);
        assert_eq!(rung, 10, "a quarter of 40");
        bob.invite(&mut world, "carol", description);
        assert!(bob.titles(&mut world).contains(&"100".to_owned()));
    }
}
