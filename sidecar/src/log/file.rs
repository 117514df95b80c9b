//! Takes lines of the log. Gives them to a file, which can be opened anew while others write.
//! Never loses the old file before the new one is open.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use tracing_subscriber::fmt::MakeWriter;

use super::LogError;

#[derive(Debug, Clone)]
pub(super) struct LogFile(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    file: RwLock<Arc<File>>,
}

/// The file as it was when a line began.
#[derive(Debug)]
pub(super) struct Writer(Arc<File>);

impl LogFile {
    pub(super) fn open(path: PathBuf) -> Result<Self, LogError> {
        let file = RwLock::new(append_to(&path)?);
        Ok(Self(Arc::new(Shared { path, file })))
    }

    pub(super) fn reopen(&self) -> Result<(), LogError> {
        let file = append_to(&self.0.path)?;
        *self.0.file.write().unwrap_or_else(PoisonError::into_inner) = file;
        Ok(())
    }
}

fn append_to(path: &PathBuf) -> Result<Arc<File>, LogError> {
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.map(Arc::new).map_err(|source| LogError::File {
        path: path.clone(),
        source,
    })
}

impl Write for Writer {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        (&*self.0).write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for LogFile {
    type Writer = Writer;

    fn make_writer(&self) -> Writer {
        let file = self.0.file.read().unwrap_or_else(PoisonError::into_inner);
        Writer(Arc::clone(&file))
    }
}
