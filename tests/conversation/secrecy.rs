//! What must not be seen: every byte that a watcher gets is searched for what its level may not know, and whoever is blocked
//! gets, byte for byte and at the same times, what they would get of somebody who is really not there.

use std::net::SocketAddr;
use std::time::Duration;

use muster::presence::{CardLine, Level, Member};
use muster::shard::Settings;

use crate::client::{Heard, Inbox, authorization};
use crate::world::World;

const SDP: &str = "v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\n";
const MESSAGES: &str = "m=message 5061 sip null\r\na=accept-types:text/plain\r\n";
const AUDIO: &str = "m=audio 40000 RTP/AVP 0\r\n";
const PIDF: &str = "application/pidf+xml";

/// A client that answers 200 to whatever it is asked, and keeps all that it was sent.
struct Client {
    user: &'static str,
    socket: usize,
    inbox: Inbox,
    count: u32,
    /// All that came, and how long after the beginning.
    got: Vec<(Duration, String)>,
    answers: Vec<Heard>,
}

/// The stage: a server, its clients, and how long it has been going on.
struct Stage {
    world: World,
    clients: Vec<Client>,
    time: Duration,
}

impl Stage {
    fn new(users: &[&str]) -> Stage {
        let mut world = World::new(2, 7, &Settings::default());
        for user in users {
            world.add_user(&format!("{user}@example.com"), user, "secret");
        }
        Stage {
            world,
            clients: Vec::new(),
            time: Duration::ZERO,
        }
    }

    /// A client that is signed in.
    fn arrive(&mut self, user: &'static str) -> usize {
        self.arrive_with(user, "")
    }

    /// One that speaks Lync's dialect.
    fn arrive_lync(&mut self, user: &'static str) -> usize {
        self.arrive_with(user, "Supported: msrtc-event-categories\r\n")
    }

    fn arrive_with(&mut self, user: &'static str, supported: &str) -> usize {
        let port = 41_000 + u16::try_from(self.clients.len()).expect("few clients");
        let shard = self.clients.len() % self.world.shards();
        let socket = self
            .world
            .connect(shard, SocketAddr::from(([127, 0, 0, 1], port)));
        self.clients.push(Client {
            user,
            socket,
            inbox: Inbox::default(),
            count: 0,
            got: Vec::new(),
            answers: Vec::new(),
        });
        let client = self.clients.len() - 1;
        self.ask(client, "REGISTER", "sip:example.com", supported, "");
        let challenge = self.clients[client].answers.pop().expect("a challenge");
        let proof = authorization(&challenge, "REGISTER", "sip:example.com", user, "secret", 1);
        let proof = format!(
            "Authorization: {}\r\n{supported}",
            proof.expect("a known scheme")
        );
        self.ask(client, "REGISTER", "sip:example.com", &proof, "");
        let answer = self.clients[client].answers.pop().expect("an answer");
        assert_eq!(answer.status, Some(200), "{}", answer.full());
        client
    }

    /// Sends a request; `to_tag` for one in a dialog, whose Call-ID is then the one that the dialog began with.
    fn ask_in(
        &mut self,
        client: usize,
        method: &str,
        uri: &str,
        dialog: Option<(&str, &str)>,
        headers: &str,
        body: &str,
    ) {
        let one = &mut self.clients[client];
        one.count += 1;
        let (user, count) = (one.user, one.count);
        let port = 41_000 + client;
        let (call_id, tag) = match dialog {
            Some((call_id, tag)) => (call_id.to_owned(), format!(";tag={tag}")),
            None => (format!("{user}-{count}"), String::new()),
        };
        let to = match method {
            "REGISTER" => format!("sip:{user}@example.com"),
            _ => uri.to_owned(),
        };
        let request = format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.1:{port};branch=z9hG4bK{user}{count}\r\nMax-Forwards: 70\r\n\
             From: <sip:{user}@example.com>;tag=f\r\nTo: <{to}>{tag}\r\nCall-ID: {call_id}\r\nCSeq: {count} {method}\r\n\
             Contact: <sip:{user}@127.0.0.1:{port};transport=tls>\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let socket = one.socket;
        self.world.send(socket, request.as_bytes());
        self.calm();
    }

