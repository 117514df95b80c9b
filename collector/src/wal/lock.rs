//! Takes the folder of a store.
//! Gives the right to write in it, until dropped or until the process ends in whatever way.
//! Never lets two processes have it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// Held while this process may write in the store.
#[derive(Debug)]
pub struct StoreLock {
    _file: File,
}

/// Why the store is not ours.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error(
        "the store {} is in use by another collector (process {holder}): stop it, or give this one another --store",
        store.display()
    )]
    Held { store: PathBuf, holder: String },
    #[error("cannot lock {}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

impl StoreLock {
    /// Takes the lock file `LOCK` in `store`, which must exist.
    pub fn take(store: &Path) -> Result<Self, LockError> {
        let path = store.join("LOCK");
        let failed = |source| LockError::Io {
            path: path.clone(),
            source,
        };
        let mut options = OpenOptions::new();
        let mut file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut holder = String::new();
                file.read_to_string(&mut holder).map_err(failed)?;
                return Err(LockError::Held {
                    store: store.to_owned(),
                    holder: holder.trim().to_owned(),
                });
            }
            Err(error) => return Err(failed(error.into())),
        }
        file.set_len(0).map_err(failed)?;
        file.rewind().map_err(failed)?;
        writeln!(file, "{}", std::process::id()).map_err(failed)?;
        Ok(Self { _file: file })
    }
}
