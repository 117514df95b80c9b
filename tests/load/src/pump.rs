//! Takes a command. Gives a hop over pipes that copies bytes and does nothing else.
//! Never looks at a byte: it is the bar that the sidecar over stdio is measured against.

use std::io::{Read, Write};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result};

pub fn run(command: &[String]) -> Result<ExitCode> {
    let (program, arguments) = command.split_first().context("no command given")?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {program}"))?;
    let to_child = child.stdin.take().context("no pipe to the child")?;
    let from_child = child.stdout.take().context("no pipe from the child")?;
    // The file behind standard output is used as it is: a line-buffered one would copy twice.
    let out = std::fs::OpenOptions::new()
        .write(true)
        .open("/proc/self/fd/1")?;
    let input = std::fs::File::open("/proc/self/fd/0")?;
    std::thread::spawn(move || copy(input, to_child));
    copy(from_child, out);
    let code = child.wait()?.code().unwrap_or(1);
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}

/// Ends at the first end of file or error, which closes the writer: that is how EOF travels.
fn copy(mut from: impl Read, mut to: impl Write) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match from.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(read) => {
                if to
                    .write_all(buffer.get(..read).unwrap_or_default())
                    .is_err()
                {
                    return;
                }
            }
        }
    }
}
