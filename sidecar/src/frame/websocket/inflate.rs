//! Takes the payload of compressed messages. Gives their plain bytes (RFC 7692, permessage-deflate).
//! Never holds more than its window and one small piece.

use flate2::{Decompress, FlushDecompress, Status};

/// Plain bytes that are handed on at a time.
const STEP: usize = 8 * 1024;
/// A message that grows beyond this is read no further: a few bytes may stand for gigabytes.
const MOST: u64 = 16 * 1024 * 1024;
/// What the sender took off the end of each message.
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// One direction's window. Messages may lean on those before them.
pub(super) struct Inflate {
    state: Decompress,
    given: u64,
    /// A message could not be read, so none behind it can be.
    lost: bool,
}

impl std::fmt::Debug for Inflate {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Inflate")
            .field("lost", &self.lost)
            .finish()
    }
}

impl Inflate {
    pub fn new() -> Self {
        Self {
            state: Decompress::new(false),
            given: 0,
            lost: false,
        }
    }

    /// Hands the plain bytes of a piece to `each`.
    pub fn feed(&mut self, mut bytes: &[u8], each: &mut impl FnMut(&[u8])) {
        let mut plain = [0; STEP];
        while !self.lost {
            let (taken, given) = (self.state.total_in(), self.state.total_out());
            let status = self
                .state
                .decompress(bytes, &mut plain, FlushDecompress::Sync);
            let taken = usize::try_from(self.state.total_in() - taken).unwrap_or(usize::MAX);
            let new = self.state.total_out() - given;
            self.given = self.given.saturating_add(new);
            let new = usize::try_from(new).unwrap_or(usize::MAX);
            each(plain.get(..new).unwrap_or(&[]));
            bytes = bytes.get(taken..).unwrap_or(&[]);
            self.lost = self.given > MOST;
            match status {
                // A final block ends what messages lean on; another may follow.
                Ok(Status::StreamEnd) => self.state.reset(false),
                Ok(_) if bytes.is_empty() && new < STEP => return,
                Ok(_) if (taken, new) == (0, 0) => self.lost = true,
                Ok(_) => {}
                Err(_) => self.lost = true,
            }
        }
    }

    /// The message has ended; true when all of it could be read.
    pub fn end(&mut self, each: &mut impl FnMut(&[u8])) -> bool {
        self.feed(&TAIL, each);
        self.given = 0;
        !self.lost
    }
}
