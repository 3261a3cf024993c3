//! What one connection is told in one turn has a bound, however much there is to tell, and in the end all is told as it is then. What
//! people write to it has the same one: it waits in its order, and what is more than may wait is refused to who writes it. The
//! shell cuts a peer at 1,104 KiB unsent and tells the core only in the next turn that one is behind; 256 KiB may wait before that.

use std::time::Duration;

use super::limits::{AUDIO, MESSAGES};
use super::{Client, call, far_from, paged};
use crate::client::Heard;
use crate::world::World;
use muster::presence::Contacts;
use muster::shard::Settings;
use muster::sip::uri::Aor;

const AT_ONCE_MAX: usize = (1_104 - 256) * 1024;

const LYNC: &str = "Supported: adhoclist, msrtc-event-categories\r\n";
const BATCH: &str = "Contact: <sip:alice@10.0.0.1:5060;transport=tls>\r\nRequire: adhoclist, categoryList\r\n\
                     Supported: eventlist, ms-piggyback-first-notify, ms-benotify\r\nEvent: presence\r\n\
                     Accept: application/rlmi+xml, multipart/related, application/msrtc-event-categories+xml\r\n\
                     Content-Type: application/msrtc-adrl-categorylist+xml\r\n";

fn batch(users: &[&str]) -> String {
    let resource = |user: &&str| format!("<resource uri=\"sip:{user}@example.com\"/>");
    let resources: String = users.iter().map(resource).collect();
    format!(
        "<batchSub xmlns=\"http://schemas.microsoft.com/2006/01/sip/batch-subscribe\" uri=\"sip:alice@example.com\" name=\"\">\
         <action name=\"subscribe\" id=\"1\"><adhocList>{resources}</adhocList></action></batchSub>"
    )
}

/// One published instance, for colleagues.
fn instance(name: &str, number: usize, version: usize, lives: &str, text: &str) -> String {
    format!(
        "<publication categoryName=\"{name}\" instance=\"{number}\" container=\"200\" version=\"{version}\" {lives}>\
         <{name} xmlns=\"urn:{name}\">{text}</{name}></publication>"
    )
}

impl Client {
    fn publish_categories(&mut self, world: &mut World, instances: &str) {
        let name = self.name.clone();
        let body = format!(
            "<publish xmlns=\"http://schemas.microsoft.com/2006/09/sip/rich-presence\"><publications \
             uri=\"sip:{name}@example.com\">{instances}</publications></publish>"
        );
        let lines = "Content-Type: application/msrtc-category-publish+xml\r\n";
        self.send(world, "SERVICE", &name, lines, &body);
    }

    /// Publishes nearly as much as one may.
    fn publish_much(&mut self, world: &mut World) {
        let text = "x".repeat(31_000);
        for pair in 0..4 {
            let one = |number| instance("much", number, 0, "expireType=\"endpoint\"", &text);
            let both = [one(2 * pair), one(2 * pair + 1)].concat();
            self.publish_categories(world, &both);
            world.settle();
            self.read(world);
        }
    }
}

fn is_notification(heard: &&Heard) -> bool {
    heard.status.is_none() && heard.method.ends_with("NOTIFY")
}

fn assert_bounded(world: &World, client: &Client) {
    let most = world.most_at_once(client.socket);
    assert!(most <= AT_ONCE_MAX, "{most} bytes in one turn");
}

#[test]
fn who_publishes_much_and_often_cuts_nobody_who_watches() {
    let mut world = World::new(1, 3, &Settings::default());
    let mut alice = Client::up_with(&mut world, "alice", LYNC);
    let mut bob = Client::up_with(&mut world, "bob", LYNC);
    bob.publish_much(&mut world);
    let granted = alice.ask(&mut world, "SUBSCRIBE", "alice", BATCH, &batch(&["bob"]));
    assert_eq!(granted.status, Some(200));
    assert!(granted.text().contains("<much"), "all is in the answer");
    for n in 0..32 {
        let text = format!("news {n}.");
        let news = instance("news", 0, n, "expireType=\"endpoint\"", &text);
        bob.publish_categories(&mut world, &news);
    }
    world.settle();
    let heard = alice.read(&mut world);
    let told: Vec<&Heard> = heard.iter().filter(is_notification).collect();
    assert!(told.len() < 8, "told {} times", told.len());
    let last = told.last().expect("news").text();
    assert!(last.contains("news 31.") && last.contains("<much"));
    assert_bounded(&world, &alice);
}

