//! Whole runs against a tiny SIP server in this process: what a good server shows, and that a bad one is caught.

mod responder;

use std::collections::HashSet;
use std::net::{SocketAddr, TcpListener};
use std::sync::Mutex;

use self::responder::Twist;
pub use self::responder::{Responder, is_right};
use crate::report::{Report, Row};
use crate::run::conduct;

/// Runs `arguments` against a responder with a twist.
fn run(twist: Twist, arguments: &str) -> Report {
    run_within(1, twist, arguments)
}

fn run_within(timeout_s: u32, twist: Twist, arguments: &str) -> Report {
    against(twist, |server| {
        let arguments = format!("{arguments} --server {server} --warm-up 0 --timeout {timeout_s}");
        let (_, wanted) = crate::cli::tests::parsed(&arguments).unwrap();
        conduct(&wanted).unwrap()
    })
}

fn against(twist: Twist, run: impl FnOnce(SocketAddr) -> Report) -> Report {
    // One at a time: the machine may be small, and the runs look at the time.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(|poison| poison.into_inner());
    let responder = Responder::start(twist);
    run(responder.address)
}

const MESSAGES: &str = "message --users 6 --senders 2 --rate 200 --seconds 0.5";

fn row<'r>(report: &'r Report, what: &str) -> &'r Row {
    report
        .rows
        .iter()
        .find(|row| row.what == what)
        .unwrap_or_else(|| panic!("no {what} in\n{}", report.table()))
}

#[test]
fn a_good_server_passes() {
    for arguments in [
        MESSAGES,
        "message --users 4 --senders 4 --rate 200 --seconds 0.5 --threads 3 --poisson",
    ] {
        let report = run(Twist::None, arguments);
        assert!(report.passed(), "{}", report.table());
        assert_eq!(
            (
                row(&report, "message delivered").count,
                row(&report, "message answered").count
            ),
            (100, 100)
        );
    }
}

#[test]
fn presence_reaches_every_watcher() {
    let report = run(
        Twist::None,
        "presence --watchers 5 --rate 20 --seconds 0.5 --threads 2",
    );
    assert!(report.passed(), "{}", report.table());
    assert_eq!(
        (
            row(&report, "publish answered").count,
            row(&report, "watcher notified").count
        ),
        (10, 50)
    );
}

#[test]
fn logons_are_timed() {
    let report = run(Twist::None, "logon --rate 20 --seconds 0.5");
    assert!(report.passed(), "{}", report.table());
    assert_eq!((row(&report, "logon").count, report.users), (10, 10));
}

#[test]
fn the_idle_and_the_mixed_run_pass() {
    let idle = run(Twist::None, "idle --users 5 --seconds 0.2");
    assert!(idle.passed() && idle.users == 5, "{}", idle.table());
    let mixed = run(
        Twist::None,
        "mixed --users 12 --senders 2 --publishers 1 --watchers 3 --comers 4 --message-rate 50 --publish-rate 4 \
         --logon-rate 10 --seconds 1",
    );
    assert!(mixed.passed(), "{}", mixed.table());
    assert_eq!(
        (
            row(&mixed, "logon").count,
            row(&mixed, "message delivered").count
        ),
        (10, 50)
    );
}

#[test]
fn users_of_many_tables_follow_their_contacts_and_resume() {
    let (_, mut wanted) = crate::cli::tests::parsed(
        "idle --users 12 --logon-rate 100 --hold 0.2 --contacts 5 --threads 3 --cpu 0 --resume \
         --source 127.1.0.0/30 --timeout 1",
    )
    .unwrap();
    wanted.orders.own_tables = true;
    let report = against(Twist::None, |server| {
        wanted.orders.route.server = server;
        conduct(&wanted).unwrap()
    });
    assert!(report.passed(), "{}", report.table());
    assert_eq!(report.users, 12);
    assert_eq!(
        (
            row(&report, "logon").count,
            row(&report, "contacts told").count
        ),
        (12, 12)
    );
    let notes = report.notes.join("\n");
    assert!(notes.contains("60 are watched"), "{notes}");
    assert!(notes.contains("resumed an earlier session"), "{notes}");
}

#[test]
fn who_is_put_off_comes_again() {
    let report = run(
        Twist::Busy(3),
        "idle --users 5 --logon-rate 50 --seconds 0.1 --contacts 2",
    );
    assert!(report.passed() && report.users == 5, "{}", report.table());
    let logon = row(&report, "logon");
    assert!(
        logon.max_us > 1_000_000 && logon.p50_us > 1_000_000,
        "{}",
        report.table()
    );
    let notes = report.notes.join("\n");
    assert!(notes.contains("6 requests were put off"), "{notes}");
}

