//! Takes one request of an operator. Gives its answer: each path is one line of a table, shown at `/`.
//! Never answers with more than is asked: a wrong path or method is told what there is.

use std::net::SocketAddr;

use http::header::{self, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Body, Bytes};

use super::access::{Refused, may_read, may_switch};
use super::board::Board;
use super::{BoxError, lists, metrics, switch};
use crate::clock;
use crate::switches::Switch;

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What stands behind a path.
#[derive(Debug, Clone, Copy)]
enum Place {
    Index,
    Live,
    Ready,
    Metrics,
    Sessions,
    Calls,
    Switch(Switch),
}

/// Path, place, and what it is for.
const PLACES: [(&str, Place, &str); 8] = [
    ("/", Place::Index, "GET   this list"),
    ("/livez", Place::Live, "GET   200 while the process runs"),
    (
        "/readyz",
        Place::Ready,
        "GET   200 while clients are accepted, 503 while we drain",
    ),
    (
        "/metrics",
        Place::Metrics,
        "GET   every count, for Prometheus",
    ),
    (
        "/sessions",
        Place::Sessions,
        "GET   open sessions, newest first",
    ),
    ("/calls", Place::Calls, "GET   open calls, newest first"),
    (
        "/injection",
        Place::Switch(Switch::Injection),
        "GET, POST ?on or ?off, with &hop=NAME for one hop: trace context in requests",
    ),
    (
        "/telemetry",
        Place::Switch(Switch::Telemetry),
        "GET, POST ?on or ?off, with &hop=NAME for one hop: records and exports",
    ),
];

impl Place {
    /// What names calls or tenants, or switches, is for this machine alone.
    fn is_for_everybody(self) -> bool {
        matches!(self, Self::Index | Self::Live | Self::Ready | Self::Metrics)
    }
}

pub(super) async fn answer<B: Body<Error: Into<BoxError>>>(
    board: &Board,
    peer: Option<SocketAddr>,
    request: Request<B>,
) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    let Some((_, place, _)) = PLACES.iter().find(|(known, ..)| *known == path) else {
        return text(
            StatusCode::NOT_FOUND,
            format!("nothing is here\n{}", index()),
        );
    };
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let switches = *request.method() == Method::POST && matches!(place, Place::Switch(_));
    if !reads && !switches {
        let allow = match place {
            Place::Switch(_) => "GET, HEAD, POST",
            _ => "GET, HEAD",
        };
        let mut answer = text(
            StatusCode::METHOD_NOT_ALLOWED,
            format!("{path} takes {allow}\n{}", index()),
        );
        let allow = HeaderValue::from_static(allow);
        answer.headers_mut().insert(header::ALLOW, allow);
        return answer;
    }
    let allowed = match (switches, place.is_for_everybody()) {
        (true, _) => may_switch(peer, request.headers()),
        (false, false) => may_read(peer, request.headers()),
        (false, true) => Ok(()),
    };
    match allowed {
        Ok(()) if switches => switched(board, *place, request).await,
        Ok(()) => read(board, *place),
        Err(Refused(why)) => text(StatusCode::FORBIDDEN, format!("{why}\n")),
    }
}

fn read(board: &Board, place: Place) -> Response<Full<Bytes>> {
    let now = clock::now();
    match place {
        Place::Index => text(StatusCode::OK, index()),
        Place::Live => text(StatusCode::OK, "live\n".to_owned()),
        Place::Ready if board.is_ready() => text(StatusCode::OK, "ready\n".to_owned()),
        Place::Ready => text(StatusCode::SERVICE_UNAVAILABLE, "draining\n".to_owned()),
        Place::Metrics => respond(StatusCode::OK, PROMETHEUS, metrics::page(board)),
        Place::Sessions => respond(StatusCode::OK, JSON, lists::sessions(board, now)),
        Place::Calls => respond(StatusCode::OK, JSON, lists::calls(board, now)),
        Place::Switch(which) => respond(StatusCode::OK, JSON, switch::state(board, which)),
    }
}

async fn switched<B: Body<Error: Into<BoxError>>>(
    board: &Board,
    place: Place,
    request: Request<B>,
) -> Response<Full<Bytes>> {
    let Place::Switch(which) = place else {
        return read(board, place);
    };
    match switch::flip(board, which, request).await {
        Ok(()) => respond(StatusCode::OK, JSON, switch::state(board, which)),
        Err(problem) => text(StatusCode::BAD_REQUEST, format!("{problem}\n")),
    }
}

fn index() -> String {
    let lines = PLACES.map(|(path, _, what)| format!("{path:<12}{what}\n"));
    lines.concat()
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    respond(status, TEXT, body)
}

fn respond(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let nosniff = HeaderValue::from_static("nosniff");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    response
}
