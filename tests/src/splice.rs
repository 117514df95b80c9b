//! Takes the bytes a peer sent and the bytes that arrived at the other. Gives whether the difference is
//! exactly the splice of trace context that `_meta` may receive, and nothing else.
//! Never uses the sidecar's code: it is the independent judge of it.
//!
//! Two judges must agree: `walk` goes through both texts byte by byte and knows only three insertions and one
//! replacement; `meaning` parses both with serde_json, where of duplicate keys the last one counts.

mod meaning;
mod walk;

pub use meaning::carriers;

/// What the judge found in an accepted pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Requests that carry a context they were not sent with.
    pub injected: usize,
    /// Requests that could carry one: an id, a method, object params or none, object `_meta` or none.
    pub carriers: usize,
}

/// Judges one body or line.
///
/// # Errors
/// What is different, and where.
pub fn judge(sent: &[u8], arrived: &[u8]) -> Result<Verdict, String> {
    let sites = walk::walk(sent, arrived).map_err(|why| explain(&why, sent, arrived))?;
    let injected = meaning::compare(sent, arrived).map_err(|why| explain(&why, sent, arrived))?;
    if sites != injected {
        let why = format!("{sites} places were written, {injected} requests carry a new context");
        return Err(explain(&why, sent, arrived));
    }
    Ok(Verdict {
        injected,
        carriers: carriers(sent),
    })
}

/// As `judge`, and every request that can carry a context must carry it.
///
/// # Errors
/// What is different, or how many requests went without.
pub fn judge_all_injected(sent: &[u8], arrived: &[u8]) -> Result<Verdict, String> {
    let verdict = judge(sent, arrived)?;
    if verdict.injected != verdict.carriers {
        let why = format!(
            "{} of {} requests carry a new context",
            verdict.injected, verdict.carriers
        );
        return Err(explain(&why, sent, arrived));
    }
    Ok(verdict)
}

/// `00-` trace id `-` span id `-` flags, neither id all zeros.
#[must_use]
pub fn is_traceparent(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let &[version, trace, span, flags] = parts.as_slice() else {
        return false;
    };
    let hex = |part: &str, length: usize| {
        part.len() == length
            && part
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let nonzero = |part: &str| part.bytes().any(|b| b != b'0');
    version == "00"
        && hex(trace, 32)
        && hex(span, 16)
        && hex(flags, 2)
        && nonzero(trace)
        && nonzero(span)
}

fn explain(why: &str, sent: &[u8], arrived: &[u8]) -> String {
    let cut = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        let short: String = text.chars().take(600).collect();
        format!("{short} ({} bytes)", bytes.len())
    };
    format!("{why}\n   sent {}\narrived {}", cut(sent), cut(arrived))
}

#[cfg(test)]
mod tests;
