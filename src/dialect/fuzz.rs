//! What must hold for any body whatever: no reader ends the server. `tests/fuzz/` has a target for cargo-fuzz, and
//! `tests/wire.rs` runs it over the bodies of all plays and over mutations of them in every test run. Nothing here is called
//! when serving.

use crate::dialect::lync::own::Wanted;
use crate::dialect::lync::{batch, cccp, conf_invite, containers, publish, soap, subscribers};
use crate::dialect::{conference, simple};
use crate::documents::cpim::Cpim;
use crate::documents::sdp::Description;
use crate::documents::{
    conference_info, imdn, iscomposing, keyboard_activity, message_summary, multipart, pidf,
    resource_lists, sipfrag,
};
use crate::sip::time::Now;
use crate::sip::uri::Uri;

/// As many as the server takes at most of what a list may have.
const ENTRIES_MAX: usize = 1_000;

/// Gives a body to each reader of bodies: each by its name, and whether it could read it.
pub fn body(data: &[u8]) -> Vec<(&'static str, bool)> {
    let now = Now(1_700_000_000_000_000);
    let commands = || {
        let wanted = conference_info::read(data).ok()?;
        conference::commands(data, Uri::parse(&wanted.entity).ok()?.user).ok()
    };
    // A body tells its boundary where it begins with it.
    let parts = || {
        let (line, _) = core::str::from_utf8(data).ok()?.split_once("\r\n")?;
        multipart::read(line.strip_prefix("--")?, data).ok()
    };
    vec![
        ("batch", batch::read(data, ENTRIES_MAX).is_ok()),
        ("cccp", cccp::read(data).is_ok()),
        ("conf_invite", conf_invite::read(data).is_ok()),
        ("containers", containers::read(data).is_ok()),
        // What it can't read asks for all.
        ("own", Wanted::read(data) != Wanted::ALL),
        ("publish", publish::read(data, now).is_ok()),
        ("soap", soap::read(data).is_ok()),
        ("subscribers", subscribers::read(data).is_ok()),
        ("answer to an alert", simple::read_answer(data).is_some()),
        ("commands", commands().is_some()),
        ("conference-info", conference_info::read(data).is_ok()),
        ("cpim", Cpim::read(data).is_ok()),
        ("imdn", imdn::read(data).is_ok()),
        ("iscomposing", iscomposing::read(data).is_ok()),
        ("keyboard", keyboard_activity::read(data).is_ok()),
        ("message-summary", message_summary::read(data).is_ok()),
        ("multipart", parts().is_some()),
        ("pidf", pidf::read(data).is_ok()),
        (
            "resource-lists",
            resource_lists::read(data, ENTRIES_MAX).is_ok(),
        ),
        ("sdp", Description::read(data).is_ok()),
        ("sipfrag", sipfrag::read(data).is_some()),
    ]
}
