//! What is kept of a user, changed by commands: what they take, what they refuse, and that nothing is lost by a refusal.

use std::time::{Duration, Instant};

use super::phone::Phone;
use super::place::{Place, Server};

const BOB: &str = "bob@example.com";
const BOB_URI: &str = "sip:bob@example.com";

fn place() -> Place {
    let place = Place::new("");
    place.add("alice");
    place.add("bob");
    place
}

#[test]
fn every_command_of_what_is_kept_explains_itself() {
    let place = Place::new("");
    for (command, words) in [
        ("contacts", "export"),
        ("access", "privacy"),
        ("state", "reset"),
        ("note", "clear"),
        ("card", "show"),
        ("calls", "ring-also"),
        ("alerts", "add"),
        ("messages", "set"),
    ] {
        let done = place.bare(&["user", command, "--help"], "");
        assert!(done.fine().contains(words), "{done:#?}");
        place
            .bare(&["user", command], "")
            .refused(2, &["Usage", words]);
    }
    let levels = place.bare(&["user", "access", "set", "--help"], "");
    assert!(levels.fine().contains("most specific"), "{levels:#?}");
}

#[test]
fn a_user_is_given_another_home_and_signed_out() {
    let place = place();
    let user = |arguments: &[&str]| place.muster(&[&["user"], arguments].concat(), "");
    user(&["home", BOB, "fe02.example.com:5061"]).fine();
    user(&["home", BOB]).fine();
    user(&["sign-out", BOB]).fine();
    for bad in ["fe02:0", "sip:fe02", "2001:db8::7", "a b"] {
        user(&["home", BOB, bad]).refused(2, &["HOST or HOST:PORT"]);
    }
    user(&["home", "nobody@example.com", "fe02"]).refused(1, &["no user nobody@example.com"]);
    user(&["sign-out", "nobody@example.com"]).refused(1, &["no user nobody@example.com"]);
    // The group of all who are in no other goes out and comes in by its name.
    user(&["contacts", "add", BOB, "carol@example.com", "--group", "~"]).fine();
    let exported = user(&["contacts", "export", BOB]).fine().to_owned();
    assert!(exported.contains("\"~\""), "{exported}");
    let import = ["user", "contacts", "import", "alice@example.com", "-"];
    place.muster(&import, &exported).fine();
    let alice = user(&["contacts", "list", "alice@example.com"]);
    assert_eq!(alice.fine(), "carol@example.com\t\t~\n");
}

#[test]
fn contacts_go_out_and_come_in_as_json_unchanged() {
    let place = place();
    let contacts = |arguments: &[&str]| {
        let all = [&["user", "contacts"], arguments].concat();
        place.muster(&all, "")
    };
    contacts(&["list", "nobody@example.com"]).refused(1, &["no user nobody@example.com"]);
    assert_eq!(contacts(&["list", BOB]).fine(), "");
    contacts(&[
        "add",
        BOB,
        "carol@example.com",
        "--name",
        "Carol C.",
        "--group",
        "Team",
        "--group",
        "Friends",
    ])
    .fine();
    contacts(&["add", BOB, "Alice@example.com"]).fine();
    contacts(&["rename-group", BOB, "Team", "The team"]).fine();
    contacts(&["add-group", BOB, "Empty"]).fine();
    contacts(&["add-group", BOB, "Empty"])
        .refused(1, &["there is a group of that name", "nothing was changed"]);
    contacts(&["remove", BOB, "dave@example.com"]).refused(1, &["dave@example.com"]);
    assert_eq!(
        contacts(&["list", BOB]).fine(),
        "Alice@example.com\t\t\ncarol@example.com\tCarol C.\tThe team, Friends\n"
    );

    let exported = contacts(&["export", BOB]).fine().to_owned();
    let file = place.path().join("list.json");
    let file = file.to_str().expect("a path of ASCII");
    std::fs::write(file, &exported).expect("written");
    contacts(&["import", "alice@example.com", file]).fine();
    assert_eq!(contacts(&["export", "alice@example.com"]).fine(), exported);
    place
        .muster(
            &["user", "contacts", "import", BOB, "-"],
            r#"{"contacts": []}"#,
        )
        .fine();
    assert_eq!(contacts(&["list", BOB]).fine(), "");
}

