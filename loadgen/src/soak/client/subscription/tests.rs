//! One client without a socket: what it makes of NOTIFYs that come, do not come, or come wrong.

use std::net::SocketAddr;

use muster::sip::build;
use muster::sip::frame::{Cut, FrameState, Limits, cut};

use super::super::World;
use super::*;
use crate::account::Accounts;
use crate::soak::graph::Graph;
use crate::soak::model::Model;
use crate::soak::planner::{Deed, Seats};
use crate::soak::published::Published;

const USERS: u32 = 100;
const TIMEOUT_US: u64 = 5_000_000;

/// A client that has registered, and what it said since.
struct Stage {
    world: World,
    client: Client,
    sight: Sight,
    out: Vec<u8>,
    now_us: u64,
    /// The SUBSCRIBE to its contact list.
    first: Vec<u8>,
}

impl Stage {
    fn new() -> Stage {
        let mut model = Model::read("").unwrap();
        model.users.endpoints = 1.0;
        let world = World {
            accounts: Accounts {
                domain: "example.com".into(),
                prefix: "lg".into(),
                password_pattern: "pw".into(),
            },
            run: 9,
            seed: 1,
            seats: Seats::new(USERS, 1.0),
            graph: Graph::new(&model, USERS, 1),
            published: Published::new(USERS),
            message_bytes: 100,
            publication_bytes: 500,
            poll_batch: 3,
            timeout_us: TIMEOUT_US,
        };
        let mut stage = Stage {
            world,
            client: Client::new(7),
            sight: Sight::default(),
            out: Vec::new(),
            now_us: 1_000_000_000,
            first: Vec::new(),
        };
        stage.lend(|client, scene| client.log_on(scene.now_us, scene));
        let mut register = stage.said().remove(0);
        stage.answer(&mut register, "");
        for mut request in stage.said() {
            if request.starts_with(b"SUBSCRIBE") {
                stage.first = request;
            } else {
                stage.answer(&mut request, "600");
            }
        }
        stage
    }

