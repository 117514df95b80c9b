//! Takes scanned messages, each with its direction, its carriers and the time. Gives calls: a request and its one end.
//! Never waits, never reads a clock, never forgets a call it opened: every one ends in exactly one record.

pub mod calls;
mod ending;
pub mod peers;
pub mod sessions;
pub mod view;

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Moment;
use crate::counters::{Counters, DropReason, Waiting};
use crate::export::Telemetry;
use crate::frame::line::Edit;
use crate::frame::{Kind, Message, Scanner, Shape, Slot};
use crate::record::{
    CallRecord, HopInfo, NotInjected, Outcome, SessionRecord, Target, Tenant, TraceContext,
};
use crate::switches::{Switch, Switches};
use crate::tenant::{Standing, Tenants, unknown};
use crate::trace::context::Carriers;
use crate::trace::{Carrier, Decision, decide, plan};

pub use calls::{Calls, Direction, Key, OpenCall, Scope};
pub(crate) use ending::creates_task;
pub use peers::Peers;
pub use sessions::Sessions;

/// The request that a server may end by a cancel of its own.
const LISTEN: &str = "subscriptions/listen";

/// One hop's view of the calls that pass it.
#[derive(Debug)]
pub struct Hop {
    pub info: Arc<HopInfo>,
    pub tenants: Arc<Tenants>,
    pub max_inject_bytes: usize,
    telemetry: Telemetry,
    switches: Arc<Switches>,
    calls: Arc<Mutex<Calls>>,
    sessions: Arc<Mutex<Sessions>>,
    random: Mutex<fastrand::Rng>,
    /// Keys the hash of session ids, which are credentials.
    session_key: RandomState,
    exchanges: Arc<AtomicU64>,
    /// Open streams of HTTP+SSE: while there are none, no request is looked up among them.
    streams: Arc<AtomicUsize>,
}

/// How a request came.
#[derive(Debug, Clone, Default)]
pub struct Arrival<'a> {
    pub header: Option<Carrier>,
    pub env: Option<Carrier>,
    /// The call of the client inside of which the server sent this request.
    pub cause: Option<Carrier>,
    /// What the sources of the tenant made of it.
    pub standing: Option<&'a Standing>,
    pub baggage_header: Option<&'a str>,
    pub session: Option<u64>,
    pub peers: Peers,
    pub client_address: Option<SocketAddr>,
    /// What the call says of the hop, where that is not the same for all of its calls.
    pub info: Option<Arc<HopInfo>>,
    /// The version of HTTP that the client speaks, where it speaks it.
    pub http_version: Option<&'static str>,
    /// Set when the message cannot be edited, whatever is in it.
    pub untouchable: Option<NotInjected>,
    /// Bytes of the line or body, which may grow to `max_inject_bytes`.
    pub size: usize,
}

/// A call that was opened.
#[derive(Debug)]
pub struct Opened {
    pub key: Key,
    /// What to splice in; empty when the message goes on as it came.
    pub edits: Vec<Edit>,
    /// The context that was injected; none when it was not.
    pub injected: Option<Decision>,
}

/// What an answer told about the peers.
#[derive(Debug)]
pub struct Answered {
    pub hop: Arc<HopInfo>,
    pub initialize: bool,
    pub peers: Peers,
    pub tenant: Tenant,
    /// As in the record of the call.
    pub network_protocol_version: Option<&'static str>,
    pub started: Moment,
}

impl Hop {
    #[must_use]
    pub fn new(
        info: HopInfo,
        tenants: Arc<Tenants>,
        max_inject_bytes: usize,
        max_open_calls: usize,
        telemetry: Telemetry,
        switches: Arc<Switches>,
    ) -> Self {
        let calls = Arc::new(Mutex::new(Calls::new(max_open_calls)));
        let waiting: Arc<dyn Waiting> = calls.clone();
        telemetry.counters().tables.add(Arc::downgrade(&waiting));
        Self {
            info: Arc::new(info),
            tenants,
            max_inject_bytes,
            telemetry,
            switches,
            calls,
            sessions: Arc::new(Mutex::new(Sessions::new(max_open_calls))),
            random: Mutex::new(fastrand::Rng::new()),
            session_key: RandomState::new(),
            exchanges: Arc::default(),
            streams: Arc::default(),
        }
    }

    /// The same hop under other settings: what is open stays open, and an answer finds its call by either.
    #[must_use]
    pub fn renewed(
        &self,
        info: HopInfo,
        tenants: Arc<Tenants>,
        max_inject_bytes: usize,
        max_open_calls: usize,
    ) -> Self {
        lock(&self.calls).set_max(max_open_calls);
        lock(&self.sessions).set_max(max_open_calls);
        Self {
            info: Arc::new(info),
            tenants,
            max_inject_bytes,
            telemetry: self.telemetry.clone(),
            switches: Arc::clone(&self.switches),
            calls: Arc::clone(&self.calls),
            sessions: Arc::clone(&self.sessions),
            random: Mutex::new(fastrand::Rng::new()),
            session_key: self.session_key.clone(),
            exchanges: Arc::clone(&self.exchanges),
            streams: Arc::clone(&self.streams),
        }
    }

