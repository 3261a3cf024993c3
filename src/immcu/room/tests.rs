//! Rights and roles as tables.

use super::*;
use crate::immcu::SessionId;
use crate::immcu::content::Party;
use crate::immcu::session::{Joining, LegRef};
use crate::sip::time::Now;

fn user(name: &str) -> Aor {
    Aor::parse(&format!("{name}@example.com")).expect("a user of the test")
}

fn come(session: &mut Session, name: &str) {
    let key = session.participants.len() as u64 + 100;
    let party = Party {
        aor: user(name),
        display: "".into(),
    };
    let leg = LegRef { shard: 0, key };
    session
        .join(party, leg, "".into(), Joining::DialedIn, true, 10)
        .expect("there is room");
}

/// Alice started it; Bob and Carol are in it, Dave is being rung.
fn conference() -> Session {
    let id = SessionId {
        group: 1,
        random: 2,
    };
    let mut session = Session::new(id, Kind::Conference, user("alice"), Now(0));
    for name in ["alice", "bob", "carol"] {
        come(&mut session, name);
    }
    session
        .invite(user("dave"), None, None, 10)
        .expect("there is room");
    session
}

fn check(by: &str, commands: &[Command], expected: Result<(), Refusal>) {
    let found = conference().may_command(&user(by), commands);
    assert_eq!(found, expected, "{by}: {commands:?}");
}

#[test]
fn only_moderators_decide_and_a_refusal_names_the_right() {
    let lock = Command::SetLock(true);
    let subject = Command::SetSubject(Subject::default());
    let promote = |name: &str| Command::SetRole(user(name), Role::Moderator);
    let expel = |name: &str| Command::Expel(user(name));
    let all = [
        lock.clone(),
        subject,
        promote("bob"),
        expel("carol"),
        expel("dave"),
    ];
    check("alice", &all, Ok(()));
    check("alice", &[Command::EndAll], Ok(()));
    for (command, right) in [
        (lock, Right::Lock),
        (promote("bob"), Right::Roles),
        (expel("alice"), Right::Expel),
        (Command::EndAll, Right::End),
    ] {
        check("bob", &[command], Err(Refusal::NotAllowed(right)));
    }
    check("dave", &[Command::EndAll], Err(Refusal::NotHere));
    check("alice", &[promote("dave")], Err(Refusal::Stranger));
    check("alice", &[expel("erin")], Err(Refusal::Stranger));
}

#[test]
fn somebody_stays_moderator() {
    let promote = |name: &str| Command::SetRole(user(name), Role::Moderator);
    let demote = |name: &str| Command::SetRole(user(name), Role::Participant);
    let expel = |name: &str| Command::Expel(user(name));
    check("alice", &[demote("alice")], Err(Refusal::NobodyModerates));
    check("alice", &[expel("alice")], Err(Refusal::NobodyModerates));
    check("alice", &[demote("alice"), promote("bob")], Ok(()));
    check(
        "alice",
        &[promote("bob"), demote("alice"), expel("bob")],
        Err(Refusal::NobodyModerates),
    );
    let all = [expel("alice"), expel("bob"), expel("carol")];
    check("alice", &all, Ok(()));
}

#[test]
fn the_longest_member_follows_and_who_started_it_returns_as_moderator() {
    let mut session = conference();
    let leave = |session: &mut Session, name: &str| {
        let leg = session
            .participants
            .iter()
            .find(|one| one.user == user(name));
        let leg = leg.expect("is in it").leg;
        session.leave(leg);
        session.pass_on_role()
    };
    assert_eq!(leave(&mut session, "carol"), None);
    assert_eq!(leave(&mut session, "alice"), Some(user("bob")));
    come(&mut session, "alice");
    assert_eq!(session.room.moderators, [user("bob"), user("alice")]);
    assert_eq!(leave(&mut session, "bob"), None);
    come(&mut session, "bob");
    assert_eq!(session.room.moderators, [user("alice")]);
    // Deposed by another moderator: a participant like all others, also when they return.
    session.set_role(&user("bob"), Role::Moderator);
    session.set_role(&user("alice"), Role::Participant);
    leave(&mut session, "alice");
    come(&mut session, "alice");
    assert_eq!(session.room.moderators, [user("bob")]);
}

#[test]
fn a_lock_and_an_expulsion_keep_out_whom_no_moderator_invites() {
    let mut session = conference();
    assert_eq!(session.admits(&user("erin")), Ok(()));
    session.room.locked = true;
    assert_eq!(session.admits(&user("erin")), Err(Refusal::Locked));
    assert_eq!(session.admits(&user("bob")), Ok(()), "another endpoint");
    assert_eq!(session.admits(&user("dave")), Ok(()), "is being rung");
    let by_bob = session.may_invite(&user("bob"), &user("erin"));
    assert_eq!(by_bob, Err(Refusal::NotAllowed(Right::InviteLocked)));
    assert_eq!(session.may_invite(&user("alice"), &user("erin")), Ok(()));
    session.room.locked = false;
    session.expel(&user("erin"));
    assert_eq!(session.admits(&user("erin")), Err(Refusal::SentAway));
    let by_bob = session.may_invite(&user("bob"), &user("erin"));
    assert_eq!(by_bob, Err(Refusal::NotAllowed(Right::InviteExpelled)));
    session
        .invite(user("erin"), None, None, 10)
        .expect("there is room");
    assert!(session.room.expelled.is_empty(), "forgiven");
    for number in 0..EXPELLED_MAX + 3 {
        session.expel(&user(&format!("u{number}")));
    }
    assert_eq!(session.room.expelled.len(), EXPELLED_MAX);
    assert_eq!(session.room.expelled[0], user("u3"));
}

#[test]
fn who_did_not_come_is_shown_while_there_is_room() {
    let mut session = conference();
    for name in ["erin", "frank"] {
        session.missed(&user(name), Outcome::of(480), 6);
    }
    let absent: Vec<&Aor> = session.room.absent.iter().map(|one| &one.user).collect();
    assert_eq!(absent, [&user("erin"), &user("frank")]);
    session
        .invite(user("erin"), None, None, 6)
        .expect("there is room");
    assert_eq!(session.room.absent.len(), 1, "is being rung again");
    session
        .invite(user("grace"), None, None, 6)
        .expect("there is room");
    assert!(session.room.absent.is_empty(), "their place was needed");
    assert_eq!(session.room.displaced, [user("frank")], "and that is told");
    session.missed(&user("alice"), Outcome::of(480), 6);
    assert!(session.room.absent.is_empty(), "is in it");
}

#[test]
fn a_subject_is_one_line_of_bounded_length() {
    let read = |text: &str| Subject::read(text).map(|subject| subject.as_str().to_owned());
    assert_eq!(read("  Tea\r\nVia: x\u{7} "), Ok("Tea  Via: x".to_owned()));
    assert!(read(&"ä".repeat(SUBJECT_CHARS_MAX)).is_ok());
    let long = read(&"x".repeat(SUBJECT_CHARS_MAX + 1));
    assert_eq!(long, Err(Refusal::SubjectTooLong));
}