    fn ask(&mut self, client: usize, method: &str, uri: &str, headers: &str, body: &str) {
        self.ask_in(client, method, uri, None, headers, body);
    }

    fn subscribe(&mut self, client: usize, uri: &str, headers: &str) {
        let headers = format!("Supported: eventlist\r\n{headers}");
        self.ask(client, "SUBSCRIBE", uri, &headers, "");
    }

    fn publish(&mut self, client: usize, person: &str) {
        let user = self.clients[client].user;
        let body = format!(
            "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" \
             xmlns:rpid=\"urn:ietf:params:xml:ns:pidf:rpid\" entity=\"sip:{user}@example.com\"><tuple id=\"t\"><status>\
             <basic>open</basic></status></tuple><dm:person id=\"p\">{person}</dm:person></presence>"
        );
        let headers = format!("Event: presence\r\nExpires: 3600\r\nContent-Type: {PIDF}\r\n");
        let uri = format!("sip:{user}@example.com");
        self.ask(client, "PUBLISH", &uri, &headers, &body);
        let answer = self.clients[client].answers.pop().expect("an answer");
        assert_eq!(answer.status, Some(200), "{}", answer.full());
    }

    fn pass(&mut self, seconds: u64) {
        // In small steps, so that a time at which something comes is a time.
        for _ in 0..seconds * 2 {
            self.world.pass(Duration::from_millis(500));
            self.time += Duration::from_millis(500);
            self.calm();
        }
    }

    fn calm(&mut self) {
        loop {
            self.world.settle();
            let mut any = false;
            for client in &mut self.clients {
                let bytes = self.world.read(client.socket);
                for heard in client.inbox.push(&bytes) {
                    any = true;
                    client.got.push((self.time, heard.full()));
                    if heard.status.is_none() && !["ACK", "BENOTIFY"].contains(&&*heard.method) {
                        let body = match &*heard.method {
                            "INVITE" => format!("{SDP}{MESSAGES}"),
                            _ => String::new(),
                        };
                        let lines = match &*heard.method {
                            "INVITE" => format!(
                                "Contact: <sip:{}@127.0.0.1>\r\nContent-Type: application/sdp\r\n",
                                client.user
                            ),
                            _ => String::new(),
                        };
                        let answer = heard.response(200, "OK", "t", &lines, &body);
                        self.world.send(client.socket, &answer);
                    } else if heard.status.is_some_and(|status| status >= 200) {
                        client.answers.push(heard);
                    }
                }
            }
            if !any {
                return;
            }
        }
    }

    fn all_of(&self, client: usize) -> String {
        let got = self.clients[client].got.iter();
        got.map(|(_, text)| format!("{text}\n")).collect()
    }
}

/// Whatever is random, and no more: runs of hexadecimal digits and dots that are longer than what else there is of them.
fn masked(text: &str) -> String {
    let mut out = String::new();
    let is_random = |c: char| c.is_ascii_hexdigit() || c == '.';
    let mut rest = text;
    while let Some(start) = rest.find(is_random) {
        let end = rest[start..]
            .find(|c| !is_random(c))
            .map_or(rest.len(), |end| start + end);
        out.push_str(&rest[..start]);
        match end - start {
            0..11 => out.push_str(&rest[start..end]),
            _ => out.push('#'),
        }
        rest = &rest[end..];
    }
    out.push_str(rest);
    // Tags are as long as chance has it, and stand in the body of a list.
    if out.contains("multipart/related") {
        let lines = out.lines().filter(|line| !line.contains("Content-Length"));
        return lines.map(|line| format!("{line}\n")).collect();
    }
    out
}