    #[must_use]
    pub fn counters(&self) -> &Counters {
        self.telemetry.counters()
    }

    /// A scope of its own for one HTTP exchange, or for a whole stdio process.
    pub fn new_scope(&self) -> Scope {
        Scope::Exchange(self.exchanges.fetch_add(1, Ordering::Relaxed))
    }

    /// A session of its own for one connection, with the scope of its calls.
    pub fn new_session(&self) -> (u64, Scope) {
        let number = self.exchanges.fetch_add(1, Ordering::Relaxed);
        let session = self.session_key.hash_one(("connection", number));
        (session, Scope::Session(session))
    }

    /// The keyed hash of a session id.
    #[must_use]
    pub fn hash_session(&self, id: &[u8]) -> u64 {
        self.session_key.hash_one(id)
    }

    /// Opens the call of a request and plans its splice.
    pub fn open(
        &self,
        message: &Message<'_>,
        (scope, direction): (Scope, Direction),
        arrival: &Arrival<'_>,
        now: Moment,
    ) -> Option<Opened> {
        let Some(id) = message.id() else {
            // An id too long to keep cannot be matched with its answer.
            Counters::add(&self.counters().malformed, 1);
            return None;
        };
        let decision = self.decide(message, arrival);
        let (edits, not_injected) = match self.splice(message, arrival, &decision) {
            Ok(edits) => (edits, None),
            Err(reason) => {
                self.counters().skip_injection(reason);
                (Vec::new(), Some(reason))
            }
        };
        let key = Key {
            scope,
            direction,
            id,
        };
        let tenant = self.resolve_tenant(message, arrival);
        let call = self.open_call(message, &key, arrival, &decision, tenant, not_injected, now);
        Counters::add(&self.counters().calls_seen, 1);
        let ended = lock(&self.calls).open(key.clone(), call);
        for (call, outcome) in ended {
            self.end(call, outcome, 0, now);
        }
        Some(Opened {
            key,
            edits,
            injected: not_injected.is_none().then_some(decision),
        })
    }

    /// The context of the one call that waits for its answer, as its receiver saw it: where all messages share a
    /// stream, a request that comes back while a single call is open was sent inside of that call.
    #[must_use]
    pub fn cause(&self, scope: Scope, direction: Direction) -> Option<Carrier> {
        let calls = lock(&self.calls);
        let (_, call) = calls.only(scope, direction)?;
        let context = &call.record.context;
        Some(Carrier {
            context: TraceContext {
                span_id: context.pair_span_id.unwrap_or(context.context.span_id),
                ..context.context
            },
            tracestate: context.tracestate.clone(),
        })
    }

    /// The call that a response ends; an error without an id can only mean the one that waits for its answer.
    #[must_use]
    pub fn answered(
        &self,
        message: &Message<'_>,
        scope: Scope,
        direction: Direction,
    ) -> Option<Key> {
        if message.is_nameless_error() {
            let calls = lock(&self.calls);
            return calls.only(scope, direction).map(|(key, _)| key.clone());
        }
        message.id().map(|id| Key {
            scope,
            direction,
            id,
        })
    }

    fn decide(&self, message: &Message<'_>, arrival: &Arrival<'_>) -> Decision {
        let carriers = Carriers {
            meta: Carrier::read(
                message.whole_text(Slot::Traceparent).as_deref(),
                message.whole_text(Slot::Tracestate).as_deref(),
            ),
            header: arrival.header.clone(),
            env: arrival.env.clone(),
            call: arrival.cause.clone(),
        };
        decide(&carriers, self.info.span_pair, &mut lock(&self.random))
    }

    fn splice(
        &self,
        message: &Message<'_>,
        arrival: &Arrival<'_>,
        decision: &Decision,
    ) -> Result<Vec<Edit>, NotInjected> {
        if !self.switches.is_on(Switch::Injection) {
            return Err(NotInjected::SwitchedOff);
        }
        if let Some(reason) = arrival.untouchable {
            return Err(reason);
        }
        let edits = plan(message, decision)?;
        let added: usize = edits.iter().map(|edit| edit.with.len()).sum();
        if arrival.size.saturating_add(added) > self.max_inject_bytes {
            return Err(NotInjected::TooLarge);
        }
        Ok(edits)
    }

