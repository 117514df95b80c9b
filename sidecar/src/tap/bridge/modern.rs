//! Takes requests of 2026-07-28 and later. Gives each the answer of its caller's child, as JSON or as events.
//! Never shares a child between two credentials or tenants, never lets a client's leaving go unsaid to the child.

mod ask;
mod hear;
mod in_use;

use std::collections::HashMap;
use std::ffi::OsString;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tokio::sync::oneshot;

use super::Bridge;
use super::answer::{HEADER_MISMATCH, Refusal};
use super::budget::Spent;
use super::caller::Caller;
use super::child::{Child, Gone};
use super::events::{EventBody, Finish, Outlet, Owner, Pace};
use super::ids::{self, Names};
use super::params::Mirrors;
use super::rules::Rules;
use crate::clock;
use crate::frame::line::Edit;
use crate::frame::{Message, Shape, Slot};
use crate::record::Outcome;
use crate::session::Key;
use crate::tap::stdio::guard::Exit;

pub(super) use ask::post;
pub(super) use in_use::InUse;

/// One caller's child.
#[derive(Debug)]
pub(super) struct Shared {
    pub caller: Caller,
    /// What the child was started with.
    pub command: Vec<OsString>,
    bridge: Weak<Bridge>,
    child: Child,
    pace: Pace,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    open: HashMap<u64, Open>,
    /// What the child has said of its tools.
    mirrors: Mirrors,
    last: u64,
    /// The child may still complain of what nobody waits for: the last request that there was when it was told so. None
    /// once it has answered a later one.
    unclear: Option<u64>,
    /// Requests that it was chosen for, until their clients have their answers.
    users: usize,
    used: Instant,
    /// It has answered with a task, which it works on between two requests.
    has_task: bool,
    /// Its command is another by now: it ends when nobody uses it any more.
    outdated: bool,
    /// We end: no stream that only listens goes on, or begins.
    draining: bool,
    /// We asked it to end.
    asked: bool,
    ended: Option<Exit>,
}

/// A request that has no answer yet.
#[derive(Debug)]
struct Open {
    names: Names,
    listens: bool,
    lists_tools: bool,
    /// It asked for log messages, which say nothing of where they belong.
    logs: bool,
    key: Option<Key>,
    /// The client has no head of an answer yet.
    first: Option<oneshot::Sender<First>>,
    outlet: Arc<Outlet>,
    events: u64,
    /// The child has been told of it.
    sent: bool,
}

impl Open {
    /// A stream that only listens ends, with a head where it had none yet.
    fn drain(&mut self) {
        if !self.listens {
            return;
        }
        self.outlet.finish(Finish::Done);
        if let Some(first) = self.first.take() {
            // Whoever waited may be gone.
            let _ = first.send(First::Events);
        }
    }
}

/// A request on its way to the child, seen from its client.
#[derive(Debug)]
struct Asking {
    number: u64,
    first: oneshot::Receiver<First>,
    /// Its answer, if it is events; dropping it is the client's leaving.
    events: EventBody,
    /// What puts the number in the place of the client's names.
    edits: Vec<Edit>,
}

/// The first that a child says for a request decides what the answer is.
#[derive(Debug)]
pub(super) enum First {
    Answer {
        status: StatusCode,
        json: Bytes,
    },
    Events,
    /// More than may be held.
    TooLarge,
}

/// A request at the child, from the side of its client.
#[derive(Debug)]
pub(super) struct Asked {
    shared: InUse,
    number: u64,
}

impl Asked {
    /// Nobody waits any more: its client left, unless it was us who finished its stream.
    pub fn leave(&self, finish: Option<Finish>) {
        let outcome = match finish {
            None => Outcome::ClientGone,
            // There was no room for what it does not read.
            Some(Finish::Cut) => Outcome::Evicted,
            Some(Finish::Done) => Outcome::Shutdown,
        };
        self.shared.leave(self.number, outcome);
    }
}

impl Shared {
    pub fn new(bridge: &Arc<Bridge>, rules: &Rules, child: Child, caller: Caller) -> Self {
        Self {
            caller,
            command: rules.settings.command.clone(),
            bridge: Arc::downgrade(bridge),
            child,
            pace: rules.pace,
            state: Mutex::new(State {
                open: HashMap::new(),
                mirrors: Mirrors::default(),
                last: 0,
                unclear: None,
                users: 0,
                used: clock::instant(),
                has_task: false,
                outdated: false,
                draining: false,
                asked: false,
                ended: None,
            }),
        }
    }

