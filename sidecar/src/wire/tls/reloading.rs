//! Takes files and how to read them. Gives what they hold now: read again when they change, or when it is asked for.
//! Never gives up what it holds for files that cannot be used.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::TlsError;
use crate::clock;

/// How long files are believed to be as they were.
const BELIEVED: Duration = Duration::from_secs(2);

type Load<T> = Box<dyn Fn() -> Result<T, TlsError> + Send + Sync>;

/// What tells one content of a file from the next: a rename changes the inode, an edit the time.
type Stamp = Option<(u64, i64, i64, u64)>;

pub(super) struct Reloading<T> {
    files: Vec<PathBuf>,
    load: Load<T>,
    state: Mutex<State<T>>,
}

struct State<T> {
    current: Arc<T>,
    stamps: Vec<Stamp>,
    checked: Instant,
}

impl<T> std::fmt::Debug for Reloading<T> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Reloading")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

impl<T> Reloading<T> {
    pub(super) fn new(files: Vec<PathBuf>, load: Load<T>) -> Result<Self, TlsError> {
        // Stamped before they are read: a change in between is seen as one later.
        let stamps = stamps(&files);
        let current = Arc::new(load()?);
        Ok(Self {
            files,
            load,
            state: Mutex::new(State {
                current,
                stamps,
                checked: clock::instant(),
            }),
        })
    }

    /// What the files hold, as of a moment ago.
    pub(super) fn current(&self) -> Arc<T> {
        self.current_at(clock::instant())
    }

    fn current_at(&self, now: Instant) -> Arc<T> {
        let mut state = self.lock();
        if !self.files.is_empty() && now.saturating_duration_since(state.checked) >= BELIEVED {
            state.checked = now;
            let stamps = stamps(&self.files);
            if stamps != state.stamps {
                state.stamps = stamps;
                match (self.load)() {
                    Ok(new) => {
                        state.current = Arc::new(new);
                        info!(files = ?self.files, "certificates read again");
                    }
                    // Each change is told once; half of a pair that is being replaced is told too, then the whole works.
                    Err(error) => {
                        warn!(%error, "new certificates cannot be used: the old ones stay")
                    }
                }
            }
        }
        Arc::clone(&state.current)
    }

    pub(super) fn reload(&self) -> Result<(), TlsError> {
        let stamps = stamps(&self.files);
        let new = Arc::new((self.load)()?);
        let mut state = self.lock();
        state.stamps = stamps;
        state.current = new;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stamps(files: &[PathBuf]) -> Vec<Stamp> {
    let stamp = |file: &PathBuf| {
        let found = std::fs::metadata(file).ok()?;
        Some((found.ino(), found.mtime(), found.mtime_nsec(), found.len()))
    };
    files.iter().map(stamp).collect()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn number(path: PathBuf) -> Load<u32> {
        Box::new(move || {
            let text = std::fs::read_to_string(&path).map_err(|source| TlsError::Read {
                path: path.clone(),
                source,
            })?;
            text.parse().map_err(|_| TlsError::Name(text.clone()))
        })
    }

    #[test]
    fn changes_are_followed_and_mistakes_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("n");
        let replace = |text: &str| {
            let beside = folder.path().join("beside");
            std::fs::write(&beside, text).unwrap();
            std::fs::rename(beside, &path).unwrap();
        };
        replace("1");
        let held = Reloading::new(vec![path.clone()], number(path.clone())).unwrap();
        let now = Cell::new(clock::instant());
        let later = || {
            now.set(now.get() + BELIEVED);
            *held.current_at(now.get())
        };
        assert_eq!(later(), 1);
        replace("2");
        assert_eq!(*held.current_at(now.get()), 1, "believed for a moment");
        assert_eq!(later(), 2);
        replace("two");
        assert_eq!(later(), 2);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(later(), 2);
        assert!(held.reload().is_err());
        replace("3");
        held.reload().unwrap();
        assert_eq!(*held.current_at(now.get()), 3);
    }

    #[test]
    fn what_cannot_be_read_at_the_start_is_an_error() {
        assert!(Reloading::new(Vec::new(), number("no-such-file".into())).is_err());
    }
}
