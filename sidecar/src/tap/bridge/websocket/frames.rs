//! Takes the stream of a connection after HTTP. Gives the client's messages to the child and the child's to the client,
//! as frames, and answers pings and closes (RFC 6455, 5).
//! Never ends within a frame while the client reads, and never waits for ever to say farewell.

use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

use super::messages::{Connection, Farewell};
use crate::frame::websocket::{CLOSE, Header, PING, PONG, Received, Receiver};
use crate::tap::bridge::budget::Most;

/// A client that says nothing for so long is pinged: one that is gone without a word is noticed by the ping.
const PING_EVERY: Duration = Duration::from_secs(60);
/// How long a client may take to read our last word, and then to end the connection.
const GRACE: Duration = Duration::from_secs(2);
/// How long a client waits for room for its message.
const NO_ROOM: Duration = Duration::from_secs(30);
/// The longest payload of a control frame.
const LONGEST_CONTROL: usize = 125;

/// A frame that waits to be written.
#[derive(Debug)]
pub(in crate::tap::bridge) struct Out {
    pub opcode: u8,
    pub payload: Bytes,
}

/// How much messages may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Each.
    pub message: usize,
    /// Those that the child has not read, beside those of other clients.
    pub held: Most,
}

/// Passes messages until the client or the child has ended.
pub(super) async fn run(
    connection: &Connection,
    stream: impl AsyncRead + AsyncWrite,
    waiting: mpsc::Receiver<Out>,
    bounds: Bounds,
) {
    let (mut from, to) = tokio::io::split(stream);
    let reading = async {
        read(connection, &mut from, bounds).await;
        // Bytes that nobody reads would make a reset of our end, which can overtake the last frame.
        let _ = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
    };
    let mut reading = std::pin::pin!(reading);
    let mut writing = std::pin::pin!(write(connection, to, waiting));
    tokio::select! {
        () = &mut reading => {
            connection.leave();
            writing.await;
        }
        () = &mut writing => {
            connection.leave();
            let _ = timeout(GRACE, reading).await;
        }
    }
}

/// Reads until there is nothing more to hear.
async fn read(connection: &Connection, from: &mut (impl AsyncRead + Unpin), bounds: Bounds) {
    let mut receiver = Receiver::new(bounds.message);
    let mut spent = connection.begin();
    loop {
        let received = match receiver.receive() {
            Ok(received) => received,
            Err(broken) => return connection.refuse(broken),
        };
        let goes_on = match received {
            None => {
                // Meanwhile nothing is read: the client waits too.
                let held = receiver.held();
                if !spent.wait_to_grow_to(held, bounds.held, NO_ROOM).await {
                    return connection.refuse_for_now();
                }
                let read = pinging(connection, from.read_buf(receiver.space())).await;
                matches!(read, Ok(1..))
            }
            Some(Received::Text(message)) => {
                // That the child is gone is told by its own end.
                let spent = std::mem::replace(&mut spent, connection.begin());
                let heard = connection.hear(message, spent);
                pinging(connection, heard).await.is_ok()
            }
            Some(Received::Ping(payload)) => {
                let (opcode, payload) = (PONG, payload.into());
                connection.out.send(Out { opcode, payload }).await.is_ok()
            }
            Some(Received::Pong) => true,
            Some(Received::Close(code)) => return connection.close(code),
        };
        if !goes_on {
            return;
        }
    }
}

/// Waits for something of the client or the child, with a ping from time to time.
async fn pinging<T>(connection: &Connection, something: impl Future<Output = T>) -> T {
    let mut something = std::pin::pin!(something);
    loop {
        if let Ok(done) = timeout(PING_EVERY, &mut something).await {
            return done;
        }
        // Where a message waits already, that one finds out.
        let (opcode, payload) = (PING, Bytes::new());
        let _ = connection.out.try_send(Out { opcode, payload });
    }
}

/// Writes until the farewell has been said, or nobody reads any more.
async fn write(
    connection: &Connection,
    mut to: impl AsyncWrite + Unpin,
    mut waiting: mpsc::Receiver<Out>,
) {
    let mut farewell = connection.farewell.subscribe();
    let mut hurry = connection.farewell.subscribe();
    loop {
        let next = tokio::select! {
            biased;
            () = now(&mut hurry) => None,
            next = waiting.recv() => next,
            _ = farewell.wait_for(Option::is_some) => None,
        };
        let Some(out) = next else { break };
        let cut = async {
            now(&mut hurry).await;
            sleep(GRACE).await;
        };
        let written = tokio::select! {
            written = put(&mut to, out) => written.is_ok(),
            () = cut => false,
        };
        if !written {
            return;
        }
    }
    drop(waiting);
    let (code, reason) = match connection.farewell.borrow().clone() {
        Some(Farewell::Now { code, reason }) => (code, reason),
        Some(Farewell::Last { code, reason }) => (Some(code), reason),
        Some(Farewell::Gone) | None => return,
    };
    let say = async {
        put(&mut to, closing(code, &reason)).await?;
        to.shutdown().await
    };
    // A client that does not listen is told nothing.
    let _ = timeout(GRACE, say).await;
}

/// Waits for a farewell that waits for nothing else.
async fn now(farewell: &mut watch::Receiver<Option<Farewell>>) {
    let now = |said: &Option<Farewell>| said.as_ref().is_some_and(|said| !said.is_last());
    // The connection, which has the sender, is borrowed for longer than this.
    let _ = farewell.wait_for(now).await;
}

fn closing(code: Option<u16>, reason: &str) -> Out {
    let mut payload = Vec::new();
    if let Some(code) = code {
        payload.extend_from_slice(&code.to_be_bytes());
        let room = LONGEST_CONTROL - payload.len();
        let end = reason.floor_char_boundary(room);
        payload.extend_from_slice(reason.get(..end).unwrap_or_default().as_bytes());
    }
    Out {
        opcode: CLOSE,
        payload: payload.into(),
    }
}

async fn put(to: &mut (impl AsyncWrite + Unpin), out: Out) -> std::io::Result<()> {
    let mut head = Vec::new();
    Header::of_server(out.opcode, out.payload.len() as u64).write(&mut head);
    let mut frame = Bytes::from(head).chain(out.payload);
    to.write_all_buf(&mut frame).await?;
    to.flush().await
}
