//! Takes what shall go on over a client connection when HTTP has ended on it: a WebSocket. Gives it to the connection,
//! which owns it and waits for its end.
//! Never runs it by itself.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncWrite};

/// The stream of a connection.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Io for S {}

type Goes = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What goes on with the client's stream.
pub(crate) type GoesOn = Box<dyn FnOnce(Box<dyn Io>) -> Goes + Send>;

/// Where a request of the connection leaves what goes on.
#[derive(Clone, Default)]
pub(crate) struct Onward(Arc<Mutex<Option<GoesOn>>>);

impl Onward {
    /// It goes on with this once the answer, which must be 101, has been sent.
    pub fn set<F>(&self, goes: impl FnOnce(Box<dyn Io>) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let goes: GoesOn = Box::new(move |stream| Box::pin(goes(stream)));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(goes);
    }

    pub fn take(&self) -> Option<GoesOn> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl fmt::Debug for Onward {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Onward")
    }
}
