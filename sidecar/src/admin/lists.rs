//! Takes the hops. Gives open sessions and calls as JSON: the newest of them, and how many there are in all.
//! Never shows an argument, a resource or the id of a session.

use serde::Serialize;

use super::board::{Board, Station};
use crate::clock::Moment;
use crate::record::Implementation;
use crate::session::view::{CallView, SessionView};
use crate::session::{Direction, Hop};

/// The most entries of one list.
const MOST: usize = 100;

#[derive(Serialize)]
struct Page<T> {
    total: usize,
    newest: Vec<T>,
}

#[derive(Serialize)]
struct Call {
    hop: String,
    method: Box<str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Box<str>>,
    id: Box<str>,
    direction: &'static str,
    tenant: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<String>,
    age_seconds: f64,
}

#[derive(Serialize)]
struct Session {
    hop: String,
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<Peer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<Peer>,
    tenant: String,
    age_seconds: f64,
}

#[derive(Serialize)]
struct Peer {
    name: String,
    version: String,
}

pub(super) fn calls(board: &Board, now: Moment) -> String {
    page(board, Hop::open_calls, |station, hop| {
        let calls = hop.newest_calls(MOST, now).into_iter();
        calls.map(|view| (view.age, call(station, view))).collect()
    })
}

pub(super) fn sessions(board: &Board, now: Moment) -> String {
    page(board, Hop::open_sessions, |station, hop| {
        let sessions = hop.newest_sessions(MOST, now).into_iter();
        sessions
            .map(|view| (view.age, session(station, view)))
            .collect()
    })
}

fn page<T: Serialize>(
    board: &Board,
    count: impl Fn(&Hop) -> usize,
    list: impl Fn(&Station, &Hop) -> Vec<(std::time::Duration, T)>,
) -> String {
    let (mut total, mut all) = (0, Vec::new());
    for station in board.stations() {
        if let Some(hop) = &station.hop {
            total += count(hop);
            all.extend(list(&station, hop));
        }
    }
    all.sort_by_key(|(age, _)| *age);
    let newest = all.into_iter().take(MOST).map(|(_, entry)| entry);
    json(&Page {
        total,
        newest: newest.collect(),
    })
}

fn call(station: &Station, view: CallView) -> Call {
    Call {
        hop: station.name.clone(),
        method: view.method,
        name: view.target,
        id: view.request_id,
        direction: match view.direction {
            Direction::ToServer => "to_server",
            Direction::ToClient => "to_client",
        },
        tenant: view.tenant.to_string(),
        session: view.session.map(hash),
        age_seconds: view.age.as_secs_f64(),
    }
}

fn session(station: &Station, view: SessionView) -> Session {
    let peer = |of: Option<std::sync::Arc<Implementation>>| {
        of.map(|of| Peer {
            name: of.name.to_string(),
            version: of.version.to_string(),
        })
    };
    Session {
        hop: station.name.clone(),
        id: hash(view.id),
        protocol_version: view.peers.protocol_version.map(|text| text.to_string()),
        client: peer(view.peers.client),
        server: peer(view.peers.server),
        tenant: view.tenant.to_string(),
        age_seconds: view.age.as_secs_f64(),
    }
}

/// As `mcp.session.id` of the spans.
fn hash(id: u64) -> String {
    format!("{id:016x}")
}

pub(super) fn json(value: &impl Serialize) -> String {
    // Texts and numbers only: there is nothing in it that JSON cannot hold.
    let mut text = serde_json::to_string(value).unwrap_or_default();
    text.push('\n');
    text
}
