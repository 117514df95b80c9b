//! Takes what was accepted. Gives its requests to the conversation, over the HTTP that the client speaks.
//! Never lets TLS or the choice of a version hold up anybody else's connection.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tracing::debug;

use super::first::recognise;
use super::gate::Gate;
use super::guard::{Bounds, Guard};
use super::handover::Handover;
use super::onward::Onward;
use super::paced::ClientBody;
use super::relay::Relay;
use super::room::{Place, Room};
use super::streams::{Streams, at_pace};
use super::upstream::Link;
use super::{ClientInfo, Conversations, Service, limits, stopped};
use crate::counters::{Counters, Refusal};
use crate::wire::tls;
use crate::wire::{Fingerprint, Socket, Stream, SubjectNames};

/// At the word to stop, how long a client may take for the rest of its first head, which may be on its way.
const REST_OF_HEAD: Duration = Duration::from_secs(1);

/// How connections of a listener are treated.
#[derive(Debug)]
pub struct Door {
    pub tls: Option<Arc<tls::Server>>,
    pub bounds: Bounds,
    pub room: Arc<Room>,
}

/// A connection whose protocol is known.
struct Opened {
    stream: Guard<Stream>,
    two: bool,
    certificate: Option<(Fingerprint, SubjectNames)>,
}

pub(super) async fn run(socket: Socket, address: Option<SocketAddr>, _place: Place, hop: Service) {
    let mut stop = hop.stop.clone();
    let connections = Arc::clone(&hop.connections);
    let _open = connections.hold();
    let door = Arc::clone(&hop.doors.borrow());
    let mut client = ClientInfo {
        address,
        http: "1.1",
        tls: door.tls.is_some(),
        certificate: None,
        names: None,
        onward: Onward::default(),
    };
    let opened = tokio::select! {
        opened = open(socket, &door) => opened,
        // It has sent no request yet.
        () = stopped(&mut stop) => return,
    };
    let mut opened = match opened {
        Ok(opened) => opened,
        Err(error) => return debug!(%error, "no connection came about"),
    };
    if let Some((fingerprint, names)) = opened.certificate.take() {
        client.certificate = Some(fingerprint);
        client.names = Some(Arc::new(names));
    }
    if opened.two {
        client.http = "2";
        serve_two(opened, &client, hop).await;
    } else {
        serve_one(opened, &client, hop).await;
    }
}

async fn open(socket: Socket, door: &Door) -> io::Result<Opened> {
    let mut stream = match &door.tls {
        Some(tls) => timeout(door.bounds.header_timeout, tls.accept(socket)).await??,
        None => Stream::Plain(socket),
    };
    let certificate = stream.certificate();
    let (first, two) = match stream.alpn() {
        Some(agreed) => (Bytes::new(), agreed == tls::H2),
        None => recognise(&mut stream, door.bounds.header_timeout).await?,
    };
    let counters = Arc::clone(&door.room.counters);
    let stream = if two {
        Guard::of_frames(stream, first, door.bounds, counters)
    } else {
        Guard::new(stream, first, door.bounds, counters)
    };
    Ok(Opened {
        stream,
        two,
        certificate,
    })
}

/// Serves exchanges and event streams that are idle in turn, until the connection ends.
async fn serve_one(opened: Opened, client: &ClientInfo, hop: Service) {
    let (conversations, mut stop) = (Conversations::new(hop.fronts, false), hop.stop);
    let counters = Arc::clone(&hop.doors.borrow().room.counters);
    let mut next = Some((opened.stream, Bytes::new()));
    while let Some((stream, first)) = next.take() {
        let gate = Gate::after(stream, first);
        let serving = serve_exchanges(gate, client, &conversations, &counters, &mut stop);
        // In a box, so that a relay does not keep the room that it needed.
        let Some((relay, link)) = Box::pin(serving).await else {
            return;
        };
        // After the word to stop too: a request that has arrived behind the stream is answered.
        if let Some(finished) = relay.run().await {
            if let Some(server) = finished.server {
                link.take_back(server).await;
            }
            next = Some((finished.client, finished.ahead));
        }
    }
}

