//! How much one user and one connection may have of a thing, and that others cannot use it up.

use super::Client;
use crate::world::World;
use muster::immcu;
use muster::presence::{Level, Member};
use muster::shard::Settings;
use muster::shard::standing::Standing;

pub const MESSAGES: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=message 5061 sip null\r\n\
                        a=accept-types:text/plain\r\n";
const AUDIO: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\n";

impl Client {
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
        let title = |heard: crate::client::Heard| match heard.status {
            Some(status) => status.to_string(),
            None => heard.method,
        };
        heard.map(title).collect()
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
