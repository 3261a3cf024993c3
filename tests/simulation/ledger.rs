//! What the model clients have seen, all of them together, and what must be true of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::dice::Dice;
use super::wishes::Wishes;
use muster::immcu::SessionId;
use muster::shard::cdr_event::CdrEvent;

/// Which way a message went.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Way {
    Pager,
    /// With this leg.
    Session(usize),
}

/// A message that a client sent. Its number is its name: `msg-17;` stands in its body.
#[derive(Debug)]
pub struct Said {
    /// Who said it.
    pub user: usize,
    /// The sender's connection: a number that is never used twice.
    pub connection: usize,
    pub way: Way,
    /// The final answer to its sender.
    pub answer: Option<u16>,
    /// Some endpoint has answered 200.
    pub taken: bool,
    /// How often all had been quiet when it was sent.
    pub epoch: usize,
    /// The one fellow that it was sent to, by a GRUU.
    pub only: Option<usize>,
}

/// One client's dialog in a session, from its beginning to its end.
#[derive(Debug)]
pub struct Leg {
    pub user: usize,
    /// The session's name in its URI, once it is known.
    pub session: Option<String>,
    /// What it heard, in order.
    pub heard: Vec<usize>,
    pub established: bool,
    pub ended: bool,
    /// It speaks with somebody who takes no sessions: what is said in it comes as pages, and pages come in it.
    pub paging: bool,
    /// The client has left a request in it unanswered, or refused it in a way that ends a dialog: the server may have given it up.
    pub doubtful: bool,
    /// Established, and not ended, when all was quiet so often.
    pub settled_since: Option<usize>,
}

/// The ledger of one run.
#[derive(Default)]
pub struct Ledger {
    pub violations: Vec<String>,
    pub said: Vec<Said>,
    pub legs: Vec<Leg>,
    /// Sessions that somebody knows to be conferences.
    pub conferences: BTreeSet<String>,
    /// Sessions that somebody asked to become one, or to be let into: perhaps nobody was told who is still there.
    pub growing: BTreeSet<String>,
    /// Sessions to whose focus somebody has come, or wanted to.
    pub attended: BTreeSet<String>,
    /// What users want of others.
    pub wishes: Wishes,
    /// Copies that came, by connection and message.
    copies: BTreeSet<(usize, usize)>,
    /// For pager messages: the last one of each sender's connection on each receiver's connection.
    paged: BTreeMap<(usize, usize), usize>,
    pub epoch: usize,
    /// Some shard has been told that the server stops.
    pub some_stop: bool,
    /// Each has.
    pub stopping: bool,
    /// What mailboxes have said so far.
    pub mails: u32,
    /// What happened, where somebody reads it.
    pub trace: Option<String>,
}

impl Ledger {
    pub fn blame(&mut self, what: String) {
        self.note(|| format!("VIOLATION {what}"));
        self.violations.push(what);
    }

