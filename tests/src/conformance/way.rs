//! Takes a path and the origin at its end. Gives the address at its beginning, and the ledgers of its hops.
//! Never lets a hop end unnoticed: what it saw is accounted for, and its log has no error.

use std::net::SocketAddr;

use super::Path;
use crate::otlp::{Mode, Receiver};
use crate::sidecar::{Proxy, argument};
use crate::wire::certs::Authority;

/// The running hops of a path, the first one first.
pub(super) struct Way {
    hops: Vec<Proxy>,
    receiver: Receiver,
}

impl Way {
    /// Starts what stands between a client and `origin`; nothing when the path is the direct one.
    pub(super) fn start(path: Path, origin: &str) -> Self {
        let receiver = Receiver::start(Mode::Discard);
        let collector = receiver.grpc_url();
        let options = ["--otlp-endpoint", collector.as_str()];
        let hops = match path {
            Path::Direct => Vec::new(),
            Path::Sidecar => vec![Proxy::start(origin, &options)],
            Path::Chain => chain(origin, &options),
            Path::Bridge => panic!("a bridge has no server behind it, but a command"),
        };
        Self { hops, receiver }
    }

    /// Starts a hop that serves a command over HTTP, with variables of the environment.
    pub(super) fn bridge(command: &[&str], env: &[(&str, &str)]) -> Self {
        let receiver = Receiver::start(Mode::Discard);
        let collector = receiver.grpc_url();
        let options = ["--otlp-endpoint", collector.as_str()];
        let hops = vec![Proxy::serving(command, &options, env)];
        Self { hops, receiver }
    }

    /// Where a client connects to, unless it goes to the origin itself.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.hops.first().map(Proxy::address)
    }

    /// Ends the hops in order and gives how many calls the first one saw.
    ///
    /// # Panics
    /// When a hop lost a call, or logged an error.
    pub(super) fn stop(self) -> u64 {
        let mut seen = Vec::new();
        for hop in self.hops {
            let (summary, log) = hop.stop_and_keep_log();
            log.assert_none_at("ERROR");
            summary.assert_conserved();
            assert_eq!(summary.dropped(), 0, "{}", log.text());
            seen.push(summary.count("calls_seen"));
        }
        drop(self.receiver);
        seen.first().copied().unwrap_or(0)
    }
}

/// HTTP/1.1, then HTTP/2 over TLS, then HTTP/1.1.
fn chain(origin: &str, options: &[&str]) -> Vec<Proxy> {
    let authority = Authority::default();
    let identity = authority.issue("server", &["127.0.0.1"]);
    let (cert, key) = (argument(&identity.cert), argument(&identity.key));
    let tls = [options, &["--tls-cert", cert, "--tls-key", key]].concat();
    let second = Proxy::start(origin, &tls);
    let ca = authority.file();
    let trust = ["--upstream-http", "2", "--upstream-ca", argument(&ca)];
    let first = Proxy::start(
        &format!("https://{}", second.address()),
        &[options, &trust].concat(),
    );
    vec![first, second]
}
