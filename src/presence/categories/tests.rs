//! Requests that are whole or nothing, the bounds, how each kind ends, and that no order shows.

use super::*;
use crate::documents::rpid::{Activities, Activity};

const PHONE: EndpointKey = EndpointKey(1);
const DESK: EndpointKey = EndpointKey(2);

fn key(category: &str, container: u32, instance: u32) -> Key {
    Key {
        category: category.into(),
        container,
        instance,
    }
}

fn item(category: &str, container: u32, version: u32, life: Option<Life>) -> PublishItem {
    PublishItem {
        key: key(category, container, 7),
        version,
        put: life.map(|life| Put {
            life,
            document: Arc::from(&b"<x/>"[..]),
            meaning: Meaning::Nothing,
        }),
    }
}

#[derive(Default)]
struct User {
    lasting: Categories,
    passing: Categories,
}

impl User {
    fn publish(&mut self, at: u64, items: &[PublishItem]) -> String {
        let held = Held {
            lasting: &self.lasting,
            passing: &self.passing,
        };
        match held.edits(Now(at), PHONE, items.to_vec(), false) {
            Ok(edits) => {
                assert!(self.lasting.edit(edits.lasting) && self.passing.edit(edits.passing));
                self.told()
            }
            Err(NotPublished::Conflicts(conflicts)) => {
                let one = |c: &Conflict| format!("{}: {} is {}; ", c.index, c.given, c.current);
                conflicts.iter().map(one).collect()
            }
            Err(other) => other.reason(),
        }
    }

    fn told(&self) -> String {
        let held = Held {
            lasting: &self.lasting,
            passing: &self.passing,
        };
        let all = held.of(None);
        for one in &all {
            assert_eq!(
                self.lasting.get(&one.key).is_some(),
                one.life == Life::Static
            );
        }
        let one = |one: &&Instance| {
            format!(
                "{} {} v{}; ",
                one.key.category, one.key.container, one.version
            )
        };
        all.iter().map(one).collect()
    }
}

#[test]
fn a_request_is_taken_whole_or_not_at_all() {
    let mut user = User::default();
    let (forever, here) = (Some(Life::Static), Some(Life::Endpoint));
    assert_eq!(
        user.publish(
            1,
            &[item("note", 200, 0, forever), item("state", 3, 0, here)]
        ),
        "note 200 v1; state 3 v1; "
    );
    // One of the two is stale: neither is taken.
    assert_eq!(
        user.publish(
            2,
            &[item("note", 200, 1, forever), item("state", 3, 0, here)]
        ),
        "1: 0 is 1; "
    );
    assert_eq!(user.told(), "note 200 v1; state 3 v1; ");
    assert_eq!(
        user.publish(3, &[item("gone", 2, 4, here), item("state", 3, 9, None)]),
        "0: 4 is 0; 1: 9 is 1; "
    );
    // What lasted passes from now on, and the other way round: the version goes on.
    assert_eq!(
        user.publish(
            4,
            &[item("note", 200, 1, here), item("state", 3, 1, forever)]
        ),
        "note 200 v2; state 3 v2; "
    );
    assert_eq!(
        user.publish(5, &[item("note", 200, 2, None), item("state", 3, 2, None)]),
        ""
    );
    assert_eq!(
        user.publish(6, &[item("note", 200, 0, here)]),
        "note 200 v1; "
    );
    assert_eq!(
        user.publish(7, &[item("x", 2, 0, here), item("x", 2, 0, here)]),
        "An Instance Is Published Twice"
    );
}

/// As SIPE takes it back, which never learns that the others have other versions.
#[test]
fn a_note_is_taken_back_with_the_version_of_one_container() {
    let forever = Some(Life::Static);
    let note = |container, version, life| {
        let mut item = item("note", container, version, life);
        if let Some(put) = &mut item.put {
            put.meaning = Meaning::Note(Some("x".into()), NoteKind::Personal);
        }
        item
    };
    let all = |version, life| [200, 300, 400].map(|container| note(container, version, life));
    let mut user = User::default();
    user.publish(1, &[note(400, 0, forever)]);
    let [colleagues, workgroup, _] = all(0, forever);
    assert_eq!(
        user.publish(2, &[colleagues, workgroup, note(400, 1, forever)]),
        "note 200 v1; note 300 v1; note 400 v2; "
    );
    assert_eq!(user.publish(3, &all(2, None)), "0: 2 is 1; 1: 2 is 1; ");
    assert_eq!(user.publish(4, &all(1, forever)), "2: 1 is 2; ");
    assert_eq!(user.publish(5, &all(1, None)), "");
    // Also where not every container has it.
    for container in [200, 300, 400] {
        user.publish(6, &[note(container, 0, forever)]);
        let version = u32::from(container == 200);
        assert_eq!(user.publish(7, &all(version, None)), "", "{container}");
    }
    // No other category.
    user.publish(8, &[item("x", 200, 0, forever)]);
    user.publish(9, &[item("x", 200, 1, forever), item("x", 400, 0, forever)]);
    assert_eq!(user.publish(10, &[item("x", 400, 2, None)]), "0: 2 is 1; ");
}

#[test]
fn there_is_room_for_so_much() {
    let mut user = User::default();
    let with = |instance, bytes: usize| PublishItem {
        key: key("x", 2, instance),
        version: 0,
        put: Some(Put {
            life: Life::Endpoint,
            document: vec![b'x'; bytes].into(),
            meaning: Meaning::Nothing,
        }),
    };
    let full: Vec<PublishItem> = (0..8).map(|n| with(n, DOCUMENT_BYTES_MAX)).collect();
    user.publish(1, &full);
    assert_eq!(user.passing.len(), 8);
    let refused = user.publish(2, &[with(8, 1)]);
    assert_eq!(refused, "At Most 262144 Bytes Of Published Documents");
    let mut user = User::default();
    let many: Vec<PublishItem> = (0..256).map(|n| with(n, 1)).collect();
    user.publish(1, &many);
    assert_eq!(
        user.publish(2, &[with(256, 1)]),
        "At Most 256 Published Instances"
    );
    assert_eq!(user.passing.len(), 256);
}

