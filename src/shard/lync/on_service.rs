//! SERVICE: what a Lync client asks of its own user's data and of this server's services, told apart by the type of its
//! body ([MS-PRES] §3.4, [MS-SIP] §3.5, [MS-CONFBAS] §3.2). One request, one answer; no dialog.

use crate::dialect::Dialect;
use crate::dialect::lync::{cccp, containers, publish, soap, subscribers};
use crate::shard::Shard;
use crate::shard::effect::Effects;
use crate::shard::lync::{on_conference, on_publish, on_relations, on_soap};
use crate::shard::request::Request;

pub(in crate::shard) fn on_service(shard: &mut Shard, request: Request<'_>, effects: &mut Effects) {
    if shard.connections.dialect(request.connection) != Dialect::Lync {
        return shard.answer(request, 405, "", effects);
    }
    match request.message.content_type() {
        Some(media) if media.is(soap::CONTENT_TYPE) => on_soap::on_soap(shard, request, effects),
        Some(media) if media.is(cccp::CONTENT_TYPE) => {
            on_conference::on_cccp(shard, request, effects);
        }
        Some(media) if media.is(publish::CONTENT_TYPE) => {
            on_publish::on_publish(shard, request, effects);
        }
        Some(media) if media.is(containers::CONTENT_TYPE) => {
            on_relations::on_containers(shard, request, effects);
        }
        Some(media) if media.is(subscribers::CONTENT_TYPE) => {
            on_relations::on_subscribers(shard, request, effects);
        }
        _ => shard.answer(request, 415, "", effects),
    }
}
