//! Takes the bytes of one transport as they pass. Gives them on at once, and to the calls what they mean.
//! Never holds traffic for telemetry: what cannot be understood is forwarded as it came.

pub mod bridge;
mod duplex;
pub mod http;
pub mod stdio;
