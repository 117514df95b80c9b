//! Takes nothing. Gives the numbers of HTTP that both sides of a hop use.
//! Never depends on a peer.

/// Header lines of one message of HTTP/1.1; `max_header_bytes` bounds what a client's may hold in all.
pub(super) const MAX_HEADERS: usize = 1024;

/// Exchanges that a client may have on one connection.
pub(super) const MAX_STREAMS: u32 = 256;

/// Bytes of one stream that may be on the way or wait here: what a stalled reader costs.
pub(super) const STREAM_WINDOW: u32 = 256 * 1024;

/// As much as all streams together: one that stalls never holds up another.
pub(super) const CONNECTION_WINDOW: u32 = MAX_STREAMS * STREAM_WINDOW;

/// Bytes of one stream that may wait to be written.
pub(super) const SEND_BUFFER: usize = 128 * 1024;
