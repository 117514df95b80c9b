//! Takes both programs as they are built. Gives the stories that must be true of them, end to end.
//! Never shares anything between tests but the ClickHouse engine: they run at the same time.

mod ack_trace;
mod bridge;
mod bytes;
mod conformance;
mod crash;
mod faults;
mod house;
mod kill_switch;
mod life;
mod matrix;
mod names;
mod outcome;
mod process;
mod resume;
mod sse_legacy;
mod stores;
mod story;
mod tenants;
mod websocket;
mod wire;
