//! One client without a connection: what it knows of its subscriptions.

use super::*;
use crate::cli::tests::parsed;

#[test]
fn a_watch_is_owed_a_state_once_its_subscribe_was_answered_well() {
    let (_, wanted) = parsed("presence --publishers 3 --watchers 1 --window 1").unwrap();
    let customs = &wanted.orders.customs;
    let mut user = User::new(3);
    let (mut out, mut facts) = (Vec::new(), Vec::new());
    let mut scene = Scene {
        customs,
        now_us: 1_000_000,
        local: wanted.orders.route.server,
        out: &mut out,
        facts: &mut facts,
    };
    // The second and third wait for the first.
    for presentity in 0..3 {
        user.ask(Task::Subscribe { presentity }, 1, &mut scene);
    }
    assert_eq!((user.untold(), user.seen().count()), (0, 0));
    for status in [202, 500, 200] {
        let mut request = std::mem::take(scene.out);
        let request = Message::parse(&mut request).unwrap();
        let mut answer = Vec::new();
        build::response(&mut answer, &request, status, Some("t")).finish();
        user.take(&Message::parse(&mut answer).unwrap(), &mut scene);
    }
    assert_eq!(user.untold(), 2);
    assert_eq!(user.seen().collect::<Vec<_>>(), [(0, None), (2, None)]);
    assert!(!user.is_told(|_| 0));

    let notify = |presentity: u32, sequence: u32, scene: &mut Scene<'_>, user: &mut User| {
        let mut note = String::new();
        let stamp = Stamp {
            run: customs.run,
            sender: presentity,
            sequence,
            intended_us: 1,
        };
        stamp.write(&mut note, 0);
        let mut bytes = Vec::new();
        let mut draft = build::request(&mut bytes, "NOTIFY", "sip:lg3@localhost");
        draft
            .header("Via", "SIP/2.0/TLS localhost;branch=z9hG4bKn")
            .header("From", "<sip:lg0@example.com>;tag=t")
            .header("To", "<sip:lg3@example.com>;tag=u")
            .header(
                "Call-ID",
                format_args!("s{:08x}-3-{presentity}", customs.run),
            )
            .header("CSeq", format_args!("{} NOTIFY", sequence + 1))
            .header("Subscription-State", "active");
        draft.body("application/pidf+xml", note.as_bytes());
        user.take(&Message::parse(&mut bytes).unwrap(), scene);
    };
    notify(0, 0, &mut scene, &mut user);
    notify(2, 4, &mut scene, &mut user);
    assert_eq!(
        user.seen().collect::<Vec<_>>(),
        [(0, Some(0)), (2, Some(4))]
    );
    assert_eq!(user.untold(), 0);
    for (last, told) in [
        ([0, 9, 0], true),
        ([0, 9, 4], true),
        ([0, 9, 5], false),
        ([1, 9, 4], false),
    ] {
        assert_eq!(
            user.is_told(|presentity| last[presentity as usize]),
            told,
            "{last:?}"
        );
    }
}
