//! SIPE's users write to each other: two of them, and one on two machines.

use super::server::Server;
use super::sipe::Sipe;
use super::{STRANGE, sipe_installed};

/// How SIPE says that a message did not reach anybody.
const OFFLINE: &str = "This message was not delivered to sip:bob@example.com because one or more recipients are offline";

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

    bob.chooses("do-not-disturb", "");
    bob.logs("<availability>9500</availability>");
    bob.quit();
    alice.im("bob", "gone?");
    alice.expect_some(&["im-error", "bob@example.com", OFFLINE]);
    alice.quit_after(&["msg->response(480),msg->method(INVITE)"]);
    server.stop();
}
