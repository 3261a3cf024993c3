//! How many voice messages wait for a user (RFC 3842). The mailbox itself is another machine's; this is what it told.

/// Counts of voice messages (RFC 3842 §5.2). `new` and `old` include the urgent ones, as the standard wants.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Waiting {
    /// Not heard yet.
    pub new: u32,
    /// Heard and kept.
    pub old: u32,
    /// Of the new ones, urgent.
    pub urgent_new: u32,
    /// Of the old ones, urgent.
    pub urgent_old: u32,
}

impl Waiting {
    /// Nothing waits, and nothing is kept.
    pub fn is_empty(&self) -> bool {
        *self == Waiting::default()
    }

    /// Are the urgent ones among the others?
    pub fn is_consistent(&self) -> bool {
        self.urgent_new <= self.new && self.urgent_old <= self.old
    }
}
