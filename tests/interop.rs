//! Real clients, written by others, talk with each other through the built server. A client that isn't installed is skipped
//! with a line on standard error; with `CI=true` or `MUSTER_INTEROP=all` that is a failure.

mod baresip;
mod child;
mod linphonec;
mod log;
mod pidgin;
mod server;
mod sipe;
mod sipe_conferences;
mod sipe_people;
mod sipe_signs_in;
mod sipe_talks;
mod sipe_with_others;
mod sipp;

use std::io::Write as _;
use std::path::Path;

use baresip::Baresip;
use linphonec::Linphonec;
use pidgin::Pidgin;
use server::Server;
use sipp::{Cast, Sipp};

/// Text that only survives if nobody on the way touches its bytes: umlauts, Han, a character beyond 16 bits, markup.
const STRANGE: &str = "Grüße, 你好 🎉 <&>";

/// Whether what a test needs is there. `setpriv`, which ends clients with the test, is in Debian's base.
fn installed(needed: &[&str]) -> bool {
    let here = |program: &&&str| {
        let folders = std::env::var_os("PATH").unwrap_or_default();
        program.starts_with('/') && Path::new(program).exists()
            || std::env::split_paths(&folders).any(|folder| folder.join(program).is_file())
    };
    let Some(missing) = needed.iter().find(|program| !here(program)) else {
        return true;
    };
    let all = ["CI", "MUSTER_INTEROP"].map(|name| std::env::var(name).unwrap_or_default());
    assert!(
        all[0] != "true" && all[1] != "all",
        "{missing} is not installed; tests/run installs it"
    );
    // Not through `eprintln!`, which the test harness keeps to itself when a test succeeds.
    let line = format!("skipped: an interop test, since {missing} is not installed\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
    false
}

fn pidgin_installed() -> bool {
    let library = format!(
        "/usr/lib/{}-linux-gnu/purple-2/libsimple.so",
        std::env::consts::ARCH
    );
    installed(&["python3", "setpriv", &library])
}

fn sipe_installed() -> bool {
    installed(&["python3", "setpriv", "cc", "/usr/lib/purple-2/libsipe.so"])
}

#[test]
fn linphones_chat_both_ways_and_see_each_other_come_and_go() {
    if !installed(&["linphonec", "setpriv"]) {
        return;
    }
    let server = Server::start("linphones", &["alice", "bob"]);
    let mut alice = Linphonec::start(&server, "alice", &["bob"]);
    let mut bob = Linphonec::start(&server, "bob", &["alice"]);
    alice.sees("bob", "Online");
    bob.sees("alice", "Online");

    alice.chat("bob", STRANGE);
    bob.receives("alice", STRANGE);
    alice.is_told_of_delivery();
    bob.chat("alice", "zurück: ägyptisch");
    alice.receives("bob", "zurück: ägyptisch");
    bob.is_told_of_delivery();

    bob.quit();
    alice.sees("bob", "Offline");
    alice.chat("bob", "nobody there");
    alice.is_refused();
    let mut bob = Linphonec::start(&server, "bob", &["alice"]);
    alice.sees("bob", "Online");
    alice.unregister();
    alice.quit();
    bob.sees("alice", "Offline");
    bob.quit();
    server.stop();
}

/// RFC 4662 and RFC 4826, as the one client has them that knows lists.
#[test]
fn linphone_sees_its_friends_by_one_subscription_to_their_list() {
    if !installed(&["linphonec", "setpriv"]) {
        return;
    }
    let server = Server::start("friend-list", &["alice", "bob", "carol"]);
    let bob = Linphonec::start(&server, "bob", &[]);
    let mut alice = Linphonec::start_with_list(&server, "alice", &["bob", "carol"]);
    alice.sees("bob", "Online");
    assert!(alice.asked_for_the_list_and_not_for("bob"));
    let carol = Linphonec::start(&server, "carol", &[]);
    alice.sees("carol", "Online");
    server.chooses("bob", "busy");
    alice.sees("bob", "Busy");
    server.chooses("bob", "away");
    alice.sees("bob", "Away");
    bob.quit();
    alice.sees("bob", "Offline");
    carol.quit();
    alice.sees("carol", "Offline");
    alice.quit();
    server.stop();
}

#[test]
fn baresips_message_both_ways_and_see_each_other_come_and_go() {
    if !installed(&["baresip", "setpriv"]) {
        return;
    }
    let server = Server::start("baresips", &["alice", "bob"]);
    let mut alice = Baresip::start(&server, "alice", &["bob"]);
    let mut bob = Baresip::start(&server, "bob", &["alice"]);
    alice.sees("bob", "Online");
    bob.sees("alice", "Online");

    alice.message(STRANGE);
    bob.receives("alice", STRANGE);
    bob.message("zurück");
    alice.receives("bob", "zurück");

    bob.presence("offline");
    alice.sees("bob", "Offline");
    bob.presence("online");
    alice.sees("bob", "Online");
    bob.quit();
    alice.sees("bob", "Offline");
    alice.quit();
    server.stop();
}

/// RFC 3842, as a desk phone's lamp has it.
#[test]
fn baresip_shows_how_many_messages_wait() {
    if !installed(&["baresip", "setpriv"]) {
        return;
    }
    let server = Server::start("messages-wait", &["alice", "bob"]);
    server.messages("alice", 3, 2);
    let mut alice = Baresip::start(&server, "alice", &["bob"]);
    alice.shows_messages("Messages-Waiting: yes");
    alice.shows_messages("Voice-Message: 3/2 (0/0)");
    server.messages("alice", 0, 5);
    alice.shows_messages("Messages-Waiting: no");
    alice.shows_messages("Voice-Message: 0/5 (0/0)");
    alice.quit();
    server.stop();
}

#[test]
fn baresip_and_linphone_talk_and_see_each_other() {
    if !installed(&["baresip", "linphonec", "setpriv"]) {
        return;
    }
    let server = Server::start("baresip-linphone", &["alice", "bob"]);
    let mut alice = Linphonec::start(&server, "alice", &["bob"]);
    let mut bob = Baresip::start(&server, "bob", &["alice"]);
    alice.sees("bob", "Online");
    bob.sees("alice", "Online");
    alice.chat("bob", STRANGE);
    bob.receives("alice", STRANGE);
    alice.is_answered();
    bob.message(STRANGE);
    alice.receives("bob", STRANGE);
    bob.presence("offline");
    alice.sees("bob", "Offline");
    alice.quit();
    bob.sees("alice", "Offline");
    bob.quit();
    server.stop();
}

#[test]
fn baresips_call_each_other_and_transfer_to_linphone() {
    if !installed(&["baresip", "linphonec", "setpriv"]) {
        return;
    }
    let server = Server::start("calls", &["alice", "bob", "carol"]);
    let mut alice = Baresip::start(&server, "alice", &["bob"]);
    let mut bob = Baresip::start(&server, "bob", &["alice"]);
    let mut carol = Linphonec::start(&server, "carol", &["alice", "bob"]);
    carol.has_no_sound_card();
    carol.sees("alice", "Online");

    alice.calls("bob");
    bob.picks_up("alice");
    bob.talks_with("alice");
    alice.talks_with("bob");
    alice.hears_sound();
    carol.sees("alice", "Busy");
    alice.hangs_up();
    bob.is_hung_up_on_by("alice");
    carol.sees("alice", "Online");

    bob.calls("carol");
    carol.picks_up("bob");
    carol.talks_with("bob");
    bob.talks_with("carol");
    carol.hangs_up();
    bob.is_hung_up_on_by("carol");
    carol.has_talked_with("bob");

    carol.calls("bob");
    bob.picks_up("carol");
    bob.talks_with("carol");
    carol.talks_with("bob");
    bob.hangs_up();
    carol.has_talked_with("bob");

    // Blind: Bob puts Alice through to Carol.
    alice.calls("bob");
    bob.picks_up("alice");
    bob.talks_with("alice");
    bob.transfers_to("carol");
    carol.picks_up("alice");
    carol.talks_with("alice");
    bob.has_left("alice");
    // She goes without a word: her connection is cut, and Carol's call ends.
    drop(alice);
    carol.has_talked_with("alice");

    bob.quit();
    carol.quit();
    server.stop();
}

#[test]
fn linphones_hold_and_put_through() {
    if !installed(&["linphonec", "setpriv"]) {
        return;
    }
    let server = Server::start("put-through", &["alice", "bob", "carol"]);
    let [mut alice, mut bob, mut carol] = ["alice", "bob", "carol"].map(|user| {
        let mut phone = Linphonec::start(&server, user, &[]);
        phone.has_no_sound_card();
        phone
    });
    alice.calls("carol");
    carol.picks_up("alice");
    let first = carol.talks_with("alice");
    alice.talks_with("carol");
    carol.holds();
    carol.calls("bob");
    bob.picks_up("carol");
    let second = carol.talks_with("bob");
    bob.talks_with("carol");
    carol.puts_through(first, second);
    bob.is_taken_over_by("alice");
    alice.is_put_through_to("bob");
    alice.hangs_up();
    bob.has_talked_with("alice");
    alice.quit();
    bob.quit();
    carol.quit();
    server.stop();
}

/// libpurple's generator isn't seeded here, so both use the same branches, tags and Call-IDs: what two Pidgins do that were started in
/// the same second. Transactions must be told apart by their connection too.
#[test]
fn pidgins_with_the_same_branches_and_call_ids_are_told_apart() {
    if !pidgin_installed() {
        return;
    }
    let server = Server::start("pidgins", &["alice", "bob"]);
    let mut alice = Pidgin::begin(&server, "alice");
    let mut bob = Pidgin::begin(&server, "bob");
    alice.is_signed_on();
    bob.is_signed_on();
    alice.buddy("bob");
    bob.buddy("alice");
    alice.im("bob", STRANGE);
    bob.receives("alice", STRANGE);
    bob.im("alice", "zurück");
    alice.receives("bob", "zurück");
    alice.sees("bob", "available");
    bob.sees("alice", "available");
    bob.quit();
    alice.sees("bob", "offline");
    alice.quit();
    server.stop();
}

#[test]
fn pidgin_over_tcp_and_linphone_over_tls_talk_and_see_each_other() {
    if !installed(&["linphonec"]) || !pidgin_installed() {
        return;
    }
    let server = Server::start("pidgin-linphone", &["alice", "bob"]);
    let mut alice = Linphonec::start(&server, "alice", &["bob"]);
    let mut bob = Pidgin::start(&server, "bob");
    alice.sees("bob", "Online");
    bob.buddy("alice");
    alice.chat("bob", STRANGE);
    bob.receives("alice", STRANGE);
    bob.im("alice", STRANGE);
    alice.receives("bob", STRANGE);
    bob.sees("alice", "available");
    alice.quit();
    bob.sees("alice", "offline");
    bob.quit();
    server.stop();
}

/// No client of Debian's publishes more than `open` and `closed` from its command line, so SIPp plays the one who is busy.
#[test]
fn linphone_and_baresip_show_who_is_busy_or_away() {
    if !installed(&["linphonec", "baresip", "sipp", "setpriv"]) {
        return;
    }
    let server = Server::start_with_md5_first("busy", &["alice", "bob", "carol0"]);
    let mut alice = Linphonec::start(&server, "alice", &["carol0"]);
    let mut bob = Baresip::start(&server, "bob", &["carol0"]);
    let carol = |activity: &str| {
        Sipp::publishers(
            &server,
            server.folder(),
            &Cast::new("carol", 1, |_| vec![activity.into()]),
        )
    };
    let busy = carol("busy");
    alice.sees("carol0", "Busy");
    bob.sees("carol0", "Busy");
    // Its connection is cut, which says nothing; what it published must not outlive it.
    drop(busy);
    alice.sees("carol0", "Offline");
    bob.sees("carol0", "Offline");
    let away = carol("away");
    alice.sees("carol0", "Away");
    drop(away);
    alice.quit();
    bob.quit();
    server.stop();
}

#[test]
fn sipp_registers_messages_and_holds_sessions_at_a_rate() {
    if !installed(&["sipp", "setpriv"]) {
        return;
    }
    const CALLERS: usize = 50;
    const CALLEES: usize = 5;
    let callees = Cast::new("callee", CALLEES, |_| vec![]);
    let callers = Cast::new("caller", CALLERS, |index| {
        vec![format!("callee{}", index % CALLEES)]
    });
    let server = Server::start_with_md5_first("sipp", &[callees.users(), callers.users()].concat());
    let answering = Sipp::callees(&server, server.folder(), "callee_answers", &callees);
    Sipp::callers(
        &server,
        server.folder(),
        "register_message_invite",
        &callers,
        20,
    )
    .succeeds();
    for index in 0..CALLERS {
        let heard = |text: String| assert_eq!(answering.log().count(&text), 1, "{text}");
        heard(format!(
            "page text {} from caller{index}: Grüße, 你好",
            index + 1
        ));
        heard(format!("said text 1 from caller{index}: Grüße, 你好"));
        heard(format!("said text 2 from caller{index}: <&> 🎉"));
    }
    drop(answering);
    server.stop();
}

#[test]
fn sipp_makes_conferences_out_of_sessions_and_by_the_factory() {
    if !installed(&["sipp", "setpriv"]) {
        return;
    }
    const CONFERENCES: usize = 10;
    for (scenario, texts) in [
        ("conference_by_refer", ["to one", "to two"]),
        ("conference_by_factory", ["to two", ""]),
    ] {
        let callees = Cast::new("callee", 2 * CONFERENCES, |_| vec![]);
        let callers = Cast::new("caller", CONFERENCES, |index| {
            vec![
                format!("callee{}", 2 * index),
                format!("callee{}", 2 * index + 1),
            ]
        });
        let server =
            Server::start_with_md5_first(scenario, &[callees.users(), callers.users()].concat());
        let answering = Sipp::callees(&server, server.folder(), "callee_answers", &callees);
        Sipp::callers(&server, server.folder(), scenario, &callers, 5).succeeds();
        for index in 0..CONFERENCES {
            for (number, text) in texts
                .iter()
                .enumerate()
                .filter(|(_, text)| !text.is_empty())
            {
                // Each says to each other member who spoke.
                let line = format!(
                    "said text {} from caller{index}: {text} by sip:caller{index}@",
                    number + 1
                );
                let members = if *text == "to one" { 1 } else { 2 };
                assert_eq!(answering.log().count(&line), members, "{line}");
            }
        }
        drop(answering);
        server.stop();
    }
}
