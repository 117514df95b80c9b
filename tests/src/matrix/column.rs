//! Takes the ways MCP travels. Gives a column of the table each: a transport and the era spoken over it.
//! Never names an SDK: who speaks what is said in `sdk`.

/// How messages travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Stdio,
    Http,
    Sse,
    WebSocket,
}

impl Transport {
    /// Its name on the command line of every peer.
    #[must_use]
    pub fn argument(self) -> &'static str {
        match self {
            Self::Stdio => "stdio",
            Self::Http => "http",
            Self::Sse => "sse",
            Self::WebSocket => "ws",
        }
    }

    /// Where a server of this address is found.
    #[must_use]
    pub fn url(self, address: &str) -> String {
        match self {
            Self::Stdio => String::new(),
            Self::Http => format!("http://{address}/mcp"),
            Self::Sse => format!("http://{address}/sse"),
            Self::WebSocket => format!("ws://{address}/ws"),
        }
    }
}

/// Which handshake opens the conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Era {
    /// `initialize`, up to 2025-11-25.
    Legacy,
    /// 2026-07-28.
    Modern,
}

impl Era {
    #[must_use]
    pub fn argument(self) -> &'static str {
        match self {
            Self::Legacy => "legacy",
            Self::Modern => "modern",
        }
    }
}

/// How toolspan comes between the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// `toolspan stdio -- COMMAND`, started by the client.
    Wrapped,
    /// `toolspan http --upstream URL`
    Proxied,
    /// `toolspan http -- COMMAND`: the client speaks HTTP, the server stdio.
    Bridged,
}

/// A column of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    StdioLegacy,
    StdioModern,
    HttpLegacy,
    HttpModern,
    Sse,
    WebSocket,
    BridgeLegacy,
    BridgeModern,
    BridgeSse,
    BridgeWebSocket,
}

impl Column {
    /// What toolspan carries, in the order of the table: a transport gets its column with its name here.
    pub const ALL: [Self; 10] = [
        Self::StdioLegacy,
        Self::StdioModern,
        Self::HttpLegacy,
        Self::HttpModern,
        Self::Sse,
        Self::WebSocket,
        Self::BridgeLegacy,
        Self::BridgeModern,
        Self::BridgeSse,
        Self::BridgeWebSocket,
    ];

    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::StdioLegacy => "stdio, legacy",
            Self::StdioModern => "stdio, 2026-07-28",
            Self::HttpLegacy => "HTTP, legacy",
            Self::HttpModern => "HTTP, 2026-07-28",
            Self::Sse => "HTTP+SSE",
            Self::WebSocket => "WebSocket",
            Self::BridgeLegacy => "HTTP to stdio, legacy",
            Self::BridgeModern => "HTTP to stdio, 2026-07-28",
            Self::BridgeSse => "HTTP+SSE to stdio",
            Self::BridgeWebSocket => "WebSocket to stdio",
        }
    }

    /// What the client speaks.
    #[must_use]
    pub fn transport(self) -> Transport {
        match self {
            Self::StdioLegacy | Self::StdioModern => Transport::Stdio,
            Self::HttpLegacy | Self::HttpModern | Self::BridgeLegacy | Self::BridgeModern => {
                Transport::Http
            }
            Self::Sse | Self::BridgeSse => Transport::Sse,
            Self::WebSocket | Self::BridgeWebSocket => Transport::WebSocket,
        }
    }

    #[must_use]
    pub fn era(self) -> Era {
        match self {
            Self::StdioModern | Self::HttpModern | Self::BridgeModern => Era::Modern,
            _ => Era::Legacy,
        }
    }

    #[must_use]
    pub fn way(self) -> Way {
        match self {
            Self::StdioLegacy | Self::StdioModern => Way::Wrapped,
            Self::HttpLegacy | Self::HttpModern | Self::Sse | Self::WebSocket => Way::Proxied,
            Self::BridgeLegacy | Self::BridgeModern | Self::BridgeSse | Self::BridgeWebSocket => {
                Way::Bridged
            }
        }
    }
}
