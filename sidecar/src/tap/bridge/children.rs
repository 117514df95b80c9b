//! Takes what needs a child: a new session, a caller. Gives it one, and ends what is idle or left at our end.
//! Never has more children than are allowed, those that are still ending included.

mod room;
mod share;

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::sync::{Arc, Weak};
use std::time::Duration;

use http::StatusCode;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tracing::warn;

use super::answer::{Answer, failed};
use super::caller::{Caller, Holder};
use super::child::{self, Child, Hearer};
use super::legacy::{Session, Why, Wire};
use super::modern::Shared;
use super::rules::Rules;
use super::websocket::Connection;
use super::{Bridge, lock};
use crate::clock;
pub(super) use room::Room;

/// What session ids are made of: they are credentials.
const RANDOM: &str = "/dev/urandom";
/// How long children may take to end when we do.
const FINISH: Duration = Duration::from_secs(5);
/// Everything that has a child.
#[derive(Debug, Default)]
pub(super) struct Places {
    sessions: HashMap<Box<str>, Arc<Session>>,
    callers: HashMap<Caller, Arc<Shared>>,
    /// Children of callers that have a newer one, or could: their command is not ours any more.
    retired: Vec<Arc<Shared>>,
    connections: HashMap<u64, Arc<Connection>>,
    last_connection: u64,
    /// No session or connection may begin: it would go on for long.
    draining: bool,
    closed: bool,
    /// The lives of all children, those that are ending included.
    lives: JoinSet<()>,
}

/// Why there is no child for a request.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoChild {
    #[error("the command runs {max} times already; no more are allowed")]
    Full { max: usize },
    #[error("toolspan is ending")]
    Ending,
    #[error("cannot start {command}: {source}")]
    Start { command: String, source: io::Error },
}

impl NoChild {
    pub fn answer(&self) -> Answer {
        warn!(error = %self, "no command for a client");
        match self {
            Self::Full { .. } | Self::Ending => {
                failed(StatusCode::SERVICE_UNAVAILABLE, &self.to_string())
            }
            Self::Start { .. } => failed(StatusCode::BAD_GATEWAY, &self.to_string()),
        }
    }
}

impl Places {
    /// What begins now and would go on for long would only be cut.
    fn check_time(&self) -> Result<(), NoChild> {
        match self.draining {
            true => Err(NoChild::Ending),
            false => Ok(()),
        }
    }
}

impl Bridge {
    /// Starts a child and a legacy session for it.
    pub(super) async fn begin(
        self: &Arc<Self>,
        wire: Wire,
        holder: Holder,
    ) -> Result<Arc<Session>, NoChild> {
        self.when_there_is_room(|| self.begin_now(wire, holder.clone()))
            .await
    }

    fn begin_now(self: &Arc<Self>, wire: Wire, holder: Holder) -> Result<Arc<Session>, NoChild> {
        let mut places = lock(&self.places);
        places.check_time()?;
        self.check_room(&mut places)?;
        let rules = self.rules();
        let (child, running) = self.start_child(&rules)?;
        let id = new_id().map_err(|source| self.cannot_start(source))?;
        let session = Session::new(self, &rules, child, id.clone(), wire, holder);
        let session = Arc::new(session);
        places.sessions.insert(id, Arc::clone(&session));
        self.run(&mut places, running, Arc::clone(&session));
        Ok(session)
    }

    /// Starts a child for a connection, which keeps its place until what comes with it is dropped.
    pub(super) async fn connect(
        &self,
        make: impl Fn(Child, u64) -> Connection,
    ) -> Result<(Arc<Connection>, oneshot::Sender<()>), NoChild> {
        self.when_there_is_room(|| self.connect_now(&make)).await
    }

    fn connect_now(
        &self,
        make: impl Fn(Child, u64) -> Connection,
    ) -> Result<(Arc<Connection>, oneshot::Sender<()>), NoChild> {
        let mut places = lock(&self.places);
        places.check_time()?;
        self.check_room(&mut places)?;
        let (child, running) = self.start_child(&self.rules())?;
        places.last_connection += 1;
        let number = places.last_connection;
        let connection = Arc::new(make(child, number));
        places.connections.insert(number, Arc::clone(&connection));
        let max_line = self.rules().settings.max_message_bytes;
        let place = self.room.take(running.ending());
        let life = running.live(Arc::clone(&connection), max_line);
        let (held, over) = oneshot::channel::<()>();
        places.lives.spawn(async move {
            life.await;
            // A connection that is gone has let go of its place, too.
            let _ = over.await;
            drop(place);
        });
        Ok((connection, held))
    }

