//! Takes the command line that every peer of the SDK matrix has, behind the part to play. Gives that part on `rmcp`.
//! Never prints what differs from run to run: no times, no ids, no ports.
//!
//!     rmcp-sdk server stdio
//!     rmcp-sdk server http --port-file FILE
//!     rmcp-sdk client --transport stdio|http --era legacy|modern --traceparent T --script JSON (--url URL | -- COMMAND ARG...)

mod client;
mod server;

use anyhow::{Result, bail};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("server") => server::run(&arguments.collect::<Vec<_>>()).await,
        Some("client") => client::run(arguments).await,
        other => bail!("the part must be client or server, not {other:?}"),
    }
}
