//! Takes a POST of the newest protocol. Gives its answer: JSON when the answer comes first, events when anything else does.
//! Never holds the head back once there is something to send, or once the child has been silent for long.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use tokio::sync::oneshot;

use super::{Asking, First, InUse, Shared};
use crate::frame::line::Edit;
use crate::frame::{Kind, Message, Slot};
use crate::session::{Peers, Scope};
use crate::tap::bridge::Bridge;
use crate::tap::bridge::answer::{Answer, Refusal, empty, events, failed, json};
use crate::tap::bridge::budget::Spent;
use crate::tap::bridge::caller::Caller;
use crate::tap::bridge::check;
use crate::tap::bridge::lines::{self, line, range};
use crate::tap::bridge::request::{Place, Posted, observe, tenant};
use crate::tap::bridge::rules::program;
use crate::tap::bridge::streamable::ending;
use crate::tap::http::ClientInfo;

/// After so long without a word the client gets a head, and then comments that keep its connection open.
const SILENCE: Duration = Duration::from_secs(15);

/// A POST with one request or notification.
pub(in crate::tap::bridge) async fn post(
    bridge: &Arc<Bridge>,
    client: &ClientInfo,
    parts: &Parts,
    posted: Posted,
) -> Result<Answer, Refusal> {
    let mut messages = posted.scanner.messages();
    let (Some(message), None, false) =
        (messages.next(), messages.next(), posted.scanner.is_batch())
    else {
        return Err(check::not_single());
    };
    let named = |refusal: Refusal| Refusal {
        id: Some(posted.body.slice(range(&message, Slot::Id))),
        ..refusal
    };
    match message.kind() {
        Kind::Request => {
            check::modern_request(&parts.headers, &message, &posted.body).map_err(named)?;
        }
        Kind::Notification if is_for_nobody(&message) => return Ok(empty(StatusCode::ACCEPTED)),
        Kind::Notification => {}
        Kind::Response | Kind::Invalid => return Err(check::not_single()),
    }
    let whose = tenant(bridge, client, &parts.headers, Some(&message)).ok();
    let caller = Caller::new(&bridge.keys, &parts.headers, client.certificate, whose);
    let shared = match bridge.share(&caller).await {
        Ok(shared) => shared,
        Err(error) => return Ok(error.answer()),
    };
    if message.kind() == Kind::Notification {
        let line = line(&posted.body, lines::place(&message), &[]);
        drop(messages);
        return Ok(notify(&shared, line, posted.into_spent()).await);
    }
    if message.text(Slot::Method).as_deref() == Some("tools/call") {
        shared
            .check(&parts.headers, &message, &posted.body)
            .map_err(named)?;
    }
    drop(messages);
    Ok(ask(bridge, client, &parts.headers, shared, posted).await)
}

/// Two are not passed on. The id of a cancel is one that the child does not know, and over HTTP a client cancels by
/// leaving; the other belongs to the handshake of an era that the shared child is not in.
fn is_for_nobody(note: &Message<'_>) -> bool {
    let method = note.text(Slot::Method);
    matches!(
        method.as_deref(),
        Some("notifications/cancelled" | "notifications/initialized")
    )
}

async fn notify(shared: &Shared, line: Bytes, spent: Spent) -> Answer {
    match shared.notify(line, Arc::new(spent)).await {
        Ok(()) => empty(StatusCode::ACCEPTED),
        Err(_) => gone(shared).await,
    }
}

async fn ask(
    bridge: &Bridge,
    client: &ClientInfo,
    headers: &HeaderMap,
    in_use: InUse,
    posted: Posted,
) -> Answer {
    let (hop, shared) = (bridge.hop(), Arc::clone(&in_use));
    let place = Place {
        scope: hop
            .as_ref()
            .map_or(Scope::Exchange(0), |hop| hop.new_scope()),
        session: None,
        peers: Peers::default(),
    };
    let mut observed = observe(hop.as_deref(), headers, client, &posted, place);
    let Some(message) = posted.scanner.messages().next() else {
        return gone(&shared).await;
    };
    let Asking {
        number,
        mut first,
        events: stream,
        edits,
    } = Shared::ask(in_use, &message, &posted.body, observed.calls.pop());
    let edits = together(observed.edits, edits);
    let line = line(&posted.body, lines::place(&message), &edits);
    let spent = Arc::new(posted.into_spent());
    if shared.send(number, line, spent).await.is_err() {
        return gone(&shared).await;
    }
    match tokio::time::timeout(SILENCE, &mut first).await {
        Ok(Ok(First::Answer { status, json: body })) => json(status, body),
        Ok(Ok(First::Events)) => events(stream, None),
        Ok(Ok(First::TooLarge)) => too_large(bridge),
        Ok(Err(_)) => gone(&shared).await,
        Err(_) => match wait_no_more(&mut first) {
            Some(First::Answer { status, json: body }) => json(status, body),
            Some(First::TooLarge) => too_large(bridge),
            Some(First::Events) | None => events(stream, None),
        },
    }
}

/// What came at the very moment when the head was given up; whatever comes from now on is an event of the stream.
fn wait_no_more(first: &mut oneshot::Receiver<First>) -> Option<First> {
    first.close();
    first.try_recv().ok()
}

/// Both kinds of edits in ascending order; they never touch the same bytes.
fn together(mut context: Vec<Edit>, names: Vec<Edit>) -> Vec<Edit> {
    context.extend(names);
    context.sort_by_key(|edit| edit.at.start);
    context
}

/// What a client is told of an answer that was not held.
fn too_large(bridge: &Bridge) -> Answer {
    let rules = bridge.rules();
    let (command, max) = (rules.command(), rules.settings.max_message_bytes);
    let text = format!("{command} answered with more than max_message_bytes, which is {max}");
    failed(StatusCode::BAD_GATEWAY, &text)
}

/// What a client is told of a child that ended before it answered.
async fn gone(shared: &Shared) -> Answer {
    // It is known why once nothing is left of it.
    shared.over().await;
    let text = ending(&program(&shared.command), shared.exit());
    failed(StatusCode::BAD_GATEWAY, &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_at_the_moment_of_giving_up_is_the_head_or_an_event_but_never_lost() {
        let (sender, mut first) = oneshot::channel();
        sender.send(First::Events).expect("somebody waits");
        assert!(matches!(wait_no_more(&mut first), Some(First::Events)));
        let (sender, mut first) = oneshot::channel();
        assert!(wait_no_more(&mut first).is_none());
        sender
            .send(First::Events)
            .expect_err("it would be lost here, so it must be told that nobody waits");
    }
}
