//! Where a user can be reached: the bindings of one address of record (RFC 3261 §10, RFC 5626).
//!
//! All clients sit behind the connection that they opened, so a binding is worth as much as its connection: it ends with it,
//! at once. What always holds: no two endpoints of a user are the same one, there are at most
//! `Settings::endpoints_max`, and a REGISTER that is refused has changed nothing.
//!
//! Not here: who may register (`auth`), and what else ends with an endpoint (`shard`).

mod binding;
mod capability;
mod gruu;
mod home;

use core::fmt;

use siphasher::sip::SipHasher13;
use smallvec::SmallVec;

pub use binding::{Endpoint, EndpointId};
pub use capability::{Capabilities, Feature};
pub use gruu::{EPID, Gruu, Seal, instance_of_epid};
pub use home::Home;

use crate::sip::header::{Contacts, Name, NameAddr, has_token, number};
use crate::sip::link::ConnectionId;
use crate::sip::message::Message;
use crate::sip::time::Now;
use crate::sip::uri::{Aor, Scheme, Uri};

/// What the operator decides, and what bounds a user's memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Granted to who names no time, in seconds.
    pub expires_default_s: u32,
    /// Less than this is answered 423, in seconds (RFC 3261 §10.3 step 7); at most one hour counts.
    pub expires_min_s: u32,
    /// The most that is granted, in seconds.
    pub expires_max_s: u32,
    /// Who asks for less than `expires_min_s` is granted that much, not refused: for clients that know no 423.
    pub brief_is_raised: bool,
    /// Endpoints of one user.
    pub endpoints_max: usize,
    /// Bytes of a contact URI, and of an instance id.
    pub contact_bytes_max: u16,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            expires_default_s: 3600,
            expires_min_s: 60,
            expires_max_s: 7200,
            brief_is_raised: false,
            endpoints_max: 16,
            contact_bytes_max: 512,
        }
    }
}

/// Why a REGISTER is refused. Always the peer's doing; nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// A Contact that cannot be read, or is no SIP URI.
    BadContact,
    /// A Contact or an instance id longer than the limit.
    ContactTooLong,
    /// `Contact: *` beside another Contact, or without `Expires: 0` (RFC 3261 §10.3 step 6).
    BadStar,
    /// More than one Contact to bind, one of them with `reg-id` (RFC 5626 §6).
    ManyFlows,
    /// The time asked for is too short: 423 with Min-Expires.
    TooBrief {
        /// The least that is granted, in seconds.
        min_expires_s: u32,
    },
    /// An older REGISTER of the same Call-ID came later (RFC 3261 §10.3 step 7).
    OutOfOrder,
    /// The user has as many endpoints as one may have.
    TooManyEndpoints,
}

impl Refusal {
    /// The status of the answer.
    pub fn status(self) -> u16 {
        match self {
            Refusal::BadContact
            | Refusal::ContactTooLong
            | Refusal::BadStar
            | Refusal::ManyFlows => 400,
            Refusal::TooBrief { .. } => 423,
            Refusal::OutOfOrder => 500,
            Refusal::TooManyEndpoints => 403,
        }
    }

    /// The reason phrase of the answer.
    pub fn reason(self) -> &'static str {
        match self {
            Refusal::BadContact => "Bad Contact",
            Refusal::ContactTooLong => "Contact too long",
            Refusal::BadStar => "Contact * needs Expires 0 and stands alone",
            Refusal::ManyFlows => "One Contact with reg-id at a time",
            Refusal::TooBrief { .. } => "Interval Too Brief",
            Refusal::OutOfOrder => "REGISTER out of order",
            Refusal::TooManyEndpoints => "Too many endpoints",
        }
    }

    /// The value of Min-Expires, where the answer has one (RFC 3261 §20.23).
    pub fn min_expires_s(self) -> Option<u32> {
        match self {
            Refusal::TooBrief { min_expires_s } => Some(min_expires_s),
            _ => None,
        }
    }
}