#[test]
fn what_was_granted_is_refreshed() {
    let responder = Responder::start(Twist::Brief);
    let arguments = format!(
        "idle --users 5 --hold 3.5 --contacts 2 --server {}",
        responder.address
    );
    let (_, wanted) = crate::cli::tests::parsed(&arguments).unwrap();
    let report = conduct(&wanted).unwrap();
    assert!(report.passed() && report.users == 5, "{}", report.table());
    let refreshed = &responder.town.lock().unwrap().refreshed;
    assert_eq!(refreshed.each_ref().map(HashSet::len), [5, 5]);
}

#[test]
fn a_refresh_that_is_not_granted_is_caught() {
    let arguments = "idle --users 5 --hold 3.5 --contacts 2";
    let put_off = run(Twist::Grudge, arguments);
    // Registrations and contact lists.
    assert!(
        put_off
            .table()
            .contains("10 a refresh put off beyond what was granted"),
        "{}",
        put_off.table()
    );
    let lifeless = run(Twist::Vague, arguments);
    assert!(
        lifeless
            .table()
            .contains("5 REGISTER answered 200 without a lifetime")
            && lifeless.users == 0,
        "{}",
        lifeless.table()
    );
}

const PRESENCE: &str = "presence --watchers 5 --rate 20 --seconds 0.5";
const CONTACTS: &str = "idle --users 5 --seconds 0.1 --contacts 2";

#[test]
fn watchers_who_were_never_told_are_caught() {
    for arguments in [PRESENCE, CONTACTS] {
        let report = run(Twist::Silent, arguments);
        assert!(
            report.table().contains("5 subscription never told"),
            "{}",
            report.table()
        );
    }
}

/// More than the silence that ends a run where nothing is missing.
#[test]
fn what_is_told_late_is_waited_for() {
    let presence = run_within(10, Twist::Tardy(10), PRESENCE);
    assert!(presence.passed(), "{}", presence.table());
    assert_eq!(row(&presence, "watcher notified").count, 50);
    let contacts = run_within(10, Twist::Tardy(0), &format!("{CONTACTS} --logon-rate 50"));
    assert!(contacts.passed(), "{}", contacts.table());
    assert_eq!(row(&contacts, "contacts told").count, 5);
}

#[test]
fn a_contact_list_with_an_entry_too_few_is_caught() {
    let report = run(Twist::Forget, CONTACTS);
    assert!(
        report.table().contains("5 a contact list told with fewer"),
        "{}",
        report.table()
    );
}

/// Each twist must be found, and found as what it is.
#[test]
fn a_bad_server_is_caught() {
    let check = |twist, found: fn(&Report) -> bool| {
        let report = run(twist, MESSAGES);
        assert!(
            !report.passed() && found(&report),
            "{twist:?}:\n{}",
            report.table()
        );
    };
    check(Twist::Lose(50), |report| {
        report.findings.lost == 1 && report.faults.is_empty()
    });
    check(Twist::Duplicate(50), |report| {
        report.findings.duplicated == 1
    });
    check(Twist::Swap(50), |report| {
        report.findings.reordered == 1 && report.findings.lost == 0
    });
    // Of one sender's four to one receiver.
    check(Twist::Overtake(65), |report| {
        report.findings.reordered == 1 && report.findings.lost == 0
    });
    check(Twist::Alter(50), |report| report.findings.altered == 1);
    check(Twist::Deny(50), |report| {
        report.findings.denied == 1 && report.table().contains("1 MESSAGE answered 500")
    });
    check(Twist::Ignore(50), |report| {
        report.findings.lost == 0 && report.table().contains("1 MESSAGE not answered")
    });
    check(Twist::Close(50), |report| {
        report.table().contains("1 connection closed by the server")
    });
    check(Twist::Refuse, |report| {
        report.table().contains("6 REGISTER answered 401") && report.users == 0
    });
}

#[test]
fn a_watcher_left_behind_is_caught() {
    // The first state is published before the 10 measured ones.
    let report = run(Twist::Withhold(10), PRESENCE);
    assert_eq!(report.findings.outdated, 5, "{}", report.table());
    let folded = run(Twist::Withhold(5), PRESENCE);
    assert!(
        folded.passed(),
        "a state that a newer one replaced is no fault\n{}",
        folded.table()
    );
}

/// Of 400 messages, the 200 that were meant during the second of the stall waited half of it on average.
#[test]
fn a_stall_shows_in_the_percentiles() {
    let report = run(
        Twist::Stall(30),
        "message --users 6 --senders 2 --rate 200 --seconds 2",
    );
    assert!(report.passed(), "{}", report.table());
    let delivered = row(&report, "message delivered");
    assert!(delivered.mean_us > 150_000.0, "{}", report.table());
    assert!(
        delivered.p99_us > 900_000 && row(&report, "(generator late)").p50_us < 50_000,
        "{}",
        report.table()
    );
}

#[test]
fn a_server_that_is_not_there_is_a_failed_run() {
    let nobody = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let (_, wanted) =
        crate::cli::tests::parsed(&format!("idle --users 3 --server {nobody}")).unwrap();
    let report = conduct(&wanted).unwrap();
    assert!(
        !report.passed() && report.table().contains("refused"),
        "{}",
        report.table()
    );
}
