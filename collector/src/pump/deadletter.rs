//! Takes a block that its sink will never store, and the reason.
//! Gives a folder with the exports as they came, which a person or a later version can send again.
//! Never half a letter: the folder appears whole or not at all.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::sink::Block;
use crate::wal::{create_folder_durable, sync_folder};

/// The dead letters of one sink.
#[derive(Debug, Clone)]
pub struct DeadLetters {
    folder: PathBuf,
}

impl DeadLetters {
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Where a block is put.
    pub fn folder_of(&self, block: &Block) -> PathBuf {
        self.folder.join(block.id())
    }

    /// Writes the block's exports, one file each, and the reason. The same block again replaces nothing.
    pub fn put(&self, block: &Block, reason: &str) -> io::Result<()> {
        let target = self.folder_of(block);
        if target.exists() {
            // An earlier try may have ended between the new name and its sync.
            return sync_folder(&self.folder);
        }
        // The cursor moves past the block next: every name that leads to it must be on disk by then.
        create_folder_durable(&self.folder)?;
        let beside = self.folder.join(format!(".{}.tmp", block.id()));
        if beside.exists() {
            std::fs::remove_dir_all(&beside)?;
        }
        std::fs::create_dir(&beside)?;
        for entry in &block.entries {
            write_synced(
                &beside.join(format!("{:020}.otlp", entry.seq.0)),
                &entry.body,
            )?;
        }
        let about = serde_json::json!({
            "reason": reason,
            "signal": block.signal.as_str(),
            "log": block.log_id.to_string(),
            "first": block.first.0,
            "last": block.last.0,
            "items": block.items(),
        });
        write_synced(&beside.join("about.json"), about.to_string().as_bytes())?;
        sync_folder(&beside)?;
        std::fs::rename(&beside, &target)?;
        sync_folder(&self.folder)
    }
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_data()
}
