//! What a user has published in categories: documents by name, instance and container, each with a version and an end
//! ([MS-PRES] §3.1.1). What a document says to this server is read once, when it comes in; the rest is between clients.
//!
//! Always holds: sorted by key, each key once; a version rises by one with each publication of its key and begins with 1.
//! Of one user there are two sets: what lasts (kept by the store) and what passes (with an endpoint, with the last one, or
//! with time), and no key is in both. The bounds are on both together: see [`Held`]. They are on what a client asks for; what
//! is published in step with a choice that was made by other means may be a few instances above them.

use std::sync::Arc;

use crate::presence::choice::{Manual, NoteKind};
use crate::presence::content::{Content, Rare};
use crate::presence::publication::EndpointKey;
use crate::sip::time::Now;

/// Instances of one user.
pub const INSTANCES_MAX: usize = 256;
/// Bytes of one document.
pub const DOCUMENT_BYTES_MAX: usize = 32 * 1024;
/// Bytes of all documents of one user.
pub const DOCUMENTS_BYTES_MAX: usize = 256 * 1024;
/// Bytes of a category's name.
pub const NAME_BYTES_MAX: usize = 64;

/// The container whose states others see folded.
const PUBLISHED: u32 = 3;
/// The container whose version of a note SIPE writes when it takes the note back, whatever the container.
const COLLEAGUES: u32 = 200;

/// Which instance.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Key {
    /// The category's name, at most [`NAME_BYTES_MAX`].
    pub category: Box<str>,
    /// Who may see it.
    pub container: u32,
    /// The publisher's number for it.
    pub instance: u32,
}

/// How long an instance lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Life {
    /// Until it is taken back.
    Static,
    /// Until the user's last endpoint goes.
    User,
    /// Until the endpoint goes that published it.
    Endpoint,
    /// Until then.
    Until(Now),
}

/// What a document says to this server.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Meaning {
    /// Nothing.
    #[default]
    Nothing,
    /// How its endpoint is.
    Endpoint(Box<Content>),
    /// What the user chose to be, and their own words for it.
    State(Option<Manual>, Option<Box<str>>),
    /// What the user notes; `None` where it is an empty note.
    Note(Option<Box<str>>, NoteKind),
}

/// A published document.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Instance {
    /// Which.
    pub key: Key,
    /// Rises with each publication.
    pub version: u32,
    /// How long it lives.
    pub life: Life,
    /// Who published it; `None` for what was read back from the store.
    pub endpoint: Option<EndpointKey>,
    /// When.
    pub published: Now,
    /// The document: XML that stands alone, at most [`DOCUMENT_BYTES_MAX`].
    pub document: Arc<[u8]>,
    /// What it says.
    pub meaning: Meaning,
}

/// The instances of one kind of one user.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Categories(Vec<Instance>);

/// All of one user.
#[derive(Clone, Copy, Debug)]
pub struct Held<'a> {
    /// What the store keeps.
    pub lasting: &'a Categories,
    /// What goes with endpoints and time.
    pub passing: &'a Categories,
}

/// One of the publications of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PublishItem {
    /// Which instance.
    pub key: Key,
    /// Its version as its publisher last saw it; 0 for none.
    pub version: u32,
    /// What is published; `None` takes it back.
    pub put: Option<Put>,
}

/// What is published.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Put {
    /// For how long.
    pub life: Life,
    /// The document.
    pub document: Arc<[u8]>,
    /// What it says.
    pub meaning: Meaning,
}

/// A publication that does not follow on what is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Conflict {
    /// Which of the request's, from 0.
    pub index: usize,
    /// The version that it names.
    pub given: u32,
    /// The version that there is; 0 for none.
    pub current: u32,
}

/// Why a request is refused, as a whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NotPublished {
    /// Some of it is about other versions than there are.
    Conflicts(Vec<Conflict>),
    /// It names an instance twice.
    Twice,
    /// More than [`INSTANCES_MAX`].
    TooMany,
    /// More than [`DOCUMENTS_BYTES_MAX`].
    TooLarge,
}

