//! Takes the body of a request, as it arrives.
//! Gives its bytes in one piece, decompressed.
//! Never more of them than the limit, nor than there is memory for.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Body;

use super::decompress::{self, Encoding};
use super::memory::Held;
use super::{Limits, Refusal};

/// The whole body, if it is within the limits.
pub(super) async fn read_body<B>(
    mut body: B,
    limits: Limits,
    held: &mut Held<'_>,
) -> Result<Bytes, Refusal>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let limit = limits.max_export_bytes;
    if body.size_hint().lower() > limit {
        discard(body).await;
        return Err(Refusal::TooLarge { limit });
    }
    let reading = collect(&mut body, limit, held);
    let Ok(read) = tokio::time::timeout(limits.body_time, reading).await else {
        return Err(Refusal::Slow {
            limit: limits.body_time,
        });
    };
    if let Err(Refusal::TooLarge { .. } | Refusal::Busy) = read {
        discard(body).await;
    }
    read
}

/// What arrives, as long as it is within the limit and there is memory for it.
async fn collect<B>(body: &mut B, limit: u64, held: &mut Held<'_>) -> Result<Bytes, Refusal>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut parts: Vec<Bytes> = Vec::new();
    let mut size = 0_u64;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Refusal::Cut(error.into().to_string()))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        size = size.saturating_add(data.len() as u64);
        if size > limit {
            return Err(Refusal::TooLarge { limit });
        }
        held.grow_to(size).await?;
        parts.push(data);
    }
    if parts.len() == 1 {
        return Ok(parts.remove(0));
    }
    Ok(parts.concat().into())
}

/// Lets the rest of a refused body come in and go. A client that is still sending when the connection closes may see
/// a broken pipe instead of its refusal, and would send the export again. Bounded: what goes on longer is cut off.
pub(super) async fn discard<B>(mut body: B)
where
    B: Body<Data = Bytes> + Unpin,
{
    const MOST: usize = 16 << 20;
    const LONGEST: Duration = Duration::from_secs(2);
    let reading = async {
        let mut seen = 0;
        while let Some(Ok(frame)) = body.frame().await {
            seen += frame.data_ref().map_or(0, Bytes::len);
            if seen > MOST {
                break;
            }
        }
    };
    // Late or not, the refusal is answered now.
    let _ = tokio::time::timeout(LONGEST, reading).await;
}

/// Decompresses where it delays nobody else.
pub(super) async fn decode(
    body: Bytes,
    encoding: Encoding,
    limits: Limits,
    held: &mut Held<'_>,
) -> Result<Bytes, Refusal> {
    const INLINE: usize = 32 << 10;
    if encoding == Encoding::Identity {
        return decompress::decompress(body, encoding, limits.max_export_bytes);
    }
    let turn = held.turn_to_expand().await?;
    if body.len() <= INLINE {
        let body = decompress::decompress(body, encoding, limits.max_export_bytes)?;
        held.grow_to(body.len() as u64).await?;
        return Ok(body);
    }
    let task = tokio::task::spawn_blocking(move || {
        decompress::decompress(body, encoding, limits.max_export_bytes)
    });
    let body = task
        .await
        .unwrap_or_else(|error| Err(Refusal::Unavailable(error.to_string())))?;
    held.grow_to(body.len() as u64).await?;
    drop(turn);
    Ok(body)
}