/// What a REGISTER changed.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// The endpoint of the first Contact that was bound or refreshed: it is who sent this REGISTER.
    pub endpoint: Option<EndpointId>,
    /// Endpoints that were not there before.
    pub added: SmallVec<[EndpointId; 1]>,
    /// Endpoints that came back on another connection, with the connection that they left: the newer flow counts
    /// (RFC 5626 §6). Their ids stay.
    pub moved: SmallVec<[(EndpointId, ConnectionId); 1]>,
    /// Endpoints that are gone.
    pub removed: SmallVec<[Endpoint; 1]>,
    /// RFC 5626 was applied: the 200 says `Require: outbound` (RFC 5626 §6).
    pub outbound: bool,
}

/// The bindings of one address of record, oldest first. 32 bytes, and for each endpoint 64 and its texts.
#[derive(Clone, Debug, Default)]
pub struct Bindings {
    list: Vec<Endpoint>,
    /// The id of the next endpoint; ids are not used again.
    next: u32,
}

impl Bindings {
    /// Takes a REGISTER for this address of record that came over `connection` from who may send it: RFC 3261 §10.3 from step 6 on. The answer is a 200
    /// with `contact_values`, also where nothing was asked but the list.
    pub fn register(
        &mut self,
        settings: &Settings,
        now: Now,
        connection: ConnectionId,
        request: &Message<'_>,
    ) -> Result<Change, Refusal> {
        let order = Order::of(request);
        match request.contacts() {
            Ok(Contacts::Star) => self.remove_all(request, order),
            Ok(Contacts::List(contacts)) if contacts.is_empty() => Ok(Change::default()),
            // One alone is refused before it has changed anything, so it needs no copy, and what is refreshed stays where it is.
            Ok(Contacts::List(contacts)) if contacts.len() == 1 => {
                self.bind_all(settings, now, connection, request, &contacts, order)
            }
            Ok(Contacts::List(contacts)) => {
                // All or nothing (RFC 3261 §10.3 step 7): what is changed is a copy, and it counts once nothing was refused.
                let mut draft = self.clone();
                let change =
                    draft.bind_all(settings, now, connection, request, &contacts, order)?;
                *self = draft;
                Ok(change)
            }
            Err(_) => Err(Refusal::BadContact),
        }
    }

    /// Ends what came over a connection that is gone.
    pub fn connection_gone(&mut self, connection: ConnectionId) -> SmallVec<[Endpoint; 1]> {
        self.end(|endpoint| endpoint.connection == connection)
    }

    /// Ends what has expired by `now`.
    pub fn expire(&mut self, now: Now) -> SmallVec<[Endpoint; 1]> {
        self.end(|endpoint| endpoint.expires_at <= now)
    }

    /// Takes out those of which `ends` says so, and their room with them: a user who is offline costs no endpoint.
    fn end(&mut self, ends: impl Fn(&Endpoint) -> bool) -> SmallVec<[Endpoint; 1]> {
        let ended = self.list.extract_if(.., |endpoint| ends(endpoint));
        let ended: SmallVec<[Endpoint; 1]> = ended.collect();
        if !ended.is_empty() {
            self.list.shrink_to_fit();
        }
        ended
    }

    /// Ends all, as when the user is removed.
    pub fn clear(&mut self) -> SmallVec<[Endpoint; 1]> {
        core::mem::take(&mut self.list).into_iter().collect()
    }

    /// When `expire` has something to do next.
    pub fn next_expiry(&self) -> Option<Now> {
        self.list.iter().map(|endpoint| endpoint.expires_at).min()
    }

    /// The endpoints that are live at `now`, oldest first.
    pub fn endpoints(&self, now: Now) -> impl Iterator<Item = &Endpoint> {
        self.list
            .iter()
            .filter(move |endpoint| endpoint.expires_at > now)
    }

