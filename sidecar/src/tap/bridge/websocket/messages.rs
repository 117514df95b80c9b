//! Takes the messages of a client and the lines of its child. Gives each to the other, and the calls in them.
//! Never has more than one line of the child under way: a client that does not read holds its child back.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use http::HeaderMap;
use tokio::sync::{mpsc, watch};
use tracing::warn;

use super::frames::Out;
use super::observer::Observer;
use crate::clock;
use crate::counters::{Counters, Refusal};
use crate::frame::line::Edit;
use crate::frame::websocket::{Broken, TEXT};
use crate::frame::{Kind, Malformed, Scanner, Slot};
use crate::record::Outcome;
use crate::session::{Direction, Key};
use crate::tap::bridge::Bridge;
use crate::tap::bridge::budget::{Budget, Payer, Spent};
use crate::tap::bridge::child::{Child, Gone, Hearer, Skipped};
use crate::tap::bridge::heard::{refusals, skip};
use crate::tap::bridge::legacy::Why;
use crate::tap::bridge::lines::{line, pieces};
use crate::tap::bridge::routes::{Answered, Routes, STANDALONE};
use crate::tap::bridge::streamable::ending;
use crate::tap::duplex::Duplex;
use crate::tap::http::ClientInfo;
use crate::tap::stdio::guard::Exit;

/// What a close frame says of a lack that is over soon (RFC 6455, 7.4, as registered).
const TRY_AGAIN_LATER: u16 = 1013;

/// The last word to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::tap::bridge) enum Farewell {
    /// A close frame at once.
    Now { code: Option<u16>, reason: String },
    /// A close frame behind what waits to be written.
    Last { code: u16, reason: String },
    /// None: nobody is there to hear it.
    Gone,
}

impl Farewell {
    pub fn is_last(&self) -> bool {
        matches!(self, Self::Last { .. })
    }
}

/// One client and its child.
#[derive(Debug)]
pub(in crate::tap::bridge) struct Connection {
    number: u64,
    bridge: Weak<Bridge>,
    budget: Arc<Budget>,
    payer: Payer,
    child: Child,
    observer: Option<Observer>,
    pub(super) out: mpsc::Sender<Out>,
    pub(super) farewell: watch::Sender<Option<Farewell>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The requests that the client waits for.
    routes: Routes,
    draining: bool,
    ended: bool,
}

impl Connection {
    pub fn new(
        bridge: &Arc<Bridge>,
        client: &ClientInfo,
        headers: &HeaderMap,
        child: Child,
        number: u64,
        out: mpsc::Sender<Out>,
    ) -> Self {
        Self {
            number,
            bridge: Arc::downgrade(bridge),
            budget: Arc::clone(&bridge.budget),
            payer: Payer(bridge.keys.hash(("connection", number))),
            child,
            observer: Observer::new(bridge, client, headers),
            out,
            farewell: watch::Sender::new(None),
            state: Mutex::default(),
        }
    }

    /// A message of the client that has only begun.
    pub fn begin(&self) -> Spent {
        self.budget.begin(self.payer)
    }

    /// Hands a message of the client to the child, as one line. Waits while the child does not read.
    pub async fn hear(&self, message: Vec<u8>, spent: Spent) -> Result<(), Gone> {
        let (scanner, scanned) = scan(&message);
        let edits = self.see(Direction::ToServer, scanned.map(|()| &scanner));
        if scanned.is_ok() {
            self.note_asked(&scanner, &message);
        }
        drop(scanner);
        let line = line(&message, 0..message.len(), &edits);
        // The line is all that is needed of it, and it may wait.
        drop(message);
        let sent = self.child.send(line, Arc::new(spent)).await;
        if sent.is_err() {
            // What was opened behind the end has to end, too.
            self.end_calls(Outcome::ServerGone, Some("server_gone"));
        }
        sent
    }

    /// Which requests of the client are open: until they are answered, our own end waits.
    fn note_asked(&self, scanner: &Scanner, body: &[u8]) {
        let mut state = self.lock();
        for message in scanner.messages() {
            let cancelled = "notifications/cancelled";
            match message.kind() {
                Kind::Request => {
                    state.routes.open(&message, body, STANDALONE);
                    state.routes.shrink(|_| true);
                }
                Kind::Notification if message.text(Slot::Method).as_deref() == Some(cancelled) => {
                    state.routes.cancel(&message, body);
                    state.routes.abandon(STANDALONE);
                }
                _ => {}
            }
        }
    }

    /// Gives the ids of the requests that are answered; `line` is empty where the answers were not held.
    fn note_answered(&self, scanner: &Scanner, line: &[u8]) -> Vec<Answered> {
        let mut state = self.lock();
        scanner
            .messages()
            .filter(|message| message.kind() == Kind::Response)
            .filter_map(|message| state.routes.answer(&message, line))
            .collect()
    }

    fn see(&self, direction: Direction, scanned: Result<&Scanner, Malformed>) -> Vec<Edit> {
        match &self.observer {
            Some(observer) => observer.see(direction, scanned),
            None => Vec::new(),
        }
    }

    /// No more than what is under way: the connection ends when nothing is.
    pub fn drain(&self) {
        self.lock().draining = true;
        self.end_if_drained();
    }

    fn end_if_drained(&self) {
        let state = self.lock();
        let over = state.draining && state.routes.is_empty();
        drop(state);
        if over {
            let reason = going_away();
            self.end(Why::Shutdown, Farewell::Last { code: 1001, reason });
        }
    }

