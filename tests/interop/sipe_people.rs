//! SIPE's users and their contacts: who signs in, who is on whose list, who sees what of whom.

use std::time::Duration;

use super::server::Server;
use super::sipe::Sipe;
use super::sipe_installed;

#[test]
fn sipes_add_each_other_and_see_each_other_change() {
    if !sipe_installed() {
        return;
    }
    let server = Server::start("sipe-people", &["alice", "bob"]);
    let mut alice = Sipe::start(&server, "alice");
    let mut bob = Sipe::start(&server, "bob");
    alice.adds("bob", "Friends");
    bob.expect_some(&["added-by", "alice@example.com"]);
    alice.sees("bob", "available", "");
    bob.adds("alice", "Colleagues");
    bob.sees("alice", "available", "");

    // From the first byte of the publication to what the other shows. One of the three may be held up by this machine's other work.
    let states = [
        ("busy", "Busy", 6500),
        ("do-not-disturb", "", 9500),
        ("away", "", 15500),
    ];
    let delays = states.map(|(status, text, availability)| {
        bob.chooses(status, "");
        let published = bob.logs(&format!("<availability>{availability}</availability>"));
        alice.sees("bob", status, text);
        published.elapsed()
    });
    let fastest = delays.iter().min();
    assert!(fastest < Some(&Duration::from_secs(1)), "{delays:?}");

    bob.chooses("busy", "Am Schreibtisch, 你好");
    alice.sees("bob", "busy", "Busy - Am Schreibtisch, 你好");
    bob.chooses("available", "");
    alice.sees("bob", "available", "");

    alice.menu("bob", &["Access level", "Blocked"]);
    bob.sees("alice", "offline", "");
    alice.chooses("busy", "");
    alice.menu("bob", &["Access level", "Company"]);
    bob.sees("alice", "busy", "Busy");

    bob.quit();
    alice.sees("bob", "offline", "");
    alice.quit();
    server.stop();
}

#[test]
fn contacts_and_groups_of_sipe_are_the_users_on_each_machine_and_after_a_restart() {
    if !sipe_installed() {
        return;
    }
    let mut server = Server::start("sipe-contacts", &["alice", "bob", "carol"]);
    let (mut alice, mut laptop) = on_two_machines(&server);
    laptop.tell(&["alias", "bob@example.com", "Böb"]);
    alice.has_contacts(&["Friends/bob=Böb", "Work/carol"]);
    alice.tell(&["group-rename", "Work", "Office"]);
    laptop.has_contacts(&["Friends/bob=Böb", "Office/carol"]);
    laptop.tell(&["move", "bob@example.com", "Office"]);
    alice.has_contacts(&["Office/bob=Böb", "Office/carol"]);
    alice.tell(&["remove", "carol@example.com"]);
    laptop.has_contacts(&["Office/bob=Böb"]);
    alice.has_contacts(&["Office/bob=Böb"]);
    alice.quit();

    server.restart();
    let told = "You have been rejected by the server: The service has stopped or moved";
    laptop.expect(&["error", told]);
    laptop.quit_after(&[told]);
    let mut alice = Sipe::start_on(&server, "alice", "new");
    alice.has_contacts(&["Office/bob=Böb"]);
    alice.quit();
    server.stop();
}

/// SIPE keeps a group that is gone, and its number, until it signs in anew.
#[test]
fn a_group_that_goes_on_one_machine_of_sipe_takes_nothing_in_on_the_other() {
    if !sipe_installed() {
        return;
    }
    let server = Server::start("sipe-groups", &["alice", "bob", "carol", "dave"]);
    let (mut alice, mut laptop) = on_two_machines(&server);
    alice.tell(&["group-remove", "Work"]);
    laptop.has_contacts(&["Friends/bob"]);
    // Another group is not the one that went, and the same one is.
    alice.adds("dave", "Play");
    laptop.has_contacts(&["Friends/bob", "Play/dave"]);
    alice.tell(&["move", "bob@example.com", "Work"]);
    laptop.has_contacts(&["Play/dave", "Work/bob"]);
    // By other means its contacts stay, among the others.
    server.contacts(&["remove-group", "alice@example.com", "Work"]);
    laptop.has_contacts(&["Other Contacts/bob", "Play/dave"]);
    alice.has_contacts(&["Other Contacts/bob", "Play/dave"]);
    // Whoever is in no group stays there with a new name.
    server.contacts(&[
        "add",
        "alice@example.com",
        "bob@example.com",
        "--name",
        "Bob",
    ]);
    laptop.has_contacts(&["Other Contacts/bob=Bob", "Play/dave"]);
    alice.quit();
    laptop.quit();
    server.stop();
}

#[test]
fn sipe_finds_people_by_what_it_knows_of_them() {
    if !sipe_installed() {
        return;
    }
    let server = Server::start(
        "sipe-search",
        &[
            "alice Alice Liddell",
            "bob Bob Builder",
            "bobby Bobby Dodgson",
        ],
    );
    let mut alice = Sipe::start(&server, "alice");
    let found = |user: &str, name: &str| {
        [
            "found".to_owned(),
            format!("User name={user}@example.com"),
            format!("Name={name}"),
        ]
    };
    for (field, text, expected) in [
        ("Last name", "Dodgson", &[("bobby", "Bobby Dodgson")][..]),
        ("SIP ID", "bob@example.com", &[("bob", "Bob Builder")]),
    ] {
        alice.tell(&["search", field, text]);
        for (user, name) in expected {
            let words = found(user, name);
            alice.expect_some(&[&words[0], &words[1], &words[2]]);
        }
        alice.expect(&["found-all", &expected.len().to_string()]);
    }
    alice.tell(&["search", "First name", "Charles"]);
    alice.expect_some(&["message", "No contacts found"]);
    alice.quit();
    server.stop();
}

/// Alice at her desk and at her laptop, with Bob among her friends and Carol at work on both.
fn on_two_machines(server: &Server) -> (Sipe, Sipe) {
    let mut alice = Sipe::start(server, "alice");
    let mut laptop = Sipe::start_on(server, "alice", "laptop");
    alice.adds("bob", "Friends");
    laptop.has_contacts(&["Friends/bob"]);
    alice.adds("carol", "Work");
    laptop.has_contacts(&["Friends/bob", "Work/carol"]);
    (alice, laptop)
}