#[test]
fn a_list_that_is_refused_changes_nothing_and_says_where() {
    let place = place();
    let import = |text: &str| place.muster(&["user", "contacts", "import", BOB, "-"], text);
    import(r#"{"groups": ["A"], "contacts": [{"address": "carol@example.com", "groups": ["A"]}]}"#)
        .fine();
    let list = |count: usize| {
        let entries: Vec<String> = (0..count)
            .map(|n| format!(r#"{{"address": "u{n}@example.com"}}"#))
            .collect();
        format!(r#"{{"contacts": [{}]}}"#, entries.join(","))
    };
    let groups: Vec<String> = (0..65).map(|n| format!("\"g{n}\"")).collect();
    for (text, words) in [
        ("", "-: "),
        ("[]", "-: "),
        (r#"{"contacts": [], "extra": 1}"#, "extra"),
        (
            r#"{"contacts": [{"address": "carol"}]}"#,
            "contacts[0].address",
        ),
        (
            r#"{"contacts": [{"address": "a@b.c"}, {"address": "a@b.c", "groups": ["X"]}]}"#,
            "contacts[1].groups[0]",
        ),
        (
            r#"{"contacts": [{"address": "a@b.c"}, {"address": "a@B.C"}]}"#,
            "contacts[0] is the same",
        ),
        (
            r#"{"contacts": [{"address": "a@b.c", "name": "two\nlines"}]}"#,
            "contacts[0].name",
        ),
        (r#"{"groups": ["A", "A"], "contacts": []}"#, "groups[1]"),
        (&list(1_001), "more than 1000 contacts"),
        (
            &format!(r#"{{"groups": [{}], "contacts": []}}"#, groups.join(",")),
            "more than 64 groups",
        ),
    ] {
        import(text).refused(1, &[words, "nothing was changed"]);
    }
    let kept = place.muster(&["user", "contacts", "list", BOB], "");
    assert_eq!(kept.fine(), "carol@example.com\t\tA\n");

    import(&list(1_000)).fine();
    place
        .muster(
            &["user", "contacts", "add", BOB, "one-more@example.com"],
            "",
        )
        .refused(1, &["more than 1000 contacts", "nothing was changed"]);
    let kept = place.muster(&["user", "contacts", "list", BOB], "");
    assert_eq!(kept.fine().lines().count(), 1_000);
}

#[test]
fn access_rules_are_set_and_a_contradiction_is_refused_with_where() {
    let place = place();
    let access = |arguments: &[&str], input: &str| {
        place.muster(&[&["user", "access"], arguments].concat(), input)
    };
    access(&["set", BOB, "alice@example.com", "blocked"], "").fine();
    access(&["set", BOB, "alice@example.com", "workgroup"], "").fine();
    access(&["set", BOB, "example.org", "colleagues"], "").fine();
    access(&["set", BOB, "everyone", "external"], "").fine();
    access(&["privacy", BOB, "on"], "").fine();
    access(&["set", BOB, "everyone", "own"], "").refused(2, &["friends-and-family"]);
    access(&["set", BOB, "every one", "blocked"], "").refused(
        2,
        &["same-organisation, federated, public-cloud or everyone"],
    );
    let help = access(&["set", "--help"], "").fine().to_owned();
    let help: Vec<&str> = help.split_whitespace().collect();
    assert!(help.join(" ").contains("public-cloud or everyone"));
    access(&["set", BOB, "public-cloud", "blocked"], "").fine();
    access(&["unset", BOB, "public-cloud"], "").fine();
    access(&["unset", BOB, "same-organisation"], "").refused(1, &["no rule"]);
    let listed =
        "alice@example.com\tworkgroup\nexample.org\tcolleagues\neveryone\texternal\nprivacy\ton\n";
    assert_eq!(access(&["list", BOB], "").fine(), listed);

    let contradiction = r#"{"rules": [{"member": "everyone", "level": "external"},
        {"member": "alice@example.com", "level": "workgroup"}, {"member": "alice@Example.com", "level": "blocked"}]}"#;
    access(&["import", BOB, "-"], contradiction).refused(
        1,
        &[
            "entry 1",
            "entry 2",
            "alice@example.com",
            "nothing was changed",
        ],
    );
    let bad = r#"{"rules": [{"member": "everyone", "level": "friend"}]}"#;
    access(&["import", BOB, "-"], bad).refused(1, &["rules[0].level", "friends-and-family"]);
    assert_eq!(access(&["list", BOB], "").fine(), listed);

    let exported = access(&["export", BOB], "").fine().to_owned();
    access(&["import", "alice@example.com", "-"], &exported).fine();
    assert_eq!(access(&["list", "alice@example.com"], "").fine(), listed);
}

#[test]
fn states_notes_cards_and_counts_have_bounds() {
    let place = place();
    let user = |arguments: &[&str]| place.muster(&[&["user"], arguments].concat(), "");
    assert_eq!(user(&["state", "show", BOB]).fine(), "automatic\n");
    user(&["state", "set", BOB, "asleep"]).refused(2, &["be-right-back"]);
    user(&["state", "set", BOB, "busy", "--until", "yesterday"]).refused(2, &["30m"]);
    user(&["state", "set", BOB, "busy", "--until", "2001-01-01"]).refused(2, &["to come"]);
    user(&["state", "set", BOB, "busy", "--custom", &"x".repeat(65)])
        .refused(1, &["64 characters", "nothing was changed"]);
    user(&[
        "state",
        "set",
        BOB,
        "busy",
        "--until",
        "2h",
        "--custom",
        "In the lab",
    ])
    .fine();
    let shown = user(&["state", "show", BOB]).fine().to_owned();
    assert!(shown.starts_with("busy\tIn the lab\tuntil 2"), "{shown}");

    user(&["note", "set", BOB, &"ü".repeat(501)]).refused(1, &["500 characters"]);
    user(&["note", "set", BOB, &"ü".repeat(500)]).fine();
    user(&["note", "set", BOB, "Back on Monday", "--out-of-office"]).fine();
    user(&["state", "reset", BOB]).fine();
    assert_eq!(user(&["state", "show", BOB]).fine(), "automatic\n");
    assert_eq!(
        user(&["note", "show", BOB]).fine(),
        "out-of-office\tBack on Monday\n"
    );
    user(&["note", "clear", BOB]).fine();
    assert_eq!(user(&["note", "show", BOB]).fine(), "");

    user(&["card", "set", BOB, "work-phone", "call me"]).refused(1, &["work-phone"]);
    user(&["card", "set", BOB, "pager", "1"]).refused(2, &["work-phone"]);
    user(&["card", "set", BOB, "work-phone", "+49 30 1"]).fine();
    assert_eq!(
        user(&["card", "show", BOB]).fine(),
        "work-phone\t+49 30 1\n"
    );
    user(&["card", "clear", BOB, "work-phone"]).fine();
    assert_eq!(user(&["card", "show", BOB]).fine(), "");

    user(&["calls", "forward", BOB, "busy", BOB]).refused(1, &["busy: bob@example.com can't forward to themself; name somebody else; nothing was changed\n"]);
    user(&[
        "calls",
        "forward",
        BOB,
        "no-answer",
        "alice@example.com",
        "--after",
        "3",
    ])
    .refused(2, &["5 to 120"]);
    user(&["calls", "forward", BOB, "no-answer", "alice@example.com"]).fine();
    user(&["calls", "forward", BOB, "always", "alice@example.com"]).refused(
        1,
        &[
            "no-answer never counts beside always",
            "`muster user calls clear bob@example.com no-answer`",
            "nothing was changed",
        ],
    );
    assert_eq!(
        user(&["calls", "show", BOB]).fine(),
        "forward no-answer\talice@example.com\tafter 20 s\n"
    );
    user(&["calls", "clear", BOB]).fine();
    user(&["calls", "ring-also", BOB, "alice@example.com"]).fine();
    user(&["calls", "ring-also", BOB, "alice@example.com"]).refused(
        1,
        &["ring-also: alice@example.com rings too already; nothing was changed\n"],
    );
    user(&["calls", "ring-also", BOB, BOB])
        .refused(1, &["ring-also: bob@example.com rings anyway; name"]);
    user(&["calls", "forward", BOB, "always", "alice@example.com"]).refused(
        1,
        &[
            "ring-also never counts beside always",
            "`muster user calls clear bob@example.com ring-also`",
        ],
    );
    assert_eq!(
        user(&["calls", "show", BOB]).fine(),
        "ring-also\talice@example.com\n"
    );

    user(&["calls", "clear", BOB, "ring-also"]).fine();
    user(&["calls", "forward", BOB, "always", "alice@example.com"]).fine();
    // What a refusal says ends it is what was there before.
    user(&["calls", "forward", BOB, "busy", "alice@example.com"]).refused(
        1,
        &[
            "busy never counts beside always",
            "`muster user calls clear bob@example.com always` ends always; nothing was changed\n",
        ],
    );
    user(&["calls", "clear", BOB, "always"]).fine();

    // Who is nobody here may come; who is elsewhere is not ours to know.
    let noted =
        "note: there is no user nix@example.com now; what was asked for counts when there is\n";
    for (whom, said) in [
        ("nix@example.com", noted),
        ("nix@elsewhere.example", ""),
        ("alice@example.com", ""),
    ] {
        for command in [
            &["calls", "forward", BOB, "busy", whom][..],
            &["calls", "ring-also", BOB, whom],
            &["alerts", "add", BOB, whom],
        ] {
            let ran = user(command);
            assert_eq!((ran.fine(), &*ran.err), ("", said), "{command:?}");
        }
        user(&["alerts", "remove", BOB, whom]).fine();
    }
    user(&["calls", "clear", BOB]).fine();

    user(&["alerts", "add", BOB, BOB])
        .refused(1, &["nobody waits for themself; name somebody else"]);
    user(&["alerts", "add", BOB, "alice@example.com"]).fine();
    assert_eq!(user(&["alerts", "list", BOB]).fine(), "alice@example.com\n");
    user(&["alerts", "remove", BOB, "carol@example.com"]).refused(1, &["carol@example.com"]);
    user(&["alerts", "remove", BOB, "alice@example.com"]).fine();

    user(&["messages", "set", BOB, "--new", "1", "--urgent-new", "2"]).refused(1, &["urgent"]);
    user(&["messages", "set", BOB, "--new", "2", "--old", "3"]).fine();
    assert_eq!(
        user(&["messages", "show", BOB]).fine(),
        "new\t2\turgent 0\nold\t3\turgent 0\n"
    );
}

/// Asks for Bob's presence once.
fn poll(phone: &mut Phone) -> String {
    let asked = phone.ask(
        "SUBSCRIBE",
        "sip:bob@example.com",
        "Event: presence\r\nExpires: 0\r\n",
        "",
    );
    assert_eq!(asked.status, Some(200), "{}", asked.full());
    let notify = phone.request("NOTIFY");
    let text = notify.full();
    phone.answer(&notify, 200);
    text
}

/// Polls until what Alice sees of Bob has `words`; fails when that takes longer than a second.
fn sees(phone: &mut Phone, words: &str) {
    let begun = Instant::now();
    loop {
        let seen = poll(phone);
        if seen.contains(words) {
            return;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(2),
            "{words} is not in {seen}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn restart(place: &Place, mut server: Server) -> Server {
    server.signal(rustix::process::Signal::KILL);
    server.end(super::place::PATIENCE);
    place.serve()
}

#[test]
fn a_running_server_honours_a_change_at_once_and_after_a_restart() {
    let place = place();
    let mut server = place.serve();
    let mut alice = Phone::registered(&mut server, "alice");
    let _bob = Phone::registered(&mut server, "bob");
    sees(&mut alice, "<basic>open</basic>");
    place
        .muster(&["user", "state", "set", BOB, "busy"], "")
        .fine();
    sees(&mut alice, "<rpid:busy/>");
    place
        .muster(&["user", "note", "set", BOB, "In the lab"], "")
        .fine();
    sees(&mut alice, "In the lab");

    let mut server = restart(&place, server);
    let mut alice = Phone::registered(&mut server, "alice");
    let _bob = Phone::registered(&mut server, "bob");
    sees(&mut alice, "<rpid:busy/>");
    sees(&mut alice, "In the lab");
    place
        .muster(
            &["user", "access", "set", BOB, "alice@example.com", "blocked"],
            "",
        )
        .fine();
    sees(&mut alice, "<basic>closed</basic>");
    let seen = poll(&mut alice);
    assert!(
        !seen.contains("In the lab") && !seen.contains("busy"),
        "{seen}"
    );
    let refused = alice.ask("MESSAGE", "sip:bob@example.com", "", "Are you there?");
    assert_eq!(refused.status, Some(480));
}

/// A client of Lync's dialect, and its contact list as it is told when it signs in.
fn lync(server: &mut Server, user: &str) -> (Phone, String) {
    let mut phone = Phone::connect(server, user);
    let supported = "Supported: msrtc-event-categories\r\n";
    let password = format!("{user}-secret");
    assert_eq!(phone.register_with(&password, supported), 200);
    let event = "Event: vnd-microsoft-roaming-contacts\r\nSupported: ms-benotify\r\nSupported: ms-piggyback-first-notify\r\n";
    let own = phone.uri();
    let answer = phone.ask("SUBSCRIBE", &own, event, "");
    assert_eq!(answer.status, Some(200));
    let list = answer.text();
    (phone, list)
}

#[test]
fn contacts_of_a_lync_client_are_on_the_disk_and_there_again() {
    let place = place();
    let mut server = place.serve();
    let (mut bob, list) = lync(&mut server, "bob");
    assert!(list.contains("<contactList deltaNum=\"1\"/>"), "{list}");
    let soap = "Content-Type: application/SOAP+xml\r\n";
    for call in [
        "<m:addGroup><m:name>~</m:name><m:deltaNum>1</m:deltaNum></m:addGroup>",
        "<m:setContact><m:displayName>Z\u{e9}</m:displayName><m:groups>1</m:groups><m:URI>sip:zoe@example.com</m:URI><m:deltaNum>2</m:deltaNum></m:setContact>",
    ] {
        let body = format!(
            "<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" xmlns:m=\"http://schemas.microsoft.com/winrtc/2002/11/sip\"><s:Body>{call}</s:Body></s:Envelope>"
        );
        assert_eq!(bob.ask("SERVICE", BOB_URI, soap, &body).status, Some(200));
    }
    let listed = place.muster(&["user", "contacts", "list", BOB], "");
    assert_eq!(listed.fine(), "zoe@example.com\tZ\u{e9}\t~\n");
    // The command's own change comes to the client that is there.
    let user = ["user", "contacts"];
    let add = [&user[..], &["add", BOB, "carol@example.com"]].concat();
    place.muster(&add, "").fine();
    let told = bob.told("BENOTIFY", "carol@example.com");
    assert!(
        told.contains("<addedContact uri=\"sip:carol@example.com\""),
        "{told}"
    );

    let mut server = restart(&place, server);
    let (_bob, list) = lync(&mut server, "bob");
    assert!(
        list.contains("<contactList deltaNum=\"4\"><group id=\"1\" name=\"~\""),
        "{list}"
    );
    assert!(
        list.contains("<contact uri=\"zoe@example.com\" name=\"Z\u{e9}\" groups=\"1\""),
        "{list}"
    );
}
