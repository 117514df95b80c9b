//! Takes the part to play. Gives an MCP client or server on the `rmcp` crate, over pipes.
//! Never stands in for the peers of the tests: the demo uses it where Python or Node is missing.
//!
//!     rmcp-peer server
//!     rmcp-peer client [--mode legacy|modern] [--service-name NAME] -- COMMAND ARG... < script.json
//!
//! The client takes the scripts of `tests/python/mcp_client.py` and prints the same lines; the server has
//! the tools of `tests/python/mcp_server.py`. Both export their own spans when OTEL_EXPORTER_OTLP_ENDPOINT
//! says where to.

mod client;
mod server;
mod spans;

use anyhow::{Result, bail};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("server") => server::run().await,
        Some("client") => client::run(arguments).await,
        other => bail!("the part must be client or server, not {other:?}"),
    }
}