/// One change of one of the two sets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Edit {
    /// Which instance.
    pub key: Key,
    /// The version that there must be in this set; 0 for none.
    pub before: u32,
    /// What is there from now on.
    pub after: Option<Instance>,
}

/// What a request comes to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Edits {
    /// In what the store keeps.
    pub lasting: Vec<Edit>,
    /// In the rest.
    pub passing: Vec<Edit>,
}

impl Categories {
    /// None.
    pub const NONE: Categories = Categories(Vec::new());

    /// The instance of this key.
    pub fn get(&self, key: &Key) -> Option<&Instance> {
        self.place(key).ok().and_then(|at| self.0.get(at))
    }

    /// All of them, by key.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Instance> + Clone {
        self.0.iter()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// None?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts one in the place of what has its key.
    pub fn put(&mut self, instance: Instance) {
        match self.place(&instance.key) {
            Ok(at) => {
                if let Some(place) = self.0.get_mut(at) {
                    *place = instance;
                }
            }
            Err(at) => self.0.insert(at, instance),
        }
    }

    /// Takes one away. False where there is none.
    pub fn remove(&mut self, key: &Key) -> bool {
        self.place(key).map(|at| self.0.remove(at)).is_ok()
    }

    /// Makes these changes, all or none. False where one of them is about another version than there is.
    pub fn edit(&mut self, edits: Vec<Edit>) -> bool {
        let fits = |edit: &Edit| self.version(&edit.key) == edit.before;
        if !edits.iter().all(fits) {
            return false;
        }
        for edit in edits {
            match edit.after {
                Some(instance) => self.put(instance),
                None => {
                    self.remove(&edit.key);
                }
            }
        }
        true
    }

    /// The version of a key; 0 where there is no such instance.
    pub fn version(&self, key: &Key) -> u32 {
        self.get(key).map_or(0, |instance| instance.version)
    }

    /// What the user chose to be, as they have published it for others; `None` where they have published nothing of it.
    pub fn state(&self) -> Option<(Option<Manual>, Option<&str>)> {
        let published = self.0.iter().filter(|one| one.key.container == PUBLISHED);
        published
            .filter_map(|one| match &one.meaning {
                Meaning::State(state, custom) => Some((*state, custom.as_deref())),
                _ => None,
            })
            .next()
    }

    /// The user's note: the newest of any container.
    pub fn note(&self) -> Option<(&str, NoteKind)> {
        newest_note(self.0.iter())
    }

    /// Ends what passes with endpoints that are no more, and what passes with time. The names of the categories that have changed.
    pub fn end(
        &mut self,
        now: Now,
        any_endpoint: bool,
        is_there: impl Fn(EndpointKey) -> bool,
    ) -> Vec<Box<str>> {
        let mut names: Vec<Box<str>> = Vec::new();
        self.0.retain(|one| {
            let stays = match one.life {
                Life::Static => true,
                Life::User => any_endpoint,
                Life::Endpoint => one.endpoint.is_some_and(&is_there),
                Life::Until(end) => end > now,
            };
            if !stays && names.last() != Some(&one.key.category) {
                names.push(one.key.category.clone());
            }
            stays
        });
        if self.0.is_empty() {
            self.0 = Vec::new();
        }
        names
    }

    /// When the next one ends by itself.
    pub fn next_end(&self) -> Option<Now> {
        let ends = self.0.iter().filter_map(|one| match one.life {
            Life::Until(end) => Some(end),
            _ => None,
        });
        ends.min()
    }

