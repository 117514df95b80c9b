//! Takes the bytes of a chunked body (RFC 9112, 7.1), cut anywhere. Gives the data in them.
//! Never keeps or changes a byte: what goes on is what came.

/// Where in a chunked body we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chunks {
    /// In the size of a chunk.
    Size {
        size: u64,
        digits: u8,
    },
    /// Behind the size: extensions, which nobody reads.
    Extension {
        size: u64,
    },
    /// Before the line feed of the size's line.
    SizeEnd {
        size: u64,
    },
    /// In the data.
    Data {
        left: u64,
    },
    /// Behind the data: its carriage return, then its line feed.
    DataEnd {
        returned: bool,
    },
    /// Behind the last chunk; a line that is blank ends the body.
    Trailer {
        blank: bool,
    },
    /// Before the line feed of that line.
    TrailerEnd,
    Ended,
    Broken,
}

/// More digits than any size has.
const MAX_DIGITS: u8 = 15;

impl Chunks {
    pub const START: Self = Self::Size { size: 0, digits: 0 };

    /// Between two chunks.
    pub fn is_between(self) -> bool {
        self == Self::START
    }

    /// Reads on; gives how many of the bytes belong to the body.
    pub fn feed(&mut self, bytes: &[u8], mut data: impl FnMut(&[u8])) -> usize {
        let mut rest = bytes;
        while let Some((first, others)) = rest.split_first() {
            match *self {
                Self::Ended | Self::Broken => break,
                Self::Data { left } => {
                    let here = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                    let (passed, after) = rest.split_at(here);
                    data(passed);
                    rest = after;
                    *self = match left - here as u64 {
                        0 => Self::DataEnd { returned: false },
                        left => Self::Data { left },
                    };
                }
                between => {
                    *self = between.step(*first);
                    rest = others;
                }
            }
        }
        bytes.len() - rest.len()
    }

    fn step(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Size { size, digits }, _) => Self::size(size, digits, byte),
            (Self::Extension { size }, b'\r') => Self::SizeEnd { size },
            (Self::Extension { .. }, b'\n') => Self::Broken,
            (Self::Extension { size }, _) => Self::Extension { size },
            (Self::SizeEnd { size: 0 }, b'\n') => Self::Trailer { blank: true },
            (Self::SizeEnd { size }, b'\n') => Self::Data { left: size },
            (Self::DataEnd { returned: false }, b'\r') => Self::DataEnd { returned: true },
            (Self::DataEnd { returned: true }, b'\n') => Self::START,
            (Self::Trailer { blank: true }, b'\r') => Self::TrailerEnd,
            (Self::Trailer { blank: false }, b'\n') => Self::Trailer { blank: true },
            (Self::Trailer { blank: true }, b'\n') => Self::Broken,
            (Self::Trailer { .. }, _) => Self::Trailer { blank: false },
            (Self::TrailerEnd, b'\n') => Self::Ended,
            _ => Self::Broken,
        }
    }

    fn size(size: u64, digits: u8, byte: u8) -> Self {
        match (char::from(byte).to_digit(16), byte) {
            (Some(digit), _) if digits < MAX_DIGITS => Self::Size {
                size: size << 4 | u64::from(digit),
                digits: digits + 1,
            },
            (None, b'\r') if digits > 0 => Self::SizeEnd { size },
            (None, b';' | b' ' | b'\t') if digits > 0 => Self::Extension { size },
            _ => Self::Broken,
        }
    }
}

#[cfg(test)]
mod tests;