    fn check_room(&self, places: &mut Places) -> Result<(), NoChild> {
        let max = self.rules().settings.max_sessions;
        while places.lives.try_join_next().is_some() {}
        if places.closed {
            return Err(NoChild::Ending);
        }
        if self.room.taken() >= max {
            return Err(NoChild::Full { max });
        }
        Ok(())
    }

    fn start_child(&self, rules: &Rules) -> Result<(Child, child::Running), NoChild> {
        Child::start(&rules.settings.command).map_err(|source| self.cannot_start(source))
    }

    fn cannot_start(&self, source: io::Error) -> NoChild {
        let command = self.rules().command();
        NoChild::Start { command, source }
    }

    fn run<H: Hearer>(&self, places: &mut Places, running: child::Running, hearer: Arc<H>) {
        let max_line = self.rules().settings.max_message_bytes;
        let place = self.room.take(running.ending());
        let life = running.live(hearer, max_line);
        places.lives.spawn(async move {
            life.await;
            drop(place);
        });
    }

    pub(super) fn session(&self, id: &str, wire: Wire) -> Option<Arc<Session>> {
        lock(&self.places)
            .sessions
            .get(id)
            .filter(|session| session.wire == wire)
            .cloned()
    }

    /// A session has ended.
    pub(super) fn forget(&self, id: &str) {
        lock(&self.places).sessions.remove(id);
    }

    /// A caller's child has ended; one that was started since stays.
    pub(super) fn forget_caller(&self, ended: &Arc<Shared>) {
        let mut places = lock(&self.places);
        let current = places.callers.get(&ended.caller);
        if current.is_some_and(|current| Arc::ptr_eq(current, ended)) {
            places.callers.remove(&ended.caller);
        }
        places
            .retired
            .retain(|retired| !Arc::ptr_eq(retired, ended));
    }

    /// A connection has ended.
    pub(super) fn forget_connection(&self, number: u64) {
        lock(&self.places).connections.remove(&number);
    }

    fn connections(&self) -> Vec<Arc<Connection>> {
        lock(&self.places).connections.values().cloned().collect()
    }

    fn end_idle(&self, limit: Duration) {
        let now = clock::instant();
        let (sessions, callers) = self.all();
        for session in sessions {
            session.end_if_idle(now, limit);
        }
        for shared in callers {
            shared.end_if_idle(now, limit);
        }
    }

    fn all(&self) -> (Vec<Arc<Session>>, Vec<Arc<Shared>>) {
        let places = lock(&self.places);
        (
            places.sessions.values().cloned().collect(),
            places
                .callers
                .values()
                .chain(&places.retired)
                .cloned()
                .collect(),
        )
    }

    /// Streams on which nobody waits for an answer end; the others go on.
    pub(in crate::tap) fn drain(&self) {
        lock(&self.places).draining = true;
        let (sessions, callers) = self.all();
        for session in sessions {
            session.drain();
        }
        for shared in callers {
            shared.drain();
        }
        for connection in self.connections() {
            connection.drain();
        }
    }

    /// Ends everything, and waits until no process is left, as long as it may take.
    pub(in crate::tap) async fn finish(&self) {
        let mut lives = {
            let mut places = lock(&self.places);
            places.closed = true;
            std::mem::take(&mut places.lives)
        };
        let (sessions, callers) = self.all();
        for session in sessions {
            session.end(Why::Shutdown);
        }
        for shared in callers {
            shared.end();
        }
        for connection in self.connections() {
            connection.shut_down();
        }
        let over = async { while lives.join_next().await.is_some() {} };
        if tokio::time::timeout(FINISH, over).await.is_err() {
            warn!(after = ?FINISH, "ending while commands still run; their guards end them");
        }
        lock(&self.looking).abort_all();
    }
}

/// Looks for idle sessions again and again, as long as there is a bridge.
pub(super) async fn end_idle(bridge: Weak<Bridge>) {
    let (least, most) = (Duration::from_millis(100), Duration::from_secs(30));
    let mut rest = least;
    loop {
        tokio::time::sleep(rest).await;
        let Some(bridge) = bridge.upgrade() else {
            return;
        };
        let limit = bridge.rules().idle;
        rest = limit.map_or(most, |limit| (limit / 8).clamp(least, most));
        if let Some(limit) = limit {
            bridge.end_idle(limit);
        }
    }
}

fn new_id() -> io::Result<Box<str>> {
    let mut bytes = [0; 16];
    File::open(RANDOM)?.read_exact(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_le_bytes(bytes)).into())
}
