//! Takes one scenario that the suite plays as a server, from its environment and command line. Gives its URL to the
//! fixture client, with a path of its own in between, and how the client came out of it.
//! Never plays itself: the fixture client is one process for all scenarios, because its start costs a second.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::Path;
use super::way::Way;

/// Names of the variables that lead here through the suite.
pub(super) const CLIENT: &str = "TOOLSPAN_CONFORMANCE_CLIENT";
pub(super) const SOCKET: &str = "TOOLSPAN_CONFORMANCE_SOCKET";
pub(super) const PATH: &str = "TOOLSPAN_CONFORMANCE_PATH";

/// Plays one scenario against `url`. Gives two lines: how it ended, and what was raised.
///
/// # Errors
/// When the suite or the fixture client says something that cannot be understood.
///
/// # Panics
/// When a hop of the path lost something.
pub fn play(url: &str) -> Result<[String; 2]> {
    let name = variable(PATH)?;
    let path = Path::named(&name).with_context(|| format!("no path is called {name}"))?;
    let (authority, rest) = split(url)?;
    let port = authority.rsplit(':').next().unwrap_or_default();
    let way = Way::start(path, &format!("http://127.0.0.1:{port}"));
    let scenario = variable("MCP_CONFORMANCE_SCENARIO")?;
    let context = std::env::var("MCP_CONFORMANCE_CONTEXT").unwrap_or_else(|_| "{}".to_owned());
    let mut given = json!({
        "scenario": scenario,
        "version": variable("MCP_CONFORMANCE_PROTOCOL_VERSION")?,
        "context": serde_json::from_str::<Value>(&context)?,
        "url": url,
    });
    if let Some(address) = way.address() {
        // A protected server says what its own URL is, and a client must refuse it under another. Such a
        // server is reached under its own URL, by a connection that leads to the hop, as in a pod.
        if scenario.starts_with("auth/") {
            given["connect"] = json!(address.to_string());
        } else {
            given["url"] = json!(format!("http://{address}{rest}"));
        }
    }
    let answer = ask(&given)?;
    way.stop();
    Ok(["ended", "detail"].map(|name| answer[name].as_str().unwrap_or_default().to_owned()))
}

fn ask(given: &Value) -> Result<Value> {
    let mut stream = UnixStream::connect(variable(SOCKET)?)?;
    writeln!(stream, "{given}")?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    serde_json::from_str(&line).with_context(|| format!("the fixture client said {line:?}"))
}

fn split(url: &str) -> Result<(&str, &str)> {
    let Some(rest) = url.strip_prefix("http://") else {
        bail!("{url} is not of http");
    };
    Ok(rest.split_at(rest.find('/').unwrap_or(rest.len())))
}

pub(super) fn variable(name: &str) -> Result<String> {
    std::env::var(name).with_context(|| format!("{name} is not set"))
}
