//! Too much: what is shed and what never is, and how a change that many watch lets others in between.

/// What one connection is told in one turn.
mod at_once;
/// How much one may have of a thing.
mod limits;

use std::time::Duration;

use crate::client::{Heard, Inbox, authorization};
use crate::overload::limits::AUDIO;
use crate::world::World;
use muster::shard::Settings;
use muster::shard::route::Route;
use muster::sip::uri::Aor;

/// Which of two shards owns a user.
pub fn owner(name: &str) -> u16 {
    let aor = Aor::parse(&format!("{name}@example.com")).expect("an address");
    Route::new(2).owner(&aor).0
}

/// The name of a user whom, of two shards, not the same one owns as `name`.
pub fn far_from(name: &str) -> String {
    let mut names = (0..).map(|number| format!("user{number}"));
    let far = names.find(|other| owner(other) != owner(name));
    far.expect("there are two shards")
}

/// A client with one connection.
pub struct Client {
    name: String,
    pub socket: usize,
    inbox: Inbox,
    requests: u32,
    /// Of its REGISTER.
    lines: &'static str,
}

impl Client {
    /// A client with a connection that lands on the first shard, and nothing said on it.
    pub fn connect(world: &mut World, name: &str) -> Client {
        let peer = ([10, 0, 0, 1], 5060).into();
        Client {
            name: name.to_owned(),
            socket: world.connect(0, peer),
            inbox: Inbox::default(),
            requests: 0,
            lines: "",
        }
    }

    /// Another connection of a user who is up, registered; its requests have other numbers.
    pub fn another(world: &mut World, name: &str) -> Client {
        let mut client = Client::connect(world, name);
        client.requests = 1000;
        assert_eq!(client.register(world), 200);
        client
    }

    /// Connected and registered.
    pub fn up(world: &mut World, name: &str) -> Client {
        Client::up_with(world, name, "")
    }

    /// With these lines in its REGISTER.
    pub fn up_with(world: &mut World, name: &str, lines: &'static str) -> Client {
        world.add_user(&format!("{name}@example.com"), name, "secret");
        let mut client = Client::connect(world, name);
        client.lines = lines;
        assert_eq!(client.register(world), 200);
        client
    }

    pub fn register(&mut self, world: &mut World) -> u16 {
        let to = self.name.clone();
        let contact = format!(
            "Contact: <sip:{to}@10.0.0.1:5060;transport=tls>\r\n{}",
            self.lines
        );
        let first = self.ask(world, "REGISTER", &to, &contact, "");
        if first.status != Some(401) {
            return first.status.unwrap_or(0);
        }
        let uri = format!("sip:{to}@example.com");
        let answer = authorization(&first, "REGISTER", &uri, &to, "secret", 1).expect("a digest");
        let lines = format!("{contact}Authorization: {answer}\r\n");
        let last = self.ask(world, "REGISTER", &to, &lines, "");
        last.status.unwrap_or(0)
    }

    /// Sends a request to a user.
    pub fn send(&mut self, world: &mut World, method: &str, to: &str, lines: &str, body: &str) {
        let uri = format!("sip:{to}@example.com");
        self.send_to(world, method, &uri, lines, body);
    }

    /// Sends a request to whatever the URI names.
    fn send_to(&mut self, world: &mut World, method: &str, uri: &str, lines: &str, body: &str) {
        self.requests += 1;
        let (name, number) = (&self.name, self.requests);
        // What is in a dialog says so itself, and who has another name.
        let (mut to_line, mut call) = (
            format!("To: <{uri}>\r\n"),
            format!("Call-ID: {name}{number}\r\n"),
        );
        if lines.contains("Call-ID: ") {
            (to_line, call) = (String::new(), String::new());
        }
        let from = if lines.contains("From: ") {
            String::new()
        } else {
            format!("From: <sip:{name}@example.com>;tag=f\r\n")
        };
        let request = format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/TLS 10.0.0.1:5060;branch=z9hG4bK{name}{number}\r\n\
             Max-Forwards: 70\r\n{from}{to_line}{call}CSeq: {number} {method}\r\n\
             {lines}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        world.send(self.socket, request.as_bytes());
    }

