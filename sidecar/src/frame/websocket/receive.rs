//! Takes the bytes that a client sends to us as its server, in any chunks. Gives whole messages and control frames.
//! Never holds more than one message up to its limit, and never gives anything behind a frame that breaks the protocol.
//!
//! No extension is agreed on here, so no frame may be compressed.

use bytes::BytesMut;

use super::header::{BINARY, CLOSE, Header, LONGEST, PING, Parsed, TEXT};
use super::mask;

/// How much room a read gets.
const READ_SIZE: usize = 16 * 1024;

/// What a client sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// A whole text message, which is UTF-8.
    Text(Vec<u8>),
    Ping(Vec<u8>),
    Pong,
    /// The connection is to end, for the reason of this code if it names one.
    Close(Option<u16>),
}

/// Why nothing more can be taken from a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    #[error("a frame that may not stand here")]
    Protocol,
    #[error("a binary message; MCP is text")]
    Binary,
    #[error("a text that is not UTF-8")]
    NotUtf8,
    #[error("a message that is too large")]
    TooLarge,
}

impl Broken {
    /// What a close frame says of it (RFC 6455, 7.4.1).
    #[must_use]
    pub fn code(self) -> u16 {
        match self {
            Self::Protocol => 1002,
            Self::Binary => 1003,
            Self::NotUtf8 => 1007,
            Self::TooLarge => 1009,
        }
    }
}

/// A frame whose payload comes.
#[derive(Debug, Clone, Copy)]
struct Frame {
    header: Header,
    key: [u8; 4],
    /// Bytes of its payload that came.
    at: u64,
}

/// The server's side of one direction.
#[derive(Debug)]
pub struct Receiver {
    buffer: BytesMut,
    frame: Option<Frame>,
    /// The open message's payload so far, and whether one is open.
    message: Vec<u8>,
    open: bool,
    /// A control frame's payload so far: it may stand between the frames of a message.
    control: Vec<u8>,
    limit: usize,
}

impl Receiver {
    /// A receiver of messages of at most `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            frame: None,
            message: Vec::new(),
            open: false,
            control: Vec::new(),
            limit,
        }
    }

    /// Room to read into.
    pub fn space(&mut self) -> &mut BytesMut {
        self.buffer.reserve(READ_SIZE);
        &mut self.buffer
    }

    /// How much of an unfinished message is held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.message.len()
    }

    /// The next thing that is complete; none when more bytes are needed.
    ///
    /// # Errors
    /// When the client broke the protocol, or a limit.
    pub fn receive(&mut self) -> Result<Option<Received>, Broken> {
        loop {
            let Some(frame) = self
                .frame
                .take()
                .map_or_else(|| self.begin(), |f| Ok(Some(f)))?
            else {
                return Ok(None);
            };
            let Some(header) = self.payload(frame) else {
                return Ok(None);
            };
            if let Some(received) = self.end(&header)? {
                return Ok(Some(received));
            }
        }
    }

    /// Reads a header; none when it is not complete.
    fn begin(&mut self) -> Result<Option<Frame>, Broken> {
        let first = self.buffer.get(..LONGEST).unwrap_or(&self.buffer);
        let (header, taken) = match Header::parse(first) {
            Parsed::Unfinished => return Ok(None),
            Parsed::Broken => return Err(Broken::Protocol),
            Parsed::Header(header, taken) => (header, taken),
        };
        let key = header.mask.filter(|_| !header.compressed);
        let key = key.ok_or(Broken::Protocol)?;
        if !header.is_control() {
            let begins = matches!(header.opcode, TEXT | BINARY);
            if begins == self.open {
                return Err(Broken::Protocol);
            }
            if header.opcode == BINARY {
                return Err(Broken::Binary);
            }
            let so_far = self.message.len() as u64;
            if so_far.saturating_add(header.length) > self.limit as u64 {
                return Err(Broken::TooLarge);
            }
            self.open = true;
        }
        // What was parsed is there.
        let _ = self.buffer.split_to(taken.min(self.buffer.len()));
        Ok(Some(Frame { header, key, at: 0 }))
    }

    /// Takes what is there of a payload; gives the header when it is complete.
    fn payload(&mut self, mut frame: Frame) -> Option<Header> {
        let left = frame.header.length.saturating_sub(frame.at);
        let length = usize::try_from(left).unwrap_or(usize::MAX);
        let mut part = self.buffer.split_to(length.min(self.buffer.len()));
        mask(&mut part, frame.key, frame.at);
        let whole = match frame.header.is_control() {
            true => &mut self.control,
            false => &mut self.message,
        };
        whole.extend_from_slice(&part);
        frame.at = frame.at.saturating_add(part.len() as u64);
        if part.len() < length {
            self.frame = Some(frame);
            return None;
        }
        Some(frame.header)
    }

    /// A frame is complete; gives what it completes.
    fn end(&mut self, header: &Header) -> Result<Option<Received>, Broken> {
        if header.is_control() {
            let payload = std::mem::take(&mut self.control);
            return Ok(Some(match header.opcode {
                CLOSE => Received::Close(closing(&payload)?),
                PING => Received::Ping(payload),
                _ => Received::Pong,
            }));
        }
        if !header.fin {
            return Ok(None);
        }
        self.open = false;
        let message = std::mem::take(&mut self.message);
        match std::str::from_utf8(&message) {
            Ok(_) => Ok(Some(Received::Text(message))),
            Err(_) => Err(Broken::NotUtf8),
        }
    }
}

/// The code of a close frame, if it has one.
fn closing(payload: &[u8]) -> Result<Option<u16>, Broken> {
    let (code, reason) = match payload {
        [] => return Ok(None),
        [a, b, reason @ ..] => (u16::from_be_bytes([*a, *b]), reason),
        [_] => return Err(Broken::Protocol),
    };
    // The others are reserved, or stand for a close frame that never came.
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(Broken::Protocol);
    }
    match std::str::from_utf8(reason) {
        Ok(_) => Ok(Some(code)),
        Err(_) => Err(Broken::NotUtf8),
    }
}

#[cfg(test)]
mod tests;
