//! Takes nothing from the programs under test but their command lines and their bytes.
//! Gives scripted peers: what stands at the other ends of a sidecar or a collector in a test.
//! Never shares code with the programs it judges.

pub mod programs;

pub mod process;

pub mod kernel;

pub mod descendants;

pub mod http_wire;

pub mod http_client;

pub mod http_peer;

pub mod websocket;

pub mod wire;

pub mod otlp;

pub mod engine;

pub mod collector;

pub mod sidecar;

pub mod hop;

pub mod fleet;

pub mod python;

pub mod node;

pub mod conformance;

pub mod generate;

pub mod splice;

pub mod matrix;
