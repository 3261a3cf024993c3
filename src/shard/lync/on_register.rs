//! What a Lync endpoint is answered to REGISTER ([MS-SIPREGE] §3.1).

use crate::dialect::Dialect;
use crate::dialect::lync::registration::{self, Action, Diagnostics};
use crate::registrar::Change;
use crate::shard::effect::Effects;
use crate::shard::request::{ALLOW, Request};
use crate::shard::{Shard, UserKey};
use crate::sip::build::Draft;
use crate::sip::header::{Name, has_token};
use crate::sip::message::Method;

/// The 200: for how long, what is offered, and by which URI the endpoint is reached.
pub(in crate::shard) fn answer(
    shard: &mut Shard,
    request: Request<'_>,
    key: UserKey,
    change: &Change,
    effects: &mut Effects,
) {
    let now = shard.now;
    let Some(place) = shard.users.get(key) else {
        return;
    };
    let contacts: Vec<String> = if has_token(request.message.headers(Name::Supported), "gruu-10") {
        place
            .bindings
            .contact_values_with_epids(now, &place.record.aor)
    } else {
        let values = place.bindings.contact_values(now);
        values.map(|contact| contact.to_string()).collect()
    };
    let endpoint = change
        .endpoint
        .and_then(|endpoint| place.bindings.endpoint(endpoint));
    // The client takes the time from this line alone.
    let granted_s = endpoint.map_or(0, |endpoint| endpoint.expires_at.since(now).as_secs());
    let action = if change.endpoint.is_none() {
        None
    } else if !change.added.is_empty() {
        Some(Action::Added)
    } else if !change.moved.is_empty() {
        Some(Action::Fixed)
    } else {
        Some(Action::Refreshed)
    };
    shard.answer_with(request, 200, "", effects, |mut draft| {
        draft.header("ms-keep-alive", registration::KEEP_ALIVE);
        for contact in &contacts {
            draft.header("Contact", contact);
        }
        draft.header("Expires", granted_s);
        if let Some(action) = action {
            draft.header("presence-state", format_args!("{action}"));
        }
        draft.header("Allow", ALLOW);
        draft.header("Allow-Events", registration::allow_events());
        for extension in registration::SUPPORTED {
            draft.header("Supported", extension);
        }
        draft.header("Server", registration::SERVER);
        draft.finish();
    });
}

/// A REGISTER of a Lync client that is refused is told why in the way that the client shows to its user ([MS-OCER]).
pub(in crate::shard) fn diagnose(
    shard: &Shard,
    request: Request<'_>,
    status: u16,
    reason: &str,
    draft: &mut Draft<'_>,
) {
    if request.message.method() != Method::Register {
        return;
    }
    let Some(id) = Diagnostics::id_of(status) else {
        return;
    };
    if shard.speaks(request) == Dialect::Lync {
        let source = shard.settings.auth.domains.first();
        let diagnostics = Diagnostics {
            id,
            reason,
            source: source.map_or("", |domain| domain),
        };
        draft.header("ms-diagnostics", format_args!("{diagnostics}"));
    }
}

impl Shard {
    /// How the endpoint speaks that sends a REGISTER, also before it is bound.
    pub(in crate::shard) fn speaks(&self, request: Request<'_>) -> Dialect {
        match self.connections.dialect(request.connection) {
            Dialect::Lync => Dialect::Lync,
            Dialect::Simple => Dialect::of_register(request.message),
        }
    }
}
