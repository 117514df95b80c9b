//! Takes bytes as an event stream. Gives nothing: it panics when the way it was cut into chunks changes its events.
//! Never checks anything itself: the promises stand beside the code that makes them.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| toolspan::frame::fuzz_sse(bytes));
