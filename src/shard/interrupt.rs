//! Whether a user wants a request now: do not disturb, and who is blocked.
//!
//! | who asks is | the user is | the request says | what comes of it |
//! | --- | --- | --- | --- |
//! | the user | any | any | it goes on |
//! | blocked | any | any | 480 "The User Is Offline": what everybody hears of somebody offline |
//! | of the workgroup, a friend | any | any | it goes on |
//! | a colleague | urgent interruptions only | `Priority: urgent` or `emergency` | it goes on |
//! | a colleague, external | do not disturb, urgent interruptions only | anything else | 486 "Do Not Disturb" |
//! | a colleague, external | anything else, or offline | any | it goes on |
//!
//! A 486 has Retry-After where the user has chosen an end and who asks may see as much as a colleague.

use crate::immcu::content::{Outcome, Priority};
use crate::presence::{Availability, Level, Manual};
use crate::shard::on_watch::level_of;
use crate::shard::{Shard, User, UserKey};
use crate::sip::time::Now;
use crate::sip::uri::Aor;

/// What is said of somebody who is offline, or wants to be it for who asks.
pub(crate) const OFFLINE: &str = "The User Is Offline";

/// What is answered in the place of a user of this shard who is not to hear of this; `None` where it may go on to them.
pub(crate) fn held_back(
    shard: &Shard,
    key: UserKey,
    from: &Aor,
    priority: Priority,
) -> Option<Outcome> {
    let user = shard.users.get(key)?;
    let level = level_of(shard, key, from);
    let (quiet, until) = quiet(user, shard.now);
    match decide(level, quiet, priority) {
        Verdict::GoesOn => None,
        Verdict::Offline => Some(Outcome::with(480, OFFLINE)),
        Verdict::Disturbs => Some(Outcome {
            retry_after_s: until
                .filter(|_| level >= Level::Colleagues)
                .map(|until| until.since(shard.now).as_secs())
                .and_then(|s| u32::try_from(s.max(1)).ok()),
            ..Outcome::with(486, "Do Not Disturb")
        }),
    }
}

/// How much a user wants to be left alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Quiet {
    No,
    ButForUrgent,
    Yes,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    GoesOn,
    Offline,
    Disturbs,
}

fn decide(level: Level, quiet: Quiet, priority: Priority) -> Verdict {
    match (level, quiet) {
        (Level::Blocked, _) => Verdict::Offline,
        (Level::Own | Level::Friends | Level::Workgroup, _) | (_, Quiet::No) => Verdict::GoesOn,
        (Level::Colleagues, Quiet::ButForUrgent) if priority == Priority::Urgent => Verdict::GoesOn,
        (Level::Colleagues | Level::External, Quiet::ButForUrgent | Quiet::Yes) => {
            Verdict::Disturbs
        }
    }
}

/// By the user's own choice, else by what their devices say; and until when the choice lasts. Who is nowhere is disturbed
/// by nothing.
fn quiet(user: &User, now: Now) -> (Quiet, Option<Now>) {
    if user.bindings.is_empty() {
        return (Quiet::No, None);
    }
    let standing = user.record.standing.as_ref();
    let choice = standing
        .and_then(|standing| standing.choice.as_ref())
        .filter(|choice| choice.until.is_none_or(|until| until > now));
    match choice.map(|choice| (choice.state, choice.until)) {
        Some((Some(Manual::DoNotDisturb), until)) => (Quiet::Yes, until),
        Some((Some(Manual::UrgentOnly), until)) => (Quiet::ButForUrgent, until),
        Some((Some(_), _)) => (Quiet::No, None),
        Some((None, _)) | None => {
            let presentity = user.presentity.as_ref();
            match presentity.map(|presentity| presentity.state().availability) {
                Some(Availability::DoNotDisturb) => (Quiet::Yes, None),
                Some(Availability::UrgentOnly) => (Quiet::ButForUrgent, None),
                _ => (Quiet::No, None),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_interrupt() {
        use Priority::{Ordinary, Urgent};
        use Verdict::{Disturbs, GoesOn, Offline};
        // (level, ordinary and urgent while not quiet, … but for urgent, … quiet)
        let table = [
            (
                Level::Blocked,
                [Offline, Offline],
                [Offline, Offline],
                [Offline, Offline],
            ),
            (
                Level::External,
                [GoesOn, GoesOn],
                [Disturbs, Disturbs],
                [Disturbs, Disturbs],
            ),
            (
                Level::Colleagues,
                [GoesOn, GoesOn],
                [Disturbs, GoesOn],
                [Disturbs, Disturbs],
            ),
            (
                Level::Workgroup,
                [GoesOn, GoesOn],
                [GoesOn, GoesOn],
                [GoesOn, GoesOn],
            ),
            (
                Level::Friends,
                [GoesOn, GoesOn],
                [GoesOn, GoesOn],
                [GoesOn, GoesOn],
            ),
            (
                Level::Own,
                [GoesOn, GoesOn],
                [GoesOn, GoesOn],
                [GoesOn, GoesOn],
            ),
        ];
        for (level, no, but_for_urgent, yes) in table {
            for (quiet, expected) in [
                (Quiet::No, no),
                (Quiet::ButForUrgent, but_for_urgent),
                (Quiet::Yes, yes),
            ] {
                let found = [decide(level, quiet, Ordinary), decide(level, quiet, Urgent)];
                assert_eq!(found, expected, "{level} {quiet:?}");
            }
        }
    }
}