#[test]
fn an_answer_names_all_and_what_it_has_no_room_for_follows() {
    let mut world = World::new(1, 4, &Settings::default());
    let mut alice = Client::up_with(&mut world, "alice", LYNC);
    let names = ["bob", "carol", "dave", "erin", "frank"];
    let mut all: Vec<Client> = Vec::new();
    for name in names {
        let mut one = Client::up_with(&mut world, name, LYNC);
        one.publish_much(&mut world);
        all.push(one);
    }
    alice.send(&mut world, "SUBSCRIBE", "alice", BATCH, &batch(&names));
    world.settle();
    let heard = alice.read(&mut world);
    let (answer, told) = heard.split_first().expect("an answer");
    let text = answer.text();
    assert_eq!(answer.status, Some(200));
    for name in names {
        let part = format!("Content-ID: {name}@example.com\n");
        assert!(text.contains(&part), "{name} has a part");
    }
    let uri = |name: &str| format!("uri=\"sip:{name}@example.com\"");
    let brief = names
        .iter()
        .filter(|name| text.contains(&format!("{}/>", uri(name))));
    let brief: Vec<&&str> = brief.collect();
    assert_eq!(brief.len(), 4, "one found room");
    for name in brief {
        let whole = |heard: &Heard| {
            let text = heard.text();
            text.contains(&uri(name)) && text.contains("<much")
        };
        assert!(told.iter().any(whole), "{name} is told of");
    }
    assert_bounded(&world, &alice);
    // Nothing is left to say.
    assert_eq!(world.census()[0].fanouts, 0);
}

/// Many with a note, each with the tag of the publication.
fn crowd(world: &mut World, note: &str) -> Vec<(Client, String)> {
    let mut all = Vec::new();
    for n in 0..340 {
        let mut one = Client::up(world, &format!("u{n}"));
        let answer = one.publish(world, note, "");
        let tag = answer.header("SIP-ETag").expect("a tag");
        all.push((one, format!("SIP-If-Match: {tag}\r\n")));
    }
    world.settle();
    all
}

fn long(word: &str) -> String {
    format!("{word} {}", "&amp;".repeat(490))
}

#[test]
fn a_list_that_is_polled_and_one_that_is_watched_are_bounded() {
    let mut world = World::new(1, 5, &Settings::default());
    let mut alice = Client::up(&mut world, "alice");
    let all = crowd(&mut world, &long("first"));
    let entry =
        |(one, _): &(Client, String)| format!("<entry uri=\"sip:{}@example.com\"/>", one.name);
    let entries: String = all.iter().map(entry).collect();
    let list = format!(
        "<resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\"><list>{entries}</list></resource-lists>"
    );
    let mut ask = |world: &mut World, expires_s: u32| -> Vec<String> {
        let lines = format!(
            "Contact: <sip:alice@10.0.0.1:5060;transport=tls>\r\nEvent: presence\r\nExpires: {expires_s}\r\n\
             Require: recipient-list-subscribe\r\nSupported: eventlist\r\nContent-Disposition: recipient-list\r\n\
             Content-Type: application/resource-lists+xml\r\n"
        );
        alice.send(world, "SUBSCRIBE", "contacts", &lines, &list);
        let heard = alice.read_all(world);
        heard
            .iter()
            .filter(is_notification)
            .map(Heard::full)
            .collect()
    };
    let parts = |text: &String| text.matches("Content-Type: application/pidf+xml").count();
    let polled = ask(&mut world, 0);
    let [poll] = &polled[..] else {
        panic!("{} notifications of a poll", polled.len());
    };
    assert!(poll.contains("terminated") && poll.matches("<resource ").count() == 340);
    assert!((20..340).contains(&parts(poll)), "{} parts", parts(poll));
    let told = ask(&mut world, 3600);
    assert_eq!(told.iter().map(parts).sum::<usize>(), 340);
    assert_bounded(&world, &alice);
}

