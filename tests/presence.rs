//! What presence costs and keeps: limits, lists of watchers, and what the store is slow to keep or refuses.

use std::time::Duration;

use crate::client::Heard;
use crate::overload::Client;
use crate::world::World;
use muster::dialect::lync::contact_list;
use muster::presence::{Choice, Level, Manual, Member};
use muster::shard::Settings;
use muster::shard::change::Change;
use muster::sip::uri::Aor;

const TICK: Duration = Duration::from_millis(100);

fn aor(name: &str) -> Aor {
    Aor::parse(&format!("{name}@example.com")).expect("an address")
}

fn status(heard: &[Heard], cseq: u32) -> Option<u16> {
    let answer = |heard: &&Heard| heard.cseq() == cseq && heard.status.is_some();
    heard.iter().find(answer).and_then(|heard| heard.status)
}

fn requests<'h>(heard: &'h [Heard], method: &str) -> Vec<&'h Heard> {
    let those = heard.iter();
    those
        .filter(|heard| heard.status.is_none() && heard.method == method)
        .collect()
}

/// A URI that is nobody's costs memory as long as the subscription, like any other entry.
#[test]
fn strangers_on_lists_count_as_subscriptions() {
    let settings = Settings {
        subscriptions_max: 5,
        ..Settings::default()
    };
    let mut world = World::new(1, 3, &settings);
    let mut alice = Client::up(&mut world, "alice");
    let mut subscribe = |world: &mut World, granted: Option<&Heard>, count: u32, expires_s: u32| {
        let uris = (0..count).map(|number| format!("<entry uri=\"tel:+49{number}\"/>"));
        let body = format!(
            "<resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\"><list>{}</list></resource-lists>",
            uris.collect::<String>()
        );
        let dialog = granted.map(|granted| {
            let to = granted.header("To").expect("To");
            format!("To: {to}\r\nCall-ID: {}\r\n", granted.call_id())
        });
        let lines = format!(
            "{}Contact: <sip:alice@10.0.0.1:5060;transport=tls>\r\nEvent: presence\r\nSupported: eventlist\r\n\
             Content-Type: application/resource-lists+xml\r\nExpires: {expires_s}\r\n",
            dialog.unwrap_or_default()
        );
        alice.ask(world, "SUBSCRIBE", "contacts", &lines, &body)
    };
    let first = subscribe(&mut world, None, 3, 600);
    assert_eq!(first.status, Some(200), "{}", first.full());
    assert_eq!(subscribe(&mut world, None, 3, 600).status, Some(403));
    assert_eq!(
        subscribe(&mut world, Some(&first), 6, 600).status,
        Some(403)
    );
    assert_eq!(
        subscribe(&mut world, Some(&first), 5, 600).status,
        Some(200)
    );
    assert_eq!(subscribe(&mut world, None, 0, 600).status, Some(403));
    // What has ended costs nothing.
    assert_eq!(subscribe(&mut world, Some(&first), 5, 0).status, Some(200));
    assert_eq!(subscribe(&mut world, None, 5, 600).status, Some(200));
}

#[test]
fn those_who_come_to_watch_within_a_tick_are_told_of_at_once() {
    for shards in [1, 2] {
        let mut world = World::new(shards, 5, &Settings::default());
        let mut alice = Client::up(&mut world, "alice");
        let lines = |expires_s: u32| {
            format!(
                "Contact: <sip:alice@10.0.0.1:5060;transport=tls>\r\nEvent: presence.winfo\r\nExpires: {expires_s}\r\n"
            )
        };
        let granted = alice.ask(&mut world, "SUBSCRIBE", "alice", &lines(600), "");
        assert_eq!(granted.status, Some(200));
        // The documents that one who answers at once is sent, each with how many it names.
        let told = |alice: &mut Client, world: &mut World| -> Vec<usize> {
            let heard = alice.read_all(world);
            let named = |heard: &&Heard| heard.text().matches("<watcher ").count();
            requests(&heard, "NOTIFY").iter().map(named).collect()
        };
        told(&mut alice, &mut world);
        let mut watchers = Vec::new();
        for number in 0..40 {
            let mut watcher = Client::up(&mut world, &format!("w{number}"));
            assert_eq!(watcher.watch(&mut world, "alice", 600).status, Some(200));
            assert!(
                told(&mut alice, &mut world).is_empty(),
                "on {shards} shards"
            );
            watchers.push(watcher);
        }
        world.pass(TICK);
        assert_eq!(told(&mut alice, &mut world), [40], "on {shards} shards");
        // They see something else from now on, and watch as before.
        let everyone = |standing: &mut muster::shard::standing::Standing| {
            let set = standing.access.set(Member::Everyone, Level::External);
            set.map(drop).map_err(|error| error.to_string())
        };
        world.edit("alice@example.com", everyone).expect("a rule");
        world.settle();
        world.pass(TICK);
        assert!(
            told(&mut alice, &mut world).is_empty(),
            "on {shards} shards"
        );
        for watcher in &watchers {
            world.cut(watcher.socket);
        }
        world.settle();
        world.pass(TICK);
        assert_eq!(told(&mut alice, &mut world), [40], "on {shards} shards");
    }
}

