//! With whom a user is writing now: which of their endpoints each conversation has, and messages that wait for their next stage.
//!
//! A pager conversation has the endpoint that wrote last in it, or that alone was sent a message and took it. (Where a message
//! went to many at once, the first 200 says which client was quickest, not where the person is.) It is forgotten with the
//! endpoint, when nothing was said for as long as a pager session lives, and where there are more than [`ENDPOINTS_MAX`].

use core::time::Duration;

use crate::registrar::EndpointId;
use crate::shard::usage::DeliveryKey;
use crate::sip::time::Now;
use crate::sip::uri::Aor;

/// Conversations of one user whose endpoint is remembered; the one that was silent for longest makes room.
const ENDPOINTS_MAX: usize = 64;

/// All of one user, on their owner's shard.
#[derive(Debug, Default)]
pub(crate) struct Correspondence {
    /// The newest last.
    endpoints: Vec<(Aor, EndpointId, Now)>,
    /// Deliveries with stages that have not begun, in the order of their messages.
    pub staged: Vec<DeliveryKey>,
}

impl Correspondence {
    /// The endpoint of the conversation with `other`.
    pub fn endpoint(&self, other: &Aor, now: Now, idle: Duration) -> Option<EndpointId> {
        self.endpoints
            .iter()
            .find(|(aor, _, last)| now.since(*last) < idle && aor == other)
            .map(|(_, endpoint, _)| *endpoint)
    }

    /// The conversation with `other` is at this endpoint.
    pub fn is_at(&mut self, other: &Aor, endpoint: EndpointId, now: Now, idle: Duration) {
        // Most conversations go on where they went on before.
        if let Some((aor, at, last)) = self.endpoints.last_mut()
            && aor == other
        {
            (*at, *last) = (endpoint, now);
            return;
        }
        self.endpoints
            .retain(|(aor, _, last)| aor != other && now.since(*last) < idle);
        if self.endpoints.len() >= ENDPOINTS_MAX {
            self.endpoints.remove(0);
        }
        self.endpoints.push((other.clone(), endpoint, now));
    }

    /// The endpoint did not take a message of the conversation with `other`.
    pub fn failed(&mut self, other: &Aor, endpoint: EndpointId) {
        self.endpoints
            .retain(|(aor, at, _)| aor != other || *at != endpoint);
    }

    /// Forgets what is over: by time, or because the endpoint is gone.
    pub fn tidy_up(&mut self, now: Now, idle: Duration, lives: impl Fn(EndpointId) -> bool) {
        self.endpoints
            .retain(|(_, endpoint, last)| now.since(*last) < idle && lives(*endpoint));
    }

    /// Whether there is nothing to remember.
    pub fn is_empty(&self) -> bool {
        self.endpoints.is_empty() && self.staged.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(600);

    fn aor(number: usize) -> Aor {
        Aor::parse(&format!("user{number}@example.com")).expect("a good address")
    }

    fn at(s: u64) -> Now {
        Now(1_000_000_000 + s * 1_000_000)
    }

    #[test]
    fn who_wrote_last_has_the_conversation_until_it_is_idle() {
        let mut all = Correspondence::default();
        let (one, other) = (EndpointId(1), EndpointId(2));
        all.is_at(&aor(1), one, at(0), IDLE);
        all.is_at(&aor(2), one, at(0), IDLE);
        all.is_at(&aor(1), other, at(10), IDLE);
        assert_eq!(all.endpoint(&aor(1), at(609), IDLE), Some(other));
        assert_eq!(all.endpoint(&aor(1), at(610), IDLE), None);
        assert_eq!(all.endpoint(&aor(2), at(20), IDLE), Some(one));
        all.failed(&aor(1), one);
        assert_eq!(all.endpoint(&aor(1), at(20), IDLE), Some(other));
        all.failed(&aor(1), other);
        assert_eq!(all.endpoint(&aor(1), at(20), IDLE), None);
        all.tidy_up(at(20), IDLE, |endpoint| endpoint != one);
        assert!(all.is_empty());
    }

    #[test]
    fn a_user_who_writes_to_many_forgets_the_oldest() {
        let mut all = Correspondence::default();
        for number in 0..=ENDPOINTS_MAX {
            all.is_at(&aor(number), EndpointId(1), at(0), IDLE);
        }
        assert_eq!(all.endpoints.len(), ENDPOINTS_MAX);
        assert_eq!(all.endpoint(&aor(0), at(1), IDLE), None);
        assert!(all.endpoint(&aor(1), at(1), IDLE).is_some());
        all.is_at(&aor(900), EndpointId(1), at(700), IDLE);
        assert_eq!(all.endpoints.len(), 1, "what is over makes room first");
    }
}