#[test]
fn who_catches_up_is_told_bit_by_bit() {
    let mut world = World::new(1, 6, &Settings::default());
    let mut alice = Client::up(&mut world, "alice");
    let mut all = crowd(&mut world, "first");
    for (one, _) in &all {
        let granted = alice.watch(&mut world, &one.name, 3600);
        assert_eq!(granted.status, Some(200));
    }
    world.settle();
    alice.read(&mut world);
    world.set_reading(alice.socket, false);
    for (one, tag) in &mut all {
        let answer = one.publish(&mut world, &long("second"), tag);
        assert_eq!(answer.status, Some(200));
    }
    world.settle();
    world.set_reading(alice.socket, true);
    let mut told = 0;
    loop {
        let heard = alice.read(&mut world);
        told += super::notes(&heard)
            .iter()
            .filter(|note| **note == "second")
            .count();
        if heard.is_empty() && world.in_flight().is_empty() {
            break;
        }
        world.settle();
    }
    assert_eq!(told, 340);
    assert_bounded(&world, &alice);
}

#[test]
fn a_client_has_one_subscription_to_its_own_list() {
    let mut world = World::new(1, 7, &Settings::default());
    let mut alice = Client::up_with(&mut world, "alice", LYNC);
    let rename = |world: &mut World, name: &str| {
        let one = |n| {
            let user = Aor::parse(&format!("u{n}@example.com"))?;
            Some((user, format!("{name} {}", "x".repeat(100)).into(), 0))
        };
        let contacts = Contacts::build(0, vec!["all".into()], (0..600).filter_map(one).collect());
        let contacts = contacts.expect("a list");
        let edit = world.edit("alice@example.com", |standing| {
            standing.contacts = contacts;
            Ok(())
        });
        edit.expect("kept");
    };
    rename(&mut world, "first");
    for _ in 0..20 {
        let lines = "Contact: <sip:alice@10.0.0.1:5060;transport=tls>\r\nEvent: vnd-microsoft-roaming-contacts\r\n\
                     Supported: ms-piggyback-first-notify\r\nSupported: ms-benotify\r\n";
        alice.send(&mut world, "SUBSCRIBE", "alice", lines, "");
    }
    world.settle();
    let heard = alice.read(&mut world);
    let granted = heard.iter().filter(|heard| heard.status == Some(200));
    assert_eq!(granted.count(), 20);
    let last = heard.last().expect("twenty answers").text();
    assert!(last.contains("name=\"first"), "{last:.200}");
    assert_eq!(world.census()[0].dialogs, 1);
    rename(&mut world, "second");
    world.settle();
    let heard = alice.read(&mut world);
    assert_eq!(heard.len(), 1);
    assert!(heard[0].text().contains("name=\"second"));
    assert_bounded(&world, &alice);
}

#[test]
fn subscriptions_that_end_together_do_not_say_all_at_once() {
    let mut world = World::new(1, 8, &Settings::default());
    let mut alice = Client::up_with(&mut world, "alice", LYNC);
    let mut bob = Client::up_with(&mut world, "bob", LYNC);
    bob.publish_much(&mut world);
    for _ in 0..8 {
        let lines = "Contact: <sip:alice@10.0.0.1:5060;transport=tls>\r\nEvent: presence\r\nExpires: 100\r\n\
                     Supported: ms-benotify\r\nAccept: application/msrtc-event-categories+xml\r\n";
        alice.send(&mut world, "SUBSCRIBE", "bob", lines, "");
    }
    world.settle();
    let heard = alice.read(&mut world);
    let first = heard.iter().filter(is_notification);
    assert_eq!(
        first.filter(|heard| heard.text().contains("<much")).count(),
        8
    );
    world.pass(Duration::from_secs(102));
    let heard = alice.read(&mut world);
    let ended = |heard: &&Heard| {
        let state = heard.header("Subscription-State");
        state.is_some_and(|state| state.starts_with("terminated"))
    };
    assert_eq!(heard.iter().filter(ended).count(), 8);
    assert_eq!(world.census()[0].dialogs, 0);
    assert_bounded(&world, &alice);
}