    fn resolve_tenant(&self, message: &Message<'_>, arrival: &Arrival<'_>) -> Tenant {
        let reads = self.tenants.reads_baggage();
        let baggage = reads.then(|| message.whole_text(Slot::Baggage)).flatten();
        let found = self
            .tenants
            .find(arrival.standing, baggage.as_deref(), arrival.baggage_header);
        found.unwrap_or_else(|why| {
            self.counters().miss_tenant(why);
            unknown()
        })
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "each is a part of the call that opens here"
    )]
    fn open_call(
        &self,
        message: &Message<'_>,
        key: &Key,
        arrival: &Arrival<'_>,
        decision: &Decision,
        tenant: Tenant,
        not_injected: Option<NotInjected>,
        now: Moment,
    ) -> OpenCall {
        let method: Box<str> = message.text(Slot::Method).unwrap_or_default().into();
        let mut peers = arrival.peers.clone();
        peers.learn_from_request(message);
        let side = match key.direction {
            Direction::ToServer => self.info.side,
            Direction::ToClient => self.info.side.swapped(),
        };
        OpenCall {
            target: target(&method, message),
            initialize: &*method == "initialize",
            started: now,
            record: Box::new(CallRecord {
                hop: Arc::clone(arrival.info.as_ref().unwrap_or(&self.info)),
                side,
                tenant,
                context: decision.call.clone(),
                method,
                target: None,
                request_id: key.id.text().into(),
                protocol_version: peers.protocol_version,
                session: arrival.session,
                client: peers.client,
                server: peers.server,
                client_address: arrival.client_address,
                network_protocol_version: match &arrival.info {
                    Some(own) => own.network_protocol_version,
                    None => arrival.http_version.or(self.info.network_protocol_version),
                },
                started_at: now.wall,
                duration: std::time::Duration::ZERO,
                outcome: Outcome::Ok,
                request_bytes: message.bytes(),
                response_bytes: 0,
                not_injected,
            }),
        }
    }

    /// Ends the call that a response answers; none when no such call is open.
    pub fn answer(
        &self,
        message: &Message<'_>,
        key: Option<&Key>,
        now: Moment,
    ) -> Option<Answered> {
        self.answer_under(None, message, key, now)
    }

    /// The same, where the answer came under an HTTP status of its own.
    pub fn answer_under(
        &self,
        status: Option<u16>,
        message: &Message<'_>,
        key: Option<&Key>,
        now: Moment,
    ) -> Option<Answered> {
        let Some(mut call) = key.and_then(|key| lock(&self.calls).close(key)) else {
            Counters::add(&self.counters().late_answers, 1);
            return None;
        };
        let mut peers = Peers {
            protocol_version: call.record.protocol_version.clone(),
            client: call.record.client.clone(),
            server: call.record.server.clone(),
        };
        peers.learn_from_answer(message, call.initialize);
        call.record.server.clone_from(&peers.server);
        call.record
            .protocol_version
            .clone_from(&peers.protocol_version);
        let answered = Answered {
            hop: Arc::clone(&call.record.hop),
            initialize: call.initialize && message.shape(Slot::Result) != Shape::Absent,
            peers,
            tenant: call.record.tenant.clone(),
            network_protocol_version: call.record.network_protocol_version,
            started: call.started,
        };
        self.end(
            call,
            ending::of_answer(message, status),
            message.bytes(),
            now,
        );
        Some(answered)
    }

    /// Ends the call that a `notifications/cancelled` names.
    pub fn cancel(
        &self,
        message: &Message<'_>,
        (scope, direction): (Scope, Direction),
        now: Moment,
    ) {
        if message.text(Slot::Method).as_deref() != Some("notifications/cancelled") {
            return;
        }
        let Some(id) = message.id_in(Slot::ParamsRequestId) else {
            return;
        };
        // Its sender sent the request too. Only a server that ends a listen stream cancels a request it received; an
        // id alone would hit whatever the other direction has under the same number.
        let mut calls = lock(&self.calls);
        let own = calls.close(&Key {
            scope,
            direction,
            id: id.clone(),
        });
        let ended = match (own, direction) {
            (Some(call), _) => Some((call, ending::of_cancel(message, direction))),
            (None, Direction::ToServer) => None,
            (None, Direction::ToClient) => {
                let direction = Direction::ToServer;
                let listen = Key {
                    scope,
                    direction,
                    id,
                };
                let call = calls.close_if(&listen, |call| &*call.record.method == LISTEN);
                call.map(|call| (call, Outcome::CancelledByServer))
            }
        };
        drop(calls);
        if let Some((call, outcome)) = ended {
            self.end(call, outcome, 0, now);
        }
    }

    /// Ends one call for a reason that is no message; nothing happens when it has ended already.
    pub fn end_key(&self, key: &Key, outcome: Outcome, now: Moment) {
        let call = lock(&self.calls).close(key);
        if let Some(call) = call {
            self.end(call, outcome, 0, now);
        }
    }

    /// Ends every call that is still open, and every session. A call that begins later ends at once.
    pub fn end_all(&self, outcome: Outcome, now: Moment) {
        let open = lock(&self.calls).shut(outcome);
        for call in open {
            self.end(call, outcome, 0, now);
        }
        let sessions = lock(&self.sessions).drain(now);
        for session in sessions {
            self.record_session(session);
        }
    }

    fn end(&self, call: OpenCall, outcome: Outcome, response_bytes: u64, now: Moment) {
        if outcome == Outcome::Evicted {
            Counters::add(&self.counters().evicted, 1);
        }
        if self.switches.is_on(Switch::Telemetry) {
            self.telemetry
                .record_call(call.end(outcome, response_bytes, now));
        } else {
            self.counters().drop_calls(DropReason::SwitchedOff, 1);
        }
    }

    fn record_session(&self, session: SessionRecord) {
        if self.switches.is_on(Switch::Telemetry) {
            self.telemetry.record_session(session);
        }
    }

    /// An exchange of a session begins; gives what is known of its peers.
    pub fn enter_session(&self, session: u64, now: Moment) -> Peers {
        lock(&self.sessions).enter(session, now)
    }

    /// It has ended; `parked` when calls of it stay open, for another stream to answer.
    pub fn leave_session(&self, session: u64, parked: bool, now: Moment) {
        lock(&self.sessions).leave(session, parked, now);
    }

    /// A session began: its `initialize` was answered.
    pub fn begin_session(&self, session: u64, answered: &Answered) {
        let evicted = lock(&self.sessions).begin(session, answered);
        if let Some(evicted) = evicted {
            self.record_session(evicted);
        }
    }

    /// A session ended, and nothing can answer its calls any more: they end with `outcome`.
    pub fn end_session(
        &self,
        session: u64,
        outcome: Outcome,
        error_type: Option<&'static str>,
        now: Moment,
    ) {
        let left = lock(&self.calls).take_scope(Scope::Session(session));
        for call in left {
            self.end(call, outcome, 0, now);
        }
        let record = lock(&self.sessions).end(session, error_type, now);
        if let Some(record) = record {
            self.record_session(record);
        }
    }

    /// Ends the sessions that nobody has used for so long. Their clients went away when they were used last.
    pub fn end_idle_sessions(&self, limit: Duration, now: Moment) {
        let idle = lock(&self.sessions).idle(limit, now);
        for (session, left) in idle {
            self.end_session(session, Outcome::ClientGone, None, left);
        }
    }

    /// A stream of HTTP+SSE named the URI of this hash: requests to it are answered there.
    pub fn open_stream(&self, session: u64, now: Moment) {
        lock(&self.sessions).open_stream(session, now);
        self.streams.fetch_add(1, Ordering::Release);
    }

    /// It has ended; the last stream of a URI ends its session, whose open calls end with `outcome`.
    pub fn close_stream(
        &self,
        session: u64,
        outcome: Outcome,
        error_type: Option<&'static str>,
        now: Moment,
    ) {
        self.streams.fetch_sub(1, Ordering::Release);
        if lock(&self.sessions).close_stream(session, now) {
            self.end_session(session, outcome, error_type, now);
        }
    }

    /// Whether a stream of HTTP+SSE has named the URI of this hash.
    pub fn has_stream(&self, uri: impl FnOnce() -> u64) -> Option<u64> {
        if self.streams.load(Ordering::Acquire) == 0 {
            return None;
        }
        let session = uri();
        lock(&self.sessions).has_stream(session).then_some(session)
    }

    /// Counts what a finished scan found: messages, or something that is none.
    pub fn count(&self, scanner: Option<&Scanner>) {
        let counters = self.counters();
        let messages = scanner.map_or(0, |scanner| {
            scanner
                .messages()
                .filter(|message| message.kind() != Kind::Invalid)
                .count()
        });
        if messages == 0 {
            Counters::add(&counters.malformed, 1);
        } else {
            Counters::add(&counters.messages, messages as u64);
        }
    }
}

fn target(method: &str, message: &Message<'_>) -> Option<Target> {
    let name = || message.text(Slot::ParamsName).map(Into::into);
    match method {
        "tools/call" => name().map(Target::Tool),
        "prompts/get" => name().map(Target::Prompt),
        "resources/read" | "resources/subscribe" | "resources/unsubscribe" => message
            .text(Slot::ParamsUri)
            .map(|uri| Target::Resource(uri.into())),
        _ => None,
    }
}

/// A poisoned lock still holds whole calls: each change to a table is one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