    /// Each endpoint that says how it is, with what all its instances come to. The order in which they were published is not in it.
    pub(super) fn said(&self) -> Vec<(EndpointKey, Content)> {
        let mut all: Vec<(EndpointKey, Content)> = Vec::new();
        for one in self.0.iter().filter(|one| one.key.container == PUBLISHED) {
            let (Some(endpoint), Meaning::Endpoint(content)) = (one.endpoint, &one.meaning) else {
                continue;
            };
            match all.iter_mut().find(|(each, _)| *each == endpoint) {
                Some((_, said)) => join(said, content),
                None => all.push((endpoint, (**content).clone())),
            }
        }
        all.sort_by_key(|(endpoint, _)| *endpoint);
        all
    }

    fn place(&self, key: &Key) -> Result<usize, usize> {
        self.0.binary_search_by(|one| one.key.cmp(key))
    }
}

/// Of several, the one of the highest container and the lowest instance: a request publishes them all at one instant.
fn newest_note<'a>(instances: impl Iterator<Item = &'a Instance>) -> Option<(&'a str, NoteKind)> {
    let notes = instances.filter_map(|one| match &one.meaning {
        Meaning::Note(text, kind) => Some((one, text.as_deref(), *kind)),
        _ => None,
    });
    let newest = notes.max_by_key(|(one, text, _)| {
        let key = &one.key;
        (
            text.is_some(),
            one.published,
            key.container,
            core::cmp::Reverse(key.instance),
        )
    });
    newest.and_then(|(_, text, kind)| Some((text?, kind)))
}

/// What one endpoint says in two instances, of which `said` has the lower number.
fn join(said: &mut Content, also: &Content) {
    said.activities = said.activities.union(also.activities);
    said.machine = said.machine.or(also.machine);
    said.basic = said.basic.or(also.basic);
    let Some(rare) = &also.rare else {
        return;
    };
    let all: &mut Rare = said.rare.get_or_insert_default();
    all.custom = all.custom.take().or_else(|| rare.custom.clone());
    all.subject = all.subject.take().or_else(|| rare.subject.clone());
    all.location = all.location.take().or_else(|| rare.location.clone());
}

