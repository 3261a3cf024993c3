//! SIPE's users prove who they are.

use super::server::{Server, password};
use super::sipe::Sipe;
use super::sipe_installed;

/// It proves itself by NTLM, signs all that it sends and checks all that it gets: a wrong signature of the server's would end it.
#[test]
fn sipe_logs_in_by_ntlm_and_both_sides_sign() {
    if !sipe_installed() {
        return;
    }
    let server = Server::start("sipe-ntlm", &["alice"]);
    let mut alice = Sipe::start(&server, "alice");
    alice.checked_signatures(2);
    alice.quit();
    server.stop();
}

/// A wrong password is told to the user, and not tried for ever.
#[test]
fn sipe_is_told_of_a_wrong_password() {
    if !sipe_installed() {
        return;
    }
    let server = Server::start("sipe-wrong-password", &["alice"]);
    let mut alice = Sipe::begin(&server, "alice", "desk", "not the password");
    let told = "Authentication failed";
    alice.expect(&["error", told]);
    alice.quit_after(&[told, "authentication handshake failed"]);
    server.stop();
}

/// Without NTLM there is nothing that it could prove itself by, and it must not wait for ever.
#[test]
fn sipe_is_told_at_once_where_no_scheme_of_its_own_is_offered() {
    if !sipe_installed() {
        return;
    }
    let server = Server::start_with_digest_only("sipe-digest-only", &["alice"]);
    let mut alice = Sipe::begin(&server, "alice", "desk", &password("alice"));
    let told = "Incompatible authentication scheme chosen";
    alice.expect(&["error", told]);
    alice.quit_after(&[told]);
    server.stop();
}
