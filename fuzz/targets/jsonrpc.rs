//! Takes bytes as one body of JSON-RPC. Gives nothing: it panics when the scanner or the splice breaks a promise.
//! Never checks anything itself: the promises stand beside the code that makes them.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| toolspan::frame::fuzz_jsonrpc(bytes));