/// Serves one exchange after another, until the connection ends, or an event stream on it is idle.
async fn serve_exchanges(
    gate: Gate<Guard<Stream>>,
    client: &ClientInfo,
    conversations: &Conversations,
    counters: &Counters,
    stop: &mut watch::Receiver<bool>,
) -> Option<(Relay<Guard<Stream>, Stream>, Arc<Link>)> {
    let (watch, handover) = (gate.watch(), Arc::new(Handover::default()));
    let asked = AtomicBool::new(false);
    let service = service_fn(|request: Request<Incoming>| {
        asked.store(true, Ordering::Relaxed);
        let handover = Handover::of(&request, &handover);
        conversations
            .current()
            .answer(client.clone(), request.map(ClientBody::guarded), handover)
    });
    let mut serving = http1::Builder::new()
        .preserve_header_case(true)
        .max_headers(limits::MAX_HEADERS)
        .serve_connection(TokioIo::new(gate), service);
    let mut stopping = false;
    let served = loop {
        tokio::select! {
            // A request that has arrived by the time of the word to stop is answered.
            biased;
            done = &mut serving => break done,
            () = stopped(stop), if !stopping => {
                // No further request; the exchange that runs may end.
                std::pin::Pin::new(&mut serving).graceful_shutdown();
                stopping = true;
            }
            // Behind an exchange, half a head is none to the HTTP library.
            () = sleep(REST_OF_HEAD), if stopping && !asked.load(Ordering::Relaxed) => break Ok(()),
            () = handover.idle() => {
                if watch.is_flushed() && let Some((server, link)) = handover.take().await {
                    let client_address = client.address.map(tracing::field::display);
                    debug!(client = client_address, "relaying an idle stream");
                    let (client, ahead) = taken(serving.into_parts());
                    let relay = Relay::new(client, &ahead, server, handover.left());
                    return Some((relay, link));
                }
            }
        }
    };
    match (served, client.onward.take()) {
        (Ok(()), Some(goes_on)) => {
            let (guard, ahead) = taken(serving.into_parts());
            // What the client says from here on is no HTTP.
            let (stream, first) = guard.into_parts();
            goes_on(Box::new(Gate::after(stream, joined(ahead, first)))).await;
        }
        (served, _) => {
            let (guard, _) = taken(serving.into_parts());
            if let Err(error) = &served
                && !guard.has_refused()
            {
                count_refusal(error, counters);
            }
            note(served);
        }
    }
    None
}

/// What the HTTP library refused by itself.
fn count_refusal(error: &hyper::Error, counters: &Counters) {
    if error.is_parse_too_large() {
        counters.refuse(Refusal::TooLarge);
    } else if error.is_parse() {
        counters.refuse(Refusal::Unparsable);
    }
}

/// What is under a connection, and all that was read of it and is not used.
fn taken<I, S>(parts: http1::Parts<TokioIo<Gate<I>>, S>) -> (I, Bytes) {
    let (stream, first) = parts.io.into_inner().into_parts();
    (stream, joined(parts.read_buf, first))
}

fn joined(read: Bytes, behind: Bytes) -> Bytes {
    if behind.is_empty() {
        return read;
    }
    [read, behind].concat().into()
}

/// A peer that goes away is no failure of ours; its calls have their end.
fn note(served: hyper::Result<()>) {
    if let Err(error) = served {
        debug!(%error, "connection ended");
    }
}

async fn serve_two(opened: Opened, client: &ClientInfo, hop: Service) {
    let (bounds, streams) = {
        let door = hop.doors.borrow();
        let counters = Arc::clone(&door.room.counters);
        (door.bounds, Streams::new(door.bounds, counters))
    };
    let max_header_bytes = u32::try_from(bounds.max_header_bytes).unwrap_or(u32::MAX);
    let (conversations, mut stop) = (Conversations::new(hop.fronts, true), hop.stop);
    let asked = AtomicBool::new(false);
    let service = service_fn(|request| {
        asked.store(true, Ordering::Relaxed);
        let (request, pace) = streams.begin(request);
        let current = conversations.current();
        at_pace(current.answer(client.clone(), request, None), pace)
    });
    let serving = http2::Builder::new(streams.clone())
        .max_concurrent_streams(limits::MAX_STREAMS)
        .initial_stream_window_size(limits::STREAM_WINDOW)
        .initial_connection_window_size(limits::CONNECTION_WINDOW)
        .max_send_buf_size(limits::SEND_BUFFER)
        .max_header_list_size(max_header_bytes)
        .serve_connection(TokioIo::new(opened.stream), service);
    let mut serving = std::pin::pin!(serving);
    note(tokio::select! {
        biased;
        done = serving.as_mut() => done,
        () = stopped(&mut stop) => {
            serving.as_mut().graceful_shutdown();
            match timeout(REST_OF_HEAD, serving.as_mut()).await {
                Ok(done) => done,
                // Who has not even asked need not say that it has heard of the end.
                Err(_) if !asked.load(Ordering::Relaxed) => Ok(()),
                Err(_) => serving.await,
            }
        }
    });
}
