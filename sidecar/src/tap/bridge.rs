//! Takes HTTP requests of clients. Gives them to a stdio server's process as lines, and its lines as answers.
//! Never translates between eras, never shares a process between tenants, never re-serialises a message.
//!
//! ```text
//! POST /mcp      access.rs   whose page, which host
//!                check.rs    the newest protocol's headers against the body
//!   legacy       streamable.rs ─ legacy.rs    a session, its streams and its child
//!   modern       modern.rs ─ ids.rs           a credential's child, shared by its requests
//! GET /sse       sse.rs ────── legacy.rs      HTTP+SSE
//!                child.rs    the process behind its guard: lines in, lines out
//!                events.rs   a stream of events at the client's pace
//! ```

mod access;
mod answer;
mod check;
mod child;
mod events;
mod history;
mod ids;
mod legacy;
mod lines;
mod modern;
mod request;
mod routes;
mod sse;
mod streamable;

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::fs::File;
use std::hash::BuildHasher;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use http::request::Parts;
use http::{Method, Request, StatusCode, header};
use hyper::body::Incoming;
use tokio::task::JoinSet;
use tracing::warn;

use crate::clock;
use crate::config::BridgeSettings;
use crate::counters::Counters;
use crate::frame::Scanner;
use crate::record::Tenant;
use crate::session::Hop;
use crate::tap::http::ClientInfo;
use crate::tenant::TenantRule;

use access::Access;
use answer::{Answer, empty, failed, forbidden, method_not_allowed};
use child::{Child, Hearer};
pub(crate) use events::EventBody;
use legacy::{Session, Why, Wire};
use modern::{Caller, Shared};

/// Where HTTP+SSE is served.
const SSE_PATH: &str = "/sse";
const MESSAGE_PATH: &str = "/message";
/// What session ids are made of: they are credentials.
const RANDOM: &str = "/dev/urandom";
/// How long children may take to end when we do.
const FINISH: Duration = Duration::from_secs(5);

/// What a bridge follows; a reload may change it.
#[derive(Debug)]
pub struct Rules {
    /// None when switched off: messages pass, and nothing else happens.
    hop: Option<Arc<Hop>>,
    settings: BridgeSettings,
    tenant: TenantRule,
    /// After so long what nobody uses ends; none for never.
    idle: Option<Duration>,
    access: Access,
}

impl Rules {
    #[must_use]
    pub fn new(
        hop: Option<Arc<Hop>>,
        settings: BridgeSettings,
        tenant: TenantRule,
        idle: Option<Duration>,
        listen: SocketAddr,
    ) -> Self {
        let access = Access::new(listen, &settings.allowed_hosts, &settings.allowed_origins);
        Self {
            hop,
            settings,
            tenant,
            idle,
            access,
        }
    }

    /// The program, as messages name it.
    fn command(&self) -> String {
        let program = self.settings.command.first();
        program.map_or_else(String::new, |program| program.to_string_lossy().into())
    }
}

/// One stdio server, served over HTTP.
#[derive(Debug)]
pub struct Bridge {
    rules: Mutex<Arc<Rules>>,
    counters: Arc<Counters>,
    /// Key the hashes of session ids and credentials.
    keys: [RandomState; 2],
    places: Mutex<Places>,
    /// The life of each child, and the search for idle ones.
    tasks: Mutex<JoinSet<()>>,
}

/// Everything that has a child.
#[derive(Debug, Default)]
struct Places {
    sessions: HashMap<Box<str>, Arc<Session>>,
    callers: HashMap<Caller, Arc<Shared>>,
    closed: bool,
}

/// Why there is no child for a request.
#[derive(Debug, thiserror::Error)]
enum NoChild {
    #[error("{max} sessions are open; no more can be")]
    Full { max: usize },
    #[error("toolspan is ending")]
    Ending,
    #[error("cannot start {command}: {source}")]
    Start { command: String, source: io::Error },
}

impl NoChild {
    fn answer(&self) -> Answer {
        warn!(error = %self, "no command for a client");
        match self {
            Self::Full { .. } | Self::Ending => {
                failed(StatusCode::SERVICE_UNAVAILABLE, &self.to_string())
            }
            Self::Start { .. } => failed(StatusCode::BAD_GATEWAY, &self.to_string()),
        }
    }
}

