//! Takes requests of Streamable HTTP up to 2025-11-25. Gives each to its session, or begins one.
//! Never answers for the server: what it refuses is what the transport itself forbids.

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, StatusCode};

use super::Bridge;
use super::answer::{Answer, INVALID_REQUEST, Refusal, empty, events, failed, method_not_allowed};
use super::check;
use super::child::Gone;
use super::events::EventId;
use super::legacy::{Session, Why, Wire};
use super::lines::{line, place};
use super::request::{Observed, Posted, holder, holder_by_head, observe};
use crate::frame::{Kind, Message, Slot};
use crate::tap::http::ClientInfo;
use crate::tap::http::headers::{self, SESSION};
use crate::tap::stdio::guard::Exit;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// What SDK servers say of a session that they do not know.
const NO_SESSION: i64 = -32001;

/// A POST with a legacy message, or a batch of them.
pub(super) async fn post(
    bridge: &Arc<Bridge>,
    client: &ClientInfo,
    parts: &Parts,
    posted: Posted,
    named: Option<Arc<Session>>,
) -> Result<Answer, Refusal> {
    let kinds = || posted.scanner.messages().map(|message| message.kind());
    if kinds().count() == 0 || kinds().any(|kind| kind == Kind::Invalid) {
        return Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            INVALID_REQUEST,
            "Invalid Request: the body is no JSON-RPC message",
        ));
    }
    if posted
        .scanner
        .messages()
        .any(|message| initializes(&message))
    {
        return begin(bridge, client, parts, posted, named).await;
    }
    let requests = kinds().any(|kind| kind == Kind::Request);
    let first = posted.scanner.messages().next();
    let session = named.ok_or_else(no_name)?;
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
    let answer = match requests.then(|| session.open_stream(&posted)) {
        Some(Some(stream)) => events(stream, None),
        Some(None) => return too_late(&session).await,
        None => empty(StatusCode::ACCEPTED),
    };
    if send(&session, posted, &observed).await.is_err() {
        return too_late(&session).await;
    }
    Ok(answer)
}

/// What a client is told whose session ended while its request came.
async fn too_late(session: &Session) -> Result<Answer, Refusal> {
    if session.ended().is_none() {
        // It is known why once nothing is left of its child.
        session.over().await;
    }
    let gone = gone(session);
    match session.ended() {
        Some(Why::Child(_)) | None => Ok(gone),
        Some(Why::Client | Why::Cut | Why::Idle | Why::Shutdown) => Err(not_found()),
    }
}

fn initializes(message: &Message<'_>) -> bool {
    message.kind() == Kind::Request && message.text(Slot::Method).as_deref() == Some("initialize")
}

/// Hands the messages of a POST over, each as a line.
pub(super) async fn send(
    session: &Session,
    posted: Posted,
    observed: &Observed,
) -> Result<(), Gone> {
    let lines: Vec<Bytes> = posted
        .scanner
        .messages()
        .map(|message| line(&posted.body, place(&message), &observed.edits))
        .collect();
    let spent = Arc::new(posted.into_spent());
    for line in lines {
        session.send(line, Arc::clone(&spent)).await?;
    }
    Ok(())
}

/// What a client is told of a child that ended before it answered.
pub(super) fn gone(session: &Session) -> Answer {
    session.end_late_calls();
    let exit = match session.ended() {
        Some(Why::Child(exit)) => Some(exit),
        _ => None,
    };
    failed(StatusCode::BAD_GATEWAY, &ending(&session.command, exit))
}

/// How a command ended, in words.
pub(super) fn ending(command: &str, exit: Option<Exit>) -> String {
    match exit {
        Some(Exit::NotStarted(code)) => {
            let reason = std::io::Error::from_raw_os_error(code);
            format!("cannot start {command}: {reason}")
        }
        Some(Exit::Code(code)) => {
            format!("{command} ended with exit code {code} before it answered")
        }
        Some(Exit::Signal(signal)) => {
            format!("{command} was ended by signal {signal} before it answered")
        }
        None => format!("{command} gave no answer that can be passed on"),
    }
}

/// A session whose client does not know it yet: it ends with the request that was to begin it.
struct Unborn(Option<Arc<Session>>);

impl Drop for Unborn {
    fn drop(&mut self) {
        if let Some(session) = self.0.take() {
            session.end(Why::Client);
        }
    }
}