/// All that Bob gets while he tries whatever there is to learn of Alice: who is there and blocks him, or is not there.
fn what_bob_gets(there: bool) -> Vec<(Duration, String)> {
    let mut stage = Stage::new(&["alice", "bob", "carol"]);
    let bob_name = Member::parse("bob@example.com").expect("a member");
    stage
        .world
        .edit("bob@example.com", |standing| {
            let alice = muster::sip::uri::Aor::parse("alice@example.com").expect("an address");
            let put = standing.contacts.put(&alice, "Alice", 0);
            put.map(drop).map_err(|refused| refused.to_string())
        })
        .expect("a contact");
    if there {
        stage
            .world
            .edit("alice@example.com", |standing| {
                let set = standing.access.set(bob_name, Level::Blocked);
                set.map(drop).map_err(|refused| refused.to_string())
            })
            .expect("a rule");
    }
    let bob = stage.arrive("bob");
    let alice = "sip:alice@example.com";
    stage.subscribe(bob, alice, "Event: presence\r\nExpires: 600\r\n");
    let begun = stage.clients[bob].answers.last().expect("an answer");
    assert_eq!(begun.status, Some(200), "{}", begun.full());
    let (call_id, tag) = (begun.call_id().to_owned(), begun.to_tag());
    stage.subscribe(
        bob,
        "sip:contacts@example.com",
        "Event: presence\r\nExpires: 600\r\n",
    );
    stage.subscribe(bob, alice, "Event: dialog\r\nExpires: 600\r\n");
    stage.pass(3);
    let online = there.then(|| stage.arrive("alice"));
    let meeting = "<rpid:activities><rpid:meeting/></rpid:activities><dm:note>Hello</dm:note>";
    if let Some(alice) = online {
        stage.publish(alice, meeting);
    }
    stage.pass(2);
    stage.subscribe(bob, alice, "Event: presence\r\nExpires: 0\r\n");
    stage.subscribe(
        bob,
        "sip:contacts@example.com",
        "Event: presence\r\nExpires: 0\r\n",
    );
    stage.ask(
        bob,
        "MESSAGE",
        alice,
        "Content-Type: text/plain\r\n",
        "Are you there?",
    );
    let sdp = "Content-Type: application/sdp\r\n";
    for media in [MESSAGES, AUDIO] {
        let body = format!("{SDP}{media}");
        stage.ask(bob, "INVITE", alice, sdp, &body);
        stage.pass(2);
    }
    if let Some(alice) = online {
        stage.publish(
            alice,
            "<rpid:activities><rpid:on-the-phone/></rpid:activities>",
        );
        let carol = stage.arrive("carol");
        let body = format!("{SDP}{MESSAGES}");
        stage.ask(carol, "INVITE", "sip:alice@example.com", sdp, &body);
    }
    stage.pass(2);
    let refresh = "Event: presence\r\nExpires: 600\r\n";
    stage.ask_in(bob, "SUBSCRIBE", alice, Some((&call_id, &tag)), refresh, "");
    stage.pass(5);
    let end = "Event: presence\r\nExpires: 0\r\n";
    stage.ask_in(bob, "SUBSCRIBE", alice, Some((&call_id, &tag)), end, "");
    if let Some(alice) = online {
        stage.world.cut(stage.clients[alice].socket);
    }
    // The other subscriptions end by themselves.
    stage.pass(650);
    let got = &stage.clients[bob].got;
    let last = got
        .iter()
        .filter(|(_, text)| text.contains("terminated;reason=timeout"));
    assert_eq!(last.count(), 5, "{}", stage.all_of(bob));
    got.iter()
        .map(|(time, text)| (*time, masked(text)))
        .collect()
}

#[test]
fn who_is_blocked_cannot_tell_it_from_absence() {
    let (absent, blocked) = (what_bob_gets(false), what_bob_gets(true));
    for (at, (absent, blocked)) in absent.iter().zip(&blocked).enumerate() {
        assert_eq!(
            absent, blocked,
            "message {at}: absence and being blocked differ"
        );
    }
    assert_eq!(absent.len(), blocked.len());
    assert!(absent.len() > 20, "{}", absent.len());
}