    /// Sends a request and reads its final answer, once all has arrived.
    pub fn ask(
        &mut self,
        world: &mut World,
        method: &str,
        to: &str,
        lines: &str,
        body: &str,
    ) -> Heard {
        let uri = format!("sip:{to}@example.com");
        self.ask_at(world, method, &uri, lines, body)
    }

    /// The same, to whatever the URI names.
    fn ask_at(
        &mut self,
        world: &mut World,
        method: &str,
        uri: &str,
        lines: &str,
        body: &str,
    ) -> Heard {
        self.send_to(world, method, uri, lines, body);
        world.settle();
        let heard = self.read(world);
        let number = self.requests;
        let mine = |heard: &Heard| heard.status.is_some_and(|s| s >= 200) && heard.cseq() == number;
        heard.into_iter().find(mine).expect("an answer")
    }

    /// The number of its last request.
    pub fn requests(&self) -> u32 {
        self.requests
    }

    /// What has come; requests are answered 200.
    pub fn read(&mut self, world: &mut World) -> Vec<Heard> {
        let bytes = world.read(self.socket);
        let heard = self.inbox.push(&bytes);
        for request in heard.iter().filter(|heard| heard.status.is_none()) {
            world.send(self.socket, &request.response(200, "OK", "w", "", ""));
        }
        heard
    }

    /// All that comes once everything has arrived, and what follows from the 200s.
    pub fn read_all(&mut self, world: &mut World) -> Vec<Heard> {
        let mut all = Vec::new();
        loop {
            world.settle();
            let heard = self.read(world);
            if heard.is_empty() {
                return all;
            }
            all.extend(heard);
        }
    }

    fn publish(&mut self, world: &mut World, note: &str, tag: &str) -> Heard {
        let name = self.name.clone();
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><presence xmlns=\"urn:ietf:params:xml:ns:pidf\" \
             entity=\"sip:{name}@example.com\"><tuple id=\"a\"><status><basic>open</basic></status><note>{note}</note>\
             </tuple></presence>"
        );
        let lines = format!(
            "Event: presence\r\n{tag}Content-Type: application/pidf+xml\r\nExpires: 3600\r\n"
        );
        self.send(world, "PUBLISH", &name, &lines, &body);
        let number = self.requests;
        let answer = self.read(world).into_iter();
        let mut answer = answer.filter(|heard| heard.status.is_some() && heard.cseq() == number);
        answer.next().expect("an answer")
    }

    pub fn watch(&mut self, world: &mut World, whom: &str, expires_s: u32) -> Heard {
        let lines = format!(
            "Contact: <sip:{}@10.0.0.1:5060;transport=tls>\r\nEvent: presence\r\nExpires: {expires_s}\r\n",
            self.name
        );
        self.ask(world, "SUBSCRIBE", whom, &lines, "")
    }

    /// A SUBSCRIBE in the dialog of an earlier one.
    fn renew(&mut self, world: &mut World, granted: &Heard, expires_s: u32) -> Heard {
        let lines = format!(
            "To: {}\r\nCall-ID: {}\r\nContact: <sip:{}@10.0.0.1:5060;transport=tls>\r\nEvent: presence\r\n\
             Expires: {expires_s}\r\n",
            granted.header("To").expect("To"),
            granted.call_id(),
            self.name
        );
        self.ask(world, "SUBSCRIBE", "alice", &lines, "")
    }

    fn page(&mut self, world: &mut World, whom: &str) {
        self.send(
            world,
            "MESSAGE",
            whom,
            "Content-Type: text/plain\r\n",
            "hello",
        );
    }
}

/// The final answer of a page that `other` takes.
fn paged(world: &mut World, from: &mut Client, to: &mut Client) -> Heard {
    from.page(world, &to.name);
    world.settle();
    to.read(world);
    world.settle();
    let heard = from.read(world);
    heard
        .into_iter()
        .find(|heard| heard.status >= Some(200))
        .expect("an answer")
}

