//! The sections that fill in what the rooms below state as their own settings. Each room's `Default` is the key's.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::is_host_name;
use super::written::{At, ConfigError, Section};
use crate::auth::{self, Scheme};
use crate::shell::run::ConnectionLimits;
use crate::sip::{frame, message, transaction};
use crate::{immcu, presence, registrar, shard};

/// `[limits]`: what peers may cost us.
pub(super) struct Limits {
    pub(super) frame: frame::Limits,
    pub(super) connection: ConnectionLimits,
    pub(super) connections_max: Option<usize>,
    stranger_s: u64,
    dialogs_max: usize,
    pending_max: u16,
}

/// Reads the sections of the rooms.
pub(super) fn read(
    top: &mut Section<'_, '_>,
    domains: &[Box<str>],
) -> Result<(Limits, shard::Settings), ConfigError> {
    let auth = auth(top.section("auth")?, domains)?;
    let limits = limits(top.section("limits")?)?;
    let registrar = registrar(top.section("registrar")?)?;
    let (presence, subscription_s, subscriptions_max) = presence(top.section("presence")?)?;
    let immcu = im(top.section("im")?)?;
    let settings = shard::Settings {
        auth,
        registrar,
        presence,
        immcu,
        subscription_s,
        subscriptions_max,
        dialogs_max: limits.dialogs_max,
        pending_max: limits.pending_max,
        body_bytes_max: limits.frame.body_bytes_max,
        anonymous_s: limits.stranger_s,
        ..shard::Settings::default()
    };
    Ok((limits, settings))
}

fn auth(mut section: Section<'_, '_>, domains: &[Box<str>]) -> Result<auth::Settings, ConfigError> {
    let rules = auth::Settings::default();
    let list = section.strings("schemes", "[\"digest-sha-256\", \"digest-md5\", \"ntlm\"]")?;
    let settings = auth::Settings {
        domains: domains.to_vec(),
        schemes: match list {
            None => rules.schemes,
            Some(list) => schemes(list)?,
        },
        ntlm_target: ntlm_target(&mut section)?,
        nonce_lifetime: seconds(
            &mut section,
            "nonce_lifetime_s",
            10..=86_400,
            rules.nonce_lifetime,
        )?,
        failures_max: small(&mut section, "failures_max", 1..=100, rules.failures_max)?,
    };
    section.finish()?;
    Ok(settings)
}

/// What the server is called in NTLM: its host's name, where the operator gives it.
fn ntlm_target(section: &mut Section<'_, '_>) -> Result<Option<Box<str>>, ConfigError> {
    let Some(At { value, place }) = section.string("ntlm_target", "\"sip.example.com\"")? else {
        return Ok(None);
    };
    if !is_host_name(&value) {
        return Err(place.wrong(
            format!("`auth.ntlm_target` is {value:?}, which is no host name"),
            "write the server's name, as its certificate has it",
        ));
    }
    Ok(Some(value.into()))
}

fn schemes(list: At<Vec<At<String>>>) -> Result<Vec<Scheme>, ConfigError> {
    let mut schemes = Vec::new();
    for At { value, place } in list.value {
        let Some(scheme) = Scheme::parse(&value) else {
            let [first, second, third] = Scheme::ALL.map(Scheme::as_str);
            return Err(place.wrong(
                format!("`auth.schemes` has {value:?}"),
                format!("the schemes are \"{first}\", \"{second}\" and \"{third}\""),
            ));
        };
        if schemes.contains(&scheme) {
            return Err(place.wrong(
                format!("`auth.schemes` has {value:?} twice"),
                "name each scheme once, the one to be offered first in front",
            ));
        }
        schemes.push(scheme);
    }
    if schemes.is_empty() {
        return Err(list.place.wrong(
            "`auth.schemes` is empty",
            "name at least one scheme, or nobody can come in",
        ));
    }
    Ok(schemes)
}

fn limits(mut section: Section<'_, '_>) -> Result<Limits, ConfigError> {
    let rules = frame::Limits::default();
    let frame = frame::Limits {
        head_bytes_max: small(
            &mut section,
            "head_bytes_max",
            1024..=message::HEAD_BYTES_MAX as u64,
            rules.head_bytes_max,
        )?,
        body_bytes_max: small(
            &mut section,
            "body_bytes_max",
            1024..=1 << 20,
            rules.body_bytes_max,
        )?,
        headers_max: small(
            &mut section,
            "headers_max",
            16..=message::HEADERS_MAX as u64,
            rules.headers_max,
        )?,
    };
    let rules = ConnectionLimits::default();
    let connection = ConnectionLimits {
        handshake: seconds(&mut section, "handshake_s", 1..=120, rules.handshake)?,
        message: seconds(&mut section, "message_s", 1..=600, rules.message)?,
        unread: seconds(&mut section, "unread_s", 1..=600, rules.unread)?,
        // The largest message must fit beside what waits already.
        unsent_bytes_max: rules
            .unsent_bytes_max
            .max(rules.unsent_high_bytes + frame.head_bytes_max + frame.body_bytes_max),
        ..rules
    };
    let connections_max = match small(&mut section, "connections_max", 1..=10_000_000, 0)? {
        0 => None,
        most => Some(most),
    };
    let rules = shard::Settings::default();
    let limits = Limits {
        frame,
        connection,
        connections_max,
        stranger_s: small(&mut section, "stranger_s", 1..=3600, rules.anonymous_s)?,
        dialogs_max: small(&mut section, "dialogs_max", 1..=100_000, rules.dialogs_max)?,
        pending_max: small(&mut section, "pending_max", 1..=10_000, rules.pending_max)?,
    };
    section.finish()?;
    Ok(limits)
}

