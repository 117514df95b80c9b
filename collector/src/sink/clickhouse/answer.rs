//! Takes what ClickHouse answered.
//! Gives what it means for the block: try again, never again, or look at the schema.
//! Never calls an unknown answer poison: trying again costs time, setting aside costs data.

use clickhouse::error::Error;

/// What becomes of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The server, the way to it or its mood is at fault.
    Retry,
    /// The rows are.
    Poison,
    /// A table or column is missing.
    Schema,
}

/// Answers are cut here: some quote the rows.
const MAX_TEXT: usize = 600;

/// Classes an error by the server's code.
#[must_use]
pub fn fate(error: &Error) -> Fate {
    match code(error) {
        // Text, input, data or types that cannot be read; arrays of unequal length; NULL where none may be.
        Some(6 | 27 | 33 | 36 | 53 | 62 | 70 | 72 | 117 | 190 | 349) => Fate::Poison,
        // No such column, identifier, table, database.
        Some(16 | 47 | 60 | 81) => Fate::Schema,
        _ => Fate::Retry,
    }
}

/// The error in a length fit for a log.
pub(super) fn describe(error: &Error) -> String {
    let mut text = error.to_string();
    // The error of the connection says why, the one above it only that.
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    if let Some((end, _)) = text.char_indices().nth(MAX_TEXT) {
        text.truncate(end);
        text.push_str(" ...");
    }
    format!("ClickHouse: {text}")
}

pub(super) fn code(error: &Error) -> Option<u32> {
    let Error::BadResponse(text) = error else {
        return None;
    };
    let digits = text.split("Code: ").nth(1)?;
    let end = digits.find(|char: char| !char.is_ascii_digit());
    digits.get(..end.unwrap_or(digits.len()))?.parse().ok()
}