fn alert(world: &mut World, alice: &mut Client) -> Heard {
    let lines = "Contact: <sip:alice@10.0.0.1:5060;transport=tls>\r\nEvent: presence;alert\r\nExpires: 0\r\n";
    alice.ask(world, "SUBSCRIBE", "bob", lines, "")
}

/// A peer may take a second to let go of its socket, or longer.
#[test]
fn who_is_signed_out_is_gone_before_their_sockets_are() {
    let mut world = World::new(1, 6, &Settings::default());
    let mut alice = Client::up(&mut world, "alice");
    let mut bob = Client::up(&mut world, "bob");
    assert_eq!(alice.watch(&mut world, "bob", 600).status, Some(200));
    world.settle();
    alice.read(&mut world);
    world.settle();
    let sign_out = |standing: &mut muster::shard::standing::Standing| {
        standing.sign_outs += 1;
        Ok(())
    };
    world
        .edit("bob@example.com", sign_out)
        .expect("he is there");
    assert!(world.is_closed(bob.socket));
    // That the socket is gone is on its way.
    assert_eq!(world.in_flight(), [(0, 0)]);
    let lines = "Content-Type: text/plain\r\n";
    alice.send(&mut world, "MESSAGE", "bob", lines, "are you here?");
    let heard = alice.read(&mut world);
    assert_eq!(status(&heard, alice.requests()), Some(480), "{heard:#?}");
    let told = requests(&heard, "NOTIFY");
    assert!(
        told.iter()
            .any(|notify| notify.text().contains("<basic>closed</basic>")),
        "{heard:#?}"
    );
    assert!(requests(&bob.read(&mut world), "MESSAGE").is_empty());
    // It changes nothing any more, and he may come back.
    world.settle();
    assert!(alice.read(&mut world).is_empty());
    let mut bob = Client::another(&mut world, "bob");
    alice.send(&mut world, "MESSAGE", "bob", lines, "are you here?");
    world.settle();
    assert_eq!(requests(&bob.read(&mut world), "MESSAGE").len(), 1);
}

/// Alice was told that Bob is available, and the store could not take that out.
fn told_and_not_taken_out(seed: u64) -> (World, Client, Client) {
    let mut world = World::new(1, seed, &Settings::default());
    let mut alice = Client::up(&mut world, "alice");
    world.add_user("bob@example.com", "Bob", "secret");
    assert_eq!(alert(&mut world, &mut alice).status, Some(200));
    alice.read(&mut world);
    world.settle();
    let bob = Client::up(&mut world, "bob");
    world.settle();
    world.store_fails = true;
    assert_eq!(requests(&alice.read(&mut world), "MESSAGE").len(), 1);
    world.settle();
    assert_eq!(waited_for(&world), [aor("bob")]);
    (world, alice, bob)
}

fn waited_for(world: &World) -> Vec<Aor> {
    let standing = world.standing("alice@example.com");
    standing.expect("she is there").alerts
}

