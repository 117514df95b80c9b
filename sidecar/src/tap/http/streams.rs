//! Takes the streams of an HTTP/2 connection. Gives each a task of its own, and its pace.
//! Never lets one that the client has stalled stand for ever: it is reset, and no other with it.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::rt::Executor;
use tracing::debug;

use super::body::ResponseBody;
use super::guard::Bounds;
use super::pace::{Clocks, Pace};
use super::paced::{ClientBody, PacedAnswer};
use crate::counters::Counters;

/// The streams of one connection.
#[derive(Debug, Clone)]
pub(super) struct Streams {
    bounds: Bounds,
    counters: Arc<Counters>,
    /// That of the exchange whose task comes next: the HTTP library asks for the answer, and has the exchange executed
    /// before it takes another.
    next: Arc<Mutex<Option<Arc<Pace>>>>,
}

impl Streams {
    pub fn new(bounds: Bounds, counters: Arc<Counters>) -> Self {
        Self {
            bounds,
            counters,
            next: Arc::default(),
        }
    }

    /// Begins an exchange, which is executed next.
    pub fn begin(&self, request: Request<Incoming>) -> (Request<ClientBody>, Arc<Pace>) {
        let pace = Arc::new(Pace::default());
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&pace));
        (request.map(|body| ClientBody::paced(body, &pace)), pace)
    }
}

/// The answer, at the client's pace.
pub(super) async fn at_pace<E>(
    answer: impl Future<Output = Result<Response<ResponseBody>, E>>,
    pace: Arc<Pace>,
) -> Result<Response<PacedAnswer>, E> {
    let answer = answer.await?;
    Ok(answer.map(|body| PacedAnswer::new(body, pace)))
}

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, exchange: F) {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        match next.take() {
            Some(pace) => {
                let counters = Arc::clone(&self.counters);
                tokio::spawn(run(exchange, pace, self.bounds, counters));
            }
            // What is left of an exchange that has ended as HTTP.
            None => {
                tokio::spawn(exchange);
            }
        }
    }
}

/// Runs an exchange to its end; one that is dropped before is reset.
async fn run(
    exchange: impl Future<Output = ()>,
    pace: Arc<Pace>,
    bounds: Bounds,
    counters: Arc<Counters>,
) {
    let (mut exchange, mut clocks) = (pin!(exchange), Clocks::default());
    let ended = poll_fn(|cx| clocks.poll(&pace, &bounds, exchange.as_mut(), cx)).await;
    if let Err(slow) = ended {
        counters.refuse(slow);
        debug!(why = ?slow, "stream reset");
    }
}