    /// An endpoint by its id.
    pub fn endpoint(&self, id: EndpointId) -> Option<&Endpoint> {
        self.list.iter().find(|endpoint| endpoint.id == id)
    }

    /// The endpoint that an instance has now, under whatever id: one that went and has come back has another.
    pub fn endpoint_of(&self, instance: &str, reg_id: u32) -> Option<&Endpoint> {
        self.list.iter().find(|endpoint| {
            !instance.is_empty()
                && endpoint.reg_id == reg_id
                && endpoint.instance().eq_ignore_ascii_case(instance)
        })
    }

    /// How many there are, live or about to be expired.
    pub fn count(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The values of the 200's Contact lines: all live bindings, each with the time that is left to it
    /// (RFC 3261 §10.3 step 8, RFC 5626 §6).
    pub fn contact_values(&self, now: Now) -> impl Iterator<Item = impl fmt::Display> {
        self.endpoints(now)
            .map(move |endpoint| endpoint.contact_value(now))
    }

    /// The same for a client that asks for GRUUs: each binding with an instance id has a public one and a temporary one
    /// (RFC 5627 §5.3). `fresh` lends random numbers.
    pub fn contact_values_with_gruus(
        &self,
        now: Now,
        user: &Aor,
        seal: &Seal,
        mut fresh: impl FnMut() -> u64,
    ) -> Vec<String> {
        let value = |endpoint: &Endpoint| {
            let mut value = endpoint.contact_value(now).to_string();
            if !endpoint.instance().is_empty() {
                for (name, gruu) in [
                    ("pub-gruu", gruu::public(user, endpoint)),
                    ("temp-gruu", seal.temporary(user, endpoint, fresh())),
                ] {
                    value.push_str(&format!(";{name}=\"{gruu}\""));
                }
            }
            value
        };
        self.endpoints(now).map(value).collect()
    }

    /// The same for a client that asks for GRUUs as [MS-SIPRE] has them: one for each binding whose instance id is a UUID.
    pub fn contact_values_with_epids(&self, now: Now, user: &Aor) -> Vec<String> {
        let value = |endpoint: &Endpoint| {
            let value = endpoint.contact_value(now);
            match gruu::of_epid(user, endpoint) {
                Some(gruu) => format!("{value};gruu=\"{gruu}\""),
                None => value.to_string(),
            }
        };
        self.endpoints(now).map(value).collect()
    }

    fn remove_all(&mut self, request: &Message<'_>, order: Order) -> Result<Change, Refusal> {
        if request.header(Name::Expires).and_then(number) != Some(0) {
            return Err(Refusal::BadStar);
        }
        if self.list.iter().any(|endpoint| order.is_late_for(endpoint)) {
            return Err(Refusal::OutOfOrder);
        }
        Ok(Change {
            removed: self.clear(),
            ..Change::default()
        })
    }

    fn bind_all(
        &mut self,
        settings: &Settings,
        now: Now,
        connection: ConnectionId,
        request: &Message<'_>,
        contacts: &[NameAddr<'_>],
        order: Order,
    ) -> Result<Change, Refusal> {
        let supports_outbound = has_token(request.headers(Name::Supported), "outbound");
        let expires_s = request
            .header(Name::Expires)
            .map(|text| number(text).unwrap_or(settings.expires_default_s));
        let mut change = Change::default();
        let mut bound = 0_usize;
        let mut flows = 0_usize;
        // What this request has bound already does not make its second mention late.
        let before = self.next;
        let mut touched: SmallVec<[EndpointId; 4]> = SmallVec::new();
        for contact in contacts {
            let wish = Wish::read(settings, contact, expires_s)?;
            let at = self.meant(&wish);
            if let Some(endpoint) = at.and_then(|at| self.list.get(at)) {
                let fresh = endpoint.id.0 >= before || touched.contains(&endpoint.id);
                if !fresh && order.is_late_for(endpoint) {
                    return Err(Refusal::OutOfOrder);
                }
            }
            if wish.granted_s == 0 {
                // A client whose address has changed takes back the one that it had: its instance has left there already, and
                // is not to be taken from where it has gone.
                let has_left = |endpoint: &Endpoint| {
                    touched.contains(&endpoint.id) && !endpoint.has_uri(&wish.uri)
                };
                if let Some(at) = at.filter(|at| !self.list.get(*at).is_some_and(has_left)) {
                    change.forget(self.list.remove(at), before);
                    self.list.shrink_to_fit();
                }
                continue;
            }
            bound += 1;
            flows += usize::from(wish.reg_id != 0);
            if flows > 0 && bound > 1 {
                return Err(Refusal::ManyFlows);
            }
            change.outbound |= supports_outbound && wish.reg_id != 0;
            let id = self.put(
                settings,
                now,
                connection,
                request,
                &wish,
                at,
                order,
                &mut change,
            )?;
            touched.push(id);
            change.endpoint.get_or_insert(id);
        }
        Ok(change)
    }

    /// Where the endpoint is that a Contact means: by its instance where it names one, else by its URI. Who names none means
    /// whoever is at that URI; and who names one without a reg-id, whoever there had none (RFC 3261 §10.3 step 7, RFC 5626 §6).
    fn meant(&self, wish: &Wish<'_>) -> Option<usize> {
        let place = |means: &dyn Fn(&Endpoint) -> bool| self.list.iter().position(means);
        let Some(instance) = wish.instance.as_deref() else {
            return place(&|one| one.has_uri(&wish.uri));
        };
        let nameless = |one: &Endpoint| {
            wish.reg_id == 0 && one.instance().is_empty() && one.has_uri(&wish.uri)
        };
        place(&|one| one.has_instance(instance, wish.reg_id)).or_else(|| place(&nameless))
    }

    /// Binds or refreshes one contact; `at` is where it already is.
    #[expect(
        clippy::too_many_arguments,
        reason = "one step of one script, called once"
    )]
    fn put(
        &mut self,
        settings: &Settings,
        now: Now,
        connection: ConnectionId,
        request: &Message<'_>,
        wish: &Wish<'_>,
        at: Option<usize>,
        order: Order,
        change: &mut Change,
    ) -> Result<EndpointId, Refusal> {
        let old = at.map(|at| self.list.remove(at));
        let id = old
            .as_ref()
            .map_or(EndpointId(self.next), |endpoint| endpoint.id);
        match &old {
            None if self.list.len() >= settings.endpoints_max => {
                return Err(Refusal::TooManyEndpoints);
            }
            None => {
                // Four thousand million registrations of one user: 136 years at one a second.
                self.next = self.next.wrapping_add(1);
                // Mostly one endpoint: a vector would make room for four.
                self.list.reserve_exact(1);
                change.added.push(id);
            }
            Some(endpoint) if endpoint.connection != connection => {
                change.moved.push((id, endpoint.connection))
            }
            Some(_) => {}
        }
        let endpoint = Endpoint::new(
            id,
            old,
            wish.uri.text,
            wish.instance.as_deref().unwrap_or(""),
            wish.reg_id,
            wish.q,
            connection,
            now.after(core::time::Duration::from_secs(wish.granted_s.into())),
            order,
            Capabilities::read(request, &wish.params),
        );
        self.list.insert(at.unwrap_or(self.list.len()), endpoint);
        Ok(id)
    }
}

