//! SIPE with the clients of the simple dialect: what a user of one does, a user of the other sees.

use super::baresip::Baresip;
use super::linphonec::Linphonec;
use super::server::Server;
use super::sipe::Sipe;
use super::sipp::{Cast, Sipp};
use super::{STRANGE, installed, sipe_installed};

#[test]
fn sipe_and_linphone_talk_and_see_each_other() {
    if !sipe_installed() || !installed(&["linphonec"]) {
        return;
    }
    let server = Server::start("sipe-linphone", &["alice", "bob"]);
    let mut alice = Sipe::start(&server, "alice");
    let mut bob = Linphonec::start(&server, "bob", &["alice"]);
    bob.sees("alice", "Online");
    alice.adds("bob", "Friends");
    alice.sees("bob", "available", "");
    alice.im("bob", STRANGE);
    bob.receives("alice", STRANGE);
    bob.chat("alice", STRANGE);
    alice.receives("bob", STRANGE);
    bob.is_answered();
    alice.chooses("busy", "");
    bob.sees("alice", "Busy");
    alice.chooses("away", "");
    bob.sees("alice", "Away");
    bob.quit();
    alice.sees("bob", "offline", "");
    let mut bob = Linphonec::start(&server, "bob", &["alice"]);
    alice.sees("bob", "available", "");
    bob.sees("alice", "Away");
    alice.quit();
    bob.sees("alice", "Offline");
    bob.quit();
    server.stop();
}

#[test]
fn sipe_and_baresip_talk_and_see_each_other() {
    if !sipe_installed() || !installed(&["baresip"]) {
        return;
    }
    let server = Server::start("sipe-baresip", &["alice", "bob"]);
    let mut alice = Sipe::start(&server, "alice");
    let mut bob = Baresip::start(&server, "bob", &["alice"]);
    bob.sees("alice", "Online");
    alice.adds("bob", "Friends");
    alice.sees("bob", "available", "");
    alice.im("bob", STRANGE);
    bob.receives("alice", STRANGE);
    bob.message(STRANGE);
    alice.receives("bob", STRANGE);
    bob.presence("offline");
    alice.sees("bob", "offline", "");
    bob.presence("online");
    alice.sees("bob", "available", "");
    alice.chooses("busy", "");
    bob.sees("alice", "Busy");
    alice.quit();
    bob.sees("alice", "Offline");
    bob.quit();
    server.stop();
}

/// The name of the first room that a SIPE has.
const ROOM: &str = "Chat #1";

#[test]
fn a_simple_client_is_invited_to_a_conference_of_sipes() {
    if !sipe_installed() || !installed(&["sipp"]) {
        return;
    }
    let simple = Cast::new("simple", 1, |_| vec![]);
    let users = ["alice", "bob", "simple0"];
    let server = Server::start_with_md5_first("sipe-invites-sipp", &users);
    let mut answering = Sipp::callees(&server, server.folder(), "callee_answers", &simple);
    let mut alice = Sipe::start(&server, "alice");
    let mut bob = Sipe::start(&server, "bob");
    for user in ["bob", "simple0"] {
        alice.adds(user, "Friends");
    }
    alice.menu("bob", &["New chat"]);
    alice.expect(&["member", ROOM, "bob@example.com"]);
    alice.menu("simple0", &["Invite to 'Chat #1'"]);
    alice.expect(&["member", ROOM, "simple0@example.com"]);
    bob.expect(&["member", ROOM, "simple0@example.com"]);
    bob.tell(&["say", ROOM, "text 1 Grüße, 你好 <&> 🎉"]);
    answering.logs("said text 1 Grüße, 你好 <&> 🎉 by sip:bob@example.com");
    alice.expect(&["chat", ROOM, "bob@example.com", "text 1 Grüße, 你好 <&> 🎉"]);
    drop(answering);
    alice.expect(&["member-left", ROOM, "simple0@example.com"]);
    alice.quit();
    bob.quit();
    server.stop();
}

#[test]
fn a_simple_client_invites_sipes_to_a_conference() {
    if !sipe_installed() || !installed(&["sipp"]) {
        return;
    }
    let caller = Cast::new("caller", 1, |_| vec!["alice".into(), "bob".into()]);
    let users = ["alice", "bob", "caller0"];
    let server = Server::start_with_md5_first("sipp-invites-sipe", &users);
    let mut alice = Sipe::start(&server, "alice");
    let mut bob = Sipe::start(&server, "bob");
    Sipp::callers(
        &server,
        server.folder(),
        "conference_by_factory",
        &caller,
        1,
    )
    .succeeds();
    for sipe in [&mut alice, &mut bob] {
        sipe.expect(&["member", ROOM, "caller0@example.com", "op"]);
        sipe.expect_some(&["chat", ROOM, "caller0@example.com", "text "]);
        sipe.expect(&["member-left", ROOM, "caller0@example.com"]);
    }
    alice.quit();
    bob.quit();
    server.stop();
}