/// `caller` calls `callee`, who answers: what stands in the requests of each in that call.
fn call(world: &mut World, caller: &mut Client, callee: &mut Client) -> [String; 2] {
    let lines = |client: &Client| {
        let name = &client.name;
        format!(
            "Contact: <sip:{name}@10.0.0.1:5060;transport=tls>\r\nContent-Type: application/sdp\r\n"
        )
    };
    let offer = lines(caller);
    caller.send(world, "INVITE", &callee.name, &offer, AUDIO);
    world.settle();
    let bytes = world.read(callee.socket);
    let rings = callee.inbox.push(&bytes).pop().expect("an INVITE");
    // The tag that each client has everywhere.
    let answer = rings.response(200, "OK", "f", &lines(callee), AUDIO);
    world.send(callee.socket, &answer);
    let taken = caller.read_all(world).pop().expect("an answer");
    assert_eq!(taken.status, Some(200), "{}", taken.full());
    let within = |other: &str, told: &Heard| {
        let routes = told.all("Record-Route");
        let routes: String = routes.map(|route| format!("Route: {route}\r\n")).collect();
        let other = told.header(other).expect("an address");
        format!("To: {other}\r\nCall-ID: {}\r\n{routes}", told.call_id())
    };
    [within("To", &taken), within("From", &rings)]
}

fn assert_shed(answer: &Heard, what: &str) {
    assert_eq!(answer.status, Some(503), "{what}: {}", answer.full());
    let after = answer
        .header("Retry-After")
        .and_then(|text| text.parse().ok());
    assert!(
        matches!(after, Some(5..=60u32)),
        "{what}: {}",
        answer.full()
    );
}

#[test]
fn what_begins_is_shed_and_what_goes_on_is_not() {
    let mut world = World::new(1, 7, &Settings::default());
    let mut alice = Client::up(&mut world, "alice");
    let mut bob = Client::up(&mut world, "bob");
    let mut carol = Client::up(&mut world, "carol");
    let watching = bob.watch(&mut world, "alice", 3600);
    assert_eq!(watching.status, Some(200));
    assert_eq!(paged(&mut world, &mut alice, &mut bob).status, Some(200));
    world.add_user("dave@example.com", "dave", "secret");
    let mut dave = Client::connect(&mut world, "dave");
    let mut erin = Client::connect(&mut world, "erin");
    let asked = dave.ask(&mut world, "REGISTER", "dave", "", "");
    assert_eq!(asked.status, Some(401));
    let published = alice.publish(&mut world, "in", "");
    let tag = published.header("SIP-ETag").expect("a tag");
    let renewed = format!("Event: presence\r\nSIP-If-Match: {tag}\r\nExpires: 600\r\n");
    let changed = format!("SIP-If-Match: {tag}\r\n");

    for _ in 0..8 {
        world.press(0, Duration::from_millis(100));
    }
    assert_eq!(world.levels, [4]);
    assert_shed(&bob.watch(&mut world, "carol", 0), "a poll");
    assert_shed(&bob.watch(&mut world, "carol", 600), "a subscription");
    assert_shed(&alice.publish(&mut world, "in", ""), "a publication");
    assert_shed(&alice.publish(&mut world, "out", &changed), "another one");
    assert_shed(&paged(&mut world, &mut alice, &mut carol), "a conversation");
    assert_shed(
        &carol.ask(&mut world, "INVITE", "bob", "", ""),
        "an invitation",
    );
    assert_shed(&erin.ask(&mut world, "REGISTER", "erin", "", ""), "a logon");
    let credentials = authorization(
        &asked,
        "REGISTER",
        "sip:dave@example.com",
        "dave",
        "secret",
        1,
    );
    let lines = format!("Authorization: {}\r\n", credentials.expect("a digest"));
    assert_shed(
        &dave.ask(&mut world, "REGISTER", "dave", &lines, ""),
        "its rest",
    );
    // A conference that is none of this shard's is not looked for.
    let referred = "Refer-To: <sip:bob@example.com>\r\n";
    assert_shed(
        &alice.ask(&mut world, "REFER", "im-0", referred, ""),
        "a REFER of its own",
    );
    let cccp = "Content-Type: application/cccp+xml\r\n";
    assert_shed(
        &alice.ask(&mut world, "SERVICE", "alice", cccp, "<request/>"),
        "a conference to be made",
    );
    assert_eq!(world.shed, [1, 3, 5, 1]);
    let categories = "Content-Type: application/msrtc-category-publish+xml\r\n";
    assert_shed(
        &alice.ask(&mut world, "SERVICE", "alice", categories, "<publish/>"),
        "a publication in Lync's dialect",
    );
    assert_eq!(world.shed, [1, 4, 5, 1]);

    assert_eq!(paged(&mut world, &mut alice, &mut bob).status, Some(200));
    let reply = paged(&mut world, &mut bob, &mut alice);
    assert_eq!(reply.status, Some(200), "an answer: {}", reply.full());
    assert_eq!(bob.renew(&mut world, &watching, 600).status, Some(200));
    assert_eq!(bob.renew(&mut world, &watching, 0).status, Some(200));
    assert_eq!(alice.register(&mut world), 200, "a refresh");
    let renewed = alice.ask(&mut world, "PUBLISH", "alice", &renewed, "");
    assert_eq!(renewed.status, Some(200), "{}", renewed.full());
    let tag = renewed.header("SIP-ETag").expect("a tag");
    // Some send along what ends.
    let ends = format!(
        "Event: presence\r\nSIP-If-Match: {tag}\r\nExpires: 0\r\nContent-Type: application/pidf+xml\r\n"
    );
    let state =
        "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:alice@example.com\"/>";
    let ended = alice.ask(&mut world, "PUBLISH", "alice", &ends, state);
    assert_eq!(ended.status, Some(200), "{}", ended.full());
    let options = alice.ask(&mut world, "OPTIONS", "bob", "", "");
    assert_eq!(options.status, Some(200));
    assert_eq!(world.shed, [1, 4, 5, 1]);

    for _ in 0..64 {
        world.press(0, Duration::ZERO);
    }
    assert_eq!(world.levels, [0]);
    assert_eq!(dave.register(&mut world), 200);
    assert_eq!(bob.watch(&mut world, "carol", 0).status, Some(200));
}

