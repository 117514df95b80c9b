//! Takes where hops listen. Gives files that say so: all of them, or none.
//! Never half of one, and never one for a hop that will not serve.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::Bound;
use crate::wire::Address;

/// Files that are written in full, each beside the place where it will be looked for.
#[derive(Debug, Default)]
pub(super) struct PortFiles(Vec<Written>);

#[derive(Debug)]
struct Written {
    beside: PathBuf,
    file: PathBuf,
}

impl PortFiles {
    /// Those of hops that were bound.
    ///
    /// # Errors
    /// When one cannot be written; then nobody sees any.
    pub fn of(bound: &[Bound]) -> anyhow::Result<Self> {
        let mut files = Self::default();
        for hop in bound {
            if let Some(file) = &hop.ready.told.hop.port_file {
                files.add(file, hop.listener.address())?;
            }
        }
        Ok(files)
    }

    /// Writes one more.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn add(&mut self, file: &Path, address: &Address) -> anyhow::Result<()> {
        let mut beside = OsString::from(file);
        beside.push(".tmp");
        let written = Written {
            beside: beside.into(),
            file: file.to_owned(),
        };
        let what = || cannot(file);
        // Nothing can take the place of a directory, and that is better known now.
        if file.is_dir() {
            return Err(io::Error::from(io::ErrorKind::IsADirectory)).with_context(what);
        }
        // Of two hops with one file the later is in it.
        self.0.retain(|other| other.file != file);
        let outcome = std::fs::write(&written.beside, format!("{address}\n"));
        self.0.push(written);
        outcome.with_context(what)
    }

    /// Puts all of them where they are looked for.
    ///
    /// # Errors
    /// When one has no place; then none stays.
    pub fn publish(mut self) -> anyhow::Result<()> {
        let mut published: Vec<PathBuf> = Vec::new();
        for Written { beside, file } in std::mem::take(&mut self.0) {
            let renamed = std::fs::rename(&beside, &file);
            if let Err(error) = renamed {
                for there in published.iter().chain([&beside]) {
                    // What cannot be removed could not be written either.
                    let _ = std::fs::remove_file(there);
                }
                return Err(error).with_context(|| cannot(&file));
            }
            published.push(file);
        }
        Ok(())
    }
}

impl Drop for PortFiles {
    fn drop(&mut self) {
        for written in &self.0 {
            // It may not even be there.
            let _ = std::fs::remove_file(&written.beside);
        }
    }
}

fn cannot(file: &Path) -> String {
    format!("cannot write the port file {}", file.display())
}

#[cfg(test)]
mod tests;
