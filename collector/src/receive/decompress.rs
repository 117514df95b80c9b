//! Takes a request body as it was sent.
//! Gives the OTLP bytes in it.
//! Never grows beyond the limit, whatever a few bytes claim to expand to.

use std::io::Read;

use bytes::Bytes;

use super::Refusal;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

impl Encoding {
    /// What the header says; absent and empty mean not compressed.
    pub fn named(header: Option<&[u8]>) -> Result<Self, Refusal> {
        let name = header.unwrap_or_default().trim_ascii().to_ascii_lowercase();
        match name.as_slice() {
            b"" | b"identity" => Ok(Self::Identity),
            b"gzip" | b"x-gzip" => Ok(Self::Gzip),
            b"zstd" => Ok(Self::Zstd),
            other => Err(Refusal::Encoding(
                String::from_utf8_lossy(other).into_owned(),
            )),
        }
    }
}

/// The bytes in `body`, at most `limit` of them.
pub fn decompress(body: Bytes, encoding: Encoding, limit: u64) -> Result<Bytes, Refusal> {
    let failed = |error: std::io::Error| {
        Refusal::Malformed(format!("the body cannot be decompressed: {error}"))
    };
    match encoding {
        Encoding::Identity if body.len() as u64 > limit => Err(Refusal::TooLarge { limit }),
        Encoding::Identity => Ok(body),
        Encoding::Gzip => expand(
            flate2::bufread::MultiGzDecoder::new(&*body),
            body.len(),
            limit,
            failed,
        ),
        Encoding::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(&*body).map_err(failed)?;
            // A frame may ask for a window of its own size; 2^27 bytes is what zstd itself takes without being told.
            decoder.window_log_max(27).map_err(failed)?;
            expand(decoder, body.len(), limit, failed)
        }
    }
}

fn expand(
    reader: impl Read,
    compressed: usize,
    limit: u64,
    failed: impl Fn(std::io::Error) -> Refusal,
) -> Result<Bytes, Refusal> {
    let guess = compressed
        .saturating_mul(6)
        .min(usize::try_from(limit).unwrap_or(usize::MAX));
    let mut bytes = Vec::with_capacity(guess);
    reader
        .take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > limit {
        return Err(Refusal::TooLarge { limit });
    }
    Ok(bytes.into())
}
