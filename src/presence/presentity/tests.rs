//! What watchers hear of, versions, and what a presentity costs.

use proptest::prelude::*;

use super::*;
use crate::documents::pidf::Basic;
use crate::presence::content::Content;
use crate::presence::{Level, Package};

fn at(seconds: u64) -> Now {
    Now(1_000_000_000_000_000 + seconds * 1_000_000)
}

fn publish(
    presentity: &mut Presentity,
    now: Now,
    endpoint: u64,
    basic: Basic,
    expires_s: u32,
) -> Result<Published, Refusal> {
    let publish = Publish {
        endpoint: EndpointKey(endpoint),
        if_match: None,
        expires_s: Some(expires_s),
        content: Some(Content {
            basic: Some(basic),
            ..Content::default()
        }),
    };
    presentity.publish(now, publish, &Limits::default(), || now.0)
}

#[test]
fn watchers_hear_of_changes_and_of_nothing_else() {
    let mut presentity = Presentity::new(at(0), None);
    assert_eq!(presentity.state(), &State::OFFLINE);
    let first = presentity.version();

    assert!(presentity.registered(at(1), true));
    assert!(!presentity.registered(at(2), true));
    // An open publication says what the registration already said.
    assert!(
        !publish(&mut presentity, at(3), 1, Basic::Open, 60)
            .unwrap()
            .changed
    );
    assert_eq!(presentity.since(Level::Own), at(1));
    assert!(presentity.version() > first);

    assert!(
        publish(&mut presentity, at(4), 1, Basic::Closed, 60)
            .unwrap()
            .changed
    );
    assert_eq!(presentity.state().basic, Basic::Closed);
    assert!(presentity.endpoint_gone(at(5), EndpointKey(1)));
    assert!(presentity.registered(at(5), false));
    assert!(presentity.is_idle());
}

#[test]
fn an_end_that_a_refused_publish_came_upon_is_still_told() {
    let mut presentity = Presentity::new(at(0), None);
    publish(&mut presentity, at(0), 1, Basic::Open, 60).unwrap();
    assert_eq!(presentity.next_change(at(0)), Some(at(60)));
    assert!(publish(&mut presentity, at(61), 2, Basic::Open, 1).is_err());
    assert_eq!(presentity.next_change(at(61)), Some(at(60)));
    assert!(presentity.expire(at(61)));
    assert_eq!(presentity.state(), &State::OFFLINE);
    assert_eq!(presentity.next_change(at(61)), None);
}

#[test]
fn versions_rise_within_a_turn_and_over_being_forgotten() {
    let mut presentity = Presentity::new(at(0), None);
    let mut last = presentity.version();
    for registered in [true, false, true, false] {
        assert!(presentity.registered(at(0), registered));
        assert!(presentity.version() > last);
        last = presentity.version();
    }
    assert!(presentity.is_idle());
    let again = Presentity::new(at(1), None);
    assert!(again.version() > last);
}

#[test]
fn who_is_watched_is_kept() {
    let mut presentity = Presentity::new(at(0), None);
    assert!(presentity.is_idle());
    presentity
        .audience
        .add(Package::Presence, Level::Friends, 3);
    assert!(!presentity.is_idle());
    presentity
        .audience
        .remove(Package::Presence, Level::Friends, 3);
    assert!(presentity.is_idle());
}

#[test]
fn a_presentity_is_small_and_none_costs_a_pointer() {
    assert!(
        size_of::<Presentity>() <= 176,
        "{}",
        size_of::<Presentity>()
    );
    assert_eq!(size_of::<State>(), 24);
    assert_eq!(size_of::<Option<Box<Presentity>>>(), size_of::<usize>());
}

#[derive(Clone, Debug)]
enum Step {
    Publish(u64, bool, u32),
    Gone(u64),
    Registered(bool),
    Later(u64),
}

proptest! {
    #[test]
    fn the_version_rises_exactly_when_the_state_changes(
        steps in proptest::collection::vec(
            prop_oneof![
                (0u64..3, any::<bool>(), 60u32..200).prop_map(|(e, open, s)| Step::Publish(e, open, s)),
                (0u64..3).prop_map(Step::Gone),
                any::<bool>().prop_map(Step::Registered),
                (0u64..100).prop_map(Step::Later),
            ],
            0..40,
        ),
    ) {
        let mut presentity = Presentity::new(at(0), None);
        let mut seconds = 0;
        for step in steps {
            let (state, version) = (presentity.state().clone(), presentity.version());
            let now = at(seconds);
            let changed = match step {
                Step::Publish(endpoint, open, expires_s) => {
                    let basic = if open { Basic::Open } else { Basic::Closed };
                    match publish(&mut presentity, now, endpoint, basic, expires_s) {
                        Ok(published) => published.changed,
                        Err(refusal) => {
                            prop_assert_eq!(refusal, Refusal::TooMany);
                            false
                        }
                    }
                }
                Step::Gone(endpoint) => presentity.endpoint_gone(now, EndpointKey(endpoint)),
                Step::Registered(registered) => presentity.registered(now, registered),
                Step::Later(by) => {
                    seconds += by;
                    presentity.expire(at(seconds))
                }
            };
            prop_assert_eq!(changed, presentity.state() != &state);
            prop_assert_eq!(changed, presentity.version() > version);
            prop_assert!(presentity.next_change(at(seconds)).is_none_or(|at_| at_ > at(seconds)) || !matches!(step, Step::Later(_)));
        }
        for endpoint in 0..3 {
            presentity.endpoint_gone(at(seconds), EndpointKey(endpoint));
        }
        presentity.registered(at(seconds), false);
        prop_assert!(presentity.is_idle());
        prop_assert_eq!(presentity.state(), &State::OFFLINE);
    }
}