    pub fn note(&mut self, what: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            let _ = writeln!(trace, "{}", what());
        }
    }

    /// A message is sent; its number.
    pub fn say(&mut self, user: usize, connection: usize, way: Way) -> usize {
        self.said.push(Said {
            user,
            connection,
            way,
            answer: None,
            taken: false,
            epoch: self.epoch,
            only: None,
        });
        self.said.len() - 1
    }

    pub fn new_leg(&mut self, user: usize) -> usize {
        self.legs.push(Leg {
            user,
            session: None,
            heard: Vec::new(),
            established: false,
            ended: false,
            paging: false,
            doubtful: false,
            settled_since: None,
        });
        self.legs.len() - 1
    }

    /// A copy of what another endpoint of `user` said comes: of something that was accepted, and once.
    pub fn copy_heard(&mut self, user: usize, connection: usize, number: usize) {
        let Some(said) = self.said.get(number) else {
            return self.blame(format!("msg-{number} was never sent, and is copied"));
        };
        if said.user != user || said.connection == connection {
            return self.blame(format!("a copy of msg-{number} came to the wrong endpoint"));
        }
        if said.way == Way::Pager && !said.taken {
            return self.blame(format!("msg-{number} was copied, and nobody has taken it"));
        }
        if !self.copies.insert((connection, number)) {
            self.blame(format!("msg-{number} was copied twice to one endpoint"));
        }
    }

    /// An invitation rings at `user`.
    pub fn rings(&mut self, user: usize, from: usize) {
        if self.wishes.forbids_ringing(user, from, self.epoch) {
            self.blame(format!(
                "user {from} rings user {user}, who does not want that"
            ));
        }
    }

    /// A pager message arrives on a connection of a fellow: once, in its sender's order, where it may.
    pub fn page_heard(&mut self, user: usize, fellow: usize, connection: usize, number: usize) {
        let Some(said) = self.said.get(number) else {
            return self.blame(format!("msg-{number} was never sent"));
        };
        if said.only.is_some_and(|only| only != fellow) {
            return self.blame(format!(
                "msg-{number} was for another endpoint than fellow {fellow}"
            ));
        }
        if self.wishes.forbids_message(user, said.user, number) {
            return self.blame(format!(
                "msg-{number} came to user {user}, who does not want it"
            ));
        }
        let (sender, way) = (said.connection, said.way.clone());
        if let Way::Session(leg) = way {
            self.pages(leg);
        }
        self.page_order(sender, connection, number);
    }

    /// A leg speaks in pages: then it does with one user, and there is no session with others.
    fn pages(&mut self, leg: usize) {
        let session = self.legs[leg].session.clone();
        let inhabited = |(index, other): (usize, &Leg)| {
            index != leg && session.is_some() && other.session == session && !other.heard.is_empty()
        };
        let met = self.legs.iter().enumerate().any(inhabited) || !self.legs[leg].heard.is_empty();
        if met {
            self.blame(format!("leg {leg} is in a session, and speaks in pages"));
        }
        self.legs[leg].paging = true;
    }

    fn same_session(&self, one: usize, other: usize) -> bool {
        let (one, other) = (&self.legs[one], &self.legs[other]);
        one.session == other.session || one.session.is_none()
    }

    fn page_order(&mut self, sender: usize, connection: usize, number: usize) {
        if sender == connection {
            return self.blame(format!("msg-{number} came back to its sender"));
        }
        if let Some(last) = self.paged.insert((sender, connection), number)
            && last >= number
        {
            self.blame(format!(
                "msg-{number} came after msg-{last} of the same sender, or again"
            ));
        }
    }

    /// A message arrives in a leg: once, never one's own, in its sender's order.
    pub fn leg_heard(&mut self, leg: usize, connection: usize, number: usize) {
        let Some(said) = self.said.get(number) else {
            return self.blame(format!("msg-{number} was never sent"));
        };
        let sender = match said.way.clone() {
            Way::Session(sender) if self.same_session(sender, leg) => sender,
            // Two may speak in pages in two legs that know nothing of one another.
            way => {
                if let Way::Session(sender) = way {
                    self.pages(sender);
                }
                let Some(said) = self.said.get(number) else {
                    return;
                };
                let (user, sender) = (said.user, said.connection);
                let receiver = self.legs[leg].user;
                if self.wishes.forbids_message(receiver, user, number) {
                    self.blame(format!(
                        "msg-{number} came to user {receiver}, who does not want it"
                    ));
                }
                self.pages(leg);
                return self.page_order(sender, connection, number);
            }
        };
        if sender == leg {
            return self.blame(format!("msg-{number} came back to its sender"));
        }
        let same_sender = |other: &&usize| self.said[**other].way == Way::Session(sender);
        if let Some(last) = self.legs[leg].heard.iter().rfind(same_sender)
            && *last >= number
        {
            let last = *last;
            self.blame(format!(
                "msg-{number} came after msg-{last} of the same sender, or again"
            ));
        }
        self.legs[leg].heard.push(number);
    }

    /// The sender has its final answer.
    pub fn answered(&mut self, number: usize, status: u16) {
        self.said[number].answer = Some(status);
        if status == 200 && self.said[number].way == Way::Pager && !self.said[number].taken {
            self.blame(format!(
                "msg-{number} was answered 200, and no endpoint has taken it"
            ));
        }
    }

    /// A conference to join or to watch: mostly one that `user` is in, sometimes another, sometimes one that is over.
    pub fn room(&self, dice: &mut Dice, user: usize) -> Option<String> {
        let chance = dice.below(100);
        let fits = |leg: &&Leg| match chance {
            0..=64 => leg.user == user && !leg.ended,
            65..=94 => !leg.ended,
            _ => leg.ended,
        };
        let legs = self.legs.iter().filter(fits);
        let names: Vec<&String> = legs
            .filter_map(|leg| leg.session.as_ref())
            .filter(|name| self.conferences.contains(*name) || chance.is_multiple_of(10))
            .collect();
        dice.pick(&names).map(|name| (*name).clone())
    }

    /// How many users are in the conference of this URI; None where that is not sure.
    pub fn members(&self, uri: &str) -> Option<usize> {
        let name = uri.strip_prefix("sip:im-")?.split('@').next()?;
        let legs = self
            .legs
            .iter()
            .filter(|leg| leg.session.as_deref() == Some(name) && leg.established && !leg.ended);
        let mut users = BTreeSet::new();
        for leg in legs {
            if leg.doubtful {
                return None;
            }
            users.insert(leg.user);
        }
        Some(users.len())
    }

    /// All is quiet: what must be true now, and what counts from now on.
    pub fn quiet(&mut self) {
        self.check_two_party_answers();
        self.check_one_order();
        self.check_nobody_missed();
        self.epoch += 1;
        let epoch = self.epoch;
        for leg in &mut self.legs {
            if leg.established && !leg.ended && leg.settled_since.is_none() {
                leg.settled_since = Some(epoch);
            }
        }
    }

    fn session_of(&self, said: &Said) -> Option<&str> {
        match said.way {
            Way::Session(leg) => self.legs[leg].session.as_deref(),
            Way::Pager => None,
        }
    }

    fn check_two_party_answers(&mut self) {
        let mut wrong = Vec::new();
        for (number, said) in self.said.iter().enumerate() {
            let two = self.session_of(said).is_some_and(|session| {
                !self.conferences.contains(session) && !self.growing.contains(session)
            });
            if two && said.answer == Some(200) && !said.taken {
                wrong.push(number);
            }
        }
        for number in wrong {
            self.blame(format!("msg-{number} of a two-party session was answered 200, and the other side has not taken it"));
        }
    }

    /// Any two legs of a session heard what both heard in the same order.
    fn check_one_order(&mut self) {
        let mut by_session: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, leg) in self.legs.iter().enumerate() {
            if let Some(session) = &leg.session {
                by_session.entry(session).or_default().push(index);
            }
        }
        let mut wrong = Vec::new();
        for (session, legs) in by_session {
            for (at, one) in legs.iter().enumerate() {
                for other in &legs[at + 1..] {
                    let place: BTreeMap<usize, usize> = self.legs[*other]
                        .heard
                        .iter()
                        .enumerate()
                        .map(|(place, number)| (*number, place))
                        .collect();
                    let common = self.legs[*one]
                        .heard
                        .iter()
                        .filter_map(|number| place.get(number));
                    if !common.is_sorted() {
                        wrong.push(format!(
                            "legs {one} and {other} of {session} heard in another order"
                        ));
                    }
                }
            }
        }
        wrong.into_iter().for_each(|wrong| self.blame(wrong));
    }

    /// What was accepted was heard by all who were there before it was said and are there still.
    fn check_nobody_missed(&mut self) {
        let mut wrong = Vec::new();
        for (number, said) in self
            .said
            .iter()
            .enumerate()
            .filter(|(_, said)| said.epoch == self.epoch)
        {
            let (Way::Session(sender), Some(200)) = (&said.way, said.answer) else {
                continue;
            };
            for (index, leg) in self.legs.iter().enumerate() {
                let there =
                    leg.settled_since.is_some() && leg.established && !leg.ended && !leg.doubtful;
                let same = leg.session.is_some() && leg.session == self.legs[*sender].session;
                if index != *sender && there && same && !leg.heard.contains(&number) {
                    wrong.push(format!(
                        "msg-{number} was accepted, and leg {index} of its session never heard it"
                    ));
                }
            }
        }
        wrong.into_iter().for_each(|wrong| self.blame(wrong));
    }

    /// How many messages of a user the records must have at least, and may have at most: a sender who goes at the wrong
    /// moment never learns that a message arrived.
    fn sent_by(&self, user: &str) -> (u32, u32) {
        let (mut least, mut most) = (0, 0);
        for said in self
            .said
            .iter()
            .filter(|said| super::fellow::aor(said.user) == user)
        {
            let pager = said.way == Way::Pager;
            let two = self.session_of(said).is_some_and(|session| {
                !self.conferences.contains(session) && !self.growing.contains(session)
            });
            least += u32::from(said.answer == Some(200));
            most += u32::from(said.taken || (!pager && !two));
        }
        (least, most)
    }

    /// The call detail records, when all are gone: each session begun once and ended once, each participation likewise and
    /// within its session.
    pub fn check_records(&mut self, records: &[CdrEvent]) {
        #[derive(Default)]
        struct Row {
            ended: bool,
            inside: BTreeSet<u32>,
            left: BTreeSet<u32>,
            users: BTreeMap<u32, String>,
        }
        let mut sent: BTreeMap<String, u32> = BTreeMap::new();
        let mut rows: BTreeMap<SessionId, Row> = BTreeMap::new();
        let mut wrong = Vec::new();
        for event in records {
            match event {
                CdrEvent::Started {
                    session, continues, ..
                } => {
                    if let Some(old) = continues
                        && !rows.get(old).is_some_and(|row| row.ended)
                    {
                        wrong.push(format!("{session} continues {old}, which has not ended"));
                    }
                    if rows.insert(*session, Row::default()).is_some() {
                        wrong.push(format!("{session} started twice"));
                    }
                }
                CdrEvent::Joined {
                    session,
                    participant,
                    user,
                    ..
                } => {
                    let fine = rows.get_mut(session).is_some_and(|row| {
                        row.users.insert(*participant, user.to_string());
                        !row.ended
                            && !row.left.contains(participant)
                            && row.inside.insert(*participant)
                    });
                    if !fine {
                        wrong.push(format!("a wrong joining of {participant} in {session}"));
                    }
                }
                CdrEvent::Left {
                    session,
                    participant,
                    messages_sent,
                    ..
                } => {
                    let fine = rows.get_mut(session).is_some_and(|row| {
                        if let Some(user) = row.users.get(participant) {
                            *sent.entry(user.clone()).or_default() += messages_sent;
                        }
                        !row.ended
                            && row.inside.remove(participant)
                            && row.left.insert(*participant)
                    });
                    if !fine {
                        wrong.push(format!("a wrong leaving of {participant} in {session}"));
                    }
                }
                CdrEvent::OneMore {
                    session,
                    participant,
                } => {
                    let user = rows
                        .get(session)
                        .filter(|row| row.left.contains(participant))
                        .and_then(|row| row.users.get(participant));
                    match user {
                        Some(user) => *sent.entry(user.clone()).or_default() += 1,
                        None => wrong.push(format!("one more of {participant} in {session}")),
                    }
                }
                CdrEvent::Ended { session, .. } => match rows.get_mut(session) {
                    Some(row) if !row.ended && row.inside.is_empty() => row.ended = true,
                    _ => wrong.push(format!("a wrong end of {session}")),
                },
            }
        }
        wrong.extend(
            rows.iter()
                .filter(|(_, row)| !row.ended)
                .map(|(session, _)| format!("{session} never ended")),
        );
        // Who is in no record has sent nothing by the records, and that must be true as well.
        for said in &self.said {
            sent.entry(super::fellow::aor(said.user)).or_default();
        }
        for (user, sent) in sent {
            let (least, most) = self.sent_by(&user);
            if sent < least || sent > most {
                wrong.push(format!(
                    "{user} sent {sent} messages; it were {least} to {most}"
                ));
            }
        }
        wrong
            .into_iter()
            .for_each(|wrong| self.blame(format!("CDR: {wrong}")));
    }
}