impl Change {
    /// An endpoint is gone: one that this same request added was never there.
    fn forget(&mut self, endpoint: Endpoint, before: u32) {
        self.moved.retain(|(id, _)| *id != endpoint.id);
        if self.endpoint == Some(endpoint.id) {
            self.endpoint = None;
        }
        if endpoint.id.0 >= before {
            self.added.retain(|id| *id != endpoint.id);
        } else {
            self.removed.push(endpoint);
        }
    }
}

/// The place of a REGISTER among others of its client (RFC 3261 §10.3 step 7).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Order {
    /// A hash of the Call-ID saves 30 bytes an endpoint. Two that fell together would only make a client's own
    /// REGISTER late, so the key need not be secret.
    call_id: u64,
    cseq: u32,
}

impl Order {
    fn of(request: &Message<'_>) -> Order {
        Order {
            call_id: SipHasher13::new().hash(request.call_id().as_bytes()),
            cseq: request.cseq().number,
        }
    }

    fn is_late_for(self, endpoint: &Endpoint) -> bool {
        let Order { call_id, cseq } = endpoint.order();
        self.call_id == call_id && self.cseq <= cseq
    }
}

/// What one Contact asks for.
struct Wish<'a> {
    uri: Uri<'a>,
    instance: Option<std::borrow::Cow<'a, str>>,
    /// 0: none.
    reg_id: u32,
    /// In thousandths.
    q: u16,
    /// 0: to be removed.
    granted_s: u32,
    params: crate::sip::header::Params<'a>,
}