impl Bridge {
    /// A bridge, with its search for idle sessions under way.
    #[must_use]
    pub fn start(rules: Rules, counters: Arc<Counters>) -> Arc<Self> {
        let bridge = Arc::new(Self {
            rules: Mutex::new(Arc::new(rules)),
            counters,
            keys: [RandomState::new(), RandomState::new()],
            places: Mutex::default(),
            tasks: Mutex::default(),
        });
        lock(&bridge.tasks).spawn(end_idle(Arc::downgrade(&bridge)));
        bridge
    }

    /// Follows other rules from now on; what is open goes on.
    pub fn renew(&self, rules: Rules) {
        *lock(&self.rules) = Arc::new(rules);
    }

    fn rules(&self) -> Arc<Rules> {
        Arc::clone(&lock(&self.rules))
    }

    fn hop(&self) -> Option<Arc<Hop>> {
        self.rules().hop.clone()
    }

    /// Answers one request.
    pub(in crate::tap) async fn answer(
        self: Arc<Self>,
        client: ClientInfo,
        request: Request<Incoming>,
    ) -> Answer {
        let (parts, body) = request.into_parts();
        if !self.may_serve(&parts) {
            return forbidden();
        }
        let path = parts.uri.path();
        let answered = if path == self.rules().settings.mcp_path {
            match parts.method {
                Method::POST => self.post(&client, parts, body).await,
                Method::GET => streamable::get(&self, &parts),
                Method::DELETE => streamable::delete(&self, &parts),
                _ => Ok(method_not_allowed("GET, POST, DELETE")),
            }
        } else if path == SSE_PATH {
            match parts.method {
                Method::GET => Ok(sse::get(&self, &parts)),
                _ => Ok(method_not_allowed("GET")),
            }
        } else if path == MESSAGE_PATH {
            match parts.method {
                Method::POST => sse::post(&self, &client, parts, body).await,
                _ => Ok(method_not_allowed("POST")),
            }
        } else {
            Ok(empty(StatusCode::NOT_FOUND))
        };
        answered.unwrap_or_else(answer::Refusal::answer)
    }

    async fn post(
        self: &Arc<Self>,
        client: &ClientInfo,
        parts: Parts,
        body: Incoming,
    ) -> Result<Answer, answer::Refusal> {
        check::accepts_both(&parts.headers)?;
        let posted = request::read(self, &parts.headers, body).await?;
        if check::is_modern(&parts.headers, &posted.scanner) {
            modern::post(self, client, &parts, posted).await
        } else {
            streamable::post(self, client, &parts, posted).await
        }
    }

    fn may_serve(&self, parts: &Parts) -> bool {
        let text = |name| {
            let mut values = parts.headers.get_all(name).iter();
            let value = values.next()?.to_str().ok();
            // Of two values one could be checked and the other believed.
            Some(value.filter(|_| values.next().is_none()).unwrap_or(""))
        };
        let host = text(header::HOST).or_else(|| parts.uri.authority().map(|a| a.as_str()));
        self.rules().access.allows(host, text(header::ORIGIN))
    }

    fn hash_session(&self, id: &[u8]) -> u64 {
        match self.hop() {
            Some(hop) => hop.hash_session(id),
            None => self.keys[0].hash_one(id),
        }
    }

    /// A credential as it may be kept: 128 bits that only this process can make of it.
    fn hash_credential(&self, credential: &[u8]) -> [u64; 2] {
        self.keys.each_ref().map(|key| key.hash_one(credential))
    }

    fn count(&self, scanner: Option<&Scanner>) {
        if let Some(hop) = self.hop() {
            hop.count(scanner);
        }
    }

    /// Starts a child and a legacy session for it.
    fn begin(self: &Arc<Self>, wire: Wire, tenant: Tenant) -> Result<Arc<Session>, NoChild> {
        let mut places = lock(&self.places);
        self.check_room(&places)?;
        let (child, running) = self.start_child()?;
        let id = new_id().map_err(|source| self.cannot_start(source))?;
        let session = Arc::new(Session::new(self, child, id.clone(), wire, tenant));
        places.sessions.insert(id, Arc::clone(&session));
        drop(places);
        self.run(running, Arc::clone(&session));
        Ok(session)
    }

