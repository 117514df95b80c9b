//! Takes the ranges a sink begins and finishes.
//! Gives, after a crash, what is stored and which range was being tried.
//! Never forgets a range that may have reached the store: it is on disk before the first attempt.
//!
//! One small JSON file for each sink, replaced as a whole: written beside, synced, renamed, folder synced.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::wal::{LogId, Seq, sync_folder};

/// Entries from `first` to `last`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    pub first: Seq,
    pub last: Seq,
}

/// What the file holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    version: u32,
    log: String,
    stored: Seq,
    attempt: Option<Range>,
}

/// How far one sink has come in one log.
#[derive(Debug)]
pub struct Cursor {
    path: PathBuf,
    saved: Saved,
}

/// Why a cursor cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CursorError {
    #[error("cannot {action} the cursor {}: {source}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error(
        "the cursor {} is damaged ({what}). Delete it to store everything in the log again, what is stored already twice",
        path.display()
    )]
    Damaged { path: PathBuf, what: String },
}

impl Cursor {
    const VERSION: u32 = 1;

    /// The cursor in `path`, or a new one before the first entry.
    pub fn open(path: PathBuf) -> Result<Self, CursorError> {
        let fresh = Saved {
            version: Self::VERSION,
            log: String::new(),
            stored: Seq(0),
            attempt: None,
        };
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self { path, saved: fresh });
            }
            Err(source) => {
                return Err(CursorError::Io {
                    action: "read",
                    path,
                    source,
                });
            }
        };
        let saved = serde_json::from_slice(&text)
            .map_err(|error| error.to_string())
            .and_then(sound);
        match saved {
            Ok(saved) => Ok(Self { path, saved }),
            Err(what) => Err(CursorError::Damaged { path, what }),
        }
    }

    /// Binds the cursor to the log it is used with, whose oldest entry is `oldest`.
    ///
    /// One of another log stands for nothing in this one. Gives the numbers that left the log unseen by this sink,
    /// because the sink was not configured while others stored them.
    pub fn bind(&mut self, log: LogId, oldest: Seq) -> Option<Range> {
        let mine = log.to_string();
        let known = self.saved.log == mine;
        if !known {
            (self.saved.stored, self.saved.attempt) = (Seq(0), None);
        }
        self.saved.log = mine;
        let next = self.saved.stored.next();
        if next >= oldest {
            return None;
        }
        (self.saved.stored, self.saved.attempt) = (oldest.before(), None);
        Some(Range {
            first: next,
            last: oldest.before(),
        })
        .filter(|_| known)
    }

    /// Everything up to here is stored.
    pub fn stored(&self) -> Seq {
        self.saved.stored
    }

    /// The range that may or may not be stored: it has to be written again, exactly.
    pub fn attempt(&self) -> Option<Range> {
        self.saved.attempt
    }

    /// The highest number this cursor knows.
    pub fn highest(&self) -> Seq {
        self.saved
            .attempt
            .map_or(self.saved.stored, |range| range.last)
    }

    /// Freezes a range, durably.
    pub fn begin(&mut self, range: Range) -> Result<(), CursorError> {
        self.replace(Saved {
            attempt: Some(range),
            ..self.saved.clone()
        })
    }

    /// The frozen range is stored, durably noted.
    pub fn finish(&mut self) -> Result<(), CursorError> {
        let stored = self.highest();
        self.replace(Saved {
            stored,
            attempt: None,
            ..self.saved.clone()
        })
    }

    fn replace(&mut self, saved: Saved) -> Result<(), CursorError> {
        let text = serde_json::to_vec(&saved).map_err(io::Error::from);
        let written = text.and_then(|text| replace_file(&self.path, &text));
        written.map_err(|source| CursorError::Io {
            action: "write",
            path: self.path.clone(),
            source,
        })?;
        self.saved = saved;
        Ok(())
    }
}

fn sound(saved: Saved) -> Result<Saved, String> {
    if saved.version != Cursor::VERSION {
        return Err(format!(
            "version {}, this program reads {}",
            saved.version,
            Cursor::VERSION
        ));
    }
    match saved.attempt {
        Some(range) if range.first != saved.stored.next() || range.last < range.first => {
            Err(format!(
                "it tries {} to {} after {}",
                range.first, range.last, saved.stored
            ))
        }
        _ => Ok(saved),
    }
}

/// Replaces a file as a whole, durably.
pub fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("tmp");
    let mut file = File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    std::fs::rename(&beside, path)?;
    path.parent().map_or(Ok(()), sync_folder)
}
