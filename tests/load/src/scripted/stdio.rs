//! Takes MCP over standard input. Gives the script's replies on standard output, a line each.
//! Never lets a held stream keep other calls waiting: it has a thread of its own.

use std::io::{BufRead, BufReader, Write};

use anyhow::Result;

use super::hold::Orders;
use super::{Reply, reply_to};

pub fn run(orders: &Orders) -> Result<()> {
    let mut input = BufReader::with_capacity(64 * 1024, std::io::stdin().lock());
    let mut recorder = orders.recorder()?;
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line)? > 0 {
        let message = line.trim_ascii_end();
        recorder.note(message)?;
        match reply_to(message) {
            // What is not JSON-RPC has no id to answer to.
            Err(_) | Ok(Reply::Nothing) => {}
            Ok(Reply::One(answer) | Reply::Welcome(answer)) => write(&answer)?,
            Ok(Reply::Held { event, answer }) => {
                let orders = orders.clone();
                std::thread::spawn(move || {
                    // A reader that went away ends this process by its standard input.
                    let _ = write(&event);
                    orders.wait_blocking();
                    let _ = write(&answer);
                });
            }
            Ok(Reply::Events {
                event,
                count,
                answer,
            }) => {
                for _ in 0..count {
                    write(&event)?;
                }
                write(&answer)?;
            }
        }
        line.clear();
    }
    Ok(())
}

/// A line is one write: standard output is flushed with it.
fn write(message: &[u8]) -> Result<()> {
    let mut output = std::io::stdout().lock();
    output.write_all(&[message, b"\n"].concat())?;
    Ok(output.flush()?)
}
