//! Takes nothing. Gives the numbers of HTTP/2 that both sides of a hop use.
//! Never depends on a peer.

/// Exchanges that a client may have on one connection.
pub(super) const MAX_STREAMS: u32 = 256;

/// Bytes of one stream that may be on the way or wait here: what a stalled reader costs.
pub(super) const STREAM_WINDOW: u32 = 256 * 1024;

/// As much as all streams together: one that stalls never holds up another.
pub(super) const CONNECTION_WINDOW: u32 = MAX_STREAMS * STREAM_WINDOW;

/// Bytes of one stream that may wait to be written.
pub(super) const SEND_BUFFER: usize = 128 * 1024;