#[test]
fn who_finds_no_room_where_they_belong_is_asked_to_come_again_and_gets_in_then() {
    let mut world = World::new(4, 11, &Settings::default());
    world.is_full = true;
    let mut refused = 0;
    let mut clients: Vec<Client> = (0..16)
        .map(|number| {
            let name = format!("user{number}");
            world.add_user(&format!("{name}@example.com"), &name, "secret");
            Client::connect(&mut world, &name)
        })
        .collect();
    for client in &mut clients {
        // Each is on the first shard, and belongs to any.
        match client.register(&mut world) {
            200 => {}
            503 => refused += 1,
            other => panic!("{}: {other}", client.name),
        }
    }
    assert!((1..16).contains(&refused), "{refused} of 16 found no room");
    world.is_full = false;
    for client in &mut clients {
        assert_eq!(client.register(&mut world), 200, "{}", client.name);
    }
    let (alice, others) = clients.split_first_mut().expect("sixteen");
    for other in others {
        assert_eq!(paged(&mut world, alice, other).status, Some(200));
    }
    let endpoints = world
        .census()
        .iter()
        .map(|shard| shard.endpoints)
        .sum::<usize>();
    assert_eq!(endpoints, 16);
}

#[test]
fn polls_go_before_presence_and_presence_before_what_begins() {
    let mut world = World::new(1, 8, &Settings::default());
    let mut alice = Client::up(&mut world, "alice");
    let mut bob = Client::up(&mut world, "bob");
    let mut tried = |world: &mut World| {
        let poll = bob.watch(world, "alice", 0).status;
        let publish = alice.publish(world, "in", "").status;
        let begin = alice.ask(world, "INVITE", "nobody", "", "").status;
        [poll, publish, begin].map(|status| status == Some(503))
    };
    assert_eq!(tried(&mut world), [false, false, false]);
    for _ in 0..100 {
        world.press(0, Duration::from_millis(9));
    }
    assert_eq!(tried(&mut world), [true, false, false]);
    for _ in 0..100 {
        world.press(0, Duration::from_millis(20));
    }
    assert_eq!(tried(&mut world), [true, true, false]);
    for _ in 0..100 {
        world.press(0, Duration::from_millis(25));
    }
    assert_eq!(tried(&mut world), [true, true, true]);
}

/// What a watcher was told, by the note in it.
fn notes(heard: &[Heard]) -> Vec<&'static str> {
    let note = |heard: &Heard| {
        let text = heard.text();
        let found = ["first", "second"]
            .into_iter()
            .find(|note| text.contains(note));
        found.unwrap_or("")
    };
    let notifies = heard
        .iter()
        .filter(|heard| heard.method == "NOTIFY" && heard.status.is_none());
    notifies.map(note).collect()
}

