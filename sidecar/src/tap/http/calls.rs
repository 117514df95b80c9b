//! Takes the answer of one exchange as it passes. Gives the ends of its calls, and what to change in a stream of events:
//! the context of the server's requests, and a URI that is elsewhere for the client.
//! Never lets a call outlive its exchange, unless the session may bring its answer on another stream.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, StatusCode};

use super::ClientInfo;
use super::decode::Decoder;
use super::headers::{self, Media};
use super::origin::Origin;
use super::place::{Placed, Places};
use super::upstream::Link;
use crate::clock;
use crate::counters::Counters;
use crate::frame::line::Edit;
use crate::frame::sse::{Event, EventEditor, EventStream};
use crate::frame::{Kind, Message, Scanner, Slot};
use crate::record::{NotInjected, Outcome};
use crate::session::{Arrival, Direction, Key, Scope};
use crate::trace::{Carrier, Decision};

/// The calls of one exchange that have not ended.
pub(super) type Calls = Vec<Key>;

/// Calls that begin while the exchange is under way already, or after it has ended.
#[derive(Debug, Default)]
pub(super) struct LateCalls {
    open: Calls,
    ended: Option<Outcome>,
}

pub(super) type SharedCalls = Arc<Mutex<LateCalls>>;

impl LateCalls {
    /// Adds calls; if the exchange has ended already, gives them back with the outcome it ended with.
    pub fn add(&mut self, calls: Calls) -> Option<(Calls, Outcome)> {
        if let Some(outcome) = self.ended {
            return Some((calls, outcome));
        }
        self.open.extend(calls);
        None
    }

    fn end(&mut self, outcome: Outcome) -> Calls {
        self.ended = Some(outcome);
        mem::take(&mut self.open)
    }
}

pub(super) fn lock_late(shared: &SharedCalls) -> MutexGuard<'_, LateCalls> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How the answer is read.
#[derive(Debug)]
enum Reading {
    Json(Scanner, bool),
    Events(Box<EventStream>),
    /// Events that may be changed on their way.
    Editing(Box<EventEditor>),
    Nothing,
}

/// Where the exchange stands for client and server.
#[derive(Debug)]
struct Place {
    link: Arc<Link>,
    /// The scheme that the client used.
    scheme: &'static str,
    host: Option<HeaderValue>,
    path: Option<PathAndQuery>,
}

impl Place {
    fn to_client(&self, uri: &str) -> Option<Placed> {
        let upstream = self.link.upstream();
        let places = Places {
            client: (self.scheme, self.host.as_ref()?.to_str().ok()?),
            upstream: &upstream.authority,
            prefix: &upstream.prefix,
            path: self.path.as_ref().map_or("/", PathAndQuery::path),
        };
        Some(places.to_client(uri))
    }
}

/// One request and its answer, from the calls' point of view.
#[derive(Debug)]
pub(super) struct Exchange {
    origin: Origin,
    place: Place,
    method: Method,
    /// The calls of the request that have not ended.
    pub calls: Calls,
    /// The calls of a body that was read on its way, after this exchange began.
    pub late_calls: Option<SharedCalls>,
    /// The first call, inside of which requests of the server happen.
    cause: Option<Carrier>,
    /// A request of the newest protocol, where closing the stream is the cancel.
    pub modern: bool,
    status: StatusCode,
    /// The request opened calls of its own.
    has_calls: bool,
    new_session: Option<u64>,
    /// The session of HTTP+SSE that this stream opened.
    stream: Option<u64>,
    reading: Reading,
    decoder: Decoder,
    /// The answer came in an encoding we do not read.
    unread: bool,
    malformed: bool,
    ended: bool,
}

impl Exchange {
    pub fn new(
        origin: &Origin,
        request: &http::request::Parts,
        client: &ClientInfo,
        link: &Arc<Link>,
    ) -> Self {
        Self {
            origin: origin.clone(),
            place: Place {
                link: Arc::clone(link),
                scheme: client.scheme(),
                host: request.headers.get(header::HOST).cloned(),
                path: request.uri.path_and_query().cloned(),
            },
            method: request.method.clone(),
            calls: Vec::new(),
            late_calls: None,
            cause: None,
            modern: origin.modern,
            status: StatusCode::OK,
            has_calls: false,
            new_session: None,
            stream: None,
            reading: Reading::Nothing,
            decoder: Decoder::Plain,
            unread: false,
            malformed: false,
            ended: false,
        }
    }

