//! Takes HTTP requests of clients. Gives them to a stdio server's process as lines, and its lines as answers.
//! Never translates between eras, never shares a process between tenants, never re-serialises a message.
//!
//! ```text
//! POST /mcp      access.rs   whose page, which host
//!                caller.rs   who asks
//!                check.rs    the newest protocol's headers against the body
//!   legacy       streamable.rs ─ legacy.rs    a session, its streams and its child
//!   modern       modern.rs ─ ids.rs           a credential's child, shared by its requests
//! GET /sse       sse.rs ────── legacy.rs      HTTP+SSE
//! GET /ws        websocket.rs                 WebSocket: a connection and its child
//!                child.rs    the process behind its guard: lines in, lines out
//!                events.rs   a stream of events at the client's pace
//! ```

mod access;
mod answer;
mod budget;
mod caller;
mod check;
mod child;
mod children;
mod events;
mod heard;
mod history;
mod ids;
mod legacy;
mod lines;
mod modern;
mod params;
mod request;
mod routes;
mod rules;
mod sse;
mod streamable;
mod websocket;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::request::Parts;
use http::{Method, Request, StatusCode, Version};
use tokio::task::JoinSet;

use crate::counters::Counters;
use crate::frame::Scanner;
use crate::session::Hop;
use crate::tap::http::ClientInfo;
use crate::tap::http::paced::ClientBody;

use answer::{Answer, Refusal, empty, forbidden, method_not_allowed};
use budget::Budget;
use caller::Keys;
use children::{Places, Room, end_idle};
pub(crate) use events::EventBody;
pub use rules::Rules;

/// Where HTTP+SSE is served.
const SSE_PATH: &str = "/sse";
const MESSAGE_PATH: &str = "/message";
/// Where WebSocket is served, besides the path of Streamable HTTP.
const WEBSOCKET_PATH: &str = "/ws";
/// One stdio server, served over HTTP.
#[derive(Debug)]
pub struct Bridge {
    rules: Mutex<Arc<Rules>>,
    counters: Arc<Counters>,
    /// Key the hashes of session ids and credentials.
    keys: Keys,
    places: Mutex<Places>,
    room: Arc<Room>,
    budget: Arc<Budget>,
    /// The search for idle ones.
    looking: Mutex<JoinSet<()>>,
}

impl Bridge {
    /// A bridge, with its search for idle sessions under way.
    #[must_use]
    pub fn start(rules: Rules, counters: Arc<Counters>) -> Arc<Self> {
        let bridge = Arc::new(Self {
            rules: Mutex::new(Arc::new(rules)),
            counters,
            keys: Keys::default(),
            places: Mutex::default(),
            room: Arc::default(),
            budget: Arc::default(),
            looking: Mutex::default(),
        });
        lock(&bridge.looking).spawn(end_idle(Arc::downgrade(&bridge)));
        bridge
    }

    /// Follows other rules from now on; what is open goes on.
    pub fn renew(&self, rules: Rules) {
        let rules = Arc::new(rules);
        *lock(&self.rules) = Arc::clone(&rules);
        // Behind the rules: whoever starts a child after this follows them.
        self.retire(&rules.settings.command);
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
        request: Request<ClientBody>,
    ) -> Answer {
        let (parts, body) = request.into_parts();
        let authority = parts.uri.authority().map(|authority| authority.as_str());
        if let Err(why) = self.rules().access.check(&parts.headers, authority) {
            self.counters.refuse(why);
            return forbidden();
        }
        let path = parts.uri.path();
        let answered = if path == self.rules().settings.mcp_path {
            match parts.method {
                Method::POST => self.post(&client, parts, body).await,
                Method::GET if wishes_websocket(&parts) => {
                    Ok(websocket::get(&self, &client, &parts).await)
                }
                Method::GET => streamable::get(&self, &client, &parts),
                Method::DELETE => streamable::delete(&self, &client, &parts),
                _ => Ok(method_not_allowed("GET, POST, DELETE")),
            }
        } else if path == SSE_PATH {
            match parts.method {
                Method::GET => sse::get(&self, &client, &parts).await,
                _ => Ok(method_not_allowed("GET")),
            }
        } else if path == MESSAGE_PATH {
            match parts.method {
                Method::POST => sse::post(&self, &client, parts, body).await,
                _ => Ok(method_not_allowed("POST")),
            }
        } else if path == WEBSOCKET_PATH {
            match parts.method {
                Method::GET => Ok(websocket::get(&self, &client, &parts).await),
                _ => Ok(method_not_allowed("GET")),
            }
        } else {
            Ok(empty(StatusCode::NOT_FOUND))
        };
        answered.unwrap_or_else(Refusal::answer)
    }

    async fn post(
        self: &Arc<Self>,
        client: &ClientInfo,
        parts: Parts,
        body: ClientBody,
    ) -> Result<Answer, Refusal> {
        let named = check::accepts_both(&parts.headers)
            .and_then(|()| streamable::named(self, client, &parts.headers));
        let named = match named {
            Ok(named) => named,
            Err(refusal) => {
                return Err(request::pass_over(self, &parts.headers, body, refusal).await);
            }
        };
        let payer = request::payer(self, client, &parts.headers, named.as_deref());
        let posted = request::read(self, &parts.headers, body, payer).await?;
        if check::is_modern(&parts.headers, &posted.scanner) {
            modern::post(self, client, &parts, posted).await
        } else {
            streamable::post(self, client, &parts, posted, named).await
        }
    }

    fn hash_session(&self, id: &[u8]) -> u64 {
        match self.hop() {
            Some(hop) => hop.hash_session(id),
            None => self.keys.hash(id)[0],
        }
    }

    fn count(&self, scanner: Option<&Scanner>) {
        if let Some(hop) = self.hop() {
            hop.count(scanner);
        }
    }
}

/// HTTP/2 has no upgrade, and HTTP/1.0 none that could be meant.
fn wishes_websocket(parts: &Parts) -> bool {
    parts.version == Version::HTTP_11 && websocket::wishes(&parts.headers)
}

/// A poisoned lock still holds whole entries: each change is one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
