//! Who gets a request for a user first, and who after.
//!
//! | the request names | first | after |
//! | --- | --- | --- |
//! | a GRUU (RFC 5627) | that instance, over its newest flow | nobody |
//! | a conversation that has an endpoint | that endpoint | the others, by the lines below |
//! | neither, and of the endpoints with the highest `q` one is distinctly the most active | that one | the rest of them, then those of the next `q` (RFC 3261 §16.6) |
//! | neither, and none is | all of the highest `q` | those of the next `q` |
//!
//! A stage begins [`ACTIVE_FIRST`] after the one before it, or at once when everybody in that has refused. Endpoints that said
//! which methods they take, and do not take this one, are left out.
//!
//! One is *distinctly* the most active where it alone shows a sign of life:
//!
//! | it reports | a person acted there within [`ACTED_LATELY`] | sign |
//! | --- | --- | --- |
//! | active | any | life |
//! | nothing | yes | life |
//! | idle, away, locked | since it said so | life |
//! | nothing | no | none known |
//! | idle, away, locked | not since | none |

use core::time::Duration;

use smallvec::SmallVec;

use crate::calls::search::Place;
use crate::presence::{EndpointKey, MachineState};
use crate::registrar::{Endpoint, EndpointId, Gruu};
use crate::shard::{Shard, User, UserKey};
use crate::sip::link::ConnectionId;
use crate::sip::message::Method;
use crate::sip::time::Now;
use crate::sip::uri::Aor;

/// How long the most active endpoint has a request for itself.
pub(crate) const ACTIVE_FIRST: Duration = Duration::from_secs(4);
/// How long after a person did something at an endpoint they count as being there.
const ACTED_LATELY: Duration = Duration::from_secs(300);

/// What a request wants of a user's endpoints.
#[derive(Clone, Copy, Default)]
pub(crate) struct Wanted<'a> {
    /// Not the one on this connection: it is who asks.
    pub except: Option<ConnectionId>,
    /// This one alone.
    pub gruu: Option<&'a Gruu>,
    /// This one first: the conversation's.
    pub prefer: Option<EndpointId>,
    /// It takes this method, or has not said.
    pub method: Option<Method>,
}

/// An endpoint that a request goes to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Reached {
    pub endpoint: EndpointId,
    pub connection: ConnectionId,
    /// The Request-URI.
    pub contact: Box<str>,
    /// Its instance id: by that, and by its reg-id, it is known again where it went and has come back. Empty where it has none,
    /// or has its turn at once.
    pub instance: Box<str>,
    /// RFC 5626 §4.2; 0 where there is none.
    pub reg_id: u32,
}

/// Who is asked, stage by stage.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Stages {
    next: Vec<Reached>,
    /// The soonest last.
    later: Vec<Vec<Reached>>,
}

impl Stages {
    /// Those whose turn it is now: empty where nobody is left.
    pub fn take(&mut self) -> Vec<Reached> {
        let next = self.later.pop().unwrap_or_default();
        core::mem::replace(&mut self.next, next)
    }

    /// Whether the endpoint has its turn still.
    pub fn holds(&self, endpoint: EndpointId) -> bool {
        let all = self.later.iter().flatten().chain(&self.next);
        all.into_iter().any(|one| one.endpoint == endpoint)
    }

    /// How many stages are left.
    pub fn len(&self) -> usize {
        usize::from(!self.next.is_empty()) + self.later.len()
    }

    /// Whether nobody is left.
    pub fn is_empty(&self) -> bool {
        self.next.is_empty()
    }

    fn of(stages: impl DoubleEndedIterator<Item = Vec<Reached>>) -> Stages {
        let later = stages.rev().filter(|stage| !stage.is_empty()).collect();
        let mut stages = Stages {
            next: Vec::new(),
            later,
        };
        stages.take();
        stages
    }
}

