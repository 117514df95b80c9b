//! Takes addresses. Gives streams of bytes: accepted from clients, dialled to servers, over TCP or a Unix socket, with TLS
//! or without.
//! Never knows what the bytes mean: neither HTTP nor MCP.

mod address;
mod dial;
mod listen;
mod network;
mod stream;
mod subject;
pub mod tls;

pub use address::{Address, Endpoint, unix_path};
pub use dial::{Alpn, DialError, Dialed, Dialer, HttpChoice};
pub use listen::Listener;
pub use network::Network;
pub use stream::{Fingerprint, Socket, Stream};
pub use subject::SubjectNames;
