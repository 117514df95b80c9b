//! Takes chunks of bytes as they pass. Gives JSON-RPC messages: their kind, their id and where a context fits in.
//! Never copies a payload, never recurses, never fails on a peer's mistake: `Malformed` is an answer like any other.

pub mod id;
pub mod line;
pub mod message;
pub mod scan;
pub mod sse;
pub mod text;
pub mod websocket;

mod fuzz;
mod grammar;

pub use fuzz::{fuzz_jsonrpc, fuzz_lines, fuzz_sse, fuzz_websocket};
pub use id::Id;
pub use message::{Kind, Message, Shape, Slot};
pub use scan::{Malformed, Scanner};
