//! Takes the first bytes of a WebSocket frame. Gives what its header says, and writes headers (RFC 6455, 5.2).
//! Never judges a frame by anything but its header.

/// The longest header there is.
pub(super) const LONGEST: usize = 14;

pub(super) const CONTINUATION: u8 = 0;
pub const TEXT: u8 = 1;
pub(super) const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// What a frame says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The last frame of its message.
    pub fin: bool,
    /// The message is compressed (RFC 7692).
    pub compressed: bool,
    pub opcode: u8,
    pub mask: Option<[u8; 4]>,
    pub length: u64,
}

/// What a header's first bytes are worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed {
    Unfinished,
    /// The header, and how many bytes it takes.
    Header(Header, usize),
    /// No frame of a protocol we know.
    Broken,
}

impl Header {
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Parsed {
        let [first, second, rest @ ..] = bytes else {
            return Parsed::Unfinished;
        };
        let (length, rest, taken) = match (second & 0x7f, rest) {
            (126, [a, b, rest @ ..]) => (u64::from(u16::from_be_bytes([*a, *b])), rest, 4),
            (127, [a, b, c, d, e, f, g, h, rest @ ..]) => {
                let length = u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]);
                (length, rest, 10)
            }
            (126 | 127, _) => return Parsed::Unfinished,
            (short, rest) => (u64::from(short), rest, 2),
        };
        let (mask, taken) = match (second & 0x80 != 0, rest) {
            (false, _) => (None, taken),
            (true, [a, b, c, d, ..]) => (Some([*a, *b, *c, *d]), taken + 4),
            (true, _) => return Parsed::Unfinished,
        };
        let header = Self {
            fin: first & 0x80 != 0,
            compressed: first & 0x40 != 0,
            opcode: first & 0x0f,
            mask,
            length,
        };
        let short = second & 0x7f < 126;
        if first & 0x30 == 0 && (short || !header.is_control()) && header.is_sound() {
            Parsed::Header(header, taken)
        } else {
            Parsed::Broken
        }
    }

    fn is_sound(&self) -> bool {
        match self.opcode {
            CONTINUATION => !self.compressed && self.length >> 63 == 0,
            TEXT | BINARY => self.length >> 63 == 0,
            CLOSE | PING | PONG => self.fin && !self.compressed,
            _ => false,
        }
    }

    #[must_use]
    pub fn is_control(&self) -> bool {
        self.opcode >= CLOSE
    }

    /// That of a server's frame which is a message of its own.
    #[must_use]
    pub fn of_server(opcode: u8, length: u64) -> Self {
        Self {
            fin: true,
            compressed: false,
            opcode,
            mask: None,
            length,
        }
    }

    /// Writes it, its length in the shortest form.
    pub fn write(&self, out: &mut Vec<u8>) {
        let fin = if self.fin { 0x80 } else { 0 };
        let compressed = if self.compressed { 0x40 } else { 0 };
        out.push(fin | compressed | self.opcode);
        let masked = if self.mask.is_some() { 0x80 } else { 0 };
        match (u8::try_from(self.length), u16::try_from(self.length)) {
            (Ok(short), _) if short < 126 => out.push(masked | short),
            (_, Ok(medium)) => {
                out.push(masked | 126);
                out.extend_from_slice(&medium.to_be_bytes());
            }
            _ => {
                out.push(masked | 127);
                out.extend_from_slice(&self.length.to_be_bytes());
            }
        }
        if let Some(key) = self.mask {
            out.extend_from_slice(&key);
        }
    }
}

/// Puts a mask on bytes, or takes it off; `at` is where in the frame's payload they begin.
pub fn mask(bytes: &mut [u8], key: [u8; 4], at: u64) {
    let turn = usize::try_from(at % 4).unwrap_or(0);
    let key = [0, 1, 2, 3].map(|i: usize| key[(i + turn) % 4]);
    let mut chunks = bytes.chunks_exact_mut(8);
    let wide = u64::from_ne_bytes([
        key[0], key[1], key[2], key[3], key[0], key[1], key[2], key[3],
    ]);
    for chunk in &mut chunks {
        if let Ok(eight) = <[u8; 8]>::try_from(&*chunk) {
            chunk.copy_from_slice(&(u64::from_ne_bytes(eight) ^ wide).to_ne_bytes());
        }
    }
    for (byte, key) in chunks.into_remainder().iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}