fn registrar(mut section: Section<'_, '_>) -> Result<registrar::Settings, ConfigError> {
    let rules = registrar::Settings::default();
    let settings = registrar::Settings {
        // A registrar must not refuse an hour or more as too short (RFC 3261 §10.3, step 7).
        expires_min_s: small(&mut section, "expires_min_s", 1..=3600, rules.expires_min_s)?,
        expires_default_s: small(
            &mut section,
            "expires_default_s",
            1..=604_800,
            rules.expires_default_s,
        )?,
        expires_max_s: small(
            &mut section,
            "expires_max_s",
            1..=604_800,
            rules.expires_max_s,
        )?,
        endpoints_max: small(&mut section, "endpoints_max", 1..=1000, rules.endpoints_max)?,
        ..rules
    };
    let times = [
        settings.expires_min_s,
        settings.expires_default_s,
        settings.expires_max_s,
    ];
    expiries_in_order(&section, times)?;
    section.finish()?;
    Ok(settings)
}

/// Publications and subscriptions.
type Presence = (presence::Limits, (u32, u32), usize);

fn presence(mut section: Section<'_, '_>) -> Result<Presence, ConfigError> {
    let rules = presence::Limits::default();
    let settings = presence::Limits {
        expires_s_min: small(&mut section, "expires_min_s", 1..=3600, rules.expires_s_min)?,
        expires_s_default: small(
            &mut section,
            "expires_default_s",
            1..=604_800,
            rules.expires_s_default,
        )?,
        expires_s_max: small(
            &mut section,
            "expires_max_s",
            1..=604_800,
            rules.expires_s_max,
        )?,
        publications_max: small(
            &mut section,
            "publications_max",
            1..=1000,
            rules.publications_max,
        )?,
        note_chars_max: small(
            &mut section,
            "note_chars_max",
            0..=2_000,
            rules.note_chars_max,
        )?,
        inactive_after_s: small(
            &mut section,
            "inactive_after_s",
            10..=7_200,
            rules.inactive_after_s,
        )?,
        away_after_s: small(&mut section, "away_after_s", 10..=7_200, rules.away_after_s)?,
    };
    expiries_in_order(
        &section,
        [
            settings.expires_s_min,
            settings.expires_s_default,
            settings.expires_s_max,
        ],
    )?;
    let (least_s, most_s) = shard::Settings::default().subscription_s;
    let subscription_s = (
        small(&mut section, "subscription_min_s", 1..=3600, least_s)?,
        small(&mut section, "subscription_max_s", 3600..=604_800, most_s)?,
    );
    let subscriptions_max = small(
        &mut section,
        "subscriptions_max",
        10..=100_000,
        shard::Settings::default().subscriptions_max,
    )?;
    section.finish()?;
    Ok((settings, subscription_s, subscriptions_max))
}

fn im(mut section: Section<'_, '_>) -> Result<immcu::Settings, ConfigError> {
    let rules = immcu::Settings::default();
    let settings = immcu::Settings {
        members_max: small(&mut section, "members_max", 3..=10_000, rules.members_max)?,
        pager_idle: seconds(&mut section, "pager_idle_s", 1..=86_400, rules.pager_idle)?,
        ringing: seconds(
            &mut section,
            "ringing_s",
            1..=transaction::RINGING_MAX.as_secs(),
            rules.ringing,
        )?,
        sessions_max: small(
            &mut section,
            "sessions_max",
            1..=100_000_000,
            rules.sessions_max,
        )?,
    };
    section.finish()?;
    Ok(settings)
}

/// A whole number within `range`, which fits `T`: every range above is one of its type.
fn small<T>(
    section: &mut Section<'_, '_>,
    key: &'static str,
    range: RangeInclusive<u64>,
    default: T,
) -> Result<T, ConfigError>
where
    T: TryFrom<u64>,
{
    let written = section.number(key, range)?;
    Ok(written
        .and_then(|at| T::try_from(at.value).ok())
        .unwrap_or(default))
}

fn seconds(
    section: &mut Section<'_, '_>,
    key: &'static str,
    range: RangeInclusive<u64>,
    default: Duration,
) -> Result<Duration, ConfigError> {
    Ok(section
        .number(key, range)?
        .map_or(default, |at| Duration::from_secs(at.value)))
}

fn expiries_in_order(
    section: &Section<'_, '_>,
    [least, usual, most]: [u32; 3],
) -> Result<(), ConfigError> {
    if least <= usual && usual <= most {
        return Ok(());
    }
    // Defaults are in order, so one of them is written.
    let written = ["expires_default_s", "expires_min_s", "expires_max_s"];
    match written.iter().find_map(|key| section.place(key)) {
        None => Ok(()),
        Some(place) => Err(place.wrong(
            format!("expires_min_s is {least}, expires_default_s {usual}, expires_max_s {most}"),
            "they must not fall: min <= default <= max",
        )),
    }
}
