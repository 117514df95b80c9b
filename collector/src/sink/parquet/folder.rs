//! Takes a signal, a tenant and an hour.
//! Gives the folder of their files, whatever the tenant is called.
//! Never lets a name out of the store: every byte that could mean something to a file system is encoded.

use std::io;
use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::calendar;
use crate::encode::base64;
use crate::otlp::Signal;

/// The folder of the Parquet store inside the collector's store.
pub const ROOT: &str = "parquet";

/// Files that begin so are not whole yet.
pub const TMP_PREFIX: &str = ".tmp-";

const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

/// File systems take 255 bytes, the `tenant=` included.
const MAX_NAME: usize = 240;

/// Where files of one tenant and hour lie.
#[derive(Debug, Clone, Copy)]
pub struct Folder<'a> {
    pub signal: Signal,
    pub tenant: &'a str,
    /// Hours since 1970.
    pub hour: i64,
}

impl Folder<'_> {
    /// The path below the store's root.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        let (date, hour) = calendar::date_and_hour(self.hour);
        let mut path = PathBuf::from(format!("signal={}", self.signal.as_str()));
        path.push(tenant_folder(self.tenant));
        path.push(format!("date={date}"));
        path.push(format!("hour={hour:02}"));
        path
    }
}

/// `tenant=` and the percent-encoded name; one that would get too long is written as `~` and base64 for file names.
#[must_use]
pub fn tenant_folder(tenant: &str) -> String {
    let encoded = utf8_percent_encode(tenant, ENCODED).to_string();
    if encoded.len() <= MAX_NAME {
        return format!("tenant={encoded}");
    }
    let base64 = base64(tenant.as_bytes());
    let safe = base64.replace('+', "-").replace('/', "_");
    format!("tenant=~{}", safe.trim_end_matches('='))
}

/// The tenant whose folder has this name; none when it is no such folder.
#[must_use]
pub fn tenant_of(folder: &str) -> Option<String> {
    let name = folder.strip_prefix("tenant=")?;
    let bytes = match name.strip_prefix('~') {
        Some(base64) => unbase64(base64)?,
        None => percent_decode_str(name).collect(),
    };
    String::from_utf8(bytes).ok()
}

fn unbase64(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut word, mut bits) = (Vec::new(), 0u32, 0u32);
    for byte in text.bytes() {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        word = (word << 6) | u32::from(digit);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(word.checked_shr(bits)?.to_le_bytes()[0]);
            word &= (1 << bits) - 1;
        }
    }
    Some(bytes)
}

/// Removes files that a crash left half written.
pub(super) fn remove_leftovers(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            remove_leftovers(&entry.path())?;
        } else if entry.file_name().to_string_lossy().starts_with(TMP_PREFIX) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
