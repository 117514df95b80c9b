//! Takes connections, one after another. Gives each the head of an event stream and one event, and holds it open.
//! Never sends another byte: what idle streams cost is what it is for.
//!
//!     idle-server
//!
//! Prints HOST:PORT and ends when its standard input does.

use std::io::{self, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use tests::http_wire::{read_body, read_head, write_chunk, write_message};
use tests::kernel::raise_descriptor_limit;

/// A client that opens a connection and says nothing must not hold up the rest.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    raise_descriptor_limit();
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("idle-server: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    writeln!(io::stdout(), "{}", listener.local_addr()?)?;
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for stream in listener.incoming() {
            // One connection that fails is the client's loss, not the other streams'.
            if let Ok(stream) = stream.and_then(begin) {
                held.push(stream);
            }
        }
    });
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Reads one request and begins the stream that answers it.
fn begin(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(stream);
    let head = read_head(&mut reader)?.ok_or(io::ErrorKind::UnexpectedEof)?;
    read_body(&mut reader, &head, false)?;
    let mut stream = reader.into_inner();
    let headers = [
        ("content-type", "text/event-stream"),
        ("cache-control", "no-cache"),
        ("transfer-encoding", "chunked"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    write_message(&mut stream, "HTTP/1.1 200 OK", &headers, None)?;
    write_chunk(&mut stream, b": open\n\n")?;
    Ok(stream)
}
