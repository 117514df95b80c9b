//! Takes bytes as one direction of a WebSocket connection. Gives nothing: it panics when they come out changed, or when
//! the way they were cut into chunks changes what is seen.
//! Never checks anything itself: the promises stand beside the code that makes them.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| toolspan::frame::fuzz_websocket(bytes));