async fn begin(
    bridge: &Arc<Bridge>,
    client: &ClientInfo,
    parts: &Parts,
    posted: Posted,
    named: Option<Arc<Session>>,
) -> Result<Answer, Refusal> {
    let refuse = |message: &str| Refusal::new(StatusCode::BAD_REQUEST, INVALID_REQUEST, message);
    if posted.scanner.messages().count() != 1 {
        return Err(refuse(
            "Invalid Request: initialize must be the only message",
        ));
    }
    if named.is_some() {
        return Err(refuse(
            "Invalid Request: the session is initialized already",
        ));
    }
    let first = posted.scanner.messages().next();
    let whose = holder(bridge, client, &parts.headers, first.as_ref());
    let session = match bridge.begin(Wire::Streamable, whose).await {
        Ok(session) => session,
        Err(error) => return Ok(error.answer()),
    };
    let mut unborn = Unborn(Some(Arc::clone(&session)));
    let observed = observe(
        bridge.hop().as_deref(),
        &parts.headers,
        client,
        &posted,
        session.place(),
    );
    let answered = session.await_initialize();
    let Some(stream) = session.open_stream(&posted) else {
        return Ok(gone(&session));
    };
    // That the child is gone is told by the end of the session, which knows why.
    let _ = send(&session, posted, &observed).await;
    match answered.await {
        Ok(initialized) if initialized.refused => Ok(events(stream, None)),
        Ok(_) => {
            unborn.0 = None;
            Ok(events(stream, Some(&session.id)))
        }
        Err(_) => Ok(gone(&session)),
    }
}

/// The session that a POST names, before its body is read; none when it names none, or is of the newest protocol,
/// which has none.
pub(super) fn named(
    bridge: &Bridge,
    client: &ClientInfo,
    headers: &HeaderMap,
) -> Result<Option<Arc<Session>>, Refusal> {
    if check::names_modern_version(headers) || !headers.contains_key(SESSION) {
        return Ok(None);
    }
    let whose = holder_by_head(bridge, client, headers);
    session(bridge, headers, |session| session.knows(&whose)).map(Some)
}

/// The session that a request without a message names.
fn own_session(
    bridge: &Bridge,
    client: &ClientInfo,
    headers: &HeaderMap,
) -> Result<Arc<Session>, Refusal> {
    let whose = holder(bridge, client, headers, None);
    session(bridge, headers, |session| session.admits(&whose))
}

/// The session that a request names, if it is whose session it is.
fn session(
    bridge: &Bridge,
    headers: &HeaderMap,
    is_whose: impl Fn(&Session) -> bool,
) -> Result<Arc<Session>, Refusal> {
    if !headers.contains_key(SESSION) {
        return Err(no_name());
    }
    let id = headers::only(headers, &SESSION).and_then(|id| id.to_str().ok());
    let session = id
        .and_then(|id| bridge.session(id, Wire::Streamable))
        .filter(|session| is_whose(session))
        .ok_or_else(not_found)?;
    check::legacy_version(headers)?;
    Ok(session)
}

fn no_name() -> Refusal {
    Refusal::bad("Bad Request: Mcp-Session-Id header is required")
}

/// Somebody else's session is none: nobody learns that it is there.
fn not_found() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, NO_SESSION, "Session not found")
}

/// A GET: the standalone stream, or one that was lost.
pub(super) fn get(bridge: &Bridge, client: &ClientInfo, parts: &Parts) -> Result<Answer, Refusal> {
    if check::names_modern_version(&parts.headers) {
        return Ok(method_not_allowed("POST"));
    }
    check::accepts_events(&parts.headers)?;
    let session = own_session(bridge, client, &parts.headers)?;
    if let Some(last) = parts.headers.get(LAST_EVENT_ID) {
        let last = last.to_str().ok().and_then(EventId::parse);
        let stream = last.and_then(|last| session.resume(last));
        let stream = stream.ok_or_else(|| Refusal::bad("Bad Request: unknown event ID"))?;
        return Ok(events(stream, None));
    }
    match session.open_standalone() {
        Some(stream) => Ok(events(stream, None)),
        None => Err(Refusal::new(
            StatusCode::CONFLICT,
            super::answer::SERVER_ERROR,
            "Conflict: Only one SSE stream is allowed per session",
        )),
    }
}

/// A DELETE: the session and its child end.
pub(super) fn delete(
    bridge: &Bridge,
    client: &ClientInfo,
    parts: &Parts,
) -> Result<Answer, Refusal> {
    if check::names_modern_version(&parts.headers) {
        return Ok(method_not_allowed("POST"));
    }
    own_session(bridge, client, &parts.headers)?.end(Why::Client);
    Ok(empty(StatusCode::OK))
}