impl<'a> Wish<'a> {
    fn read(
        settings: &Settings,
        contact: &NameAddr<'a>,
        expires_s: Option<u32>,
    ) -> Result<Wish<'a>, Refusal> {
        let uri = contact.uri().map_err(|_| Refusal::BadContact)?;
        if !matches!(uri.scheme, Scheme::Sip | Scheme::Sips) {
            return Err(Refusal::BadContact);
        }
        let params = contact.params;
        let instance = params
            .value("+sip.instance")
            .filter(|value| !value.is_empty());
        let bytes_max = usize::from(settings.contact_bytes_max);
        if uri.text.len() > bytes_max
            || instance
                .as_ref()
                .is_some_and(|value| value.len() > bytes_max)
        {
            return Err(Refusal::ContactTooLong);
        }
        // The records show it to people, and an escaped control character is one there.
        if let Some(value) = &instance
            && value.contains(char::is_control)
        {
            return Err(Refusal::BadContact);
        }
        // A reg-id without an instance means nothing (RFC 5626 §6).
        let reg_id = match &instance {
            Some(_) => params
                .value("reg-id")
                .and_then(|value| number(&value))
                .unwrap_or(0),
            None => 0,
        };
        // Its own parameter, the request's header, our default; what cannot be read counts as our default
        // (RFC 3261 §10.3 step 7, §20.10).
        let asked_s = match params.value("expires") {
            Some(value) => number(&value).unwrap_or(settings.expires_default_s),
            None => expires_s.unwrap_or(settings.expires_default_s),
        };
        let least_s = settings.expires_min_s.min(3600);
        let asked_s = match asked_s {
            1.. if asked_s < least_s && settings.brief_is_raised => least_s,
            1.. if asked_s < least_s => {
                return Err(Refusal::TooBrief {
                    min_expires_s: settings.expires_min_s,
                });
            }
            _ => asked_s,
        };
        let q = params
            .value("q")
            .and_then(|value| thousandths(&value))
            .unwrap_or(1000);
        Ok(Wish {
            uri,
            instance,
            reg_id,
            q,
            granted_s: asked_s.min(settings.expires_max_s),
            params,
        })
    }
}

/// Reads a `qvalue`: 0 to 1 with up to three decimals (RFC 3261 §25.1).
fn thousandths(text: &str) -> Option<u16> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if decimals.len() > 3 || !decimals.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let mut value: u16 = match whole {
        "0" | "" => 0,
        "1" => 1000,
        _ => return None,
    };
    let mut worth = 100;
    for digit in decimals.bytes() {
        value += u16::from(digit - b'0') * worth;
        worth /= 10;
    }
    (value <= 1000).then_some(value)
}

#[cfg(test)]
mod tests;