#[test]
fn what_was_told_is_taken_out_when_the_store_can() {
    let (mut world, mut alice, bob) = told_and_not_taken_out(1);
    world.pass(Duration::from_secs(90));
    assert_eq!(waited_for(&world), [aor("bob")]);
    world.store_fails = false;
    world.pass(Duration::from_secs(90));
    assert_eq!(waited_for(&world), []);
    world.cut(bob.socket);
    world.settle();
    Client::up(&mut world, "bob");
    world.settle();
    assert!(requests(&alice.read(&mut world), "MESSAGE").is_empty());
}

#[test]
fn an_alert_that_the_store_could_not_take_out_can_be_asked_for_again() {
    // At any time: also right before the store is asked once more to take it out, which must not take out the new one.
    for waited_s in [0, 30, 59, 60, 61] {
        let (mut world, mut alice, bob) = told_and_not_taken_out(2);
        world.cut(bob.socket);
        world.settle();
        world.move_clock(Duration::from_secs(waited_s));
        world.settle();
        world.store_fails = false;
        assert_eq!(alert(&mut world, &mut alice).status, Some(200));
        alice.read(&mut world);
        world.settle();
        assert_eq!(waited_for(&world), [aor("bob")], "after {waited_s} s");
        Client::up(&mut world, "bob");
        world.settle();
        let heard = alice.read(&mut world);
        assert_eq!(requests(&heard, "MESSAGE").len(), 1, "after {waited_s} s");
        world.settle();
        assert_eq!(waited_for(&world), [], "after {waited_s} s");
    }
}

#[test]
fn while_the_store_keeps_an_alert_it_is_not_asked_to_take_it_out() {
    let (mut world, mut alice, bob) = told_and_not_taken_out(3);
    world.cut(bob.socket);
    world.settle();
    world.pass(Duration::from_secs(50));
    world.store_fails = false;
    let lines = "Contact: <sip:alice@10.0.0.1:5060;transport=tls>\r\nEvent: presence;alert\r\nExpires: 0\r\n";
    alice.send(&mut world, "SUBSCRIBE", "bob", lines, "");
    assert_eq!(world.in_flight(), [(0, 1)], "the store is asked");
    // Its time comes while the store is slow.
    for _ in 0..30 {
        world.move_clock(Duration::from_secs(1));
    }
    world.settle();
    assert_eq!(waited_for(&world), [aor("bob")]);
    assert_eq!(status(&alice.read(&mut world), alice.requests()), Some(200));
    world.pass(Duration::from_secs(90));
    assert_eq!(waited_for(&world), [aor("bob")]);
}

/// The 200 is a promise: what it takes back is not told after a restart either.
#[test]
fn an_alert_is_taken_back_when_the_store_has_taken_it_out() {
    let mut world = World::new(1, 4, &Settings::default());
    let mut alice = Client::up(&mut world, "alice");
    world.add_user("bob@example.com", "Bob", "secret");
    let lines = |dialog: &str, expires_s: u32| {
        format!(
            "{dialog}Contact: <sip:alice@10.0.0.1:5060;transport=tls>\r\nEvent: presence;alert\r\nExpires: {expires_s}\r\n"
        )
    };
    let granted = alice.ask(&mut world, "SUBSCRIBE", "bob", &lines("", 600), "");
    assert_eq!(granted.status, Some(200));
    let to = granted.header("To").expect("To");
    let dialog = format!("To: {to}\r\nCall-ID: {}\r\n", granted.call_id());
    alice.read(&mut world);
    // The store can't: then both are there still.
    world.store_fails = true;
    let refused = alice.ask(&mut world, "SUBSCRIBE", "bob", &lines(&dialog, 0), "");
    assert_eq!(refused.status, Some(503));
    assert_eq!(waited_for(&world), [aor("bob")]);
    world.store_fails = false;
    alice.send(&mut world, "SUBSCRIBE", "bob", &lines(&dialog, 0), "");
    assert_eq!(world.in_flight(), [(0, 1)], "the store is asked");
    assert!(alice.read(&mut world).is_empty(), "answered too early");
    world.settle();
    let heard = alice.read(&mut world);
    assert_eq!(status(&heard, alice.requests()), Some(200));
    assert_eq!(requests(&heard, "NOTIFY").len(), 1);
    assert_eq!(waited_for(&world), []);
    Client::up(&mut world, "bob");
    world.settle();
    assert!(alice.read(&mut world).is_empty());
}