#[test]
fn a_change_that_many_watch_lets_others_in_between_and_the_latest_wins() {
    let mut world = World::new(1, 9, &Settings::default());
    let mut alice = Client::up(&mut world, "alice");
    let mut bob = Client::up(&mut world, "bob");
    let mut carol = Client::up(&mut world, "carol");
    let mut watchers: Vec<Client> = Vec::new();
    let mut granted = Vec::new();
    for number in 0..300 {
        let mut watcher = Client::up(&mut world, &format!("w{number}"));
        granted.push(watcher.watch(&mut world, "alice", 3600));
        watcher.read(&mut world);
        watchers.push(watcher);
    }
    world.settle();

    let answer = alice.publish(&mut world, "first", "");
    assert_eq!(answer.status, Some(200));
    world.deliver(0, 0);
    let told = |watchers: &mut [Client], world: &mut World| -> Vec<Vec<&'static str>> {
        watchers
            .iter_mut()
            .map(|watcher| notes(&watcher.read(world)))
            .collect()
    };
    let mut all = told(&mut watchers, &mut world);
    let first = all.iter().filter(|notes| **notes == ["first"]).count();
    assert_eq!(first, 64, "one slice");
    assert!(all.iter().all(|notes| notes.len() <= 1));

    // Somebody else's message is not behind the rest.
    bob.page(&mut world, "carol");
    let heard = carol.read(&mut world);
    assert!(
        heard.iter().any(|heard| heard.method == "MESSAGE"),
        "{heard:?}"
    );
    assert!(
        bob.read(&mut world)
            .iter()
            .any(|heard| heard.status == Some(200))
    );
    assert_eq!(world.in_flight(), [(0, 0)], "the rest still waits");

    // Some go, and there is something newer.
    let untold: Vec<usize> = (0..300).filter(|at| all[*at].is_empty()).collect();
    let gone = [untold[0], untold[100]];
    world.cut(watchers[gone[0]].socket);
    let tag = format!(
        "SIP-If-Match: {}\r\n",
        answer.header("SIP-ETag").expect("a tag")
    );
    assert_eq!(alice.publish(&mut world, "second", &tag).status, Some(200));
    let ended = {
        let at = gone[1];
        let granted = granted[at].clone();
        let lines = format!(
            "To: {}\r\nCall-ID: {}\r\nEvent: presence\r\nExpires: 0\r\n",
            granted.header("To").expect("To"),
            granted.call_id()
        );
        watchers[at].send(&mut world, "SUBSCRIBE", "alice", &lines, "");
        watchers[at].read(&mut world)
    };
    assert_eq!(notes(&ended), ["second"], "its last word is the latest");

    world.settle();
    for (at, notes) in told(&mut watchers, &mut world).into_iter().enumerate() {
        all[at].extend(notes);
    }
    for (at, notes) in all.iter().enumerate() {
        match gone.contains(&at) {
            true => assert!(notes.is_empty(), "{at} is gone: {notes:?}"),
            false => assert_eq!(notes.last(), Some(&"second"), "{at}"),
        }
    }
    let once = all.iter().filter(|notes| notes.len() == 1).count();
    assert!(
        once >= 300 - 64 - 64 - 2,
        "only {once} were spared the older state"
    );
    let census = world.census();
    assert_eq!(census.first().map(|census| census.fanouts), Some(0));
}

