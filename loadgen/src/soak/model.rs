//! How people use the server, as a data file: rates for each user who is logged on, sizes, and acts (storms).
//!
//! `MODEL` is the built-in one; a file replaces what it names. Time compression and multipliers are `Scale`: they
//! belong to a run, not to the model. What follows from all this in time is `planner`.

use serde::Deserialize;

/// The Lync 2013 user model, as `loadgen model` prints it.
pub const MODEL: &str = include_str!("model.toml");

/// A session has so many messages of one sender at most: one bit each in the checks.
pub const SEQUENCES_MAX: u32 = 64;
const ACTS_MAX: usize = 32;

macro_rules! tables {
    ($($(#[$doc:meta])* $table:ident { $($field:ident: $type:ty),+ $(,)? })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $table { $(pub $field: $type),+ }
    )+};
}

tables! {
    /// How many endpoints and contacts one has.
    Users { endpoints: f64, contacts_min: u32, contacts_max: u32, contacts_exponent: f64 }
    /// Who knows whom.
    Graph {
        community_min: u32, community_max: u32, community_exponent: f64, inside: f64,
        popularity_exponent: f64, celebrities: u32, celebrity_watchers: f64,
    }
    Logon { within_min: f64, leaves_per_hour: f64, away_min: f64 }
    Presence {
        publications_per_hour: f64, publication_bytes: usize, short_subscriptions_per_hour: f64,
        short_subscription_min: f64, polls_per_hour: f64, poll_batch: u32,
    }
    /// Two-party sessions.
    Im {
        sessions_per_day: f64, busy_hour_share: f64, messages: u32, typing: u32, gap_s: f64,
        message_bytes: usize,
    }
    Conference {
        users_share: f64, messages_per_user: u32, minutes: f64, sizes: Vec<(u32, f64)>, large: u32,
        large_at_once: f64,
    }
}

/// What an act does to those whom it concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// They stayed away until now, and log on.
    LogonStorm,
    /// All their connections drop in one instant, and they come back with full handshakes.
    Crash,
    /// The same, and they resume their TLS sessions.
    CrashResumed,
    /// They log off, for good.
    SignOut,
    /// All publish that they are available again.
    MeetingEnd,
}

impl Kind {
    pub fn label(self) -> &'static str {
        match self {
            Kind::LogonStorm => "logon-storm",
            Kind::Crash => "crash",
            Kind::CrashResumed => "crash-resumed",
            Kind::SignOut => "sign-out",
            Kind::MeetingEnd => "meeting-end",
        }
    }
}

/// A storm: when, how fast, whom.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Act {
    pub kind: Kind,
    /// Real seconds from the start of the run.
    pub at_s: f64,
    #[serde(default = "default_within")]
    pub within_s: f64,
    #[serde(default = "default_share")]
    pub share: f64,
}

fn default_within() -> f64 {
    10.0
}

fn default_share() -> f64 {
    1.0
}

impl Act {
    /// Reads `KIND@AT[/WITHIN[/SHARE]]`, e.g. `crash@600/60/0.5`.
    pub fn read(text: &str) -> Result<Act, String> {
        let wrong = || format!("{text:?} is not KIND@AT[/WITHIN[/SHARE]], e.g. crash@600/60");
        let (kind, rest) = text.split_once('@').ok_or_else(wrong)?;
        let kinds = [
            Kind::LogonStorm,
            Kind::Crash,
            Kind::CrashResumed,
            Kind::SignOut,
            Kind::MeetingEnd,
        ];
        let kind = kinds
            .into_iter()
            .find(|each| each.label() == kind)
            .ok_or_else(|| format!("{kind:?} is none of {}", kinds.map(Kind::label).join(", ")))?;
        let mut numbers = rest.split('/').map(str::parse::<f64>);
        let act = Act {
            kind,
            at_s: numbers.next().and_then(Result::ok).ok_or_else(wrong)?,
            within_s: numbers
                .next()
                .unwrap_or(Ok(default_within()))
                .map_err(|_| wrong())?,
            share: numbers
                .next()
                .unwrap_or(Ok(default_share()))
                .map_err(|_| wrong())?,
        };
        if numbers.next().is_some() {
            return Err(wrong());
        }
        Ok(act)
    }
}

/// The whole model.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    pub users: Users,
    pub graph: Graph,
    pub logon: Logon,
    pub presence: Presence,
    pub im: Im,
    pub conference: Conference,
    #[serde(default, rename = "act")]
    pub acts: Vec<Act>,
}

impl Model {
    /// The built-in model with what `text` (TOML) replaces of it.
    ///
    /// # Errors
    /// In words, where the text is no TOML, has a key that does not exist, or a number that cannot be.
    pub fn read(text: &str) -> Result<Model, String> {
        let parse =
            |text: &str| toml::from_str::<toml::Table>(text).map_err(|error| error.to_string());
        let mut whole = parse(MODEL)?;
        for (name, value) in parse(text)? {
            match (whole.get_mut(&name), value) {
                (Some(toml::Value::Table(known)), toml::Value::Table(table)) => known.extend(table),
                (_, value) => drop(whole.insert(name, value)),
            }
        }
        let model: Model = whole
            .try_into()
            .map_err(|error: toml::de::Error| error.to_string())?;
        model.check()?;
        Ok(model)
    }