/// What only some may know, and from which level on.
const SECRETS: [(&str, Level); 8] = [
    ("secretnote", Level::Colleagues),
    ("+4930111", Level::Colleagues),
    ("secretmail@example.com", Level::Colleagues),
    ("secretsubject", Level::Workgroup),
    ("secretplace", Level::Workgroup),
    ("+4917222", Level::Workgroup),
    ("+4989333", Level::Friends),
    ("<basic>open</basic>", Level::External),
];

/// Who watches Alice, one at each level.
const WATCHERS: [(&str, Level); 5] = [
    ("bill", Level::Blocked),
    ("emma", Level::External),
    ("carl", Level::Colleagues),
    ("will", Level::Workgroup),
    ("fred", Level::Friends),
];

/// Lines of Alice's card, each shown to other levels.
fn give_card(stage: &mut Stage) {
    let card = stage.world.edit("alice@example.com", |standing| {
        for (line, text) in [
            (CardLine::WorkPhone, "+4930111"),
            (CardLine::MobilePhone, "+4917222"),
            (CardLine::HomePhone, "+4989333"),
            (CardLine::Mail, "secretmail@example.com"),
        ] {
            let set = standing.card.set(line, Some(text));
            set.map_err(|_| "a bad line".to_owned())?;
        }
        Ok(())
    });
    card.expect("a card");
}

/// Alice treats somebody so.
fn treat(stage: &mut Stage, user: &str, level: Level) {
    let member = Member::parse(&format!("{user}@example.com")).expect("a member");
    let edited = stage.world.edit("alice@example.com", |standing| {
        let set = standing.access.set(member, level);
        set.map(drop).map_err(|refused| refused.to_string())
    });
    edited.expect("a rule");
}

#[test]
fn no_level_is_told_what_it_may_not_see() {
    let mut stage = Stage::new(&["alice", "bill", "emma", "carl", "will", "fred"]);
    for (user, level) in WATCHERS {
        treat(&mut stage, user, level);
        let name = format!("{user}@example.com");
        let edited = stage.world.edit(&name, |standing| {
            let alice = muster::sip::uri::Aor::parse("alice@example.com").expect("an address");
            let put = standing.contacts.put(&alice, "", 0);
            put.map(drop).map_err(|refused| refused.to_string())
        });
        edited.expect("a contact");
    }
    give_card(&mut stage);
    let alice = stage.arrive("alice");
    let person = "<rpid:activities><rpid:note>secretsubject</rpid:note><rpid:meeting/></rpid:activities>\
                  <rpid:place-type><rpid:other>secretplace</rpid:other></rpid:place-type><dm:note>secretnote</dm:note>";
    let alice_uri = "sip:alice@example.com";
    let there: Vec<usize> = WATCHERS
        .iter()
        .map(|(user, _)| stage.arrive(user))
        .collect();
    // Some watch before there is anything to see, some after; in a list, alone, and with a poll.
    for client in &there {
        stage.subscribe(*client, alice_uri, "Event: presence\r\n");
        stage.subscribe(*client, "sip:contacts@example.com", "Event: presence\r\n");
        stage.subscribe(*client, alice_uri, "Event: dialog\r\n");
    }
    stage.publish(alice, person);
    for client in &there {
        stage.subscribe(*client, alice_uri, "Event: presence\r\nExpires: 0\r\n");
        stage.subscribe(
            *client,
            "sip:contacts@example.com",
            "Event: presence\r\nExpires: 0\r\n",
        );
        stage.ask(
            *client,
            "MESSAGE",
            alice_uri,
            "Content-Type: text/plain\r\n",
            "Hello",
        );
    }
    stage.pass(5);
    for (client, (user, level)) in there.iter().zip(WATCHERS) {
        let all = stage.all_of(*client);
        for (secret, least) in SECRETS {
            let seen = all.contains(secret);
            assert_eq!(seen, level >= least, "{user} ({level}): {secret} in\n{all}");
        }
    }
    // Friendship ends: from now on there is nothing of it, in the subscriptions that go on as in new ones.
    let fred = there[4];
    stage.clients[fred].got.clear();
    treat(&mut stage, "fred", Level::Blocked);
    stage.publish(alice, &person.replace("secretnote", "secretnote and more"));
    stage.subscribe(fred, alice_uri, "Event: presence\r\n");
    stage.pass(5);
    let all = stage.all_of(fred);
    assert!(all.matches("<basic>closed</basic>").count() >= 3, "{all}");
    for (secret, _) in SECRETS {
        assert!(!all.contains(secret), "{secret} in\n{all}");
    }
    // And begins again.
    stage.clients[fred].got.clear();
    treat(&mut stage, "fred", Level::Friends);
    stage.pass(5);
    let all = stage.all_of(fred);
    assert!(
        SECRETS.iter().all(|(secret, _)| all.contains(secret)),
        "{all}"
    );
}

