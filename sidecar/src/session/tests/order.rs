//! Takes any order of whatever can happen to the calls of a hop: several scopes, both directions, ids of both types, other
//! settings in between. Gives that each call has exactly the one outcome that a plain list of open calls says, or is
//! dropped and counted; and that every answer to no open call is counted.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

/// As they are written; the third is the first for JSON.
const IDS: [&str; 4] = ["1", "\"1\"", "1.0", "2"];
const SCOPES: [Scope; 4] = [
    Scope::Exchange(0),
    Scope::Exchange(1),
    Scope::Session(7),
    Scope::Session(8),
];
const TIMED_OUT: &str = "timed out after 5s";

type Place = (Scope, Direction);

#[derive(Debug, Clone, Copy)]
enum Step {
    Open(Place, usize, &'static str),
    Answer(Place, usize, &'static str, Outcome),
    /// An error that does not say what it answers.
    Nameless(Place),
    Cancel(Place, usize, &'static str),
    /// An exchange or a connection ends, on whichever side.
    Cut(Scope, Outcome),
    EndSession(u64, Outcome),
    /// An exchange leaves the calls of its session to other streams.
    Park(u64),
    /// The only stream of a session of HTTP+SSE comes and ends.
    Stream(u64),
    EndIdle,
    Reload(usize),
    Telemetry(bool),
    Shutdown,
}

/// What a list knows that is searched from front to back.
#[derive(Default)]
struct Model {
    open: Vec<Known>,
    max: usize,
    parked: Vec<u64>,
    shut: bool,
    silent: bool,
    ended: HashMap<u64, Outcome>,
    dropped: u64,
    late: u64,
    evicted: u64,
}

#[derive(Clone, Copy, PartialEq)]
struct Known {
    place: Place,
    id: usize,
    method: &'static str,
    span: u64,
}

impl Model {
    fn end(&mut self, outcome: Outcome, which: impl Fn(&Known) -> bool) -> usize {
        let (gone, stay): (Vec<_>, Vec<_>) = self.open.iter().partition(|known| which(known));
        self.open = stay;
        if outcome == Outcome::Evicted {
            self.evicted += gone.len() as u64;
        }
        for known in &gone {
            self.tell(known.span, outcome);
        }
        gone.len()
    }

    fn tell(&mut self, span: u64, outcome: Outcome) {
        if self.silent {
            self.dropped += 1;
        } else {
            assert_eq!(self.ended.insert(span, outcome), None, "ended twice");
        }
    }

    fn open(&mut self, new: Known) {
        if self.shut {
            return self.tell(new.span, Outcome::Shutdown);
        }
        let same = |known: &Known| (known.place, known.id) == (new.place, new.id);
        if self.end(Outcome::Evicted, same) == 0 && self.open.len() >= self.max {
            let oldest = self.open.first().copied();
            self.end(Outcome::Evicted, |known| Some(*known) == oldest);
        }
        self.open.push(new);
    }

    fn answer(&mut self, place: Place, id: usize, outcome: Outcome) {
        if self.end(outcome, |known| (known.place, known.id) == (place, id)) == 0 {
            self.late += 1;
        }
    }

    fn nameless(&mut self, place: Place) {
        let mut here = self.open.iter().filter(|known| known.place == place);
        match (here.next().copied(), here.next()) {
            (Some(only), None) => self.answer(place, only.id, Outcome::RpcError(-32700)),
            _ => self.late += 1,
        }
    }

    fn cancel(&mut self, (scope, direction): Place, id: usize, reason: &str) {
        let outcome = match direction {
            _ if reason == TIMED_OUT => Outcome::TimedOut(None),
            Direction::ToServer => Outcome::CancelledByClient,
            Direction::ToClient => Outcome::CancelledByServer,
        };
        let own = |known: &Known| (known.place, known.id) == ((scope, direction), id);
        if self.end(outcome, own) == 0 && direction == Direction::ToClient {
            let place = (scope, Direction::ToServer);
            let listen =
                |known: &Known| (known.place, known.id) == (place, id) && known.method == LISTEN;
            self.end(Outcome::CancelledByServer, listen);
        }
    }

    fn end_scope(&mut self, scope: Scope, outcome: Outcome) {
        self.end(outcome, |known| known.place.0 == scope);
    }

    fn end_session(&mut self, session: u64, outcome: Outcome) {
        self.parked.retain(|parked| *parked != session);
        self.end_scope(Scope::Session(session), outcome);
    }
}

/// The hop, and what is expected of it.
struct Both {
    hop: Hop,
    model: Model,
}

impl Both {
    fn take(&mut self, step: Step, now: Moment) {
        match step {
            Step::Open(place, id, method) => self.open(place, id, method, now),
            Step::Answer(..) | Step::Nameless(_) | Step::Cancel(..) => self.message(step, now),
            Step::Cut(scope, outcome) => {
                for direction in [Direction::ToServer, Direction::ToClient] {
                    for id in IDS {
                        let key = key((scope, direction), id);
                        self.hop.end_key(&key, outcome, now);
                    }
                }
                self.model.end_scope(scope, outcome);
            }
            Step::EndSession(session, outcome) => {
                self.hop.end_session(session, outcome, None, now);
                self.model.end_session(session, outcome);
            }
            Step::Park(session) => {
                self.hop.enter_session(session, now);
                self.hop.leave_session(session, true, now);
                self.model.parked.push(session);
            }
            Step::Stream(session) => {
                self.hop.open_stream(session, now);
                self.hop
                    .close_stream(session, Outcome::ServerGone, None, now);
                self.model.end_session(session, Outcome::ServerGone);
            }
            Step::EndIdle => {
                self.hop.end_idle_sessions(Duration::ZERO, now);
                for session in std::mem::take(&mut self.model.parked) {
                    self.model.end_session(session, Outcome::ClientGone);
                }
            }
            Step::Reload(max) => {
                let info = (*self.hop.info).clone();
                let tenants = Arc::clone(&self.hop.tenants);
                self.hop = self.hop.renewed(info, tenants, 4096, max);
                self.model.max = max;
            }
            Step::Telemetry(on) => {
                self.hop.switches.set(Switch::Telemetry, on);
                self.model.silent = !on;
            }
            Step::Shutdown => {
                self.hop.end_all(Outcome::Shutdown, now);
                self.model.end(Outcome::Shutdown, |_| true);
                self.model.shut = true;
                self.model.parked.clear();
            }
        }
    }

    fn open(&mut self, place: Place, id: usize, method: &'static str, now: Moment) {
        let scanner = scan(&format!(r#"{{"id":{},"method":"{method}"}}"#, IDS[id]));
        let message = scanner.messages().next().unwrap();
        let opened = self.hop.open(&message, place, &Arrival::default(), now);
        let span = opened.unwrap().injected.unwrap().call.context.span_id;
        self.model.open(Known {
            place,
            id: id_of(id),
            method,
            span,
        });
    }

    fn message(&mut self, step: Step, now: Moment) {
        let text = match step {
            Step::Answer(_, id, rest, _) => format!(r#"{{"id":{},{rest}}}"#, IDS[id]),
            Step::Cancel(_, id, reason) => format!(
                r#"{{"method":"notifications/cancelled","params":{{"requestId":{},"reason":"{reason}"}}}}"#,
                IDS[id]
            ),
            _ => r#"{"id":null,"error":{"code":-32700}}"#.to_owned(),
        };
        let scanner = scan(&text);
        let message = scanner.messages().next().unwrap();
        match step {
            Step::Cancel(place, id, reason) => {
                self.hop.cancel(&message, place, now);
                self.model.cancel(place, id_of(id), reason);
            }
            Step::Answer(place, ..) | Step::Nameless(place) => {
                let key = self.hop.answered(&message, place.0, place.1);
                self.hop.answer(&message, key.as_ref(), now);
                match step {
                    Step::Answer(_, id, _, outcome) => {
                        self.model.answer(place, id_of(id), outcome);
                    }
                    _ => self.model.nameless(place),
                }
            }
            _ => {}
        }
    }
}

fn id_of(written: usize) -> usize {
    if written == 2 { 0 } else { written }
}

fn key((scope, direction): Place, id: &str) -> Key {
    let scanner = scan(&format!(r#"{{"id":{id},"method":"ping"}}"#));
    let id = scanner.messages().next().unwrap().id().unwrap();
    Key {
        scope,
        direction,
        id,
    }
}

fn place() -> impl Strategy<Value = Place> {
    let directions = [Direction::ToServer, Direction::ToClient];
    (
        proptest::sample::select(SCOPES.to_vec()),
        proptest::sample::select(directions.to_vec()),
    )
}

fn step() -> impl Strategy<Value = Step> {
    let gone = || {
        proptest::sample::select(vec![
            Outcome::ClientGone,
            Outcome::ServerGone,
            Outcome::Unreachable,
        ])
    };
    let answer = proptest::sample::select(vec![
        (r#""result":{}"#, Outcome::Ok),
        (r#""result":{"isError":true}"#, Outcome::ToolError),
        (r#""error":{"code":-32603}"#, Outcome::RpcError(-32603)),
        (
            r#""error":{"code":-32001}"#,
            Outcome::TimedOut(Some(-32001)),
        ),
    ]);
    let id = || 0..IDS.len();
    let session = || 7_u64..9;
    let method = proptest::sample::select(vec!["ping", LISTEN]);
    let reason = proptest::sample::select(vec!["no longer needed", TIMED_OUT]);
    prop_oneof![
        12 => (place(), id(), method).prop_map(|(place, id, method)| Step::Open(place, id, method)),
        6 => (place(), id(), answer).prop_map(|(place, id, (text, how))| Step::Answer(place, id, text, how)),
        2 => place().prop_map(Step::Nameless),
        4 => (place(), id(), reason).prop_map(|(place, id, reason)| Step::Cancel(place, id, reason)),
        1 => (proptest::sample::select(SCOPES.to_vec()), gone()).prop_map(|(scope, how)| Step::Cut(scope, how)),
        1 => (session(), gone()).prop_map(|(session, how)| Step::EndSession(session, how)),
        1 => session().prop_map(Step::Park),
        1 => session().prop_map(Step::Stream),
        1 => Just(Step::EndIdle),
        1 => (1_usize..9).prop_map(Step::Reload),
        1 => any::<bool>().prop_map(Step::Telemetry),
        1 => prop_oneof![3 => Just(Step::EndIdle), 1 => Just(Step::Shutdown)],
    ]
}

proptest! {
    #[test]
    fn any_order_of_events_ends_every_call_exactly_once(steps in proptest::collection::vec(step(), 0..120)) {
        let base = Instant::now();
        let (hop, records) = hop(6);
        let mut both = Both { hop, model: Model { max: 6, ..Model::default() } };
        for (millis, step) in steps.iter().enumerate() {
            both.take(*step, at(base, millis as u64));
            prop_assert_eq!(both.hop.open_calls(), both.model.open.len());
        }
        both.take(Step::Shutdown, at(base, 1000));
        let Both { hop, model } = both;
        let records = records();
        let ended: HashMap<_, _> = records
            .iter()
            .map(|record| (record.context.context.span_id, record.outcome))
            .collect();
        prop_assert_eq!(ended.len(), records.len(), "no call is recorded twice");
        prop_assert_eq!(&ended, &model.ended);
        let counters = hop.counters();
        prop_assert_eq!(counters.dropped(DropReason::SwitchedOff), model.dropped);
        prop_assert_eq!(Counters::get(&counters.late_answers), model.late);
        prop_assert_eq!(Counters::get(&counters.evicted), model.evicted);
        let seen = Counters::get(&counters.calls_seen);
        prop_assert_eq!(seen, records.len() as u64 + model.dropped);
    }
}
