//! Takes bytes on standard input. Gives the bytes of a file on standard output, and keeps what it was sent.
//! Never looks into a byte: what it keeps is what arrived.
//!
//!     scripted-server RECORD [REPLAY]
//!
//! Copies standard input to the file RECORD until it ends; meanwhile writes the file REPLAY to standard output.

use std::fs::File;
use std::io;
use std::process::ExitCode;

fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("scripted-server: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> io::Result<()> {
    let mut args = std::env::args_os().skip(1);
    let record = args.next().ok_or(io::ErrorKind::InvalidInput)?;
    let replay = args.next().map(File::open).transpose()?;
    let writer = std::thread::spawn(move || match replay {
        Some(mut file) => io::copy(&mut file, &mut io::stdout().lock()).map(drop),
        None => Ok(()),
    });
    let mut record = File::create(record)?;
    io::copy(&mut io::stdin().lock(), &mut record)?;
    record.sync_all()?;
    writer.join().map_err(|_| io::ErrorKind::Other)?
}