/// What is published in a category for one container, and who may see it.
const PUBLISHED: [(&str, u32, Level); 5] = [
    ("published32000", 32_000, Level::Blocked),
    ("published100", 100, Level::External),
    ("published200", 200, Level::Colleagues),
    ("published300", 300, Level::Workgroup),
    ("published400", 400, Level::Friends),
];

/// What Alice's client publishes, each on top of `version`: a meeting, a note and more for each container, and for none that
/// anybody is in.
fn publication(version: u32) -> String {
    let state = |kind: &str, inside: &str| {
        format!(
            "<state xmlns=\"http://schemas.microsoft.com/2006/09/sip/state\" \
             xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"{kind}\">{inside}</state>"
        )
    };
    let one = |category: &str, container: u32, life: &str, document: &str| {
        format!(
            "<publication categoryName=\"{category}\" instance=\"7\" container=\"{container}\" \
             version=\"{version}\" expireType=\"{life}\">{document}</publication>"
        )
    };
    let meeting = "<availability>6500</availability><activity token=\"in-a-meeting\"/>\
                   <meetingSubject>secretsubject</meetingSubject><meetingLocation>secretplace</meetingLocation>";
    let mut all = one("state", 3, "endpoint", &state("calendarState", meeting));
    all += &one(
        "device",
        2,
        "endpoint",
        "<device xmlns=\"urn:d\">nobodys</device>",
    );
    all += &one(
        "calendarData",
        1,
        "endpoint",
        "<calendarData xmlns=\"urn:c\">nobodys</calendarData>",
    );
    for (text, container, _) in PUBLISHED {
        let document = format!("<calendarData xmlns=\"urn:c\">{text}</calendarData>");
        all += &one("calendarData", container, "endpoint", &document);
        let document = format!(
            "<note xmlns=\"http://schemas.microsoft.com/2006/09/sip/note\"><body>note{text}</body></note>"
        );
        if container != 32_000 {
            all += &one("note", container, "static", &document);
        }
    }
    format!(
        "<publish xmlns=\"http://schemas.microsoft.com/2006/09/sip/rich-presence\">\
         <publications uri=\"sip:alice@example.com\">{all}</publications></publish>"
    )
}

