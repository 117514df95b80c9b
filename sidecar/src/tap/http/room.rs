//! Takes a listener. Gives its next connection once there is a place for it.
//! Never turns a client away: it waits where the system keeps those who are not accepted yet.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::warn;

use crate::clock;
use crate::counters::Counters;
use crate::wire::{Listener, Socket};

/// How often it is said that there is no place.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// The places of all connections, and what is counted about them.
#[derive(Debug)]
pub struct Room {
    places: Arc<Semaphore>,
    pub(super) counters: Arc<Counters>,
    said: Mutex<Option<Instant>>,
}

/// Held as long as a connection is open.
#[derive(Debug)]
pub(super) struct Place(
    #[expect(dead_code, reason = "given back when dropped")] OwnedSemaphorePermit,
);

impl Room {
    #[must_use]
    pub fn new(places: usize, counters: Arc<Counters>) -> Self {
        Self {
            places: Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS))),
            counters,
            said: Mutex::default(),
        }
    }

    /// The next connection; dropped while it waits, it has taken none.
    pub(super) async fn accept(
        &self,
        listener: &Listener,
    ) -> io::Result<(Socket, Option<SocketAddr>, Place)> {
        let places = Arc::clone(&self.places);
        let place = match Arc::clone(&places).try_acquire_owned() {
            Ok(place) => place,
            Err(_) => {
                self.is_full();
                places.acquire_owned().await.map_err(io::Error::other)?
            }
        };
        let (socket, address) = listener.accept().await?;
        Ok((socket, address, Place(place)))
    }

    fn is_full(&self) {
        Counters::add(&self.counters.connections_waited, 1);
        let now = clock::instant();
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.is_none_or(|said| now.saturating_duration_since(said) >= SAY_EVERY) {
            *said = Some(now);
            warn!("no more connections are accepted: max_connections are open");
        }
    }
}