    /// The requests of the server in this exchange happen inside of the call that this was decided for.
    pub fn caused_by(&mut self, decision: &Decision) {
        self.cause = Some(Carrier {
            context: decision.outgoing,
            tracestate: decision.call.tracestate.clone(),
        });
    }

    /// The head of the answer has come.
    pub fn answered(&mut self, status: StatusCode, headers: &mut HeaderMap) {
        self.status = status;
        self.has_calls = !self.calls.is_empty() || self.late_calls.is_some();
        self.new_session = headers
            .get(headers::SESSION)
            .map(|id| self.origin.hop.hash_session(id.as_bytes()));
        self.decoder = Decoder::of(headers);
        self.reading = match headers::media(headers) {
            Media::Json => Reading::Json(Scanner::new(), true),
            Media::EventStream if self.may_edit(headers) => {
                Reading::Editing(Box::new(EventEditor::new(self.origin.hop.max_inject_bytes)))
            }
            Media::EventStream => Reading::Events(Box::default()),
            Media::Other => Reading::Nothing,
        };
        if let Some(session) = self.origin.session
            && self.method == Method::DELETE
            && status.is_success()
        {
            let hop = &self.origin.hop;
            hop.end_session(session, Outcome::ClientGone, None, clock::now());
        }
        self.place_location(headers);
    }

    /// Requests of the server, and the URI of HTTP+SSE, can only be in a stream of the older revisions; and a stream
    /// that says how long it is must stay so long.
    fn may_edit(&self, headers: &HeaderMap) -> bool {
        matches!(self.decoder, Decoder::Plain)
            && !headers.contains_key(header::CONTENT_LENGTH)
            && (self.origin.session.is_some() || self.method == Method::GET)
    }

    /// A redirect inside the server is one inside the hop.
    fn place_location(&self, headers: &mut HeaderMap) {
        let placed = headers
            .get(header::LOCATION)
            .and_then(|location| location.to_str().ok())
            .and_then(|location| self.place.to_client(location)?.rewritten);
        if let Some(location) = placed.and_then(|text| HeaderValue::try_from(text).ok()) {
            headers.insert(header::LOCATION, location);
        }
    }

    /// Whether pieces of the answer go through [`Exchange::edit`].
    pub fn edits(&self) -> bool {
        matches!(self.reading, Reading::Editing(_))
    }

