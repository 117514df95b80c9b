//! Takes requests of HTTP+SSE (2024-11-05). Gives the one stream of a session, and its messages to the child.
//! Never keeps a session whose stream has lost its client.

use std::sync::Arc;

use http::StatusCode;
use http::request::Parts;

use super::answer::{Answer, Refusal, SERVER_ERROR, empty, events, failed};
use super::check;
use super::legacy::Wire;
use super::request::{self, holder, holder_by_head, observe};
use super::streamable::{gone, send};
use super::{Bridge, MESSAGE_PATH};
use crate::frame::Kind;
use crate::tap::http::ClientInfo;
use crate::tap::http::paced::ClientBody;

/// What the endpoint's query names the session with.
const PARAMETER: &str = "sessionId";

/// A GET: a session begins, and its stream with the place to POST to.
pub(super) async fn get(
    bridge: &Arc<Bridge>,
    client: &ClientInfo,
    parts: &Parts,
) -> Result<Answer, Refusal> {
    check::wishes_events(&parts.headers)?;
    let whose = holder(bridge, client, &parts.headers, None);
    let session = match bridge.begin(Wire::Sse, whose).await {
        Ok(session) => session,
        Err(error) => return Ok(error.answer()),
    };
    let endpoint = format!("{MESSAGE_PATH}?{PARAMETER}={}", session.id);
    Ok(match session.open_only(&endpoint) {
        Some(stream) => events(stream, None),
        None => failed(StatusCode::BAD_GATEWAY, "the command has ended"),
    })
}

/// A POST: its answers come on the stream.
pub(super) async fn post(
    bridge: &Arc<Bridge>,
    client: &ClientInfo,
    parts: Parts,
    body: ClientBody,
) -> Result<Answer, Refusal> {
    let query = parts.uri.query();
    let session = query
        .and_then(session_id)
        .and_then(|id| bridge.session(id, Wire::Sse))
        .filter(|session| session.knows(&holder_by_head(bridge, client, &parts.headers)));
    let Some(session) = session else {
        return Err(request::pass_over(bridge, &parts.headers, body, not_found()).await);
    };
    let payer = request::payer(bridge, client, &parts.headers, Some(&session));
    let posted = request::read(bridge, &parts.headers, body, payer).await?;
    let message = posted.scanner.messages().next();
    if message.is_none_or(|message| message.kind() == Kind::Invalid) {
        return Err(Refusal::bad("the body is no JSON-RPC message"));
    }
    let first = posted.scanner.messages().next();
    if !session.admits(&holder(bridge, client, &parts.headers, first.as_ref())) {
        return Err(not_found());
    }
    let observed = observe(
        bridge.hop().as_deref(),
        &parts.headers,
        client,
        &posted,
        session.place(),
    );
    session.cancel(&posted);
    session.open_requests(&posted);
    if send(&session, posted, &observed).await.is_err() {
        session.over().await;
        return Ok(gone(&session));
    }
    Ok(empty(StatusCode::ACCEPTED))
}

fn not_found() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, SERVER_ERROR, "Session not found")
}

fn session_id(query: &str) -> Option<&str> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find_map(|(name, value)| (name == PARAMETER).then_some(value))
}
