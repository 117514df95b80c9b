//! Takes `on` or `off` from the query or the body, for the process or one hop. Gives the switches as they are then.
//! Never reads more of a body than the word can be long.

use std::collections::BTreeMap;

use http::Request;
use http_body_util::{BodyExt, Limited};
use hyper::body::Body;
use percent_encoding::percent_decode_str;
use serde::Serialize;
use tracing::info;

use super::BoxError;
use super::board::Board;
use crate::switches::{Switch, Switches};

/// Longer than `off` and its line end.
const MAX_BODY: usize = 64;

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Problem {
    #[error("say on or off, in the query or as the body")]
    NoWord,
    #[error("there is no hop {0:?}")]
    NoHop(String),
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Order {
    on: Option<bool>,
    hop: Option<String>,
}

/// What is in effect: for the process, and for each hop, which is on only where the process is.
#[derive(Serialize)]
struct State {
    process: &'static str,
    hops: BTreeMap<String, &'static str>,
}

pub(super) async fn flip<B: Body<Error: Into<BoxError>>>(
    board: &Board,
    which: Switch,
    request: Request<B>,
) -> Result<(), Problem> {
    let order = order(request.uri().query().unwrap_or_default());
    let on = match order.on {
        Some(on) => on,
        None => {
            let body = Limited::new(request.into_body(), MAX_BODY).collect().await;
            let body = body.map_err(|_| Problem::NoWord)?.to_bytes();
            std::str::from_utf8(&body)
                .ok()
                .and_then(|text| word(text.trim()))
                .ok_or(Problem::NoWord)?
        }
    };
    set(board, which, order.hop, on)
}

fn set(board: &Board, which: Switch, hop: Option<String>, on: bool) -> Result<(), Problem> {
    let stations = board.stations();
    let meant: Vec<&Switches> = match &hop {
        None => vec![&board.switches],
        Some(name) => stations
            .iter()
            .filter(|station| station.name == *name)
            .map(|station| &*station.switches)
            .collect(),
    };
    if meant.is_empty() {
        return Err(Problem::NoHop(hop.unwrap_or_default()));
    }
    for switches in meant {
        switches.set(which, on);
    }
    info!(
        switch = ?which,
        to = on_or_off(on),
        hop = hop.as_deref().unwrap_or("all"),
        "switched by an operator"
    );
    Ok(())
}

pub(super) fn state(board: &Board, which: Switch) -> String {
    let stations = board.stations();
    let hops = stations
        .iter()
        .map(|station| {
            let on = board.is_on(which, station);
            (station.name.clone(), on_or_off(on))
        })
        .collect();
    let process = on_or_off(board.switches.own(which));
    super::lists::json(&State { process, hops })
}

fn order(query: &str) -> Order {
    let mut order = Order::default();
    for part in query.split('&').filter(|part| !part.is_empty()) {
        match part.split_once('=') {
            Some(("hop", name)) => {
                let name = percent_decode_str(name).decode_utf8_lossy();
                order.hop = Some(name.into_owned());
            }
            _ => order.on = word(part).or(order.on),
        }
    }
    order
}

fn word(text: &str) -> Option<bool> {
    match text {
        "on" => Some(true),
        "off" => Some(false),
        _ => None,
    }
}

fn on_or_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_a_word_and_perhaps_a_hop() {
        let given = |query| {
            let Order { on, hop } = order(query);
            (on, hop)
        };
        assert_eq!(given("off"), (Some(false), None));
        assert_eq!(given("on&hop=a%20b"), (Some(true), Some("a b".into())));
        assert_eq!(
            given("hop=127.0.0.1:80"),
            (None, Some("127.0.0.1:80".into()))
        );
        assert_eq!(given("maybe"), (None, None));
        assert_eq!(given(""), (None, None));
    }
}