    /// The child of a caller, which is started where there is none.
    fn share(self: &Arc<Self>, caller: Caller) -> Result<Arc<Shared>, NoChild> {
        let mut places = lock(&self.places);
        if let Some(shared) = places
            .callers
            .get(&caller)
            .filter(|shared| !shared.has_ended())
        {
            return Ok(Arc::clone(shared));
        }
        self.check_room(&places)?;
        let (child, running) = self.start_child()?;
        let shared = Arc::new(Shared::new(self, child, caller.clone()));
        places.callers.insert(caller, Arc::clone(&shared));
        drop(places);
        self.run(running, Arc::clone(&shared));
        Ok(shared)
    }

    fn check_room(&self, places: &Places) -> Result<(), NoChild> {
        let max = self.rules().settings.max_sessions;
        if places.closed {
            return Err(NoChild::Ending);
        }
        if places.sessions.len() + places.callers.len() >= max {
            return Err(NoChild::Full { max });
        }
        Ok(())
    }

    fn start_child(&self) -> Result<(Child, child::Running), NoChild> {
        Child::start(&self.rules().settings.command).map_err(|source| self.cannot_start(source))
    }

    fn cannot_start(&self, source: io::Error) -> NoChild {
        let command = self.rules().command();
        NoChild::Start { command, source }
    }

    fn run<H: Hearer>(&self, running: child::Running, hearer: Arc<H>) {
        let max_line = self.rules().settings.max_message_bytes;
        let mut tasks = lock(&self.tasks);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(running.live(hearer, max_line));
    }

    fn session(&self, id: &str, wire: Wire) -> Option<Arc<Session>> {
        lock(&self.places)
            .sessions
            .get(id)
            .filter(|session| session.wire == wire)
            .cloned()
    }

    /// A session has ended.
    fn forget(&self, id: &str) {
        lock(&self.places).sessions.remove(id);
    }

    /// A caller's child has ended; one that was started since stays.
    fn forget_caller(&self, ended: &Arc<Shared>) {
        let mut places = lock(&self.places);
        let current = places.callers.get(&ended.caller);
        if current.is_some_and(|current| Arc::ptr_eq(current, ended)) {
            places.callers.remove(&ended.caller);
        }
    }

    fn end_idle(&self, limit: Duration) {
        let now = clock::instant();
        let (sessions, callers) = self.all();
        for session in sessions
            .iter()
            .filter(|session| session.is_idle(now, limit))
        {
            session.end(Why::Idle);
        }
        for shared in callers.iter().filter(|shared| shared.is_idle(now, limit)) {
            shared.end();
        }
    }

    fn all(&self) -> (Vec<Arc<Session>>, Vec<Arc<Shared>>) {
        let places = lock(&self.places);
        (
            places.sessions.values().cloned().collect(),
            places.callers.values().cloned().collect(),
        )
    }

    /// Streams on which nobody waits for an answer end; the others go on.
    pub(crate) fn drain(&self) {
        let (sessions, callers) = self.all();
        for session in sessions {
            session.drain();
        }
        for shared in callers {
            shared.drain();
        }
    }

    /// Ends everything, and waits until no process is left, as long as it may take.
    pub(crate) async fn finish(&self) {
        lock(&self.places).closed = true;
        let (sessions, callers) = self.all();
        for session in &sessions {
            session.end(Why::Shutdown);
        }
        for shared in &callers {
            shared.end();
        }
        let over = async {
            for session in sessions {
                session.over().await;
            }
            for shared in callers {
                shared.over().await;
            }
        };
        if tokio::time::timeout(FINISH, over).await.is_err() {
            warn!(after = ?FINISH, "ending while commands still run; their guards end them");
        }
        lock(&self.tasks).abort_all();
    }
}

/// A poisoned lock still holds whole entries: each change is one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Looks for idle sessions again and again, as long as there is a bridge.
async fn end_idle(bridge: Weak<Bridge>) {
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
