//! Takes a hop with a scripted server behind it. Gives it clients that are killed in the middle of a stream.
//! Never ends a client kindly: SIGKILL, once the server has its call.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::probe::Control;
use crate::report;
use crate::session::{Endpoint, Session, tool_call};

/// Kills `count` clients, so many at a time.
pub fn run(endpoint: &Endpoint, control: &PathBuf, count: u32, at_once: u32) -> Result<()> {
    let control = Control::listen(control)?;
    let mut killed = 0;
    while killed < count {
        let batch = at_once.min(count - killed);
        let mut victims = (0..batch)
            .map(|_| spawn(endpoint))
            .collect::<Result<Vec<Child>>>()?;
        let reached = (0..batch)
            .map(|_| control.accept())
            .collect::<Result<Vec<_>>>();
        for victim in &mut victims {
            victim.kill()?;
            victim.wait()?;
        }
        // The servers learn of the death before they are let go on.
        drop(reached.with_context(|| format!("after {killed} killed clients"))?);
        killed += batch;
    }
    report::print(&format!(r#"{{"killed":{killed}}}"#))
}

fn spawn(endpoint: &Endpoint) -> Result<Child> {
    Command::new(std::env::current_exe()?)
        .args(["victim", "--to", &endpoint.to.to_string()])
        .args(["--path", &endpoint.path, "--prefix", &endpoint.prefix])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .context("cannot start a client")
}

/// Opens a stream and reads it until it is killed.
pub fn victim(endpoint: &Endpoint) -> Result<()> {
    let mut session = Session::open(endpoint)?;
    session.set_patience(Duration::from_secs(60))?;
    let meta = r#","_meta":{"progressToken":1}"#;
    session.send(&tool_call(endpoint, 1, "stream", "{}", meta), "")?;
    session.read_whole()
}