    /// A piece of the answer passes, and is changed where it must be.
    pub fn edit(&mut self, bytes: Bytes, out: &mut VecDeque<Bytes>) {
        match mem::replace(&mut self.reading, Reading::Nothing) {
            Reading::Editing(mut editor) => {
                let mut each = |event: Event<'_>, here: bool| {
                    self.event(&event, (!here).then_some(NotInjected::TooLarge))
                };
                editor.feed(bytes, &mut each, out);
                self.reading = Reading::Editing(editor);
            }
            other => {
                self.reading = other;
                out.push_back(bytes);
            }
        }
    }

    /// What of the answer is still held, now that no more comes.
    pub fn held(&mut self) -> Option<Bytes> {
        match &mut self.reading {
            Reading::Editing(editor) => Some(editor.finish()).filter(|held| !held.is_empty()),
            _ => None,
        }
    }

    /// A piece of the answer passes.
    pub fn read(&mut self, bytes: &[u8]) {
        if matches!(self.reading, Reading::Nothing) {
            return;
        }
        let mut decoder = mem::replace(&mut self.decoder, Decoder::Unreadable);
        if !decoder.decode(bytes, |plain| self.read_plain(plain)) {
            Counters::add(&self.origin.hop.counters().unreadable, 1);
            self.unread = true;
            self.reading = Reading::Nothing;
        }
        self.decoder = decoder;
    }

    fn read_plain(&mut self, bytes: &[u8]) {
        if let Reading::Json(scanner, fine) = &mut self.reading {
            *fine = *fine && scanner.feed(bytes).is_ok();
            return;
        }
        match mem::replace(&mut self.reading, Reading::Nothing) {
            Reading::Events(mut events) => {
                events.feed(bytes, &mut |event| {
                    self.event(&event, Some(NotInjected::InResponse));
                });
                self.reading = Reading::Events(events);
            }
            other => self.reading = other,
        }
    }

    /// Sees one event, and gives the edits of its data.
    fn event(&mut self, event: &Event<'_>, untouchable: Option<NotInjected>) -> Vec<Edit> {
        match event {
            Event::Messages(scanner) => self.messages(scanner, untouchable),
            Event::Malformed => {
                self.no_message();
                Vec::new()
            }
            Event::Endpoint(uri) => self.endpoint(uri),
        }
    }

    /// The stream says where the client shall send its requests: they are answered here.
    fn endpoint(&mut self, uri: &[u8]) -> Vec<Edit> {
        let text = std::str::from_utf8(uri).ok();
        let Some(placed) = text.and_then(|text| self.place.to_client(text)) else {
            return Vec::new();
        };
        let hop = &self.origin.hop;
        let session = placed
            .target
            .map(|target| hop.hash_session(target.as_bytes()));
        if let (Some(session), None, None) = (session, self.stream, self.origin.session) {
            hop.open_stream(session, clock::now());
            self.stream = Some(session);
            self.new_session = Some(session);
            self.origin.session = Some(session);
            self.origin.scope = Scope::Session(session);
        }
        let edit = placed.rewritten.map(|text| Edit {
            at: 0..uri.len(),
            with: text.into_bytes(),
        });
        edit.into_iter().collect()
    }

    fn no_message(&mut self) {
        self.malformed = true;
        self.origin.hop.count(None);
    }

    fn messages(&mut self, scanner: &Scanner, untouchable: Option<NotInjected>) -> Vec<Edit> {
        self.origin.hop.count(Some(scanner));
        let untouchable = untouchable.or(scanner.overflowed().then_some(NotInjected::TooLarge));
        let mut edits = Vec::new();
        for message in scanner.messages() {
            edits.extend(self.message(&message, scanner, untouchable));
        }
        edits
    }

    fn message(
        &mut self,
        message: &Message<'_>,
        scanner: &Scanner,
        untouchable: Option<NotInjected>,
    ) -> Vec<Edit> {
        let hop = Arc::clone(&self.origin.hop);
        let scope = self.origin.scope;
        match message.kind() {
            Kind::Response => {
                let key = self.answered_call(message);
                let status = Some(self.status.as_u16());
                let answered = hop.answer_under(status, message, key.as_ref(), clock::now());
                self.calls.retain(|call| Some(call) != key.as_ref());
                if let (Some(answered), Some(session)) = (answered, self.new_session)
                    && answered.initialize
                {
                    hop.begin_session(session, &answered);
                }
            }
            // Its answer comes in a POST of its own, which only a session can match with it.
            Kind::Request if self.origin.session.is_some() => {
                let size = usize::try_from(scanner.fed()).unwrap_or(usize::MAX);
                // On a stream of all calls only a call that waits alone can be meant. A session's GET stream is one
                // too: some SDKs put a question that belongs to a call on it.
                let alone = || hop.cause(scope, Direction::ToServer);
                let arrival = Arrival {
                    cause: self.cause.clone().or_else(alone),
                    header: None,
                    ..self.origin.arrival(untouchable, size)
                };
                let at = (scope, Direction::ToClient);
                let opened = hop.open(message, at, &arrival, clock::now());
                return opened.map(|opened| opened.edits).unwrap_or_default();
            }
            Kind::Notification => hop.cancel(message, (scope, Direction::ToClient), clock::now()),
            Kind::Request | Kind::Invalid => {}
        }
        Vec::new()
    }

    /// The call a response ends. An error without an id can only mean the one call of its exchange.
    fn answered_call(&self, message: &Message<'_>) -> Option<Key> {
        match (message.id(), self.calls.as_slice()) {
            (Some(id), _) => Some(Key {
                scope: self.origin.scope,
                direction: Direction::ToServer,
                id,
            }),
            (None, [call]) if message.integer(Slot::ErrorCode).is_some() => Some(call.clone()),
            (None, _) => None,
        }
    }

    /// The answer is complete.
    pub fn end_of_body(mut self: Box<Self>) {
        self.finish_json();
        let outcome = match self.status {
            StatusCode::GATEWAY_TIMEOUT => Outcome::TimedOut(None),
            // A redirect too: the client may follow it with another request, but this one has no answer.
            status if !status.is_success() => Outcome::HttpError(status.as_u16()),
            _ if self.stream.is_some() => Outcome::ServerGone,
            _ if self.may_be_answered_elsewhere() => return self.leave_open(),
            _ if self.unread || self.status == StatusCode::ACCEPTED => Outcome::Unread,
            _ if self.is_stream() && !self.malformed => Outcome::ServerGone,
            _ => Outcome::Malformed,
        };
        self.end_calls(outcome, None);
        // The server no longer knows the session (Streamable HTTP, "Session Management").
        if let (Some(session), StatusCode::NOT_FOUND, true) =
            (self.origin.session, self.status, self.has_calls)
        {
            let hop = &self.origin.hop;
            hop.end_session(session, Outcome::ServerGone, Some("404"), clock::now());
        }
    }

    fn finish_json(&mut self) {
        if !matches!(self.reading, Reading::Json(..)) {
            return;
        }
        if let Reading::Json(mut scanner, fine) = mem::replace(&mut self.reading, Reading::Nothing)
        {
            if fine && scanner.finish().is_ok() {
                self.messages(&scanner, Some(NotInjected::InResponse));
            } else if scanner.fed() > 0 {
                self.no_message();
            }
        }
    }

    /// The server went away in the middle of its answer.
    pub fn broken_body(mut self: Box<Self>) {
        if self.may_be_answered_elsewhere() {
            return self.leave_open();
        }
        self.end_calls(Outcome::ServerGone, Some("server_gone"));
    }

    fn is_stream(&self) -> bool {
        matches!(self.reading, Reading::Events(_) | Reading::Editing(_))
    }

    /// A request to the URI of an HTTP+SSE stream is answered on that stream. And for a legacy stream that sent event
    /// ids the client may come back with `Last-Event-ID`.
    fn may_be_answered_elsewhere(&self) -> bool {
        let resumable = match &self.reading {
            Reading::Events(events) => events.resumable(),
            Reading::Editing(events) => events.resumable(),
            Reading::Json(..) | Reading::Nothing => false,
        };
        let resumes = resumable && self.origin.session.is_some() && self.stream.is_none();
        resumes || self.origin.to_stream
    }

    fn leave_open(mut self: Box<Self>) {
        self.leave();
    }

    fn leave(&mut self) {
        self.ended = true;
        let parked = !self.calls.is_empty() || self.late_calls.is_some();
        self.leave_session(parked);
    }

    fn leave_session(&self, parked: bool) {
        if let Some(session) = self.origin.session
            && self.stream.is_none()
        {
            self.origin.hop.leave_session(session, parked, clock::now());
        }
    }

    pub fn end(mut self: Box<Self>, outcome: Outcome) {
        self.end_calls(outcome, None);
    }

    /// Ends what is open; `error_type` is that of the session, where it ends too.
    fn end_calls(&mut self, outcome: Outcome, error_type: Option<&'static str>) {
        self.ended = true;
        let now = clock::now();
        if let Some(late) = &self.late_calls {
            self.calls.extend(lock_late(late).end(outcome));
        }
        for call in self.calls.drain(..) {
            self.origin.hop.end_key(&call, outcome, now);
        }
        if let Some(session) = self.stream {
            let hop = &self.origin.hop;
            hop.close_stream(session, outcome, error_type, now);
        }
        self.leave_session(false);
    }
}

impl Drop for Exchange {
    /// hyper drops the exchange when the client goes away: nothing else tells us.
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        if self.may_be_answered_elsewhere() {
            return self.leave();
        }
        // In the newest protocol that is how a client cancels (Streamable HTTP, "Cancellation").
        let outcome = if self.modern {
            Outcome::CancelledByClient
        } else {
            Outcome::ClientGone
        };
        self.end_calls(outcome, None);
    }
}
