//! Takes a command line. Gives a client that spawned it with pipes and then does nothing, until it is killed
//! or its own input ends.
//! Never cleans up: what is left when a client dies is what tests look at.
//!
//!     scripted-client PID_FILE COMMAND ARG...

use std::io::{self, Read};
use std::process::{Command, ExitCode, Stdio};

fn main() -> ExitCode {
    match hold() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("scripted-client: {error}");
            ExitCode::FAILURE
        }
    }
}

fn hold() -> io::Result<()> {
    let mut args = std::env::args_os().skip(1);
    let pid_file = args.next().ok_or(io::ErrorKind::InvalidInput)?;
    let command = args.next().ok_or(io::ErrorKind::InvalidInput)?;
    let mut child = Command::new(command)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    std::fs::write(pid_file, format!("{}\n", child.id()))?;
    io::stdin().read_to_end(&mut Vec::new())?;
    drop(child.stdin.take());
    child.wait()?;
    Ok(())
}