/// PUBLISH of so many new messages, in answer to `tag` where there is one; not delivered to the store.
fn publish(world: &mut World, mailbox: &mut Client, new: u32, tag: &str) {
    let tag = match tag {
        "" => String::new(),
        tag => format!("SIP-If-Match: {tag}\r\n"),
    };
    let lines = format!(
        "Event: message-summary\r\n{tag}Content-Type: application/simple-message-summary\r\n"
    );
    let body = format!("Messages-Waiting: yes\r\nVoice-Message: {new}/0 (0/0)\r\n");
    mailbox.send(world, "PUBLISH", "alice", &lines, &body);
}

fn answer(world: &mut World, mailbox: &mut Client) -> Option<Heard> {
    let heard = mailbox.read(world);
    let number = mailbox.requests();
    let mut answers = heard.into_iter();
    answers.find(|heard| heard.status.is_some() && heard.cseq() == number)
}

#[test]
fn two_mailboxes_of_a_user_lose_no_message() {
    let mut world = World::new(1, 4, &Settings::default());
    let mut one = Client::up(&mut world, "alice");
    let mut two = Client::another(&mut world, "alice");
    let new = |world: &World| {
        let standing = world.standing("alice@example.com");
        standing.expect("she is there").waiting.new
    };
    let mut both = |world: &mut World, first: (u32, &str), second: (u32, &str)| {
        publish(world, &mut one, first.0, first.1);
        publish(world, &mut two, second.0, second.1);
        assert!(answer(world, &mut two).is_none(), "nothing is known yet");
        world.settle();
        let answers = [answer(world, &mut one), answer(world, &mut two)];
        let statuses = answers.each_ref().map(|answer| {
            let answer = answer.as_ref().expect("an answer");
            answer.status.unwrap_or(0)
        });
        let [first, second] = answers.map(|answer| {
            let answer = answer.expect("an answer");
            answer.header("SIP-ETag").unwrap_or("").to_owned()
        });
        (statuses, [first, second])
    };
    // The second says what is known, and not what there will be.
    let (statuses, _) = both(&mut world, (1, ""), (0, ""));
    assert_eq!((statuses, new(&world)), ([200, 200], 0));
    // Both know the same; only one of them can change it.
    let (statuses, tags) = both(&mut world, (2, ""), (2, ""));
    assert_eq!((statuses, new(&world)), ([200, 200], 2));
    let tag = tags[0].as_str();
    let (statuses, tags) = both(&mut world, (3, tag), (4, tag));
    assert_eq!((statuses, new(&world)), ([200, 412], 3));
    // Also where the second changes nothing of what it knows.
    let tag = tags[0].as_str();
    let (statuses, tags) = both(&mut world, (5, tag), (3, tag));
    assert_eq!((statuses, new(&world)), ([200, 412], 5));
    // Nothing waits any more: what is known is answered at once.
    publish(&mut world, &mut one, 5, &tags[0]);
    let known = answer(&mut world, &mut one).expect("an answer");
    assert_eq!(known.status, Some(200));
    assert!(world.in_flight().is_empty());
}

