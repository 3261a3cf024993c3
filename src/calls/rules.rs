//! What a user wants done with calls to them: forwarding, and who rings with them.
//!
//! Always holds for rules that passed [`Rules::check`]: nobody forwards to themself, and no rule is there that another
//! one keeps from ever counting. That a chain of forwards over several users ends is the call's business.

use core::ops::RangeInclusive;

use crate::sip::uri::Aor;

/// After how many seconds a call may be forwarded for want of an answer.
pub const AFTER_S: RangeInclusive<u16> = 5..=120;
/// Users who ring with one.
pub const RING_ALSO_MAX: usize = 5;

/// The rules of one user.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Rules {
    /// Every call goes there at once.
    pub forward_always: Option<Aor>,
    /// A call that comes while the user is busy goes there.
    pub forward_busy: Option<Aor>,
    /// A call that nobody answers for so many seconds (in [`AFTER_S`]) goes there.
    pub forward_no_answer: Option<(Aor, u16)>,
    /// These ring at the same time; at most [`RING_ALSO_MAX`].
    pub ring_also: Vec<Aor>,
}

/// A part of the rules.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Field {
    /// `forward_always`
    ForwardAlways,
    /// `forward_busy`
    ForwardBusy,
    /// `forward_no_answer`
    ForwardNoAnswer,
    /// `ring_also`, which entry.
    RingAlso(usize),
}

/// What is wrong with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RuleFault {
    /// To the user themself.
    ToOneself,
    /// Never counts, for every call is forwarded at once.
    BesideAlways,
    /// The number of seconds is out of bounds.
    After,
    /// An address is there twice.
    Twice,
    /// More than [`RING_ALSO_MAX`].
    TooMany,
}

/// Why rules are refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RuleError {
    /// Where.
    pub field: Field,
    /// What.
    pub fault: RuleFault,
}

impl Rules {
    /// Nothing is wanted: calls ring at the user's endpoints.
    pub fn is_default(&self) -> bool {
        *self == Rules::default()
    }

    /// Whether these can be the rules of `owner`.
    pub fn check(&self, owner: &Aor) -> Result<(), RuleError> {
        let wrong = |field, fault| Err(RuleError { field, fault });
        let no_answer = self.forward_no_answer.as_ref();
        for (field, target) in [
            (Field::ForwardAlways, self.forward_always.as_ref()),
            (Field::ForwardBusy, self.forward_busy.as_ref()),
            (Field::ForwardNoAnswer, no_answer.map(|(target, _)| target)),
        ] {
            if target == Some(owner) {
                return wrong(field, RuleFault::ToOneself);
            }
            let beside = self.forward_always.is_some() && field != Field::ForwardAlways;
            if target.is_some() && beside {
                return wrong(field, RuleFault::BesideAlways);
            }
        }
        if no_answer.is_some_and(|(_, after_s)| !AFTER_S.contains(after_s)) {
            return wrong(Field::ForwardNoAnswer, RuleFault::After);
        }
        for (at, also) in self.ring_also.iter().enumerate() {
            let field = Field::RingAlso(at);
            if at >= RING_ALSO_MAX {
                return wrong(field, RuleFault::TooMany);
            }
            if also == owner {
                return wrong(field, RuleFault::ToOneself);
            }
            if self.forward_always.is_some() {
                return wrong(field, RuleFault::BesideAlways);
            }
            if self.ring_also.iter().take(at).any(|before| before == also) {
                return wrong(field, RuleFault::Twice);
            }
        }
        Ok(())
    }
}

impl core::fmt::Display for Field {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Field::ForwardAlways => f.write_str("forward_always"),
            Field::ForwardBusy => f.write_str("forward_busy"),
            Field::ForwardNoAnswer => f.write_str("forward_no_answer"),
            Field::RingAlso(at) => write!(f, "ring_also[{at}]"),
        }
    }
}

impl core::fmt::Display for RuleError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}: ", self.field)?;
        match self.fault {
            RuleFault::ToOneself => {
                f.write_str("it leads to the user themself; somebody else is right")
            }
            RuleFault::BesideAlways => f.write_str(
                "it would never count, for forward_always takes every call; clear one of the two",
            ),
            RuleFault::After => write!(
                f,
                "{} to {} seconds are right",
                AFTER_S.start(),
                AFTER_S.end()
            ),
            RuleFault::Twice => f.write_str("that one rings already; once is right"),
            RuleFault::TooMany => write!(f, "at most {RING_ALSO_MAX} may ring too"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aor(name: &str) -> Aor {
        Aor::parse(&format!("{name}@example.com")).expect("an address")
    }

    #[test]
    fn rules_that_contradict_themselves_are_refused_with_where() {
        let check = |always: &str, busy: &str, no_answer: Option<(&str, u16)>, also: &str| {
            let one = |name: &str| (!name.is_empty()).then(|| aor(name));
            let rules = Rules {
                forward_always: one(always),
                forward_busy: one(busy),
                forward_no_answer: no_answer.map(|(name, after_s)| (aor(name), after_s)),
                ring_also: also.split_whitespace().map(aor).collect(),
            };
            rules.check(&aor("bob")).map_or_else(
                |error| format!("{} {:?}", error.field, error.fault),
                |()| "fine".to_owned(),
            )
        };
        for (always, busy, no_answer, also, expected) in [
            ("", "", None, "", "fine"),
            ("carol", "", None, "", "fine"),
            ("", "carol", Some(("dave", 20)), "erin frank", "fine"),
            ("bob", "", None, "", "forward_always ToOneself"),
            ("", "bob", None, "", "forward_busy ToOneself"),
            ("", "", Some(("bob", 20)), "", "forward_no_answer ToOneself"),
            ("", "", None, "carol bob", "ring_also[1] ToOneself"),
            ("carol", "dave", None, "", "forward_busy BesideAlways"),
            (
                "carol",
                "",
                Some(("dave", 20)),
                "",
                "forward_no_answer BesideAlways",
            ),
            ("carol", "", None, "dave", "ring_also[0] BesideAlways"),
            ("", "", Some(("dave", 4)), "", "forward_no_answer After"),
            ("", "", Some(("dave", 5)), "", "fine"),
            ("", "", Some(("dave", 120)), "", "fine"),
            ("", "", Some(("dave", 121)), "", "forward_no_answer After"),
            ("", "", None, "carol dave carol", "ring_also[2] Twice"),
            ("", "", None, "a b c d e", "fine"),
            ("", "", None, "a b c d e f", "ring_also[5] TooMany"),
        ] {
            assert_eq!(check(always, busy, no_answer, also), expected);
        }
    }
}
