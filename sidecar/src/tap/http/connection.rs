//! Takes what was accepted. Gives its requests to the conversation, over the HTTP that the client speaks.
//! Never lets TLS or the choice of a version hold up anybody else's connection.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::sync::watch;
use tracing::debug;

use super::first::{FirstRead, recognise};
use super::gate::Gate;
use super::handover::Handover;
use super::onward::Onward;
use super::relay::Relay;
use super::upstream::Link;
use super::{ClientInfo, Conversations, Service, is_stopped, limits, stopped};
use crate::wire::tls;
use crate::wire::{Socket, Stream};

/// How connections of a listener are treated.
#[derive(Debug, Default)]
pub struct Door {
    pub tls: Option<Arc<tls::Server>>,
}

/// A connection whose protocol is known.
struct Opened {
    stream: Stream,
    first: Bytes,
    two: bool,
}

pub(super) async fn run(socket: Socket, address: Option<SocketAddr>, hop: Service) {
    let mut stop = hop.stop.clone();
    let connections = Arc::clone(&hop.connections);
    let _open = connections.hold();
    let door = Arc::clone(&hop.doors.borrow());
    let mut client = ClientInfo {
        address,
        http: "1.1",
        tls: door.tls.is_some(),
        onward: Onward::default(),
    };
    let opened = tokio::select! {
        opened = open(socket, &door) => opened,
        // It has sent no request yet.
        () = stopped(&mut stop) => return,
    };
    match opened {
        Ok(opened) if opened.two => {
            client.http = "2";
            serve_two(opened, &client, hop).await;
        }
        Ok(opened) => serve_one(opened, &client, hop).await,
        Err(error) => debug!(%error, "no connection came about"),
    }
}

async fn open(socket: Socket, door: &Door) -> io::Result<Opened> {
    let mut stream = match &door.tls {
        Some(tls) => tls.accept(socket).await?,
        None => Stream::Plain(socket),
    };
    if let Some(agreed) = stream.alpn() {
        let two = agreed == tls::H2;
        return Ok(Opened {
            stream,
            first: Bytes::new(),
            two,
        });
    }
    let (first, two) = recognise(&mut stream).await?;
    Ok(Opened { stream, first, two })
}

/// Serves exchanges and event streams that are idle in turn, until the connection ends.
async fn serve_one(opened: Opened, client: &ClientInfo, hop: Service) {
    let (conversations, mut stop) = (Conversations::new(hop.fronts, false), hop.stop);
    let mut next = Some((opened.stream, opened.first));
    while let Some((stream, first)) = next.take() {
        let gate = Gate::after(stream, first);
        let serving = serve_exchanges(gate, client, &conversations, &mut stop);
        // In a box, so that a relay does not keep the room that it needed.
        let Some((relay, link)) = Box::pin(serving).await else {
            return;
        };
        if let Some(finished) = relay.run().await.filter(|_| !is_stopped(&stop)) {
            if let Some(server) = finished.server {
                link.take_back(server).await;
            }
            next = Some((finished.client, finished.ahead));
        }
    }
}

/// Serves one exchange after another, until the connection ends, or an event stream on it is idle.
async fn serve_exchanges(
    gate: Gate<Stream>,
    client: &ClientInfo,
    conversations: &Conversations,
    stop: &mut watch::Receiver<bool>,
) -> Option<(Relay<Stream, Stream>, Arc<Link>)> {
    let (watch, handover) = (gate.watch(), Arc::new(Handover::default()));
    let service = service_fn(|mut request: Request<Incoming>| {
        request.extensions_mut().insert(Arc::clone(&handover));
        conversations.current().answer(client.clone(), request)
    });
    let mut serving = http1::Builder::new()
        .preserve_header_case(true)
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
            () = handover.idle() => {
                if watch.is_flushed() && let Some((server, link)) = handover.take().await {
                    debug!("relaying an idle stream");
                    let parts = serving.into_parts();
                    let client = parts.io.into_inner().into_inner();
                    let relay = Relay::new(client, &parts.read_buf, server, handover.left());
                    return Some((relay, link));
                }
            }
        }
    };
    match (served, client.onward.take()) {
        (Ok(()), Some(goes_on)) => {
            let parts = serving.into_parts();
            let stream = parts.io.into_inner().into_inner();
            goes_on(Box::new(Gate::after(stream, parts.read_buf))).await;
        }
        (served, _) => note(served),
    }
    None
}

/// A peer that goes away is no failure of ours; its calls have their end.
fn note(served: hyper::Result<()>) {
    if let Err(error) = served {
        debug!(%error, "connection ended");
    }
}

async fn serve_two(opened: Opened, client: &ClientInfo, hop: Service) {
    let (conversations, mut stop) = (Conversations::new(hop.fronts, true), hop.stop);
    let service = service_fn(|request| conversations.current().answer(client.clone(), request));
    let io = TokioIo::new(FirstRead::new(opened.stream, opened.first));
    let serving = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits::MAX_STREAMS)
        .initial_stream_window_size(limits::STREAM_WINDOW)
        .initial_connection_window_size(limits::CONNECTION_WINDOW)
        .max_send_buf_size(limits::SEND_BUFFER)
        .keep_alive_interval(limits::PING_EVERY)
        .keep_alive_timeout(limits::PING_ANSWER)
        .serve_connection(io, service);
    let mut serving = std::pin::pin!(serving);
    note(tokio::select! {
        biased;
        done = serving.as_mut() => done,
        () = stopped(&mut stop) => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    });
}
