//! Takes the pieces of an encoded answer. Gives their plain bytes to whoever reads along.
//! Never changes what the client gets, and never holds more than one small piece's worth.

use std::io::Write;

use flate2::write::{MultiGzDecoder, ZlibDecoder};
use http::header::{self, HeaderMap};

/// Compressed bytes that are unpacked at a time: what they can grow to is bounded by it.
const STEP: usize = 512;

/// How an answer's body is encoded.
#[derive(Debug)]
pub(super) enum Decoder {
    Plain,
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
    /// `deflate`, which is the zlib format (RFC 9110, 8.4.1.2).
    Zlib(Box<ZlibDecoder<Vec<u8>>>),
    /// An encoding we do not read, or one that turned out broken.
    Unreadable,
}

impl Decoder {
    pub fn of(headers: &HeaderMap) -> Self {
        let Some(name) = headers.get(header::CONTENT_ENCODING) else {
            return Self::Plain;
        };
        match name.as_bytes().to_ascii_lowercase().as_slice() {
            b"identity" => Self::Plain,
            b"gzip" | b"x-gzip" => Self::Gzip(Box::new(MultiGzDecoder::new(Vec::new()))),
            b"deflate" => Self::Zlib(Box::new(ZlibDecoder::new(Vec::new()))),
            _ => Self::Unreadable,
        }
    }

    /// Hands the plain bytes of a piece to `each`; true as long as they can be read.
    pub fn decode(&mut self, bytes: &[u8], mut each: impl FnMut(&[u8])) -> bool {
        if let Self::Plain = self {
            each(bytes);
            return true;
        }
        for step in bytes.chunks(STEP) {
            let fine = match self {
                Self::Plain => true,
                Self::Gzip(gzip) => unpack(gzip.as_mut(), step),
                Self::Zlib(zlib) => unpack(zlib.as_mut(), step),
                Self::Unreadable => return false,
            };
            if let Some(plain) = self.plain() {
                each(plain);
                plain.clear();
            }
            if !fine {
                *self = Self::Unreadable;
                return false;
            }
        }
        !matches!(self, Self::Unreadable)
    }

    fn plain(&mut self) -> Option<&mut Vec<u8>> {
        match self {
            Self::Gzip(gzip) => Some(gzip.get_mut()),
            Self::Zlib(zlib) => Some(zlib.get_mut()),
            Self::Plain | Self::Unreadable => None,
        }
    }
}

fn unpack(decoder: &mut impl Write, step: &[u8]) -> bool {
    decoder
        .write_all(step)
        .and_then(|()| decoder.flush())
        .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};

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
    fn deflate_is_read_piece_by_piece() {
        let plain = "{\"id\":1,\"result\":{}}".repeat(1000);
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(plain.as_bytes()).unwrap();
        let packed = encoder.finish().unwrap();
        let (mut decoder, mut read) = (decoder("Deflate"), Vec::new());
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