    /// We end, whatever is under way.
    pub fn shut_down(&self) {
        let (code, reason) = (Some(1001), going_away());
        self.end(Why::Shutdown, Farewell::Now { code, reason });
    }

    /// The client said that it ends the connection.
    pub(super) fn close(&self, code: Option<u16>) {
        let reason = String::new();
        self.end(Why::Client, Farewell::Now { code, reason });
    }

    /// The client sent what it may not.
    pub(super) fn refuse(&self, broken: Broken) {
        let (code, reason) = (Some(broken.code()), broken.to_string());
        self.end(Why::Client, Farewell::Now { code, reason });
    }

    /// A large message, for which there was no room in a long time.
    pub(super) fn refuse_for_now(&self) {
        if let Some(bridge) = self.bridge.upgrade() {
            bridge.counters.refuse(Refusal::HeldBytes);
        }
        let (code, reason) = (Some(TRY_AGAIN_LATER), "no room for the message".to_owned());
        self.end(Why::Cut, Farewell::Now { code, reason });
    }

    /// The client is not there any more.
    pub(super) fn leave(&self) {
        self.end(Why::Client, Farewell::Gone);
    }

    /// Ends the session and its child; the first reason counts. What waits behind other messages may be said sooner.
    fn end(&self, why: Why, farewell: Farewell) {
        self.farewell.send_if_modified(|said| {
            let sooner = said.as_ref().is_none_or(Farewell::is_last) && !farewell.is_last();
            let new = said.is_none() || sooner;
            if new {
                *said = Some(farewell);
            }
            new
        });
        if std::mem::replace(&mut self.lock().ended, true) {
            return;
        }
        self.child.end();
        match why {
            // At our own end every call ends by that, all at once.
            Why::Shutdown => {}
            Why::Child(_) => self.end_calls(Outcome::ServerGone, Some("server_gone")),
            Why::Cut => self.end_calls(Outcome::Evicted, Some("evicted")),
            Why::Client | Why::Idle => self.end_calls(Outcome::ClientGone, None),
        }
    }

    fn end_calls(&self, outcome: Outcome, error_type: Option<&'static str>) {
        if let Some(observer) = &self.observer {
            let Duplex { hop, session, .. } = &observer.duplex;
            hop.end_session(*session, outcome, error_type, clock::now());
        }
    }

    /// Nothing is written any more.
    pub(super) fn forget(&self) {
        if let Some(bridge) = self.bridge.upgrade() {
            bridge.forget_connection(self.number);
        }
    }

    fn count_undelivered(&self) {
        if let Some(bridge) = self.bridge.upgrade() {
            Counters::add(&bridge.counters.undelivered, 1);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn going_away() -> String {
    "toolspan is ending".to_owned()
}

fn scan(bytes: &[u8]) -> (Scanner, Result<(), Malformed>) {
    let mut scanner = Scanner::new();
    let scanned = scanner.feed(bytes).and_then(|()| scanner.finish());
    (scanner, scanned)
}

impl Hearer for Connection {
    async fn line(self: &Arc<Self>, line: Bytes) {
        let (scanner, scanned) = scan(&line);
        let edits = self.see(Direction::ToClient, scanned.map(|()| &scanner));
        // What is no JSON need not be text at all, and must not break the connection.
        if scanned.is_err() {
            return self.count_undelivered();
        }
        let payload = match edits.is_empty() {
            true => line.clone(),
            false => pieces(&line, 0..line.len(), &edits).concat().into(),
        };
        let opcode = TEXT;
        if self.out.send(Out { opcode, payload }).await.is_err() {
            self.count_undelivered();
        }
        self.note_answered(&scanner, &line);
        self.end_if_drained();
    }

    fn too_long(self: &Arc<Self>, skipped: Skipped) {
        let Some((_, scanner)) = skip(&self.bridge, skipped) else {
            return;
        };
        for line in refusals(&scanner) {
            self.child.send_later(line);
        }
        let answered = self.note_answered(&scanner, &[]);
        if answered.is_empty() {
            return;
        }
        if let Some(observer) = &self.observer {
            let duplex = &observer.duplex;
            for id in answered.into_iter().filter_map(|answered| answered.id) {
                let key = Key {
                    scope: duplex.scope,
                    direction: Direction::ToServer,
                    id,
                };
                duplex.hop.end_key(&key, Outcome::Unread, clock::now());
            }
        }
        // Who waits for an answer that never comes would wait in vain.
        let (code, reason) = (1011, "an answer of the command is too large".to_owned());
        self.end(Why::Cut, Farewell::Last { code, reason });
    }

    fn ended(self: &Arc<Self>, exit: Exit) {
        if !self.lock().ended {
            warn!(?exit, "the command of a connection has ended by itself");
        }
        let command = self.bridge.upgrade().map(|bridge| bridge.rules().command());
        let (code, reason) = match exit {
            Exit::Code(0) => (1000, String::new()),
            Exit::NotStarted(_) => (1011, ending(&command.unwrap_or_default(), Some(exit))),
            Exit::Code(code) => (1011, format!("the command ended with exit code {code}")),
            Exit::Signal(signal) => (1011, format!("the command was ended by signal {signal}")),
        };
        self.end(Why::Child(exit), Farewell::Last { code, reason });
    }
}