/// It ends while the store keeps the rest of the request.
#[test]
fn what_has_ended_meanwhile_is_published_all_the_same() {
    let mut world = World::new(1, 9, &Settings::default());
    let mut bob = Client::up_with(&mut world, "bob", LYNC);
    let passing = |version, s: u32| {
        let lives = format!("expireType=\"time\" expires=\"{s}\"");
        instance("passing", 0, version, &lives, "here")
    };
    bob.publish_categories(&mut world, &passing(0, 60));
    world.settle();
    world.pass(Duration::from_secs(59));
    bob.read(&mut world);
    let lasting = instance("lasting", 0, 0, "expireType=\"static\"", "there");
    bob.publish_categories(&mut world, &[passing(1, 600), lasting].concat());
    for _ in 0..40 {
        world.move_clock(Duration::from_millis(100));
    }
    assert!(bob.read(&mut world).is_empty(), "the store is slow");
    world.settle();
    let heard = bob.read(&mut world);
    let answer = heard.iter().find(|heard| heard.status.is_some());
    let text = answer.expect("an answer").text();
    for name in ["passing", "lasting"] {
        assert!(text.contains(&format!("<{name} xmlns")), "{name}: {text}");
    }
}

/// Shorter than its owners take, or ended meanwhile: each request is answered, and none is left.
#[test]
fn a_brief_request_of_a_list_is_answered_too() {
    let far = far_from("alice");
    for (expires_s, piggyback) in [(0, true), (1, true), (0, false), (2, false), (3600, true)] {
        let mut world = World::new(2, 7, &Settings::default());
        let mut alice = Client::up_with(&mut world, "alice", LYNC);
        world.add_user(&format!("{far}@example.com"), &far, "secret");
        let mut lines = format!("Expires: {expires_s}\r\n{BATCH}");
        if !piggyback {
            lines = lines.replace("ms-piggyback-first-notify, ", "");
        }
        let mut requests = 1;
        if expires_s == 3600 {
            // In the dialog of an earlier one; and then the client goes.
            let granted = alice.ask(&mut world, "SUBSCRIBE", "alice", &lines, &batch(&["alice"]));
            let dialog = format!(
                "To: {}\r\nCall-ID: {}\r\n",
                granted.header("To").expect("To"),
                granted.call_id()
            );
            let again = format!("{dialog}{lines}");
            alice.send(&mut world, "SUBSCRIBE", "alice", &again, &batch(&[&far]));
            let ends = again.replace("Expires: 3600", "Expires: 0");
            alice.send(&mut world, "SUBSCRIBE", "alice", &ends, "");
            requests = 2;
        } else {
            alice.send(&mut world, "SUBSCRIBE", "alice", &lines, &batch(&[&far]));
        }
        let what = format!("{expires_s} s, {piggyback}");
        let mut answers = 0;
        for _ in 0..60 {
            world.move_clock(Duration::from_millis(100));
            let heard = alice.read(&mut world);
            answers += heard
                .iter()
                .filter(|heard| heard.status == Some(200))
                .count();
        }
        assert_eq!(answers, requests, "{what}");
        world.settle();
        alice.read(&mut world);
        world.settle();
        for census in world.census() {
            assert_eq!(
                (census.server_transactions, census.dialogs),
                (0, 0),
                "{what}"
            );
        }
    }
}

const INVITE: &str =
    "Contact: <sip:x@10.0.0.1:5060;transport=tls>\r\nContent-Type: application/sdp\r\n";

/// So many bytes, and which one it is.
fn letter(number: usize) -> String {
    format!("{number} {}", "x".repeat(60_000))
}

fn number_of(heard: &Heard) -> usize {
    let text = heard.text();
    let number = text.split(' ').next().and_then(|word| word.parse().ok());
    number.expect("a letter")
}

const TEXT: &str = "Content-Type: text/plain\r\n";

/// The numbers of the letters that have come.
fn letters(heard: &[Heard]) -> Vec<usize> {
    let those = heard.iter();
    let those = those.filter(|heard| heard.status.is_none() && heard.method == "MESSAGE");
    those.map(number_of).collect()
}