/// What is noted by other means while a publication waits for the store is told to the user's own clients, also where that
/// publication comes to nothing.
#[test]
fn a_refused_publication_swallows_no_news() {
    const LYNC: &str = "Supported: msrtc-event-categories\r\n";
    for (store_fails, expected) in [(false, 409), (true, 503)] {
        let mut world = World::new(1, 5, &Settings::default());
        let mut alice = Client::up_with(&mut world, "alice", LYNC);
        let lines = "Contact: <sip:alice@10.0.0.1:5060;transport=tls>\r\nEvent: vnd-microsoft-roaming-self\r\n\
                     Supported: ms-benotify\r\nSupported: ms-piggyback-first-notify\r\n";
        let own = alice.ask(&mut world, "SUBSCRIBE", "alice", lines, "");
        assert_eq!(own.status, Some(200), "{}", own.full());
        alice.read(&mut world);
        let lines = "Content-Type: application/msrtc-category-publish+xml\r\n";
        let body = "<publish xmlns=\"http://schemas.microsoft.com/2006/09/sip/rich-presence\"><publications uri=\"sip:alice@example.com\">\
                    <publication categoryName=\"state\" instance=\"536870912\" container=\"3\" version=\"0\" expireType=\"static\">\
                    <state xmlns=\"http://schemas.microsoft.com/2006/09/sip/state\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
                    xsi:type=\"userState\"><availability>6500</availability></state></publication></publications></publish>";
        alice.send(&mut world, "SERVICE", "alice", lines, body);
        let number = alice.requests();
        assert_eq!(world.in_flight(), [(0, 1)], "the store is asked");
        world
            .edit("alice@example.com", |standing| {
                standing.choice = Some(Choice {
                    state: Some(Manual::Away),
                    note: Some("By other means".into()),
                    ..Choice::default()
                });
                Ok(())
            })
            .expect("it may be");
        world.store_fails = store_fails;
        world.settle();
        let heard = alice.read(&mut world);
        assert_eq!(status(&heard, number), Some(expected));
        let told = requests(&heard, "BENOTIFY");
        let noted = told
            .iter()
            .filter(|one| one.text().contains("By other means"));
        assert_eq!(noted.count(), 1, "{expected}");
    }
}

/// Whoever fills the one queue of the store would let all others wait.
#[test]
fn so_many_changes_of_one_user_wait_for_the_store() {
    let mut world = World::new(1, 6, &Settings::default());
    let mut alice = Client::up(&mut world, "alice");
    let mut more = Client::another(&mut world, "alice");
    let mut bob = Client::up(&mut world, "bob");
    for new in 1..=10 {
        publish(&mut world, &mut alice, new, "");
        publish(&mut world, &mut more, 100 + new, "");
    }
    let heard = [alice.read(&mut world), more.read(&mut world)].concat();
    let refused: Vec<&Heard> = heard.iter().collect();
    assert_eq!(refused.len(), 4, "what is past 16, on whichever connection");
    for answer in refused {
        assert_eq!(answer.status, Some(503), "{}", answer.full());
        assert!(answer.header("Retry-After").is_some());
    }
    // Another user's is not counted with them.
    let lines = "Event: message-summary\r\nContent-Type: application/simple-message-summary\r\n";
    let body = "Messages-Waiting: yes\r\nVoice-Message: 1/0 (0/0)\r\n";
    assert_eq!(
        bob.ask(&mut world, "PUBLISH", "bob", lines, body).status,
        Some(200)
    );
    // All that waited has been kept by now, and there is room.
    let heard = [alice.read(&mut world), more.read(&mut world)].concat();
    let taken = heard.iter().filter(|heard| heard.status == Some(200));
    assert_eq!(taken.count(), 16);
    publish(&mut world, &mut alice, 50, "");
    world.settle();
    let answer = answer(&mut world, &mut alice).expect("an answer");
    assert_eq!(answer.status, Some(200), "{}", answer.full());
}

/// A list that is sent again and again before the store has kept who was added asks it once, and not for each time; who was added
/// learns it all the same, also when the store could not keep it at first.
#[test]
fn who_is_added_again_and_again_is_kept_once() {
    for shards in [1, 2] {
        let mut world = World::new(shards, 31, &Settings::default());
        let mut alice =
            Client::up_with(&mut world, "alice", "Supported: msrtc-event-categories\r\n");
        let names = ["bob", "carol", "dave"];
        for name in names {
            Client::up(&mut world, name);
        }
        let resources = names
            .map(|name| format!("<resource uri=\"sip:{name}@example.com\"><context/></resource>"));
        let body = format!(
            "<batchSub xmlns=\"http://schemas.microsoft.com/2006/01/sip/batch-subscribe\" uri=\"sip:alice@example.com\" \
             name=\"\"><action name=\"subscribe\" id=\"1\"><adhocList>{}</adhocList></action></batchSub>",
            resources.concat()
        );
        let lines = "Contact: <sip:alice@10.0.0.1:5060;transport=tls>\r\n\
                     Supported: ms-piggyback-first-notify, ms-benotify\r\nEvent: presence\r\n\
                     Content-Type: application/msrtc-adrl-categorylist+xml\r\n";
        for store_fails in [true, false] {
            world.store_fails = store_fails;
            for _ in 0..20 {
                alice.send(&mut world, "SUBSCRIBE", "alice", lines, &body);
            }
            let asked: usize = world.census().iter().map(|shard| shard.keeping).sum();
            assert!(asked <= names.len(), "{asked} wait for the store");
            alice.read_all(&mut world);
            let added = |change: &&Change| matches!(change, Change::SubscriberAdded { .. });
            let kept = world.kept.iter().filter(added).count();
            assert_eq!(kept, if store_fails { 0 } else { names.len() });
        }
        for name in names {
            let standing = world.standing(&format!("{name}@example.com"));
            let knows = standing.is_some_and(|own| own.subscribers.contains(&aor("alice")));
            assert!(knows, "{name} learns it");
        }
    }
}

