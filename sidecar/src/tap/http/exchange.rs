//! Takes one HTTP request. Gives the server's answer; what passes is read along on its way.
//! Never waits for more than the request's own body, and never answers in the server's place but with 5xx.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use hyper::body::{Body, Incoming};
use tracing::warn;

use super::body::{Content, RequestBody, ResponseBody};
use super::calls::Exchange;
use super::handover::Handover;
use super::headers::{self, Media};
use super::origin::Origin;
use super::paced::ClientBody;
use super::request::prepare;
use super::server::Load;
use super::upstream::{Failure, Link};
use super::websocket::{self, Wish};
use super::{ClientInfo, Onward, Proxy, convert};
use crate::counters::{Counters, Refusal};
use crate::record::NotInjected;

/// Carries one request to the server and its answer back.
pub(super) async fn run(
    proxy: Arc<Proxy>,
    link: Arc<Link>,
    client: ClientInfo,
    request: Request<ClientBody>,
    handover: Option<Arc<Handover>>,
) -> Result<Response<ResponseBody>, Infallible> {
    let wish = Wish::of(&request);
    let (mut parts, body) = request.into_parts();
    let manners = &proxy.manners;
    if !manners.allows(&parts.headers) {
        return Ok(refuse(&proxy));
    }
    let address = manners.client(&parts.headers, client.address);
    let origin = proxy
        .hop
        .as_ref()
        .map(|hop| Origin::new(Arc::clone(hop), &parts, &client, address));
    headers::remove_hop_by_hop(&mut parts.headers);
    convert::origin_form(&mut parts);
    if let Some(wish) = &wish {
        wish.say(&mut parts.headers);
    }
    if !parts.headers.contains_key(header::HOST) {
        say_host(&mut parts.headers, &link);
    }
    let mut exchange = origin
        .as_ref()
        .map(|origin| Box::new(Exchange::new(origin, &parts, &client, &link)));
    let peer = (client.address, address);
    manners.tell(&mut parts.headers, peer, client.scheme());
    if manners.rewrite_host {
        say_host(&mut parts.headers, &link);
    }
    let untouchable = headers::untouchable(&parts.headers);
    let readable = parts.method == Method::POST && headers::media(&parts.headers) == Media::Json;
    let wish = wish.map(|wish| (wish, origin.clone()));
    let body = match (origin, exchange.as_mut()) {
        (Some(origin), Some(exchange))
            if readable && untouchable != Some(NotInjected::ContentEncoding) =>
        {
            let prepared = match prepare(body, origin, untouchable, exchange).await {
                Ok(prepared) => prepared,
                // The client went away while it sent; the exchange ends its calls as it is dropped.
                Err(_) => {
                    return Ok(answer(
                        StatusCode::BAD_GATEWAY,
                        "the request body did not arrive",
                    ));
                }
            };
            if let Some(injected) = &prepared.injected {
                headers::inject(&mut parts.headers, injected);
                exchange.caused_by(injected);
            }
            if let Some(length) = prepared.length {
                parts.headers.insert(header::CONTENT_LENGTH, length.into());
                parts.headers.remove(header::EXPECT);
            }
            prepared.body
        }
        (Some(origin), _) if readable => {
            Counters::add(&origin.hop.counters().unreadable, 1);
            origin
                .hop
                .counters()
                .skip_injection(NotInjected::ContentEncoding);
            pass(body)
        }
        _ => pass(body),
    };
    // Of these methods hyper sends a body only where the headers say that there is one.
    if matches!(parts.method, Method::GET | Method::HEAD)
        && !body.is_end_stream()
        && !parts.headers.contains_key(header::CONTENT_LENGTH)
    {
        let chunked = HeaderValue::from_static("chunked");
        parts.headers.insert(header::TRANSFER_ENCODING, chunked);
    }
    parts.uri = link.upstream().place(&parts.uri);
    let all_sent = body.sent();
    let request = Request::from_parts(parts, body);
    let sent = match wish {
        Some(_) => link
            .send_alone(request)
            .await
            .map(|response| (response, None)),
        None => link.send(request).await,
    };
    Ok(match (sent, wish) {
        (Ok((response, _)), Some((wish, origin)))
            if response.status() == StatusCode::SWITCHING_PROTOCOLS =>
        {
            switch(response, &wish, origin, &client.onward)
        }
        (Ok((response, load)), _) => {
            let handover = handover.filter(|handover| handover.begin(&response, &link, all_sent));
            // Then the client's connection is kept as long as the server's.
            let mirrored = client.http == "1.1" && response.version() == Version::HTTP_11;
            pass_back(response, load, exchange, handover, mirrored)
        }
        (Err(failure), _) => fail(&failure, exchange),
    })
}

/// The server's own name.
fn say_host(headers: &mut HeaderMap, link: &Link) {
    if let Ok(host) = HeaderValue::try_from(link.upstream().authority.as_str()) {
        headers.insert(header::HOST, host);
    }
}

/// A page of a site that is not allowed: no answer that could be read, and the end.
fn refuse(proxy: &Proxy) -> Response<ResponseBody> {
    if let Some(hop) = &proxy.hop {
        hop.counters().refuse(Refusal::Origin);
    }
    let mut response = Response::new(ResponseBody::Text(None));
    *response.status_mut() = StatusCode::FORBIDDEN;
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
    response
}

/// The server agrees to go on as WebSocket.
fn switch(
    mut response: Response<Incoming>,
    wish: &Wish,
    origin: Option<Origin>,
    onward: &Onward,
) -> Response<ResponseBody> {
    headers::remove_hop_by_hop(response.headers_mut());
    wish.say(response.headers_mut());
    let server = hyper::upgrade::on(&mut response);
    onward.set(|client| websocket::run(client, server, origin));
    response.map(|_| ResponseBody::Text(None))
}

fn pass(body: ClientBody) -> RequestBody {
    RequestBody::new(Content::Stream {
        first: std::collections::VecDeque::new(),
        rest: body,
        reader: None,
    })
}

fn pass_back(
    response: Response<Incoming>,
    load: Option<Load>,
    exchange: Option<Box<Exchange>>,
    handover: Option<Arc<Handover>>,
    mirrored: bool,
) -> Response<ResponseBody> {
    let (mut parts, body) = response.into_parts();
    let kept_alive = headers::kept_alive(&parts.headers).filter(|_| mirrored);
    headers::remove_hop_by_hop(&mut parts.headers);
    if let Some(kept_alive) = kept_alive {
        parts.headers.insert(headers::KEEP_ALIVE, kept_alive);
    }
    if parts.version == Version::HTTP_2 {
        parts.version = Version::HTTP_11;
    }
    let mut exchange = exchange;
    if let Some(exchange) = exchange.as_mut() {
        exchange.answered(parts.status, &mut parts.headers);
    }
    Response::from_parts(parts, ResponseBody::server(body, load, exchange, handover))
}

fn fail(failure: &Failure, exchange: Option<Box<Exchange>>) -> Response<ResponseBody> {
    warn!(error = %failure, "no answer from the server");
    if let Some(exchange) = exchange {
        exchange.end(failure.outcome());
    }
    answer(failure.status(), failure.words())
}

/// An answer of our own: always 5xx, because clients read an era out of a 4xx.
fn answer(status: StatusCode, text: &str) -> Response<ResponseBody> {
    let body = ResponseBody::Text(Some(Bytes::from(format!("toolspan: {text}\n"))));
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}
