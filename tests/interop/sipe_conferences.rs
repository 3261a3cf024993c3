//! SIPE's users in conferences.

use super::server::Server;
use super::sipe::Sipe;
use super::{STRANGE, sipe_installed};

/// The name of the first room that a SIPE has opened.
const ROOM: &str = "Chat #1";

#[test]
fn a_third_sipe_joins_a_conference_and_one_is_removed() {
    if !sipe_installed() {
        return;
    }
    let server = Server::start("sipe-conference", &["alice", "bob", "carol"]);
    let mut alice = Sipe::start(&server, "alice");
    let mut bob = Sipe::start(&server, "bob");
    let mut carol = Sipe::start(&server, "carol");
    for user in ["bob", "carol"] {
        alice.adds(user, "Friends");
        alice.sees(user, "available", "");
    }
    alice.menu("bob", &["New chat"]);
    alice.expect(&["joined", ROOM]);
    bob.expect(&["joined", ROOM]);
    alice.expect(&["member", ROOM, "bob@example.com"]);
    bob.expect(&["member", ROOM, "alice@example.com", "op"]);
    alice.tell(&["say", ROOM, STRANGE]);
    bob.expect(&["chat", ROOM, "alice@example.com", STRANGE]);

    alice.menu("carol", &["Invite to 'Chat #1'"]);
    carol.expect(&["joined", ROOM]);
    bob.expect(&["member", ROOM, "carol@example.com"]);
    carol.tell(&["say", ROOM, "hello to both"]);
    alice.expect(&["chat", ROOM, "carol@example.com", "hello to both"]);
    bob.expect(&["chat", ROOM, "carol@example.com", "hello to both"]);

    alice.menu("bob", &["Make leader of 'Chat #1'"]);
    carol.expect(&["member", ROOM, "bob@example.com", "op"]);
    alice.menu("bob", &["Remove from 'Chat #1'"]);
    bob.expect(&[
        "chat-system",
        ROOM,
        "You have been disconnected from this conference.",
    ]);
    alice.expect(&["member-left", ROOM, "bob@example.com"]);
    carol.expect(&["member-left", ROOM, "bob@example.com"]);
    alice.tell(&["say", ROOM, "without Bob"]);
    carol.expect(&["chat", ROOM, "alice@example.com", "without Bob"]);
    assert!(!bob.has_heard(&["chat", ROOM, "alice@example.com", "without Bob"]));

    carol.tell(&["leave", ROOM]);
    alice.expect(&["member-left", ROOM, "carol@example.com"]);
    // He was not asked to come back.
    assert!(!bob.has_heard(&["chat-error", ROOM]));
    // The session of the focus ends with the other, and to SIPE the two are one.
    bob.quit_after(&["process_incoming_bye: couldn't find session"]);
    alice.quit();
    carol.quit();
    server.stop();
}