    /// Ends the child. What is still open ends with the hop.
    pub fn end(self: &Arc<Self>) {
        let open = {
            let mut state = self.lock();
            state.asked = true;
            std::mem::take(&mut state.open)
        };
        self.let_go();
        for open in open.into_values() {
            open.outlet.finish(Finish::Cut);
        }
    }

    /// Streams that only listen end.
    pub fn drain(&self) {
        let mut state = self.lock();
        state.draining = true;
        for open in state.open.values_mut() {
            open.drain();
        }
    }

    async fn over(&self) {
        self.child.over().await;
    }

    /// How the child ended, once it has.
    fn exit(&self) -> Option<Exit> {
        self.lock().ended
    }

    /// Whether the headers of a call say what its arguments say, as far as its tool is known.
    fn check(&self, headers: &HeaderMap, call: &Message<'_>, body: &[u8]) -> Result<(), Refusal> {
        let Some(tool) = call.whole_text(Slot::ParamsName) else {
            return Ok(());
        };
        let checked = self.lock().mirrors.check(headers, &tool, body);
        checked.map_err(|message| Refusal::new(StatusCode::BAD_REQUEST, HEADER_MISMATCH, message))
    }

    /// Takes a request in: its number, what it will be answered with, and the edits that put the number in.
    fn ask(shared: InUse, message: &Message<'_>, body: &Bytes, key: Option<Key>) -> Asking {
        let (sender, first) = oneshot::channel();
        let outlet = Outlet::new(shared.pace);
        let mut state = shared.lock();
        state.last += 1;
        let number = state.last;
        let (names, edits) = ids::number(message, body, number);
        let method = message.text(Slot::Method);
        let mut open = Open {
            names,
            listens: method.as_deref() == Some("subscriptions/listen"),
            lists_tools: method.as_deref() == Some("tools/list"),
            logs: message.shape(Slot::MetaLogLevel) != Shape::Absent,
            key,
            first: Some(sender),
            outlet: Arc::clone(&outlet),
            events: 0,
            sent: false,
        };
        if state.draining {
            open.drain();
        }
        state.open.insert(number, open);
        drop(state);
        let asked = Asked { shared, number };
        Asking {
            number,
            first,
            events: outlet.attach(Vec::new(), 0, Owner::Request(asked)),
            edits,
        }
    }

    /// Tells the child of a request.
    async fn send(&self, number: u64, line: Bytes, spent: Arc<Spent>) -> Result<(), Gone> {
        let note = || {
            if let Some(open) = self.lock().open.get_mut(&number) {
                open.sent = true;
            }
        };
        self.child.send_noted(line, spent, note).await
    }

    /// Tells the child something that has no answer.
    async fn notify(&self, line: Bytes, spent: Arc<Spent>) -> Result<(), Gone> {
        self.lock().used = clock::instant();
        let note = || self.lock().blur();
        self.child.send_noted(line, spent, note).await
    }

    /// A client waits no more: unless its request has ended, the child is told.
    fn leave(&self, number: u64, outcome: Outcome) {
        let mut state = self.lock();
        state.used = clock::instant();
        let left = state.open.remove(&number);
        if left.as_ref().is_some_and(|left| left.sent) {
            state.blur();
        }
        drop(state);
        let Some(left) = left else { return };
        if left.sent {
            self.child.send_later(cancel(number));
        }
        self.end_call(left.key.as_ref(), outcome);
    }

    fn end_call(&self, key: Option<&Key>, outcome: Outcome) {
        let hop = self.bridge.upgrade().and_then(|bridge| bridge.hop());
        if let (Some(hop), Some(key)) = (hop, key) {
            hop.end_key(key, outcome, clock::now());
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The child is told, or has been, what it may complain of without naming a request, and nobody waits for that.
    fn blur(&mut self) {
        self.unclear = Some(self.last);
    }
}

/// What the child is told when a client has left.
fn cancel(number: u64) -> Bytes {
    format!(
        "{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{{\"requestId\":{number},\
         \"reason\":\"the client closed its stream\"}}}}\n"
    )
    .into()
}
