//! How close a watcher is to a user, from nothing to all: what a level sees of a user is a table elsewhere, who has which is `access`.

/// A relationship, ordered from the one that sees least to the one that sees most.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Level {
    /// Sees somebody offline, whatever is; can neither write nor call.
    Blocked,
    /// People of other organisations.
    External,
    /// People of the same organisation.
    Colleagues,
    /// Those one works with: may interrupt *do not disturb*.
    Workgroup,
    /// Friends and family: may interrupt too.
    Friends,
    /// The user themself, on any endpoint. Follows from who asks, is never given.
    Own,
}

impl Level {
    /// Every level, from least to most: an index into it is `level as usize`.
    pub const ALL: [Level; 6] = [
        Level::Blocked,
        Level::External,
        Level::Colleagues,
        Level::Workgroup,
        Level::Friends,
        Level::Own,
    ];

    /// The container's number in the Lync dialect.
    pub fn container(self) -> u32 {
        match self {
            Level::Blocked => 32_000,
            Level::External => 100,
            Level::Colleagues => 200,
            Level::Workgroup => 300,
            Level::Friends => 400,
            Level::Own => 2,
        }
    }

    /// The name by which operators and files know it.
    pub fn name(self) -> &'static str {
        match self {
            Level::Blocked => "blocked",
            Level::External => "external",
            Level::Colleagues => "colleagues",
            Level::Workgroup => "workgroup",
            Level::Friends => "friends-and-family",
            Level::Own => "own",
        }
    }

    /// The level of a name; `None` for any other word and for `own`, which nobody can be given.
    pub fn parse(name: &str) -> Option<Level> {
        Level::ALL
            .into_iter()
            .filter(|level| *level != Level::Own)
            .find(|level| level.name() == name)
    }
}

impl core::fmt::Display for Level {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_order() {
        for (index, level) in Level::ALL.into_iter().enumerate() {
            assert_eq!(level as usize, index);
            let given = (level != Level::Own).then_some(level);
            assert_eq!(Level::parse(level.name()), given);
        }
        assert!(Level::ALL.is_sorted());
        assert_eq!(Level::parse("Friends"), None);
    }
}