/// How many requests have been taken; the others were refused, and may be tried again.
fn taken(heard: &[Heard]) -> usize {
    let finals = heard.iter().filter(|heard| heard.status >= Some(200));
    let (taken, refused): (Vec<&Heard>, Vec<&Heard>) =
        finals.partition(|heard| heard.status == Some(200));
    for answer in refused {
        assert_eq!(answer.status, Some(503), "{}", answer.full());
        assert!(answer.header("Retry-After").is_some(), "{}", answer.full());
    }
    taken.len()
}

/// The shell cuts who has more than 1,104 KiB unread: 120 letters would be 7 MB.
#[test]
fn who_writes_much_at_once_cuts_nobody() {
    for shards in [1, 2] {
        let mut world = World::new(shards, 8, &Settings::default());
        let mut bob = Client::up(&mut world, "bob");
        let mut mallory = Client::up(&mut world, &far_from("bob"));
        for number in 0..120 {
            mallory.send(&mut world, "MESSAGE", "bob", TEXT, &letter(number));
        }
        let got = letters(&bob.read_all(&mut world));
        assert_bounded(&world, &bob);
        // A turn's bytes and one past that, and nearly as many that wait.
        assert!(got.len() >= 8, "{got:?}");
        assert!(got.is_sorted(), "{got:?}");
        let heard = mallory.read(&mut world);
        assert_eq!(taken(&heard), got.len(), "each has one answer");
        assert_eq!(heard.len(), 120);
        // There is room again for everybody.
        let answer = paged(&mut world, &mut mallory, &mut bob);
        assert_eq!(answer.status, Some(200), "{}", answer.full());
    }
}

/// In a call it goes round by no other name: this server tells in these two.
#[test]
fn who_notifies_much_in_a_call_cuts_nobody() {
    for (shards, method) in [(1, "NOTIFY"), (2, "NOTIFY"), (2, "BENOTIFY"), (2, "INFO")] {
        let mut world = World::new(shards, 8, &Settings::default());
        let mut bob = Client::up(&mut world, "bob");
        let mut mallory = Client::up(&mut world, &far_from("bob"));
        let [hers, _] = call(&mut world, &mut mallory, &mut bob);
        let lines = format!("{hers}Event: much\r\nSubscription-State: active\r\n{TEXT}");
        for number in 0..120 {
            mallory.send(&mut world, method, "bob", &lines, &letter(number));
        }
        let heard = bob.read_all(&mut world);
        assert_bounded(&world, &bob);
        let got = heard.iter().filter(|heard| heard.method == method);
        let got: Vec<usize> = got.map(number_of).collect();
        assert!(got.len() >= 8 && got.is_sorted(), "{method} {got:?}");
        let heard = mallory.read(&mut world);
        assert_eq!((taken(&heard), heard.len()), (got.len(), 120), "{method}");
        let answer = paged(&mut world, &mut mallory, &mut bob);
        assert_eq!(answer.status, Some(200), "{}", answer.full());
    }
}

/// Carol converses with Bob: what stands in her messages.
fn converse(world: &mut World, carol: &mut Client, bob: &mut Client) -> String {
    carol.send(world, "INVITE", "bob", INVITE, MESSAGES);
    world.settle();
    let bytes = world.read(bob.socket);
    let invite = bob.inbox.push(&bytes).remove(0);
    let accepts = invite.response(200, "OK", "b", INVITE, MESSAGES);
    world.send(bob.socket, &accepts);
    let heard = carol.read_all(world);
    let accepted = heard.last().expect("an answer");
    assert_eq!(accepted.status, Some(200), "{}", accepted.full());
    let to = accepted.header("To").expect("To");
    let dialog = format!("To: {to}\r\nCall-ID: {}\r\n{TEXT}", accepted.call_id());
    bob.read_all(world);
    dialog
}

