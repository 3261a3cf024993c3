//! The rules of RFC 3903 §6, and the limits on one user.

use super::*;
use crate::documents::pidf::Basic;

const LIMITS: Limits = Limits {
    publications_max: 3,
    note_chars_max: 10,
    inactive_after_s: 300,
    away_after_s: 300,
    expires_s_min: 60,
    expires_s_max: 600,
    expires_s_default: 300,
};

const ENDPOINT: EndpointKey = EndpointKey(1);

fn at(seconds: u64) -> Now {
    Now(1_000_000_000_000_000 + seconds * 1_000_000)
}

fn open() -> Option<Content> {
    Some(Content {
        basic: Some(Basic::Open),
        ..Content::default()
    })
}

fn closed() -> Option<Content> {
    Some(Content {
        basic: Some(Basic::Closed),
        ..Content::default()
    })
}

/// A presentity's publications with a generator that counts.
struct Stage {
    publications: Publications,
    numbers: u64,
}

impl Stage {
    fn new() -> Stage {
        Stage {
            publications: Publications::default(),
            numbers: 0xabc,
        }
    }

    fn publish(
        &mut self,
        now: Now,
        if_match: Option<&str>,
        expires_s: Option<u32>,
        content: Option<Content>,
    ) -> Result<(String, u32), Refusal> {
        let publish = Publish {
            endpoint: ENDPOINT,
            if_match,
            expires_s,
            content,
        };
        let numbers = &mut self.numbers;
        let fresh = || {
            *numbers += 1;
            *numbers
        };
        self.publications
            .publish(now, None, publish, &LIMITS, fresh)
            .map(|(tag, expires_s)| (tag.to_string(), expires_s))
    }

    fn said(&self) -> Vec<Option<Basic>> {
        self.publications
            .said()
            .map(|said| said.content.basic)
            .collect()
    }
}

#[test]
fn a_publication_lives_is_refreshed_modified_and_removed() {
    let mut stage = Stage::new();
    let (first, expires_s) = stage.publish(at(0), None, Some(120), open()).unwrap();
    assert_eq!((first.as_str(), expires_s), ("0000000000000abd", 120));
    assert_eq!(stage.publications.next_expiry(), Some(at(120)));

    let (second, _) = stage
        .publish(at(60), Some(&first), Some(120), None)
        .unwrap();
    assert_ne!(first, second);
    assert_eq!(stage.publications.next_expiry(), Some(at(180)));
    assert_eq!(stage.said(), [Some(Basic::Open)]);

    let (third, _) = stage
        .publish(at(70), Some(&second), Some(120), closed())
        .unwrap();
    assert_eq!(stage.said(), [Some(Basic::Closed)]);

    assert_eq!(
        stage
            .publish(at(80), Some(&third), Some(0), None)
            .unwrap()
            .1,
        0
    );
    assert!(stage.publications.is_empty());
    assert_eq!(stage.publications.next_expiry(), None);
}

#[test]
fn a_tag_works_once_and_a_made_up_one_never() {
    let mut stage = Stage::new();
    let (first, _) = stage.publish(at(0), None, None, open()).unwrap();
    let (second, _) = stage.publish(at(1), Some(&first), None, None).unwrap();
    let unknown = [
        first.as_str(),
        "",
        "*",
        "ffffffffffffffff",
        &second.to_uppercase(),
        &second[1..],
        &format!(" {second}"),
        "+000000000000abd",
    ]
    .map(str::to_string);
    for tag in unknown {
        let refused = stage.publish(at(2), Some(&tag), None, closed());
        assert_eq!(refused, Err(Refusal::UnknownTag), "{tag}");
    }
    assert_eq!(Refusal::UnknownTag.status(), 412);
    assert_eq!(stage.said(), [Some(Basic::Open)]);
    assert!(stage.publish(at(2), Some(&second), None, None).is_ok());
}

#[test]
fn one_that_has_ended_is_unknown_before_anyone_swept() {
    let mut stage = Stage::new();
    let (tag, _) = stage.publish(at(0), None, Some(60), open()).unwrap();
    assert_eq!(
        stage.publish(at(60), Some(&tag), None, None),
        Err(Refusal::UnknownTag)
    );
    stage.publications.expire(at(59));
    assert!(!stage.publications.is_empty());
    stage.publications.expire(at(60));
    assert!(stage.publications.is_empty());
}