/// SIPE takes a group out contact by contact, all at once, and reads no answer: what was refused would come back.
#[test]
fn any_number_of_edits_of_the_contact_list_wait_in_their_order() {
    const LYNC: &str = "Supported: msrtc-event-categories\r\n";
    let mut world = World::new(1, 7, &Settings::default());
    let mut alice = Client::up_with(&mut world, "alice", LYNC);
    let added = world.edit("alice@example.com", |standing| {
        for number in 0..100 {
            let put = standing.contacts.put(&aor(&format!("u{number}")), "", 0);
            put.map_err(|refused| refused.to_string())?;
        }
        Ok(())
    });
    added.expect("there is room for so many");
    world.settle();
    alice.read(&mut world);
    let first = alice.requests() + 1;
    let standing = world.standing("alice@example.com").expect("she is there");
    let known = contact_list::number(&standing.contacts);
    let lines = "Content-Type: application/SOAP+xml\r\n";
    for number in 0..100 {
        // The client counts its own that are under way.
        let known = known + number;
        let body = format!(
            "<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" xmlns:m=\"http://schemas.microsoft.com/winrtc/2002/11/sip\">\
             <s:Body><m:deleteContact><m:URI>sip:u{number}@example.com</m:URI><m:deltaNum>{known}</m:deltaNum></m:deleteContact></s:Body></s:Envelope>"
        );
        alice.send(&mut world, "SERVICE", "alice", lines, &body);
    }
    // What is no edit is still refused past its bound.
    publish(&mut world, &mut alice, 1, "");
    let refused = answer(&mut world, &mut alice).expect("an answer at once");
    assert_eq!(refused.status, Some(503), "{}", refused.full());
    assert!(refused.header("Retry-After").is_some());
    world.settle();
    let heard = alice.read(&mut world);
    let answers = heard.iter().filter(|one| one.method == "SERVICE");
    let answers: Vec<_> = answers.map(|one| (one.cseq(), one.status)).collect();
    let expected: Vec<_> = (first..first + 100).map(|cseq| (cseq, Some(200))).collect();
    assert_eq!(answers, expected);
    let standing = world.standing("alice@example.com").expect("she is there");
    assert!(standing.contacts.is_empty());
    // There is room again.
    publish(&mut world, &mut alice, 1, "");
    world.settle();
    let taken = answer(&mut world, &mut alice).expect("an answer");
    assert_eq!(taken.status, Some(200), "{}", taken.full());
}

/// Whoever is signed out by a new password has not been removed.
#[test]
fn who_gets_another_password_is_told_so() {
    const LYNC: &str = "Supported: msrtc-event-categories\r\n";
    let mut world = World::new(1, 8, &Settings::default());
    let mut alice = Client::up_with(&mut world, "alice", LYNC);
    world.add_user("alice@example.com", "Alice", "another one");
    world.settle();
    let heard = alice.read(&mut world);
    let told = requests(&heard, "NOTIFY");
    let [told] = told[..] else {
        panic!("one NOTIFY, and not {told:?}");
    };
    assert_eq!(told.header("Event"), Some("registration-notify"));
    assert_eq!(
        told.header("ms-diagnostics-public"),
        Some("4141;reason=\"The password was changed\"")
    );
    assert_eq!(told.text(), "deregistered;event=rejected");
}