/// They say it again, or otherwise: it must not come after all.
#[test]
fn what_its_sender_was_told_is_lost_does_not_come_later() {
    let mut world = World::new(1, 9, &Settings::default());
    let [mut bob, mut mallory, mut carol, mut dave] =
        ["bob", "mallory", "carol", "dave"].map(|name| Client::up(&mut world, name));
    let dialog = converse(&mut world, &mut carol, &mut bob);
    let [in_call, _] = call(&mut world, &mut dave, &mut bob);

    world.set_reading(bob.socket, false);
    mallory.send(&mut world, "MESSAGE", "bob", TEXT, &letter(0));
    world.settle();
    mallory.send(&mut world, "MESSAGE", "bob", TEXT, &letter(1));
    carol.send(&mut world, "MESSAGE", "bob", &dialog, &letter(2));
    dave.send(
        &mut world,
        "INFO",
        "bob",
        &format!("{in_call}{TEXT}"),
        "press 1",
    );
    world.pass(Duration::from_secs(20));
    mallory.send(&mut world, "MESSAGE", "bob", TEXT, &letter(3));
    dave.send(&mut world, "BYE", "bob", &in_call, "");
    world.pass(Duration::from_secs(13));
    let finals =
        |heard: Vec<Heard>| -> Vec<u16> { heard.iter().filter_map(|heard| heard.status).collect() };
    assert_eq!(finals(mallory.read(&mut world)), [480, 480]);
    assert_eq!(finals(carol.read(&mut world)), [480]);
    assert_eq!(finals(dave.read(&mut world)), [408]);
    world.pass(Duration::from_secs(5));

    world.set_reading(bob.socket, true);
    let heard = bob.read_all(&mut world);
    // That is on its way already.
    assert_eq!(letters(&heard), [0, 3]);
    let requests = heard.iter().filter(|heard| heard.status.is_none());
    let requests: Vec<&str> = requests.map(|heard| &*heard.method).collect();
    assert_eq!(requests, ["MESSAGE", "MESSAGE", "BYE"]);
    assert_eq!(taken(&mallory.read_all(&mut world)), 1);
    assert_eq!(taken(&dave.read_all(&mut world)), 1);
    let answer = paged(&mut world, &mut mallory, &mut bob);
    assert_eq!(answer.status, Some(200), "{}", answer.full());
}

/// The call is over, and the last word finds no room: it is said again.
#[test]
fn how_a_transfer_has_ended_is_told_by_the_second_try() {
    for shards in [1, 2] {
        let mut world = World::new(shards, 9, &Settings::default());
        let mut bob = Client::up(&mut world, "bob");
        let mut alice = Client::up(&mut world, &far_from("bob"));
        let mut mallory = Client::up(&mut world, "mallory");
        let [hers, his] = call(&mut world, &mut alice, &mut bob);
        let refers = format!("{his}Refer-To: <sip:carol@example.com>\r\n");
        for (method, lines) in [("REFER", &refers), ("BYE", &his)] {
            bob.send(&mut world, method, &alice.name, lines, "");
            alice.read_all(&mut world);
            assert_eq!(taken(&bob.read(&mut world)), 1);
        }

        world.set_reading(bob.socket, false);
        for bytes in [60_000, 10_000, 1_000, 10] {
            let mut heard = Vec::new();
            while heard.is_empty() {
                let text = "x".repeat(bytes);
                mallory.send(&mut world, "MESSAGE", "bob", TEXT, &text);
                world.settle();
                heard = mallory.read(&mut world);
            }
            assert_eq!(taken(&heard), 0);
        }
        let last = format!(
            "{hers}Event: refer\r\nSubscription-State: terminated;reason=noresource\r\n\
             Content-Type: message/sipfrag\r\n"
        );
        let tells = |alice: &mut Client, world: &mut World| {
            alice.send(world, "NOTIFY", "bob", &last, "SIP/2.0 200 OK\r\n");
            world.settle();
        };
        tells(&mut alice, &mut world);
        let heard = alice.read(&mut world);
        assert_eq!((taken(&heard), heard.len()), (0, 1));

        world.set_reading(bob.socket, true);
        bob.read_all(&mut world);
        tells(&mut alice, &mut world);
        let heard = bob.read(&mut world);
        let heard: Vec<&str> = heard.iter().map(|heard| &*heard.method).collect();
        assert_eq!(heard, ["NOTIFY"]);
        assert_eq!(taken(&alice.read_all(&mut world)), 1);
        for census in world.census() {
            assert_eq!(census.ends, 0);
        }
    }
}