/// And who comes by that name while they are told is another, whom they see nothing of.
#[test]
fn who_watched_one_that_is_removed_is_told_bit_by_bit_too() {
    let mut world = World::new(1, 9, &Settings::default());
    let mut alice = Client::up(&mut world, "alice");
    let mut bob = Client::up(&mut world, "bob");
    let mut carol = Client::up(&mut world, "carol");
    assert_eq!(alice.publish(&mut world, "first", "").status, Some(200));
    let mut watchers: Vec<Client> = (0..300)
        .map(|number| {
            let mut watcher = Client::up(&mut world, &format!("w{number}"));
            let granted = watcher.watch(&mut world, "alice", 3600);
            assert_eq!(granted.status, Some(200));
            watcher.read_all(&mut world);
            watcher
        })
        .collect();

    world.remove_user("alice@example.com");
    world.deliver(0, 0);
    let mut told = vec![Vec::new(); watchers.len()];
    let mut hear = |world: &mut World| {
        for (watcher, told) in watchers.iter_mut().zip(&mut told) {
            told.extend(watcher.read(world).iter().map(Heard::full));
        }
        told.clone()
    };
    let first = hear(&mut world);
    let ended = first.iter().filter(|told| !told.is_empty()).count();
    assert_eq!(ended, 64, "one slice");
    bob.page(&mut world, "carol");
    let heard = carol.read(&mut world);
    let messages = heard.iter().filter(|heard| heard.method == "MESSAGE");
    assert_eq!(messages.count(), 1);
    assert_eq!(world.in_flight(), [(0, 0)], "the rest still waits");

    world.add_user("alice@example.com", "alice", "secret");
    let mut dave = Client::up(&mut world, "dave");
    assert_eq!(dave.watch(&mut world, "alice", 3600).status, Some(200));
    let mut another = Client::up(&mut world, "alice");
    assert_eq!(another.publish(&mut world, "second", "").status, Some(200));
    assert_eq!(notes(&dave.read_all(&mut world)).last(), Some(&"second"));
    for (at, told) in hear(&mut world).iter().enumerate() {
        let [last] = &told[..] else {
            panic!("{at} was told {told:?}");
        };
        assert!(last.contains("terminated;reason=noresource"), "{last}");
        assert!(!last.contains("second"), "{last}");
    }
    let seen = world.census();
    let census = seen.first().expect("a shard");
    assert_eq!(census.fanouts, 0);
}

/// A Lync client puts one more on its list while the wheel is about to look at the subscription anyhow, and the owner of
/// whom it names does not answer.
#[test]
fn a_slow_owner_does_not_hold_up_the_answer_of_a_list() {
    let far = far_from("alice");
    let supported = "Supported: adhoclist, msrtc-event-categories\r\n";
    let lines = "Contact: <sip:alice@10.0.0.1:5060;transport=tls>\r\nRequire: adhoclist, categoryList\r\n\
                 Supported: eventlist, ms-piggyback-first-notify, ms-benotify\r\nEvent: presence\r\n\
                 Accept: application/rlmi+xml, multipart/related, application/msrtc-event-categories+xml\r\n\
                 Content-Type: application/msrtc-adrl-categorylist+xml\r\nExpires: 3600\r\n";
    let body = |name: &str| {
        format!(
            "<batchSub xmlns=\"http://schemas.microsoft.com/2006/01/sip/batch-subscribe\" uri=\"sip:alice@example.com\" \
             name=\"\"><action name=\"subscribe\" id=\"1\"><adhocList><resource uri=\"sip:{name}@example.com\"/>\
             </adhocList><categoryList xmlns=\"http://schemas.microsoft.com/2006/09/sip/categorylist\"><category \
             name=\"state\"/></categoryList></action></batchSub>"
        )
    };
    // The wheel looks after ten minutes: before that, in the two seconds of waiting, and after them.
    for asked_s in 592..=610 {
        let mut world = World::new(2, 7, &Settings::default());
        let mut alice = Client::up_with(&mut world, "alice", supported);
        world.add_user(&format!("{far}@example.com"), &far, "secret");
        let granted = alice.ask(&mut world, "SUBSCRIBE", "alice", lines, &body("alice"));
        assert_eq!(granted.status, Some(200), "{}", granted.full());
        for _ in 0..asked_s {
            world.pass(Duration::from_secs(1));
        }
        alice.read(&mut world);
        let dialog = format!(
            "To: {}\r\nCall-ID: {}\r\n{lines}",
            granted.header("To").expect("To"),
            granted.call_id()
        );
        alice.send(&mut world, "SUBSCRIBE", "alice", &dialog, &body(&far));
        assert!(!world.in_flight().is_empty(), "another shard is asked");
        let number = alice.requests;
        let came = (0..60).find(|_| {
            world.move_clock(Duration::from_millis(100));
            let heard = alice.read(&mut world);
            let answer = |heard: &Heard| heard.status.is_some() && heard.cseq() == number;
            heard.iter().any(answer)
        });
        // Two seconds, and the wheel's one.
        let in_time = came.is_some_and(|tenths| (19..=30).contains(&tenths));
        assert!(in_time, "asked after {asked_s} s: {came:?}");
    }
}
