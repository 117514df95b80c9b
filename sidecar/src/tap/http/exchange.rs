//! Takes one HTTP request. Gives the server's answer, and reads along: the calls that begin and end in it.
//! Never lets a call outlive its exchange, unless the session may bring its answer on another stream.

use std::convert::Infallible;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Body;
use hyper::body::Incoming;
use tracing::warn;

use super::body::{RequestBody, ResponseBody};
use super::decode::Decoder;
use super::headers::{self, Media};
use super::origin::Origin;
use super::request::prepare;
use super::upstream::{Failure, Link};
use super::{ClientInfo, Proxy};
use crate::clock;
use crate::counters::Counters;
use crate::frame::sse::{Event, EventStream};
use crate::frame::{Kind, Message, Scanner, Slot};
use crate::record::{NotInjected, Outcome};
use crate::session::{Arrival, Direction, Key};
use crate::trace::{Carrier, Decision};

/// Carries one request to the server and its answer back.
pub(super) async fn run(
    proxy: Arc<Proxy>,
    link: Arc<Link>,
    client: ClientInfo,
    request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Infallible> {
    let (mut parts, body) = request.into_parts();
    let origin = proxy
        .hop
        .as_ref()
        .map(|hop| Origin::new(Arc::clone(hop), &parts.headers, client.address));
    headers::remove_hop_by_hop(&mut parts.headers);
    if !parts.headers.contains_key(header::HOST)
        && let Ok(host) = HeaderValue::try_from(link.upstream().authority())
    {
        parts.headers.insert(header::HOST, host);
    }
    let mut exchange = origin
        .as_ref()
        .map(|origin| Box::new(Exchange::new(origin, &parts.method)));
    let untouchable = headers::untouchable(&parts.headers);
    let readable = parts.method == Method::POST && headers::media(&parts.headers) == Media::Json;
    let body = match (origin, exchange.as_mut()) {
        (Some(origin), Some(exchange))
            if readable && untouchable != Some(NotInjected::ContentEncoding) =>
        {
            let prepared = match prepare(body, origin, untouchable, exchange).await {
                Ok(prepared) => prepared,
                // The client went away while it sent; the exchange ends its calls as it is dropped.
                Err(_) => {
                    return Ok(answer(
                        StatusCode::BAD_GATEWAY,
                        "the request body did not arrive",
                    ));
                }
            };
            if let Some(injected) = &prepared.injected {
                headers::inject(&mut parts.headers, injected);
                exchange.cause = Some(injected.clone());
            }
            if let Some(length) = prepared.length {
                parts.headers.insert(header::CONTENT_LENGTH, length.into());
                parts.headers.remove(header::EXPECT);
            }
            prepared.body
        }
        (Some(origin), _) if readable => {
            Counters::add(&origin.hop.counters().unreadable, 1);
            origin
                .hop
                .counters()
                .skip_injection(NotInjected::ContentEncoding);
            pass(body)
        }
        _ => pass(body),
    };
    parts.uri = parts.uri.path_and_query().map_or_else(
        || "/".parse().unwrap_or_default(),
        |path| path.clone().into(),
    );
    let sent = link.send(Request::from_parts(parts, body)).await;
    Ok(match sent {
        Ok(response) => pass_back(response, exchange),
        Err(failure) => fail(&failure, exchange),
    })
}

fn pass(body: Incoming) -> RequestBody {
    RequestBody::Stream {
        first: std::collections::VecDeque::new(),
        rest: body,
        reader: None,
    }
}

fn pass_back(
    response: Response<Incoming>,
    exchange: Option<Box<Exchange>>,
) -> Response<ResponseBody> {
    let (mut parts, body) = response.into_parts();
    headers::remove_hop_by_hop(&mut parts.headers);
    let mut exchange = exchange;
    if let Some(exchange) = exchange.as_mut() {
        exchange.answered(parts.status, &parts.headers);
    }
    if body.is_end_stream()
        && let Some(exchange) = exchange.take()
    {
        exchange.end_of_body();
    }
    Response::from_parts(parts, ResponseBody::Server(body, exchange))
}

fn fail(failure: &Failure, exchange: Option<Box<Exchange>>) -> Response<ResponseBody> {
    warn!(error = %failure, "no answer from the server");
    if let Some(exchange) = exchange {
        exchange.end(failure.outcome());
    }
    answer(failure.status(), &failure.to_string())
}

/// An answer of our own: always 5xx, because clients read an era out of a 4xx.
fn answer(status: StatusCode, text: &str) -> Response<ResponseBody> {
    let body = ResponseBody::Text(Some(Bytes::from(format!("toolspan: {text}\n"))));
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

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
    Nothing,
}

/// One request and its answer, from the calls' point of view.
#[derive(Debug)]
pub(super) struct Exchange {
    origin: Origin,
    delete: bool,
    /// The calls of the request that have not ended.
    pub calls: Calls,
    /// The calls of a body that was read on its way, after this exchange began.
    pub late_calls: Option<SharedCalls>,
    /// The first call, inside of which requests of the server happen.
    pub cause: Option<Decision>,
    status: StatusCode,
    /// The request opened calls of its own.
    has_calls: bool,
    new_session: Option<u64>,
    reading: Reading,
    decoder: Decoder,
    /// The answer came in an encoding we do not read.
    unread: bool,
    malformed: bool,
    ended: bool,
}

impl Exchange {
    fn new(origin: &Origin, method: &Method) -> Self {
        Self {
            origin: origin.clone(),
            delete: *method == Method::DELETE,
            calls: Vec::new(),
            late_calls: None,
            cause: None,
            status: StatusCode::OK,
            has_calls: false,
            new_session: None,
            reading: Reading::Nothing,
            decoder: Decoder::Plain,
            unread: false,
            malformed: false,
            ended: false,
        }
    }

    /// The head of the answer has come.
    fn answered(&mut self, status: StatusCode, headers: &HeaderMap) {
        self.status = status;
        self.has_calls = !self.calls.is_empty();
        self.new_session = headers
            .get(headers::SESSION)
            .map(|id| self.origin.hop.hash_session(id.as_bytes()));
        self.reading = match headers::media(headers) {
            Media::Json => Reading::Json(Scanner::new(), true),
            Media::EventStream => Reading::Events(Box::default()),
            Media::Other => Reading::Nothing,
        };
        self.decoder = Decoder::of(headers);
        if let Some(session) = self.origin.session
            && self.delete
            && status.is_success()
        {
            self.origin.hop.end_session(session, None, clock::now());
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
        match mem::replace(&mut self.reading, Reading::Nothing) {
            Reading::Json(mut scanner, fine) => {
                let fine = fine && scanner.feed(bytes).is_ok();
                self.reading = Reading::Json(scanner, fine);
            }
            Reading::Events(mut events) => {
                events.feed(bytes, &mut |event| match event {
                    Event::Messages(scanner) => self.messages(scanner),
                    Event::Malformed => self.no_message(),
                    Event::Endpoint(_) => {}
                });
                self.reading = Reading::Events(events);
            }
            Reading::Nothing => {}
        }
    }

    fn no_message(&mut self) {
        self.malformed = true;
        self.origin.hop.count(None);
    }

    fn messages(&mut self, scanner: &Scanner) {
        self.origin.hop.count(Some(scanner));
        for message in scanner.messages() {
            self.message(&message);
        }
    }

    fn message(&mut self, message: &Message<'_>) {
        let hop = Arc::clone(&self.origin.hop);
        let scope = self.origin.scope;
        match message.kind() {
            Kind::Response => {
                let key = self.answered_call(message);
                let answered = hop.answer(message, key.as_ref(), clock::now());
                self.calls.retain(|call| Some(call) != key.as_ref());
                if let (Some(answered), Some(session)) = (answered, self.new_session)
                    && answered.initialize
                {
                    hop.begin_session(session, &answered);
                }
            }
            // Its answer comes in a POST of its own, which only a session can match with it.
            Kind::Request if self.origin.session.is_some() => {
                let cause = self.cause.as_ref().map(|cause| Carrier {
                    context: cause.outgoing,
                    tracestate: cause.call.tracestate.clone(),
                });
                let arrival = Arrival {
                    cause,
                    header: None,
                    ..self.origin.arrival(Some(NotInjected::InResponse), 0)
                };
                hop.open(
                    message,
                    (scope, Direction::ToClient),
                    &arrival,
                    clock::now(),
                );
            }
            Kind::Notification => hop.cancel(message, (scope, Direction::ToClient), clock::now()),
            Kind::Request | Kind::Invalid => {}
        }
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
            StatusCode::GATEWAY_TIMEOUT => Outcome::TimedOut,
            status if status.as_u16() >= 400 => Outcome::HttpError(status.as_u16()),
            _ if self.may_resume() => return self.leave_open(),
            // HTTP+SSE answers on the client's other stream.
            _ if self.unread || self.status == StatusCode::ACCEPTED => Outcome::Unread,
            _ if matches!(self.reading, Reading::Events(_)) && !self.malformed => {
                Outcome::ServerGone
            }
            _ => Outcome::Malformed,
        };
        self.end_calls(outcome);
        // The server no longer knows the session (Streamable HTTP, "Session Management").
        if let (Some(session), StatusCode::NOT_FOUND, true) =
            (self.origin.session, self.status, self.has_calls)
        {
            let hop = &self.origin.hop;
            hop.end_session(session, Some("404"), clock::now());
        }
    }

    fn finish_json(&mut self) {
        if !matches!(self.reading, Reading::Json(..)) {
            return;
        }
        if let Reading::Json(mut scanner, fine) = mem::replace(&mut self.reading, Reading::Nothing)
        {
            if fine && scanner.finish().is_ok() {
                self.messages(&scanner);
            } else if scanner.fed() > 0 {
                self.no_message();
            }
        }
    }

    /// The server went away in the middle of its answer.
    pub fn broken_body(self: Box<Self>) {
        if self.may_resume() {
            return self.leave_open();
        }
        self.end(Outcome::ServerGone);
    }

    /// A legacy stream that sent event ids: the client may come back for the answer with `Last-Event-ID`.
    fn may_resume(&self) -> bool {
        self.origin.session.is_some()
            && matches!(&self.reading, Reading::Events(events) if events.resumable())
    }

    fn leave_open(mut self: Box<Self>) {
        self.ended = true;
    }

    fn end(mut self: Box<Self>, outcome: Outcome) {
        self.end_calls(outcome);
    }

    fn end_calls(&mut self, outcome: Outcome) {
        self.ended = true;
        let now = clock::now();
        if let Some(late) = &self.late_calls {
            self.calls.extend(lock_late(late).end(outcome));
        }
        for call in self.calls.drain(..) {
            self.origin.hop.end_key(&call, outcome, now);
        }
    }
}

impl Drop for Exchange {
    /// hyper drops the exchange when the client goes away: nothing else tells us.
    fn drop(&mut self) {
        if !self.ended && !self.may_resume() {
            self.end_calls(Outcome::ClientGone);
        }
    }
}
