//! Takes addresses, certificates and scripts. Gives clients and servers that speak HTTP/1.1 and HTTP/2, over TCP, TLS and
//! Unix sockets.
//! Never falls back: what was asked for is spoken, or there is an error.

pub mod certs;
pub mod client;
pub mod server;

use std::sync::OnceLock;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Runtime;

/// A version of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    One,
    Two,
}

/// A connection of any kind.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// The path of `unix:/path`.
#[must_use]
pub fn unix_path(at: &str) -> Option<&str> {
    at.strip_prefix("unix:")
}

/// Drives the peers of all tests of this process.
fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime")
    })
}