/// Who gets a request for this user of this shard, stage by stage.
pub(crate) fn stages(shard: &Shard, key: UserKey, wanted: &Wanted<'_>) -> Stages {
    let Some(user) = shard.users.get(key) else {
        return Stages::default();
    };
    let mut endpoints: SmallVec<[&Endpoint; 4]> = user
        .bindings
        .endpoints(shard.now)
        .filter(|endpoint| Some(endpoint.connection) != wanted.except)
        .filter(|endpoint| {
            wanted
                .method
                .is_none_or(|method| endpoint.capabilities.allows(method) != Some(false))
        })
        .collect();
    if let Some(gruu) = wanted.gruu {
        let flows = endpoints.iter().filter(|endpoint| gruu.means(endpoint));
        let newest = flows.max_by_key(|endpoint| endpoint.expires_at);
        return Stages::of(newest.into_iter().map(|flow| vec![reached_at_once(flow)]));
    }
    // Most users are at one place.
    if let [only] = endpoints[..] {
        return Stages {
            next: vec![reached_at_once(only)],
            later: Vec::new(),
        };
    }
    let mut stages: SmallVec<[Vec<Reached>; 4]> = SmallVec::new();
    if let Some(prefer) = wanted.prefer
        && let Some(at) = endpoints.iter().position(|one| one.id == prefer)
    {
        stages.push(vec![reached(endpoints.remove(at))]);
    }
    endpoints.sort_by_key(|endpoint| core::cmp::Reverse(endpoint.q));
    for (number, group) in endpoints
        .chunk_by(|one, other| one.q == other.q)
        .enumerate()
    {
        let first = (number == 0 && stages.is_empty() && group.len() > 1)
            .then(|| distinct(group.iter().map(|one| sign_of(shard, user, one))))
            .flatten();
        if let Some(active) = first.and_then(|at| group.get(at)) {
            stages.push(vec![reached(active)]);
        }
        let rest = group
            .iter()
            .enumerate()
            .filter(|(at, _)| Some(*at) != first);
        stages.push(rest.map(|(_, endpoint)| reached(endpoint)).collect());
    }
    Stages::of(stages.into_iter())
}

/// Those of a stage who are still there, where they are now: since it was planned some may have come back on another connection.
pub(crate) fn still(shard: &Shard, key: UserKey, stage: Vec<Reached>) -> Vec<Reached> {
    let Some(user) = shard.users.get(key) else {
        return Vec::new();
    };
    let now = |planned: Reached| {
        let (id, reg_id) = (planned.endpoint, planned.reg_id);
        Some(reached(again(user, id, reg_id, &planned.instance)?))
    };
    stage.into_iter().filter_map(now).collect()
}

/// The same of one place of a call: its connection and its Contact now.
pub(crate) fn present(shard: &Shard, user: &Aor, place: Place) -> Option<(ConnectionId, Box<str>)> {
    let Some(known) = place.known else {
        return Some((ConnectionId(place.connection), place.contact));
    };
    let id = EndpointId(known.endpoint);
    let endpoint = again(shard.user(user)?, id, known.reg_id, &known.instance)?;
    Some((endpoint.connection, endpoint.contact().into()))
}

/// An endpoint by its id, which it keeps where its client registers again in time; else by its instance.
fn again<'u>(user: &'u User, id: EndpointId, reg_id: u32, instance: &str) -> Option<&'u Endpoint> {
    let bindings = &user.bindings;
    let same = || bindings.endpoint_of(instance, reg_id);
    bindings.endpoint(id).or_else(same)
}

fn reached(endpoint: &Endpoint) -> Reached {
    Reached {
        instance: endpoint.instance().into(),
        ..reached_at_once(endpoint)
    }
}

/// The same where it is not to be found again later.
fn reached_at_once(endpoint: &Endpoint) -> Reached {
    Reached {
        endpoint: endpoint.id,
        connection: endpoint.connection,
        contact: endpoint.contact().into(),
        instance: "".into(),
        reg_id: endpoint.reg_id,
    }
}

