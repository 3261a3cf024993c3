//! The other end of a dialog, as little of it as a request in it needs (RFC 3261 §12.1.2): for clients that keep nothing else.

use muster::sip::header::Name;
use muster::sip::message::Message;

/// The remote tag, a space, and the remote target; empty before the first answer.
#[derive(Default)]
pub struct Remote(Box<str>);

impl Remote {
    /// By the 200 that began the dialog; `None` where it names none.
    pub fn of(answer: &Message<'_>) -> Option<Remote> {
        let contact = answer.header(Name::Contact)?;
        let (target, _) = contact.split_once('<')?.1.split_once('>')?;
        Some(Remote(format!("{} {target}", answer.to().tag()?).into()))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn tag(&self) -> Option<&str> {
        self.0.split_once(' ').map(|(tag, _)| tag)
    }

    pub fn target(&self) -> Option<&str> {
        self.0.split_once(' ').map(|(_, target)| target)
    }
}