#[test]
fn what_is_written_to_who_does_not_read_waits_in_its_order() {
    let mut world = World::new(1, 9, &Settings::default());
    let mut bob = Client::up(&mut world, "bob");
    let mut mallory = Client::up(&mut world, "mallory");
    let mut carol = Client::up(&mut world, "carol");
    let dialog = converse(&mut world, &mut carol, &mut bob);

    world.set_reading(bob.socket, false);
    for number in 0..4 {
        mallory.send(&mut world, "MESSAGE", "bob", TEXT, &letter(2 * number));
        carol.send(
            &mut world,
            "MESSAGE",
            "bob",
            &dialog,
            &letter(2 * number + 1),
        );
        world.settle();
    }
    // Four wait behind the one that made him slow, and there is room for a few words.
    for (client, refused) in [(&mut mallory, 1), (&mut carol, 2)] {
        let heard = client.read(&mut world);
        assert_eq!((taken(&heard), heard.len()), (0, refused), "at once");
    }
    carol.send(&mut world, "MESSAGE", "bob", &dialog, "9 too");
    // And what ends a conversation goes its way.
    carol.send(&mut world, "BYE", "bob", dialog.trim_end_matches(TEXT), "");
    world.settle();
    carol.read(&mut world);

    world.set_reading(bob.socket, true);
    let heard = bob.read_all(&mut world);
    assert_bounded(&world, &bob);
    let got = letters(&heard);
    assert_eq!(got, [0, 1, 2, 3, 4, 9]);
    assert_eq!(taken(&mallory.read_all(&mut world)), 3);
    assert_eq!(taken(&carol.read_all(&mut world)), 3);
    let mut requests = heard.iter().filter(|heard| heard.status.is_none());
    let last = requests.next_back().map(|heard| &*heard.method);
    assert_eq!(last, Some("BYE"), "behind what was said before it");
    let answer = paged(&mut world, &mut mallory, &mut bob);
    assert_eq!(answer.status, Some(200), "{}", answer.full());
}

/// Before a call is answered BYE ends nothing: there may be as many as somebody likes.
#[test]
fn bye_goes_past_what_waits_where_it_ends_a_call_and_nowhere_else() {
    for answered in [false, true] {
        let mut world = World::new(1, 10, &Settings::default());
        let mut bob = Client::up(&mut world, "bob");
        let mut mallory = Client::up(&mut world, "mallory");
        let mut carol = Client::up(&mut world, "carol");
        carol.send(&mut world, "INVITE", "bob", INVITE, AUDIO);
        world.settle();
        let bytes = world.read(bob.socket);
        let invite = bob.inbox.push(&bytes).remove(0);
        let answer = match answered {
            true => invite.response(200, "OK", "b", INVITE, AUDIO),
            false => invite.response(180, "Ringing", "b", INVITE, ""),
        };
        world.send(bob.socket, &answer);
        world.settle();
        let heard = carol.read(&mut world);
        let rings = heard.last().expect("an answer");
        let routes = rings.all("Record-Route");
        let routes: String = routes.map(|route| format!("Route: {route}\r\n")).collect();
        let to = rings.header("To").expect("To");
        let dialog = format!("To: {to}\r\nCall-ID: {}\r\n{routes}{TEXT}", rings.call_id());
        let target = rings.contact().expect("a Contact");

        world.set_reading(bob.socket, false);
        for number in 0..8 {
            mallory.send(&mut world, "MESSAGE", "bob", TEXT, &letter(number));
            world.settle();
        }
        assert_eq!(taken(&mallory.read(&mut world)), 0);
        for number in 0..8 {
            carol.send_to(&mut world, "BYE", &target, &dialog, &letter(number));
            world.settle();
        }
        let heard = carol.read(&mut world);
        let refused = |status| {
            heard
                .iter()
                .filter(move |heard| heard.status == Some(status))
        };
        // One ends the call, and there is none for the others.
        let expected = if answered { (0, 7) } else { (8, 0) };
        assert_eq!((refused(503).count(), refused(481).count()), expected);
        assert!(refused(503).all(|heard| heard.header("Retry-After").is_some()));

        world.set_reading(bob.socket, true);
        let heard = bob.read_all(&mut world);
        assert_bounded(&world, &bob);
        let byes = heard.iter().filter(|heard| heard.method == "BYE");
        assert_eq!(byes.count(), usize::from(answered));
    }
}
