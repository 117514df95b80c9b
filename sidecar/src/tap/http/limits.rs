//! Takes nothing. Gives the numbers of HTTP/2 that both sides of a hop use.
//! Never depends on a peer.

use std::time::Duration;

/// Exchanges that a client may have on one connection.
pub(super) const MAX_STREAMS: u32 = 256;

/// Bytes of one stream that may be on the way or wait here: what a stalled reader costs.
pub(super) const STREAM_WINDOW: u32 = 256 * 1024;

/// As much as all streams together: one that stalls never holds up another.
pub(super) const CONNECTION_WINDOW: u32 = MAX_STREAMS * STREAM_WINDOW;

/// Bytes of one stream that may wait to be written.
pub(super) const SEND_BUFFER: usize = 128 * 1024;

/// A peer that is gone without a word is noticed after both together.
pub(super) const PING_EVERY: Duration = Duration::from_secs(60);
pub(super) const PING_ANSWER: Duration = Duration::from_secs(20);
