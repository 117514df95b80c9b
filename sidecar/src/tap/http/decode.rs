//! Takes the pieces of an encoded answer. Gives their plain bytes to whoever reads along.
//! Never changes what the client gets, and never holds more than one small piece's worth.

use std::io::Write;

use flate2::write::MultiGzDecoder;
use http::header::{self, HeaderMap};

/// Compressed bytes that are unpacked at a time: what they can grow to is bounded by it.
const STEP: usize = 512;

/// How an answer's body is encoded.
#[derive(Debug)]
pub(super) enum Decoder {
    Plain,
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
    /// An encoding we do not read, or one that turned out broken.
    Unreadable,
}

impl Decoder {
    pub fn of(headers: &HeaderMap) -> Self {
        match headers
            .get(header::CONTENT_ENCODING)
            .map(|value| value.as_bytes())
        {
            None => Self::Plain,
            Some(name) if name.eq_ignore_ascii_case(b"identity") => Self::Plain,
            Some(name)
                if name.eq_ignore_ascii_case(b"gzip") || name.eq_ignore_ascii_case(b"x-gzip") =>
            {
                Self::Gzip(Box::new(MultiGzDecoder::new(Vec::new())))
            }
            Some(_) => Self::Unreadable,
        }
    }

    /// Hands the plain bytes of a piece to `each`; true as long as they can be read.
    pub fn decode(&mut self, bytes: &[u8], mut each: impl FnMut(&[u8])) -> bool {
        match self {
            Self::Plain => each(bytes),
            Self::Unreadable => return false,
            Self::Gzip(gzip) => {
                for step in bytes.chunks(STEP) {
                    let fine = gzip.write_all(step).and_then(|()| gzip.flush()).is_ok();
                    each(gzip.get_ref());
                    gzip.get_mut().clear();
                    if !fine {
                        *self = Self::Unreadable;
                        return false;
                    }
                }
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};

    fn decoder(encoding: &'static str) -> Decoder {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_ENCODING, encoding.parse().unwrap());
        Decoder::of(&headers)
    }

    #[test]
    fn gzip_is_read_piece_by_piece() {
        let plain = "{\"id\":1,\"result\":{}}".repeat(1000);
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(plain.as_bytes()).unwrap();
        let packed = encoder.finish().unwrap();
        let (mut decoder, mut read) = (decoder("gzip"), Vec::new());
        for piece in packed.chunks(7) {
            assert!(decoder.decode(piece, |bytes| read.extend_from_slice(bytes)));
        }
        assert_eq!(read, plain.as_bytes());
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        assert!(!decoder("br").decode(b"x", |_| panic!("there is nothing to read")));
        let mut broken = decoder("gzip");
        assert!(!broken.decode(b"this is no gzip, and it is long enough to tell", |_| ()));
    }
}
