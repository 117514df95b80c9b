//! Takes what was accepted or dialled. Gives one type for it, so that the path knows no kinds.
//! Never boxes what is read and written for every message but TLS, whose state is large.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use ring::digest;
use rustix::net::sockopt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsStream;

use super::subject::SubjectNames;

/// A host is asked whether it is there after this silence, so often, and is gone after so many questions.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(15);
const KEEPALIVE_TIMES: u32 = 6;

/// A connection as the system has it.
#[derive(Debug)]
pub enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    /// A TCP connection that sends at once, and ends when its peer's host is gone without a word: it is the systems that
    /// ask each other, so that a peer that is merely busy keeps it.
    ///
    /// # Errors
    /// When the connection has ended already.
    pub fn tcp(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        sockopt::set_tcp_keepidle(&stream, KEEPALIVE_AFTER)?;
        sockopt::set_tcp_keepintvl(&stream, KEEPALIVE_EVERY)?;
        sockopt::set_tcp_keepcnt(&stream, KEEPALIVE_TIMES)?;
        sockopt::set_socket_keepalive(&stream, true)?;
        Ok(Self::Tcp(stream))
    }
}

/// A connection as HTTP has it.
#[derive(Debug)]
pub enum Stream {
    Plain(Socket),
    Tls(Box<TlsStream<Socket>>),
}

/// The same call on whatever stands inside.
macro_rules! on {
    ($enum:ident, $self:expr, $first:ident, $second:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            $enum::$first($stream) => {
                let $stream = Pin::new($stream);
                $call
            }
            $enum::$second($stream) => {
                let $stream = Pin::new($stream);
                $call
            }
        }
    };
}

macro_rules! stream {
    ($enum:ident, $first:ident, $second:ident) => {
        impl AsyncRead for $enum {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                on!($enum, self, $first, $second, stream => stream.poll_read(cx, buf))
            }
        }

        impl AsyncWrite for $enum {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                on!($enum, self, $first, $second, stream => stream.poll_write(cx, buf))
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                on!($enum, self, $first, $second, stream => stream.poll_write_vectored(cx, bufs))
            }

            fn is_write_vectored(&self) -> bool {
                match self {
                    Self::$first(stream) => stream.is_write_vectored(),
                    Self::$second(stream) => stream.is_write_vectored(),
                }
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                on!($enum, self, $first, $second, stream => stream.poll_flush(cx))
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                on!($enum, self, $first, $second, stream => stream.poll_shutdown(cx))
            }
        }
    };
}

stream!(Socket, Tcp, Unix);
stream!(Stream, Plain, Tls);

/// The SHA-256 of a certificate: what tells two of them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    #[must_use]
    pub fn of(certificate: &[u8]) -> Option<Self> {
        let hash = digest::digest(&digest::SHA256, certificate);
        hash.as_ref().try_into().ok().map(Self)
    }
}

impl Stream {
    /// The certificate that the other side has shown, if it has.
    #[must_use]
    pub fn certificate(&self) -> Option<(Fingerprint, SubjectNames)> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(stream) => {
                let shown = stream.get_ref().1.peer_certificates()?.first()?;
                Some((Fingerprint::of(shown)?, SubjectNames::of(shown)))
            }
        }
    }

    /// The protocol that the TLS handshake agreed on, if there was one and it did.
    #[must_use]
    pub fn alpn(&self) -> Option<&[u8]> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(stream) => stream.get_ref().1.alpn_protocol(),
        }
    }
}
