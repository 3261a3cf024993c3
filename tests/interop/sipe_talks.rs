//! SIPE's users write to each other: two of them, and one on two machines.

use super::server::Server;
use super::sipe::Sipe;
use super::{STRANGE, sipe_installed};

/// How SIPE says that a message did not reach anybody, and why.
const UNDELIVERED: &str =
    "This message was not delivered to sip:bob@example.com because one or more recipients ";

#[test]
fn sipes_write_to_each_other_and_see_each_other_type() {
    if !sipe_installed() {
        return;
    }
    let server = Server::start("sipe-talk", &["alice", "bob"]);
    let mut alice = Sipe::start(&server, "alice");
    let mut bob = Sipe::start(&server, "bob");
    alice.im("bob", STRANGE);
    bob.receives("alice", STRANGE);
    bob.im("alice", "zurück: ägyptisch");
    alice.receives("bob", "zurück: ägyptisch");
    bob.tell(&["typing", "alice@example.com", "1"]);
    alice.expect(&["typing", "bob@example.com", "1"]);
    bob.tell(&["typing", "alice@example.com", "0"]);
    alice.expect(&["typing", "bob@example.com", "0"]);
    // A window closed ends the session; the next message makes a new one.
    bob.tell(&["close", "alice@example.com"]);
    alice.logs("\nBYE sip:");
    alice.im("bob", "still there?");
    bob.receives("alice", "still there?");

    bob.quit();
    alice.im("bob", "gone?");
    let why = format!("{UNDELIVERED}are offline: gone?");
    alice.expect(&["im-error", "bob@example.com", &why]);
    alice.quit_after(&["msg->response(480),msg->method(INVITE)"]);
    server.stop();
}

#[test]
fn who_is_not_to_be_disturbed_hears_of_their_team_only() {
    if !sipe_installed() {
        return;
    }
    let server = Server::start("sipe-disturb", &["alice", "bob"]);
    let mut alice = Sipe::start(&server, "alice");
    let mut bob = Sipe::start(&server, "bob");
    alice.adds("bob", "Friends");
    alice.sees("bob", "available", "");
    bob.chooses("do-not-disturb", "");
    alice.sees("bob", "do-not-disturb", "");
    alice.im("bob", "psst");
    let why = format!("{UNDELIVERED}do not want to be disturbed: psst");
    alice.expect(&["im-error", "bob@example.com", &why]);

    bob.adds("alice", "Colleagues");
    bob.sees("alice", "available", "");
    bob.menu("alice", &["Access level", "Team"]);
    bob.logs("<setContainerMembers");
    bob.logs("msg->response(200),msg->method(SERVICE)");
    alice.im("bob", "for the team");
    bob.receives("alice", "for the team");
    assert!(!bob.has_heard(&["im", "alice@example.com", "psst"]));
    alice.quit_after(&["msg->response(486),msg->method(INVITE)"]);
    bob.quit();
    server.stop();
}