/// Whether somebody is at an endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Sign {
    Life,
    NoneKnown,
    None,
}

/// What an endpoint's own word (whether it is active, and since when) and a person's last act there come to.
fn sign(now: Now, reported: Option<(bool, Now)>, acted: Option<Now>) -> Sign {
    let acted = acted.filter(|at| now.since(*at) < ACTED_LATELY);
    match (reported, acted) {
        (Some((true, _)), _) | (None, Some(_)) => Sign::Life,
        (Some((false, since)), Some(at)) if at > since => Sign::Life,
        (Some((false, _)), _) => Sign::None,
        (None, None) => Sign::NoneKnown,
    }
}

fn sign_of(shard: &Shard, user: &User, endpoint: &Endpoint) -> Sign {
    let acted = shard
        .connections
        .get(endpoint.connection)
        .and_then(|connection| connection.last_act);
    let reported = user
        .presentity
        .as_ref()
        .and_then(|presentity| presentity.activity(shard.now, EndpointKey(endpoint.connection.0)))
        .map(|(machine, since)| (machine == MachineState::Active, since));
    sign(shard.now, reported, acted)
}

/// The only one with a sign of life.
fn distinct(signs: impl Iterator<Item = Sign>) -> Option<usize> {
    let mut alive = signs
        .enumerate()
        .filter(|(_, sign)| *sign == Sign::Life)
        .map(|(at, _)| at);
    let first = alive.next()?;
    alive.next().is_none().then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Now = Now(1_000_000_000_000);

    fn ago(s: u64) -> Now {
        Now(NOW.0 - s * 1_000_000)
    }

    #[test]
    fn a_sign_of_life_is_a_report_or_a_newer_act() {
        let cases = [
            (Some((true, ago(9000))), None, Sign::Life),
            (Some((true, ago(10))), Some(ago(5)), Sign::Life),
            (None, Some(ago(299)), Sign::Life),
            (None, Some(ago(300)), Sign::NoneKnown),
            (None, None, Sign::NoneKnown),
            (Some((false, ago(60))), None, Sign::None),
            (Some((false, ago(60))), Some(ago(61)), Sign::None),
            (Some((false, ago(60))), Some(ago(59)), Sign::Life),
            (Some((false, ago(600))), Some(ago(400)), Sign::None),
        ];
        for (reported, acted, expected) in cases {
            assert_eq!(
                sign(NOW, reported, acted),
                expected,
                "{reported:?} {acted:?}"
            );
        }
    }

    #[test]
    fn only_one_who_lives_is_distinct() {
        use Sign::{Life, None as Gone, NoneKnown};
        let cases: [(&[Sign], Option<usize>); 6] = [
            (&[], None),
            (&[NoneKnown, Gone], None),
            (&[NoneKnown, Life], Some(1)),
            (&[Gone, Life, NoneKnown], Some(1)),
            (&[Life, Life], None),
            (&[Life, Gone, Life], None),
        ];
        for (signs, expected) in cases {
            assert_eq!(distinct(signs.iter().copied()), expected, "{signs:?}");
        }
    }

    #[test]
    fn stages_are_taken_in_order_and_empty_ones_are_none() {
        let one = |id: u32| Reached {
            endpoint: EndpointId(id),
            connection: ConnectionId(u64::from(id)),
            contact: "sip:a".into(),
            instance: "".into(),
            reg_id: 0,
        };
        let mut stages =
            Stages::of([vec![], vec![one(1)], vec![], vec![one(2), one(3)]].into_iter());
        assert_eq!(stages.len(), 2);
        assert_eq!(stages.take(), [one(1)]);
        assert_eq!(stages.take(), [one(2), one(3)]);
        assert!(stages.is_empty());
        assert_eq!(stages.len(), 0);
        assert_eq!(stages.take(), []);
    }
}
