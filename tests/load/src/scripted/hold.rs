//! Takes where the bench listens and where it wants messages written down. Gives both to a server's script.
//! Never waits for a bench that is not there: then a held stream goes on at once.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;

/// What a scripted server is told by its bench.
#[derive(Args, Clone, Default)]
pub struct Orders {
    /// Append every message as it came to this file, each with a NUL behind it.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Connect to this Unix socket when a stream is held, and go on when that connection ends.
    #[arg(long, value_name = "SOCKET")]
    control: Option<PathBuf>,
    /// Hold every stream until its client goes away.
    #[arg(long, conflicts_with = "control")]
    forever: bool,
}

impl Orders {
    pub fn recorder(&self) -> Result<Recorder> {
        let open = |path: &PathBuf| {
            OpenOptions::new()
                .create(true)
                .append(true)
                .open(path)
                .with_context(|| format!("cannot write {}", path.display()))
        };
        Ok(Recorder(self.record.as_ref().map(open).transpose()?))
    }

    /// Ends when the bench lets the stream go on.
    pub async fn wait(&self) {
        if self.forever {
            return std::future::pending().await;
        }
        let Some(control) = &self.control else { return };
        if let Ok(mut bench) = UnixStream::connect(control).await {
            let _ = bench.read_to_end(&mut Vec::new()).await;
        }
    }

    /// The same for a thread of its own.
    pub fn wait_blocking(&self) {
        let Some(control) = &self.control else { return };
        if let Ok(mut bench) = std::os::unix::net::UnixStream::connect(control) {
            let _ = std::io::copy(&mut bench, &mut std::io::sink());
        }
    }
}

/// Keeps the very bytes that arrived.
pub struct Recorder(Option<File>);

impl Recorder {
    pub fn note(&mut self, message: &[u8]) -> Result<()> {
        if let Some(file) = &mut self.0 {
            // One write, so that several servers can share the file.
            file.write_all(&[message, &[0]].concat())?;
        }
        Ok(())
    }
}