/// A choice that was made by other means is published whatever the bounds say (`muster user note set`).
#[test]
fn who_has_more_than_there_is_room_for_can_still_take_it_back() {
    let mut user = User::default();
    let with = |instance, version, bytes: Option<usize>| PublishItem {
        key: key("x", 2, instance),
        version,
        put: bytes.map(|bytes| Put {
            life: Life::Endpoint,
            document: vec![b'x'; bytes].into(),
            meaning: Meaning::Nothing,
        }),
    };
    let full: Vec<PublishItem> = (0..256).map(|n| with(n, 0, Some(1024))).collect();
    user.publish(1, &full);
    for container in [200, 300, 400] {
        let mut note = instance("note", container, 1, Life::Static, Meaning::Nothing);
        note.document = vec![b'x'; 1024].into();
        user.lasting.put(note);
    }
    for (grown, refusal) in [
        (with(256, 0, Some(1)), "At Most 256 Published Instances"),
        (
            with(0, 1, Some(1025)),
            "At Most 262144 Bytes Of Published Documents",
        ),
    ] {
        assert_eq!(user.publish(2, &[grown]), refusal);
    }
    user.publish(3, &[with(0, 1, Some(1024))]);
    user.publish(4, &[with(0, 2, Some(1023)), with(1, 1, None)]);
    assert_eq!(user.passing.len() + user.lasting.len(), 258);
    assert!(user.passing.get(&key("x", 2, 1)).is_none());
}

fn instance(category: &str, container: u32, at: u64, life: Life, meaning: Meaning) -> Instance {
    Instance {
        key: key(
            category,
            container,
            u32::try_from(at).expect("a small number"),
        ),
        version: 1,
        life,
        endpoint: Some(PHONE),
        published: Now(at),
        document: Arc::from(&b"<x/>"[..]),
        meaning,
    }
}

#[test]
fn each_kind_ends_in_its_way() {
    let mut all = Categories::default();
    for (at, life) in [
        (1, Life::Static),
        (2, Life::User),
        (3, Life::Endpoint),
        (4, Life::Until(Now(100))),
    ] {
        all.put(instance("x", 2, at, life, Meaning::Nothing));
    }
    let left = |all: &Categories| -> Vec<u32> { all.iter().map(|one| one.key.instance).collect() };
    let mut desk = instance("y", 2, 5, Life::Endpoint, Meaning::Nothing);
    desk.endpoint = Some(DESK);
    all.put(desk);
    assert!(all.end(Now(50), true, |_| true).is_empty());
    assert_eq!(all.next_end(), Some(Now(100)));
    assert_eq!(all.end(Now(50), true, |key| key == DESK), ["x".into()]);
    assert_eq!(left(&all), [1, 2, 4, 5]);
    assert_eq!(
        all.end(Now(100), false, |_| false),
        ["x".into(), "y".into()]
    );
    assert_eq!(left(&all), [1]);
}

#[test]
fn the_newest_note_of_a_container_is_the_one_there() {
    let note = |text: &str| {
        let text = (!text.is_empty()).then(|| text.into());
        Meaning::Note(text, NoteKind::Personal)
    };
    let mut all = Categories::default();
    all.put(instance("note", 200, 1, Life::Static, note("for all")));
    all.put(instance("note", 400, 2, Life::Static, note("for friends")));
    all.put(instance("note", 300, 3, Life::Static, note("")));
    let text = |found: Option<(&str, NoteKind)>| found.map(|(text, _)| text.to_owned());
    assert_eq!(text(all.note()).as_deref(), Some("for friends"));
    let mut passing = Categories::default();
    let end = Life::Until(Now(9));
    passing.put(instance("note", 100, 4, end, note("for a while")));
    let mut oof = instance("note", 200, 4, end, note("for a while, too"));
    oof.key.instance = 1;
    passing.put(oof);
    let held = Held {
        lasting: &all,
        passing: &passing,
    };
    for (container, there, gone) in [
        (200, Some("for a while, too"), Some("for all")),
        (300, None, None),
        (400, Some("for friends"), Some("for friends")),
        (100, Some("for a while"), None),
        (32000, None, None),
    ] {
        let shown = [false, true].map(|lasts| text(held.note_in(container, lasts)));
        assert_eq!(shown.each_ref().map(Option::as_deref), [there, gone]);
    }
}

#[test]
fn what_an_endpoint_says_does_not_depend_on_the_order() {
    let says = |activity| {
        Meaning::Endpoint(Box::new(Content {
            activities: Activities::one(activity),
            ..Content::default()
        }))
    };
    let one = instance("state", 3, 1, Life::Endpoint, says(Activity::OnThePhone));
    let two = instance("state", 3, 2, Life::Endpoint, says(Activity::Meeting));
    let own = instance("state", 2, 3, Life::Endpoint, says(Activity::Busy));
    let mut forth = Categories::default();
    let mut back = Categories::default();
    for each in [&one, &two, &own] {
        forth.put(each.clone());
    }
    for each in [&own, &two, &one] {
        back.put(each.clone());
    }
    assert_eq!(forth.said(), back.said());
    let said = forth.said();
    let expected = Activities::one(Activity::OnThePhone).with(Activity::Meeting);
    assert_eq!((said.len(), said[0].1.activities), (1, expected));
}