impl<'a> Held<'a> {
    /// The instance of this key.
    pub fn get(&self, key: &Key) -> Option<&'a Instance> {
        self.passing.get(key).or_else(|| self.lasting.get(key))
    }

    /// All of a category, by container and instance; of every one where none is named.
    pub fn of(&self, category: Option<&str>) -> Vec<&'a Instance> {
        let wanted = |one: &&Instance| category.is_none_or(|name| *one.key.category == *name);
        let mut all: Vec<&Instance> = self.lasting.iter().filter(wanted).collect();
        all.extend(self.passing.iter().filter(wanted));
        all.sort_by(|one, other| one.key.cmp(&other.key));
        all
    }

    /// Those of a container.
    pub fn seen_in(&self, container: u32) -> Vec<&'a Instance> {
        let mut all = self.of(None);
        all.retain(|one| one.key.container == container);
        all
    }

    /// The note that whoever sees `container` sees: the newest there. Of who is, or looks, offline that is one that `lasts`.
    pub fn note_in(&self, container: u32, lasts: bool) -> Option<(&'a str, NoteKind)> {
        let passing = self.passing.iter().filter(|_| !lasts);
        let all = self.lasting.iter().chain(passing);
        newest_note(all.filter(|one| one.key.container == container))
    }

    /// The version of a key; 0 where there is no such instance.
    fn version(&self, key: &Key) -> u32 {
        self.get(key).map_or(0, |one| one.version)
    }

    /// COMPAT(SIPE, 1.25): it takes a note back in all containers with the version that it has in one, and learns nothing from
    /// being refused: it would try for ever, or show the note again.
    fn is_taken_back_with_all(&self, item: &PublishItem) -> bool {
        let first = Key {
            container: COLLEAGUES,
            ..item.key.clone()
        };
        let is_note = |key| {
            let one = self.get(key);
            one.is_some_and(|one| matches!(one.meaning, Meaning::Note(..)))
        };
        item.put.is_none()
            && (is_note(&item.key) || is_note(&first))
            && item.version == self.version(&first)
    }

    /// What a request of `endpoint` at `now` comes to: all of it, or nothing. Versions are as [MS-PRES] §3.1.4.1 wants them:
    /// a publication names the one that there is. `overwrites`: one that names none is taken all the same.
    ///
    /// # Errors
    /// Where something of it may not be.
    pub fn edits(
        &self,
        now: Now,
        endpoint: EndpointKey,
        items: Vec<PublishItem>,
        overwrites: bool,
    ) -> Result<Edits, NotPublished> {
        let mut keys: Vec<&Key> = items.iter().map(|item| &item.key).collect();
        keys.sort_unstable();
        if keys.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(NotPublished::Twice);
        }
        let conflicts: Vec<Conflict> = items
            .iter()
            .enumerate()
            .filter_map(|(index, item)| {
                let current = self.version(&item.key);
                let follows = item.version == current
                    || (overwrites && item.version == 0)
                    || self.is_taken_back_with_all(item);
                (!follows).then_some(Conflict {
                    index,
                    given: item.version,
                    current,
                })
            })
            .collect();
        if !conflicts.is_empty() {
            return Err(NotPublished::Conflicts(conflicts));
        }
        let (mut count, mut bytes) = (
            self.lasting.len() + self.passing.len(),
            size(self.lasting) + size(self.passing),
        );
        let (count_before, bytes_before) = (count, bytes);
        let mut edits = Edits::default();
        for item in items {
            let (lasts, passes) = (
                self.lasting.version(&item.key),
                self.passing.version(&item.key),
            );
            if let Some(old) = self.get(&item.key) {
                count -= 1;
                bytes -= old.document.len();
            }
            let after = item.put.map(|put| Instance {
                key: item.key.clone(),
                version: lasts.max(passes).checked_add(1).unwrap_or(1),
                life: put.life,
                endpoint: Some(endpoint),
                published: now,
                document: put.document,
                meaning: put.meaning,
            });
            if let Some(new) = &after {
                count += 1;
                bytes += new.document.len();
            }
            let (lasting, passing) = match after {
                Some(new) if new.life == Life::Static => (
                    Some(Instance {
                        endpoint: None,
                        ..new
                    }),
                    None,
                ),
                after => (None, after),
            };
            for (edits, before, after) in [
                (&mut edits.lasting, lasts, lasting),
                (&mut edits.passing, passes, passing),
            ] {
                if before != 0 || after.is_some() {
                    let key = item.key.clone();
                    edits.push(Edit { key, before, after });
                }
            }
        }
        // What the server itself publishes of a choice may be above the bounds: who takes something back then is not refused.
        if count > INSTANCES_MAX.max(count_before) {
            return Err(NotPublished::TooMany);
        }
        if bytes > DOCUMENTS_BYTES_MAX.max(bytes_before) {
            return Err(NotPublished::TooLarge);
        }
        Ok(edits)
    }
}

fn size(categories: &Categories) -> usize {
    categories.iter().map(|one| one.document.len()).sum()
}

impl NotPublished {
    /// The status of the answer.
    pub fn status(&self) -> u16 {
        match self {
            NotPublished::Conflicts(_) => 409,
            NotPublished::Twice => 400,
            NotPublished::TooMany => 403,
            NotPublished::TooLarge => 413,
        }
    }

    /// Its reason phrase; empty for the standard's own.
    pub fn reason(&self) -> String {
        match self {
            NotPublished::Conflicts(_) => String::new(),
            NotPublished::Twice => "An Instance Is Published Twice".to_owned(),
            NotPublished::TooMany => format!("At Most {INSTANCES_MAX} Published Instances"),
            NotPublished::TooLarge => {
                format!("At Most {DOCUMENTS_BYTES_MAX} Bytes Of Published Documents")
            }
        }
    }
}

#[cfg(test)]
mod tests;