#[test]
fn no_level_is_told_in_either_dialect_what_another_ones_container_has() {
    let mut stage = Stage::new(&["alice", "bill", "emma", "carl", "will", "fred"]);
    for (user, level) in WATCHERS {
        treat(&mut stage, user, level);
    }
    give_card(&mut stage);
    let alice = stage.arrive_lync("alice");
    let alice_uri = "sip:alice@example.com";
    let simple: Vec<usize> = WATCHERS
        .iter()
        .map(|(user, _)| stage.arrive(user))
        .collect();
    let lync: Vec<usize> = WATCHERS
        .iter()
        .map(|(user, _)| stage.arrive_lync(user))
        .collect();
    let watch_lync = |stage: &mut Stage, client: usize| {
        let user = stage.clients[client].user;
        let told =
            "Supported: ms-benotify\r\nSupported: ms-piggyback-first-notify\r\nEvent: presence\r\n";
        let alone = format!("{told}Accept: application/msrtc-event-categories+xml\r\n");
        stage.ask(client, "SUBSCRIBE", alice_uri, &alone, "");
        let batch = format!("{told}Content-Type: application/msrtc-adrl-categorylist+xml\r\n");
        let body = format!(
            "<batchSub xmlns=\"http://schemas.microsoft.com/2006/01/sip/batch-subscribe\" uri=\"sip:{user}@example.com\">\
             <action name=\"subscribe\" id=\"1\"><adhocList><resource uri=\"{alice_uri}\"/></adhocList></action></batchSub>"
        );
        let own = format!("sip:{user}@example.com");
        stage.ask(client, "SUBSCRIBE", &own, &batch, &body);
        for event in [
            "vnd-microsoft-roaming-self",
            "vnd-microsoft-roaming-contacts",
        ] {
            let theirs = format!("Event: {event}\r\nSupported: ms-piggyback-first-notify\r\n");
            stage.ask(client, "SUBSCRIBE", alice_uri, &theirs, "");
        }
    };
    for client in &simple {
        stage.subscribe(*client, alice_uri, "Event: presence\r\n");
    }
    for client in &lync {
        watch_lync(&mut stage, *client);
    }
    let content_type = "Content-Type: application/msrtc-category-publish+xml\r\n";
    stage.ask(alice, "SERVICE", alice_uri, content_type, &publication(0));
    stage.pass(1);
    let answer = stage.clients[alice].answers.pop().expect("an answer");
    assert_eq!(answer.status, Some(200), "{}", answer.full());
    // Some watch only now.
    for client in &lync {
        watch_lync(&mut stage, *client);
    }
    stage.pass(2);
    let check = |stage: &Stage, client: usize, level: Level, is_lync: bool| {
        let all = stage.all_of(client);
        for (text, _, at) in PUBLISHED {
            let sees = level == at && level != Level::Blocked;
            let data = all.contains(&format!(">{text}<"));
            assert_eq!(data, sees && is_lync, "{level}: {text} in\n{all}");
            // A note that is for a level is that level's in either dialect.
            let note = all.contains(&format!("note{text}<"));
            assert_eq!(note, sees, "{level}: the note of {text} in\n{all}");
        }
        assert!(!all.contains("nobodys"), "{level}: {all}");
        for (secret, least) in SECRETS {
            let dialects = secret != "secretnote" && (!is_lync || !secret.contains("basic"));
            if dialects {
                let seen = all.contains(secret);
                assert_eq!(seen, level >= least, "{level}: {secret} in\n{all}");
            }
        }
        let open = all.contains("<availability>6500</availability>");
        assert_eq!(open, is_lync && level > Level::Blocked, "{level}: {all}");
    };
    for (at, (_, level)) in WATCHERS.iter().enumerate() {
        check(&stage, simple[at], *level, false);
        check(&stage, lync[at], *level, true);
    }
    // Friendship ends: from now on there is nothing of it, in the subscriptions that go on as in new ones.
    let fred = lync[4];
    for client in [fred, simple[4]] {
        stage.clients[client].got.clear();
    }
    treat(&mut stage, "fred", Level::Blocked);
    stage.pass(1);
    stage.ask(alice, "SERVICE", alice_uri, content_type, &publication(1));
    watch_lync(&mut stage, fred);
    stage.pass(2);
    let all = stage.all_of(fred);
    let offline = all.matches("<availability>18500</availability>").count();
    assert!(offline >= 4, "{all}");
    check(&stage, fred, Level::Blocked, true);
    check(&stage, simple[4], Level::Blocked, false);
}
