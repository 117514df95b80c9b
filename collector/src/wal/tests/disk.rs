//! Takes the writes of a log.
//! Gives a disk whose next write or sync can fail, that can be held, and that forgets what was not synced.
//! Never syncs for real: a crash here is played, so that thousands fit in a second.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};

use crate::wal::disk::{Disk, SegmentFile};

#[derive(Default)]
struct State {
    fail_append: bool,
    fail_sync: bool,
    held: bool,
    syncs: usize,
    in_sync: bool,
    synced: HashMap<PathBuf, u64>,
}

#[derive(Clone, Default)]
pub struct TestDisk(Arc<(Mutex<State>, Condvar)>);

pub struct TestFile {
    disk: TestDisk,
    path: PathBuf,
    file: File,
}

impl TestDisk {
    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.0.lock().unwrap())
    }

    pub fn fail_next_append(&self) {
        self.with(|state| state.fail_append = true);
    }

    pub fn fail_next_sync(&self) {
        self.with(|state| state.fail_sync = true);
    }

    /// The next write and the next sync succeed.
    pub fn heal(&self) {
        self.with(|state| (state.fail_append, state.fail_sync) = (false, false));
    }

    /// Opening a log syncs what it found, by the operating system's own calls.
    pub fn all_synced(&self, files: &[PathBuf]) {
        let lengths = files
            .iter()
            .map(|path| (path.clone(), std::fs::metadata(path).unwrap().len()));
        self.with(|state| state.synced.extend(lengths));
    }

    /// Syncs wait from now on.
    pub fn hold(&self) {
        self.with(|state| state.held = true);
    }

    pub fn go_on(&self) {
        self.with(|state| state.held = false);
        self.0.1.notify_all();
    }

    /// A sync has begun and not ended.
    pub fn in_sync(&self) -> bool {
        self.with(|state| state.in_sync)
    }

    pub fn syncs(&self) -> usize {
        self.with(|state| state.syncs)
    }

    /// Power loss: of every file, what was not synced is cut at a place or filled with other bytes.
    pub fn crash(&self, cut: u64, garble: bool) {
        let synced = self.with(|state| std::mem::take(&mut state.synced));
        for (path, synced) in synced {
            let Ok(data) = std::fs::metadata(&path) else {
                continue;
            };
            let unsynced = data.len().saturating_sub(synced);
            if unsynced == 0 {
                continue;
            }
            let kept = cut % (unsynced + 1);
            let file = OpenOptions::new().write(true).open(&path).unwrap();
            file.set_len(synced + kept).unwrap();
            if garble && kept > 0 {
                use std::os::unix::fs::FileExt;
                file.write_all_at(
                    &vec![0xa5; usize::try_from(kept.div_ceil(2)).unwrap()],
                    synced,
                )
                .unwrap();
            }
        }
    }
}

impl Disk for TestDisk {
    type File = TestFile;

    fn create(&self, path: &Path) -> io::Result<TestFile> {
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        Ok(TestFile {
            disk: self.clone(),
            path: path.to_owned(),
            file,
        })
    }

    fn sync_folder(&self, _folder: &Path) -> io::Result<()> {
        Ok(())
    }
}

impl SegmentFile for TestFile {
    fn append(&mut self, slices: &mut [IoSlice<'_>]) -> io::Result<()> {
        let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
        if self
            .disk
            .with(|state| std::mem::take(&mut state.fail_append))
        {
            self.file.write_all(&bytes[..bytes.len() / 2])?;
            return Err(io::Error::other("the test disk fails this write"));
        }
        self.file.write_all(&bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.with(|state| state.in_sync = true);
        let (lock, waiting) = &*self.disk.0;
        let mut state = waiting
            .wait_while(lock.lock().unwrap(), |state| state.held)
            .unwrap();
        if std::mem::take(&mut state.fail_sync) {
            return Err(io::Error::other("the test disk fails this sync"));
        }
        state.syncs += 1;
        state.in_sync = false;
        state
            .synced
            .insert(self.path.clone(), self.file.metadata()?.len());
        Ok(())
    }
}