    fn lend(&mut self, act: impl FnOnce(&mut Client, &mut Scene<'_>)) {
        let address: SocketAddr = "127.0.0.1:5061".parse().unwrap();
        let mut scene = Scene {
            world: &self.world,
            now_us: self.now_us,
            local: address,
            peer: address,
            out: &mut self.out,
            sight: &mut self.sight,
            letters: &mut Vec::new(),
            turns: &mut Vec::new(),
        };
        act(&mut self.client, &mut scene);
    }

    fn said(&mut self) -> Vec<Vec<u8>> {
        let (mut said, mut state) = (Vec::new(), FrameState::default());
        while let Cut::Message { total, .. } = cut(&self.out, &Limits::default(), &mut state) {
            said.push(self.out.drain(..total).collect());
            state = FrameState::default();
        }
        said
    }

    /// The SUBSCRIBE among what it said.
    fn subscribe(&mut self) -> Vec<u8> {
        let mut all = self.said();
        let at = all.iter().position(|bytes| bytes.starts_with(b"SUBSCRIBE"));
        all.remove(at.expect("a SUBSCRIBE"))
    }

    fn hear(&mut self, mut bytes: Vec<u8>) {
        self.lend(|client, scene| {
            let message = Message::parse(&mut bytes).unwrap();
            client.take(&message, scene);
        });
    }

    fn answer(&mut self, request: &mut [u8], expires: &str) {
        let mut out = Vec::new();
        let request = Message::parse(request).unwrap();
        let mut draft = build::response(&mut out, &request, 200, Some("s"));
        draft.header("Contact", "<sip:s@localhost>");
        if !expires.is_empty() {
            draft.header("Expires", expires);
        }
        draft.finish();
        self.hear(out);
    }

    /// Returns the status of the client's answer. States are (user, number, meant so long before now).
    fn notify(
        &mut self,
        subscribe: &[u8],
        cseq: u32,
        state: &str,
        states: &[(u32, u32, u64)],
    ) -> u16 {
        let mut bytes = subscribe.to_vec();
        let subscribe = Message::parse(&mut bytes).unwrap();
        let header = |name| subscribe.header(name).unwrap();
        let mut out = Vec::new();
        let mut draft = build::request(&mut out, "NOTIFY", "sip:lg7@localhost");
        draft
            .header("Via", "SIP/2.0/TLS localhost;branch=z9hG4bKn")
            .header("From", format_args!("{};tag=s", header(Name::To)))
            .header("To", header(Name::From))
            .header("Call-ID", subscribe.call_id())
            .header("CSeq", format_args!("{cseq} NOTIFY"))
            .header("Event", "presence")
            .header("Subscription-State", state);
        let mut body = String::new();
        for (sender, sequence, ago_us) in states {
            let stamp = Stamp {
                run: 9,
                sender: *sender,
                sequence: *sequence,
                intended_us: self.now_us - ago_us,
            };
            stamp.write(&mut body, 0);
        }
        draft.body("multipart/related", body.as_bytes());
        self.out.clear();
        self.hear(out);
        let mut answer = self.said().remove(0);
        Message::parse(&mut answer).unwrap().status().unwrap()
    }

    fn timed(&self) -> u64 {
        self.sight.interval.of(Timed::Notified).len()
    }

    fn faults(&self) -> Vec<String> {
        let faults = self.sight.faults.iter();
        faults
            .map(|(what, count)| format!("{count} {what}"))
            .collect()
    }

    fn wait(&mut self, us: u64) {
        self.now_us += us;
        self.lend(|client, scene| client.sweep(scene));
    }

    /// The list is granted for so many seconds.
    fn list(&mut self, expires: &str) -> Vec<u8> {
        let mut list = self.first.clone();
        self.answer(&mut list, expires);
        list
    }

    fn act(&mut self, deed: Deed) {
        self.out.clear();
        self.lend(|client, scene| client.act(&deed, scene.now_us, scene));
    }
}

#[test]
fn what_a_client_knows_of_its_contacts_costs_what_the_heads_say() {
    assert_eq!(size_of::<Client>(), 56);
    assert_eq!((size_of::<Contacts>(), size_of::<Seen>()), (56, 4));
}

#[test]
fn each_change_is_timed_once_whatever_came_before_of_others() {
    let mut stage = Stage::new();
    let list = stage.list("600");
    let contacts = stage.world.graph.contacts(7);
    let (one, two, three) = (contacts[0], contacts[1], contacts[2]);
    let active = "active;expires=600";
    // What was before is no change.
    stage.now_us += 5_000_000;
    stage.notify(
        &list,
        1,
        active,
        &[(one, 4, 6_000_000), (two, 8, 7_000_000)],
    );
    assert_eq!(stage.timed(), 0);
    stage.notify(&list, 2, active, &[(two, 9, 1_000)]);
    // Meant before that one, and told later: the slow ones are what is looked for.
    stage.notify(&list, 3, active, &[(one, 5, 2_000_000)]);
    assert_eq!(stage.timed(), 2);
    assert!(stage.sight.interval.of(Timed::Notified).max() > 1_900_000);
    // Told again, in full state, and in two places.
    stage.notify(
        &list,
        4,
        active,
        &[(one, 5, 2_000_000), (two, 9, 1_000), (two, 9, 1_000)],
    );
    assert_eq!(stage.timed(), 2);
    // The first that is told of one who was away.
    stage.notify(&list, 5, active, &[(three, 0, 1_000)]);
    assert_eq!(stage.timed(), 3);
    assert_eq!(
        (stage.faults(), stage.sight.counts.older_states),
        (vec![], 0)
    );
    stage.notify(&list, 6, active, &[(two, 8, 500)]);
    assert_eq!((stage.timed(), stage.sight.counts.older_states), (3, 1));
    assert!(stage.sight.examples[0].starts_with("older state: number 8 of user"));
    let stranger = (0..USERS).find(|user| !contacts.contains(user)).unwrap();
    stage.notify(&list, 7, active, &[(stranger, 0, 0)]);
    assert_eq!(stage.faults(), [format!("1 {NOT_WATCHED}")]);
}

#[test]
fn numbers_come_around() {
    let mut sight = Sight::default();
    let mut seen = Seen::nothing_of(1_999_999);
    let mut take = |sequence| {
        let stamp = Stamp {
            run: 9,
            sender: 1_999_999,
            sequence,
            intended_us: 10,
        };
        seen.take(&stamp, 5, 20, &mut sight);
        sight.counts.older_states
    };
    for sequence in [0, 1000, 2000, 2045, 2046, 2047, 2048, 3000] {
        assert_eq!(take(sequence), 0, "{sequence}");
    }
    assert_eq!(take(2500), 1);
    assert_eq!(seen.user(), 1_999_999);
}

#[test]
fn the_contacts_are_asked_for_again_before_they_end_and_only_then() {
    let mut stage = Stage::new();
    let mut list = stage.list("600");
    stage.notify(&list, 1, "active;expires=600", &[]);
    stage.wait(479_000_000);
    assert!(stage.said().is_empty());
    stage.wait(1_000_000);
    let mut renewal = stage.subscribe();
    stage.wait(1_000_000);
    assert!(stage.said().is_empty(), "asked once");
    {
        let first = Message::parse(&mut list).unwrap();
        let again = Message::parse(&mut renewal).unwrap();
        assert_eq!(again.call_id(), first.call_id());
        assert_eq!(again.uri(), "sip:s@localhost");
        assert_eq!(again.from().tag(), first.from().tag());
        assert_eq!(again.to().tag(), Some("s"));
        assert!(again.cseq().number > first.cseq().number);
        assert!(again.body().is_empty());
    }
    stage.answer(&mut renewal, "600");
    stage.wait(150_000_000);
    let list = stage.first.clone();
    stage.notify(&list, 2, "active;expires=450", &[]);
    assert!(stage.faults().is_empty());
    stage.notify(&list, 3, "terminated;reason=timeout", &[]);
    let unasked = "1 a subscription ended unasked, reason timeout";
    assert_eq!(stage.faults(), [unasked], "what was granted first is past");
    stage.out.clear();
    stage.wait(600_000_000);
    assert!(stage.said().is_empty(), "there is nothing to renew");
}

#[test]
fn a_number_that_does_not_rise_is_a_fault() {
    let mut stage = Stage::new();
    let list = stage.list("600");
    assert_eq!(stage.notify(&list, 5, "active;expires=600", &[]), 200);
    assert_eq!(stage.notify(&list, 5, "active;expires=600", &[]), 500);
    stage.act(Deed::Watch {
        presentity: 3,
        number: 1,
    });
    let mut watch = stage.subscribe();
    stage.answer(&mut watch, "600");
    assert_eq!(stage.notify(&watch, 2, "active", &[(3, 0, 0)]), 200);
    assert_eq!(stage.notify(&watch, 1, "active", &[]), 500);
    assert_eq!(
        stage.faults(),
        ["2 a NOTIFY with a CSeq that does not rise"]
    );
}

#[test]
fn what_is_granted_and_not_told_is_a_fault_unless_its_connection_ended() {
    let mut stage = Stage::new();
    let list = stage.list("600");
    assert!(!stage.client.is_quiet());
    stage.act(Deed::Poll { number: 4 });
    let mut poll = stage.subscribe();
    stage.answer(&mut poll, "0");
    stage.act(Deed::Watch {
        presentity: 3,
        number: 5,
    });
    let mut watch = stage.subscribe();
    stage.answer(&mut watch, "600");
    // To end it is no way out: it has to be told all the same.
    stage.act(Deed::Unwatch { number: 5 });
    let mut unwatch = stage.subscribe();
    stage.answer(&mut unwatch, "0");
    stage.wait(TIMEOUT_US);
    assert_eq!(stage.sight.counts.untold, 3);
    let faults = stage.faults().join(", ");
    for what in ["contact list", "poll", "one presentity"] {
        let fault = format!("{what} granted, and no NOTIFY came");
        assert!(faults.contains(&fault), "{faults}");
    }
    // Late is no second fault.
    stage.notify(&list, 1, "active", &[]);
    stage.wait(TIMEOUT_US);
    assert_eq!(stage.sight.counts.untold, 3);
    let mut other = Stage::new();
    other.list("600");
    let now_us = other.now_us;
    other.client.cut_off(now_us, &mut Vec::new());
    other.wait(TIMEOUT_US);
    assert_eq!((other.sight.counts.untold, other.faults()), (0, vec![]));
}

#[test]
fn what_is_told_is_not_owed_be_it_before_the_answer() {
    let mut stage = Stage::new();
    let mut list = stage.first.clone();
    stage.notify(&list, 1, "active", &[]);
    stage.answer(&mut list, "600");
    stage.act(Deed::Poll { number: 4 });
    let mut poll = stage.subscribe();
    stage.notify(&poll, 1, "terminated;reason=timeout", &[(99, 0, 0)]);
    stage.answer(&mut poll, "0");
    stage.act(Deed::Poll { number: 5 });
    let mut poll = stage.subscribe();
    stage.answer(&mut poll, "0");
    stage.notify(&poll, 1, "terminated;reason=timeout", &[]);
    stage.act(Deed::Watch {
        presentity: 3,
        number: 6,
    });
    let mut watch = stage.subscribe();
    stage.notify(&watch, 1, "active", &[]);
    stage.answer(&mut watch, "600");
    stage.act(Deed::Unwatch { number: 6 });
    let mut unwatch = stage.subscribe();
    // Its last NOTIFY before the answer, or after it.
    stage.notify(&watch, 2, "terminated;reason=timeout", &[]);
    stage.answer(&mut unwatch, "0");
    stage.notify(&watch, 3, "terminated;reason=timeout", &[]);
    stage.wait(TIMEOUT_US);
    assert_eq!((stage.faults(), stage.sight.counts.untold), (vec![], 0));
    assert!(stage.client.is_quiet());
}

#[test]
fn an_end_that_nobody_asked_for_is_a_fault() {
    let ended = |stage: &Stage| {
        let faults = stage.faults();
        faults.iter().any(|what| what.contains("ended unasked"))
    };
    let mut stage = Stage::new();
    let list = stage.list("600");
    stage.notify(&list, 1, "active;expires=600", &[]);
    stage.notify(&list, 2, "Terminated;reason=deactivated", &[]);
    assert_eq!(
        stage.faults(),
        ["1 a subscription ended unasked, reason deactivated"]
    );
    // What was granted has ended.
    let mut stage = Stage::new();
    let list = stage.list("60");
    stage.notify(&list, 1, "active;expires=60", &[]);
    stage.now_us += 60_000_000;
    stage.notify(&list, 2, "terminated;reason=timeout", &[]);
    assert!(!ended(&stage));
    // Who signs off is told so.
    let mut stage = Stage::new();
    let list = stage.list("600");
    stage.act(Deed::LogOff);
    stage.notify(&list, 1, "terminated;reason=deactivated", &[]);
    assert!(!ended(&stage));
    let mut stage = Stage::new();
    let list = stage.list("600");
    stage.notify(&list, 1, "", &[]);
    let what = "1 a NOTIFY without a readable Subscription-State";
    assert_eq!(stage.faults(), [what]);
}

#[test]
fn a_notify_for_another_is_a_fault() {
    let mut stage = Stage::new();
    let list = stage.list("600");
    let text = String::from_utf8(list).unwrap();
    let others = text.replace("l00000009-7-", "l00000009-8-").into_bytes();
    assert_eq!(stage.notify(&others, 1, "active", &[]), 481);
    assert_eq!(stage.faults().len(), 1);
    let call_id = Message::parse(&mut text.into_bytes())
        .unwrap()
        .call_id()
        .to_string();
    let (kind, _) = speech::subscription_of(&call_id, 9, 7).unwrap();
    assert_eq!(kind, speech::LIST);
}

#[test]
fn a_state_that_stands_must_be_known_after_a_while() {
    let mut stage = Stage::new();
    let list = stage.list("600");
    let one = stage.world.graph.contacts(7)[0];
    let other = stage.world.graph.contacts(7)[1];
    let looked = |stage: &mut Stage| {
        stage.sight = Sight::default();
        stage.lend(|client, scene| client.look(scene));
        let counts = &stage.sight.counts;
        (counts.states_due, counts.states_untold)
    };
    let active = "active;expires=600";
    stage.notify(&list, 1, active, &[(one, 2, 1)]);
    let taken = |stage: &Stage, user, count, granted_s| {
        let published = &stage.world.published;
        published.taken(user, count, stage.now_us, granted_s);
    };
    taken(&stage, one, 3, 60);
    stage.now_us += TIMEOUT_US - 1;
    assert_eq!(looked(&mut stage), (0, 0), "who watches may still be told");
    stage.now_us += 1;
    assert_eq!(looked(&mut stage), (1, 0));
    // What came after it is as good.
    stage.notify(&list, 2, active, &[(one, 3, 1)]);
    assert_eq!(looked(&mut stage), (1, 0));
    taken(&stage, one, 5, 60);
    taken(&stage, other, 1, 30);
    stage.now_us += TIMEOUT_US;
    assert_eq!(looked(&mut stage), (2, 2), "an older one, and none");
    assert!(stage.sight.examples[0].starts_with("untold state: the newest of user"));
    stage.notify(&list, 3, active, &[(one, 4, 1)]);
    assert_eq!(looked(&mut stage), (2, 1));
    stage.now_us += 30_000_000;
    assert_eq!(looked(&mut stage), (1, 0), "the other one's has ended");
    stage.world.published.gone(one);
    assert_eq!(looked(&mut stage), (0, 0));
    // Neither is anything owed to who signs off, or whose subscription has ended.
    taken(&stage, one, 6, 3600);
    stage.now_us += TIMEOUT_US;
    assert_eq!(looked(&mut stage), (1, 1));
    stage.now_us += 600_000_000;
    assert_eq!(looked(&mut stage), (0, 0));
    stage.now_us -= 600_000_000;
    stage.act(Deed::LogOff);
    assert_eq!(looked(&mut stage), (0, 0));
}
