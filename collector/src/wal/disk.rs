//! Takes the few file operations that durability rests on.
//! Gives them on real files; tests give disks that fail and forget.
//! Never buffers: what is written is with the kernel when the call returns.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Write};
use std::path::{Path, PathBuf};

/// Where segments are created and written.
pub trait Disk: Send + 'static {
    type File: SegmentFile;

    /// Creates a file that must not exist yet.
    fn create(&self, path: &Path) -> io::Result<Self::File>;

    /// Makes the names in a folder durable.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
}

/// A segment that is being written.
pub trait SegmentFile: Send + 'static {
    /// Appends all slices, in order.
    fn append(&mut self, slices: &mut [IoSlice<'_>]) -> io::Result<()>;

    /// Returns when everything appended is on the medium.
    fn sync(&mut self) -> io::Result<()>;
}

/// The operating system's files.
#[derive(Debug, Clone, Copy)]
pub struct RealDisk;

impl Disk for RealDisk {
    type File = File;

    fn create(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().write(true).create_new(true).open(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        sync_folder(folder)
    }
}

/// Makes the names in a folder durable. The parent of a bare name is an empty path: the folder we are in.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    let here = Path::new(".");
    let folder = if folder.as_os_str().is_empty() {
        here
    } else {
        folder
    };
    File::open(folder)?.sync_all()
}

/// Makes a folder with every level above it that is missing, each durable in its parent.
pub fn create_folder_durable(folder: &Path) -> io::Result<()> {
    create_folder(folder, &mut sync_folder)
}

/// The same, with `sync` called for the parent of each level that was missing, from the top down.
pub(super) fn create_folder(
    folder: &Path,
    sync: &mut dyn FnMut(&Path) -> io::Result<()>,
) -> io::Result<()> {
    let missing: Vec<PathBuf> = folder
        .ancestors()
        .take_while(|level| !level.as_os_str().is_empty() && !level.is_dir())
        .map(Path::to_owned)
        .collect();
    for level in missing.iter().rev() {
        match std::fs::create_dir(level) {
            Ok(()) => {}
            // Somebody else was first; their name for it is synced here all the same.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && level.is_dir() => {}
            Err(error) => return Err(error),
        }
        if let Some(parent) = level.parent() {
            sync(parent)?;
        }
    }
    Ok(())
}

impl SegmentFile for File {
    fn append(&mut self, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
        // Empty slices in front would make a successful write of nothing look like a full disk.
        IoSlice::advance_slices(&mut slices, 0);
        while !slices.is_empty() {
            match self.write_vectored(slices) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => IoSlice::advance_slices(&mut slices, written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}
