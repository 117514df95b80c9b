//! Takes the carriers of a request (`_meta`, header, environment). Gives the place of its call in a trace and the
//! edits that write the outgoing context into the message.
//! Never mixes carriers: a `tracestate` counts only beside the `traceparent` it came with.

pub mod context;
pub mod splice;

pub use context::{Carrier, Decision, decide};
pub use splice::plan;