    /// Says what cannot be.
    pub fn check(&self) -> Result<(), String> {
        let Model {
            users,
            graph,
            logon,
            presence,
            im,
            conference,
            acts,
        } = self;
        let share = |value: f64| (0.0..=1.0).contains(&value);
        let amount = |value: f64| (0.0..=1e6).contains(&value);
        let bounds = [
            (
                (1.0..=4.0).contains(&users.endpoints),
                "users.endpoints: 1 to 4",
            ),
            (
                users.contacts_min <= users.contacts_max && users.contacts_max <= 250,
                "users.contacts_min and contacts_max: 0 to 250, in order",
            ),
            (
                1 <= graph.community_min && graph.community_min <= graph.community_max,
                "graph.community_min and community_max: 1 or more, in order",
            ),
            (
                [users.contacts_exponent, graph.community_exponent]
                    .iter()
                    .all(|exponent| (1.1..=6.0).contains(exponent)),
                "exponents of sizes: 1.1 to 6",
            ),
            (
                (0.0..1.0).contains(&graph.popularity_exponent),
                "graph.popularity_exponent: 0 to below 1",
            ),
            (
                share(graph.inside)
                    && share(graph.celebrity_watchers)
                    && share(im.busy_hour_share)
                    && share(conference.users_share),
                "shares: 0 to 1",
            ),
            (graph.celebrities <= 20, "graph.celebrities: 20 at most"),
            (
                [
                    logon.within_min,
                    logon.leaves_per_hour,
                    logon.away_min,
                    presence.publications_per_hour,
                    presence.short_subscriptions_per_hour,
                    presence.short_subscription_min,
                    presence.polls_per_hour,
                    im.sessions_per_day,
                    im.gap_s,
                    conference.minutes,
                    conference.large_at_once,
                ]
                .into_iter()
                .all(amount),
                "rates and times: 0 to a million",
            ),
            (
                (1..=100).contains(&presence.poll_batch),
                "presence.poll_batch: 1 to 100",
            ),
            (
                presence.publication_bytes <= 60_000 && im.message_bytes <= 60_000,
                "bytes: 60000 at most",
            ),
            (
                (1..=SEQUENCES_MAX).contains(&im.messages)
                    && conference.messages_per_user <= SEQUENCES_MAX,
                "im.messages and conference.messages_per_user: 64 at most",
            ),
            (im.typing <= 10, "im.typing: 10 at most"),
            (
                !conference.sizes.is_empty()
                    && conference
                        .sizes
                        .iter()
                        .all(|(size, weight)| (2..=250).contains(size) && *weight >= 0.0)
                    && conference
                        .sizes
                        .iter()
                        .map(|(_, weight)| weight)
                        .sum::<f64>()
                        > 0.0
                    && (2..=250).contains(&conference.large),
                "conference.sizes and large: 2 to 250 users, weights above 0",
            ),
            (conference.minutes > 0.0, "conference.minutes: above 0"),
            (
                acts.len() <= ACTS_MAX
                    && acts.iter().all(|act| {
                        (0.0..=1e6).contains(&act.at_s)
                            && (0.0..=1e6).contains(&act.within_s)
                            && share(act.share)
                    }),
                "acts: 32 at most, times of 0 or more, shares of 0 to 1",
            ),
        ];
        match bounds.iter().find(|(holds, _)| !holds) {
            Some((_, rule)) => Err(format!("model: {rule}")),
            None => Ok(()),
        }
    }

    /// Mean size of the ordinary conferences.
    pub fn conference_size(&self) -> f64 {
        let sizes = &self.conference.sizes;
        let weights: f64 = sizes.iter().map(|(_, weight)| weight).sum();
        sizes
            .iter()
            .map(|(size, weight)| f64::from(*size) * weight)
            .sum::<f64>()
            / weights
    }
}

/// How a run takes the model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// So many times the model's load.
    pub times: f64,
    /// An hour of the model takes an hour / `compress`.
    pub compress: f64,
}

impl Scale {
    /// Events a real µs, of a rate an hour.
    pub fn per_us(self, per_hour: f64) -> f64 {
        per_hour * self.times * self.compress / 3.6e9
    }

    /// Real µs of so many seconds of the model.
    pub fn us(self, model_s: f64) -> u64 {
        (model_s * 1e6 / self.compress) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_model_is_read_and_a_file_replaces_what_it_names() {
        let model = Model::read("").unwrap();
        assert_eq!((model.im.messages, model.conference.sizes.len()), (10, 3));
        assert!((model.conference_size() - 4.55).abs() < 1e-9);
        let other =
            Model::read("[im]\nmessages = 3\n[[act]]\nkind = \"crash-resumed\"\nat_s = 5\n")
                .unwrap();
        assert_eq!(
            (other.im.messages, other.im.typing, other.acts.len()),
            (3, 2, 1)
        );
        assert_eq!(
            (other.acts[0].kind, other.acts[0].share),
            (Kind::CrashResumed, 1.0)
        );
    }

    #[test]
    fn what_cannot_be_is_said() {
        for (text, part_of_error) in [
            ("[im]\nmesages = 3", "mesages"),
            ("[talk]\nx = 3", "talk"),
            ("[im]\nmessages = 65", "64 at most"),
            ("[users]\nendpoints = 0.5", "endpoints"),
            ("[[act]]\nkind = \"fire\"\nat_s = 0", "fire"),
            ("[[act]]\nkind = \"crash\"\nat_s = 0\nshare = 2", "shares"),
        ] {
            let error = Model::read(text).unwrap_err();
            assert!(error.contains(part_of_error), "{text}: {error}");
        }
    }

    #[test]
    fn an_act_of_the_command_line_is_read() {
        let act = Act::read("crash@600/60/0.5").unwrap();
        assert_eq!(
            (act.kind, act.at_s, act.within_s, act.share),
            (Kind::Crash, 600.0, 60.0, 0.5)
        );
        assert_eq!(Act::read("sign-out@5").unwrap().within_s, 10.0);
        for wrong in ["crash", "fire@1", "crash@x", "crash@1/2/3/4"] {
            assert!(Act::read(wrong).is_err(), "{wrong}");
        }
    }
}
