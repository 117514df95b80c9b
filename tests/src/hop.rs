//! Takes a script for a server. Gives a sidecar in front of it, with a collector on its third side.
//! Never sends anything by itself.

use crate::http_client::HttpClient;
use crate::http_peer::{Answer, HttpPeer, Request};
use crate::otlp::{Mode, Receiver};
use crate::sidecar::Proxy;

/// A sidecar with a server and a collector of ours on its other sides.
pub struct Hop {
    pub upstream: HttpPeer,
    pub receiver: Receiver,
    pub proxy: Proxy,
}

/// Answers each call by an empty result.
#[must_use]
pub fn empty_result(_: &Request) -> Answer {
    Answer::json(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#)
}

/// A hop whose collector takes everything.
///
/// # Panics
/// When it does not start.
#[must_use]
pub fn hop(script: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Hop {
    Hop::start(Mode::Accept, script)
}

impl Hop {
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(
        collector: Mode,
        script: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let upstream = HttpPeer::start(script).expect("a port on loopback");
        let receiver = Receiver::start(collector);
        let proxy = Proxy::start(
            &upstream.url(""),
            &["--otlp-endpoint", &receiver.grpc_url()],
        );
        Self {
            upstream,
            receiver,
            proxy,
        }
    }

    /// # Panics
    /// When the sidecar does not listen.
    #[must_use]
    pub fn client(&self) -> HttpClient {
        HttpClient::connect(self.proxy.address()).expect("the sidecar listens")
    }

    /// The one request that has arrived at the server since the last look.
    ///
    /// # Panics
    /// When there is none, or more.
    #[must_use]
    pub fn arrived(&self) -> Request {
        let mut requests = self.upstream.take_requests();
        assert_eq!(requests.len(), 1);
        requests.remove(0)
    }

    /// The outcomes of so many calls, as exported.
    #[must_use]
    pub fn outcomes(&self, count: usize) -> Vec<String> {
        let spans = self.receiver.wait_for_calls(count);
        let mut outcomes: Vec<String> = spans
            .iter()
            .map(|span| span.text("toolspan.outcome").to_owned())
            .collect();
        outcomes.sort();
        outcomes
    }

    /// Ends the sidecar: so many calls were seen, and each is accounted for.
    ///
    /// # Panics
    /// When one is not.
    pub fn stop(self, seen: u64) {
        let summary = self.proxy.stop();
        summary.assert_conserved();
        assert_eq!(summary.count("calls_seen"), seen);
    }
}
