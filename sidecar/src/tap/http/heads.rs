//! Takes the bytes of a client of HTTP/1.1. Gives where its heads and bodies stand, and the first head that must be refused.
//! Never lets two lengths or a bare carriage return through: what reads on behind us would not see the request we saw
//! (no I/O).

use super::chunks::Chunks;
use crate::counters::Refusal;

/// What the client owes us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owed {
    /// Nothing: it may be silent as long as it likes.
    Nothing,
    /// The rest of a head.
    Head,
    /// The rest of a body.
    Body,
}

/// A head that goes no further.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub why: Refusal,
    /// So many of the bytes may go on before it.
    pub keep: usize,
    /// What makes a whole head of what went on, short of its end.
    pub rest: &'static str,
}

#[derive(Debug)]
enum Place {
    Head,
    Body(u64),
    Chunked(Chunks),
    /// It may be no HTTP from here on.
    Unknown,
}

/// What a head says of the body behind it.
#[derive(Debug, Default)]
struct Framing {
    length: Option<u64>,
    chunked: bool,
    websocket: bool,
}

/// The heads of one connection.
#[derive(Debug)]
pub(super) struct Heads {
    max: usize,
    place: Place,
    /// Bytes and lines of this head so far.
    size: usize,
    lines: usize,
    framing: Framing,
    /// Behind this message it may be no HTTP: the answer decides.
    may_end: bool,
    /// A line that began in an earlier piece.
    begun: Vec<u8>,
}

impl Heads {
    pub fn new(max: usize) -> Self {
        Self {
            max,
            place: Place::Head,
            size: 0,
            lines: 0,
            framing: Framing::default(),
            may_end: false,
            begun: Vec::new(),
        }
    }

    /// Of a connection that is not of HTTP/1.1.
    pub fn unknown() -> Self {
        Self {
            place: Place::Unknown,
            ..Self::new(0)
        }
    }

    pub fn owed(&self) -> Owed {
        match self.place {
            Place::Head if self.size > 0 => Owed::Head,
            Place::Body(_) | Place::Chunked(_) => Owed::Body,
            Place::Head | Place::Unknown => Owed::Nothing,
        }
    }

    /// Reads on.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), Refused> {
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = match &mut self.place {
                Place::Unknown => return Ok(()),
                Place::Body(left) => {
                    let here = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    *left -= here as u64;
                    if *left == 0 {
                        self.place = self.behind();
                    }
                    rest.get(here..).unwrap_or_default()
                }
                Place::Chunked(chunks) => {
                    let here = chunks.feed(rest, |_| {});
                    match chunks {
                        Chunks::Ended => self.place = self.behind(),
                        // The body is refused where it is read.
                        Chunks::Broken => self.place = Place::Unknown,
                        _ => {}
                    }
                    rest.get(here..).unwrap_or_default()
                }
                Place::Head => {
                    let at = bytes.len() - rest.len();
                    self.head(rest).map_err(|refused| Refused {
                        keep: refused.keep + at,
                        ..refused
                    })?
                }
            };
        }
        Ok(())
    }

    /// Where the next message would begin.
    fn behind(&self) -> Place {
        if self.may_end {
            Place::Unknown
        } else {
            Place::Head
        }
    }

    /// Reads lines up to the end of the head; gives what follows.
    fn head<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], Refused> {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let Some(end) = memchr::memchr(b'\n', rest) else {
                self.size += rest.len();
                self.fits(at)?;
                self.begun.extend_from_slice(rest);
                return Ok(&[]);
            };
            let (line, after) = rest.split_at(end + 1);
            self.size += line.len();
            self.fits(at)?;
            let ended = if self.begun.is_empty() {
                self.line(line)
            } else {
                self.begun.extend_from_slice(line);
                let whole = std::mem::take(&mut self.begun);
                self.line(&whole)
            };
            let ended = ended.map_err(|why| Refused {
                why,
                keep: at,
                rest: "\0\r\n\r\n",
            })?;
            if ended {
                return Ok(after);
            }
            at += line.len();
        }
        Ok(&[])
    }

    /// What is too large is cut where its line began; then a head of too many fields is made of it, so that its
    /// answer is the one for what is too large.
    fn fits(&self, at: usize) -> Result<(), Refused> {
        if self.size <= self.max {
            return Ok(());
        }
        let rest = match (self.lines, self.begun.as_slice()) {
            (0, []) => "GET / HTTP/1.1\r\n",
            (0, begun) if begun.contains(&b' ') => " HTTP/1.1\r\n",
            (0, _) => " / HTTP/1.1\r\n",
            (_, []) => "",
            (_, begun) if begun.ends_with(b"\r") => "\n",
            (_, begun) if begun.contains(&b':') => "\r\n",
            _ => ":\r\n",
        };
        Err(Refused {
            why: Refusal::TooLarge,
            keep: at,
            rest,
        })
    }

    /// One line with its end; true at the end of the head.
    fn line(&mut self, line: &[u8]) -> Result<bool, Refusal> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if memchr::memchr(b'\r', line).is_some() {
            return Err(Refusal::BareReturn);
        }
        if line.is_empty() {
            // Before a request, empty lines mean nothing (RFC 9112, 2.2).
            return if self.lines == 0 {
                self.size = 0;
                Ok(false)
            } else {
                self.end()
            };
        }
        self.lines += 1;
        if self.lines > 1 {
            self.field(line)?;
        }
        Ok(false)
    }

    fn field(&mut self, line: &[u8]) -> Result<(), Refusal> {
        let first = line.first().map(u8::to_ascii_lowercase);
        if !matches!(first, Some(b'c' | b't' | b'u')) {
            return Ok(());
        }
        let Some(colon) = memchr::memchr(b':', line) else {
            return Ok(());
        };
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if name.eq_ignore_ascii_case(b"content-length") {
            let length = length(value).ok_or(Refusal::Length)?;
            if self.framing.length.is_some_and(|other| other != length) {
                return Err(Refusal::Length);
            }
            self.framing.length = Some(length);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            // Any other coding would have to be undone by whoever knows it.
            if self.framing.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Refusal::Length);
            }
            self.framing.chunked = true;
        } else if name.eq_ignore_ascii_case(b"upgrade") {
            self.framing.websocket |= value
                .split(|byte| *byte == b',')
                .any(|one| one.trim_ascii().eq_ignore_ascii_case(b"websocket"));
        }
        Ok(())
    }

    fn end(&mut self) -> Result<bool, Refusal> {
        let framing = std::mem::take(&mut self.framing);
        self.may_end = framing.websocket;
        self.place = match framing {
            Framing {
                chunked: true,
                length: Some(_),
                ..
            } => return Err(Refusal::Length),
            Framing { chunked: true, .. } => Place::Chunked(Chunks::START),
            Framing {
                length: None | Some(0),
                ..
            } => self.behind(),
            Framing {
                length: Some(length),
                ..
            } => Place::Body(length),
        };
        (self.size, self.lines) = (0, 0);
        Ok(true)
    }
}

/// Digits only: no sign, no list, no fraction.
fn length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

#[cfg(test)]
mod tests;
