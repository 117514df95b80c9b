//! Takes a requirement set, a side and a path. Gives what the official conformance suite finds there, check by check.
//! Never judges a check itself: what must hold is that every path gives what the direct one gives.

mod child;
mod client;
mod compare;
mod fixture;
mod found;
mod suite;
mod way;

pub use child::stand_in;
pub use client::play;
pub use compare::{Comparison, compare};
pub use found::{Found, Key};
pub use suite::run;

/// A revision of the protocol whose required scenarios are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requirements {
    November2025,
    July2026,
}

/// Which side the suite plays against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The suite is the client.
    Server,
    /// The suite is the server.
    Client,
}

/// What stands between client and server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    Direct,
    /// One hop over HTTP/1.1.
    Sidecar,
    /// Two hops with HTTP/2 over TLS between them.
    Chain,
    /// A hop that serves the fixture server's standard input and output over HTTP.
    Bridge,
}

impl Requirements {
    pub const ALL: [Self; 2] = [Self::November2025, Self::July2026];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::November2025 => "2025-11-25",
            Self::July2026 => "2026-07-28",
        }
    }
}

impl Side {
    pub const ALL: [Self; 2] = [Self::Server, Self::Client];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
        }
    }
}

impl Path {
    pub const ALL: [Self; 4] = [Self::Direct, Self::Sidecar, Self::Chain, Self::Bridge];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Sidecar => "sidecar",
            Self::Chain => "chain",
            Self::Bridge => "bridge",
        }
    }

    /// Whether there is a scenario of this side for it: the suite's own servers speak HTTP only.
    #[must_use]
    pub fn is_for(self, side: Side) -> bool {
        self != Self::Bridge || side == Side::Server
    }

    /// The path of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|path| path.name() == name)
    }
}
