//! Takes bytes as what a child writes to a pipe. Gives nothing: it panics when a byte changes or a line is missed.
//! Never checks anything itself: the promises stand beside the code that makes them.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| toolspan::frame::fuzz_lines(bytes));