#[test]
fn lives_are_granted_within_bounds() {
    let cases = [
        (None, Ok(300)),
        (Some(60), Ok(60)),
        (Some(601), Ok(600)),
        (Some(u32::MAX), Ok(600)),
        (Some(0), Ok(0)),
        (Some(59), Err(Refusal::TooBrief { min_s: 60 })),
        (Some(1), Err(Refusal::TooBrief { min_s: 60 })),
    ];
    for (asked_s, expected) in cases {
        let granted = Stage::new().publish(at(0), None, asked_s, open());
        assert_eq!(
            granted.map(|(_, expires_s)| expires_s),
            expected,
            "{asked_s:?}"
        );
    }
    assert_eq!(Refusal::TooBrief { min_s: 60 }.status(), 423);
}

#[test]
fn an_initial_publication_needs_a_body_and_with_no_life_leaves_nothing() {
    let mut stage = Stage::new();
    assert_eq!(
        stage.publish(at(0), None, None, None),
        Err(Refusal::NoContent)
    );
    assert_eq!(
        stage.publish(at(0), None, Some(0), None),
        Err(Refusal::NoContent)
    );
    assert_eq!(stage.publish(at(0), None, Some(0), open()).unwrap().1, 0);
    assert!(stage.publications.is_empty());
}

#[test]
fn too_many_are_refused_until_one_ends() {
    let mut stage = Stage::new();
    let (tag, _) = stage.publish(at(0), None, Some(60), open()).unwrap();
    stage.publish(at(0), None, Some(120), open()).unwrap();
    stage.publish(at(0), None, Some(120), open()).unwrap();
    assert_eq!(
        stage.publish(at(1), None, None, open()),
        Err(Refusal::TooMany)
    );
    // Those that are there may go on, and one that takes no room may come.
    stage
        .publish(at(1), Some(&tag), Some(60), closed())
        .unwrap();
    stage.publish(at(1), None, Some(0), open()).unwrap();
    // Nobody swept, but one has ended.
    stage.publish(at(61), None, None, open()).unwrap();
}

#[test]
fn a_refresh_makes_nothing_newer_and_no_two_are_equally_new() {
    let mut stage = Stage::new();
    let instants =
        |stage: &Stage| -> Vec<Now> { stage.publications.said().map(|said| said.at).collect() };
    let (tag, _) = stage.publish(at(0), None, None, open()).unwrap();
    // In one turn of the loop all that comes has the same `now`.
    stage.publish(at(0), None, None, closed()).unwrap();
    assert_eq!(instants(&stage), [at(0), Now(at(0).0 + 1)]);
    let (tag, _) = stage.publish(at(5), Some(&tag), None, None).unwrap();
    assert_eq!(instants(&stage), [at(0), Now(at(0).0 + 1)]);
    stage.publish(at(5), Some(&tag), None, open()).unwrap();
    assert_eq!(instants(&stage), [at(5), Now(at(0).0 + 1)]);
}

#[test]
fn a_publication_goes_with_its_endpoint_and_follows_it_to_a_new_connection() {
    let mut publications = Publications::default();
    let mut number = 0;
    let mut publish = |publications: &mut Publications, endpoint, if_match: Option<&str>| {
        let publish = Publish {
            endpoint: EndpointKey(endpoint),
            if_match,
            expires_s: None,
            content: if_match.is_none().then(Content::default),
        };
        let fresh = || {
            number += 1;
            number
        };
        publications
            .publish(at(0), None, publish, &LIMITS, fresh)
            .unwrap()
            .0
            .to_string()
    };
    let tag = publish(&mut publications, 1, None);
    publish(&mut publications, 2, None);
    publish(&mut publications, 3, Some(&tag));
    publications.endpoint_gone(EndpointKey(1));
    assert_eq!(publications.said().count(), 2);
    publications.endpoint_gone(EndpointKey(3));
    publications.endpoint_gone(EndpointKey(2));
    assert!(publications.is_empty());
    assert_eq!(publications.0.capacity(), 0);
}

#[test]
fn a_generator_that_repeats_itself_gives_no_tag_twice() {
    let mut publications = Publications::default();
    let mut tags = Vec::new();
    for _ in 0..3 {
        let publish = Publish {
            endpoint: ENDPOINT,
            if_match: None,
            expires_s: None,
            content: open(),
        };
        tags.push(
            publications
                .publish(at(0), None, publish, &LIMITS, || u64::MAX)
                .unwrap()
                .0,
        );
    }
    assert_eq!(tags, [EntityTag(u64::MAX), EntityTag(0), EntityTag(1)]);
}

#[test]
fn a_publication_is_small() {
    // What one of a million users costs while published, beside an allocation of its own.
    assert_eq!(size_of::<Publication>(), 80);
}
