//! Takes the items of a well-formed export.
//! Gives whether the store can hold each, by rules that depend on the export alone.
//! Never looks at configuration or time: the encoder must come to the same verdict after a crash.

use super::metrics::Metric;
use super::traces::Span;
use super::value::{Resource, Scope};

/// How often the bytes of a resource may be repeated, relative to the export that brought them.
///
/// Rows repeat their resource and scope, so a small export with one huge resource and many tiny spans
/// would grow to gigabytes. Real exports stay below ten times.
const MAX_GROWTH: usize = 64;

/// Every export may grow to this size, however small it is.
const FREE_BYTES: usize = 1 << 20;

/// And none beyond this: a column of one batch holds at most 2 GiB of text.
const MAX_BYTES: usize = 512 << 20;

/// The verdicts over one export, item by item in order.
#[derive(Debug)]
pub struct Admission {
    budget: usize,
}

impl Admission {
    /// Begins with the length of the whole export.
    #[must_use]
    pub fn new(export_bytes: usize) -> Self {
        let budget = export_bytes.saturating_mul(MAX_GROWTH);
        Self {
            budget: budget.saturating_add(FREE_BYTES).min(MAX_BYTES),
        }
    }

    /// # Errors
    ///
    /// Why the span cannot be stored, as the end of its path: `.trace_id: 15 bytes, want 16`.
    pub fn span(
        &mut self,
        resource: &Resource<'_>,
        scope: &Scope<'_>,
        span: &Span<'_>,
    ) -> Result<(), String> {
        id("trace_id", span.trace_id, 16)?;
        id("span_id", span.span_id, 8)?;
        if !span.parent_span_id.is_empty() && span.parent_span_id.len() != 8 {
            let len = span.parent_span_id.len();
            return Err(format!(".parent_span_id: {len} bytes, want 0 or 8"));
        }
        self.spend(resource.bytes.saturating_add(scope.bytes))
    }

    /// # Errors
    ///
    /// Why the point cannot be stored.
    pub fn point(
        &mut self,
        resource: &Resource<'_>,
        scope: &Scope<'_>,
        metric: &Metric<'_>,
    ) -> Result<(), String> {
        let repeated = resource.bytes.saturating_add(scope.bytes);
        self.spend(repeated.saturating_add(metric.bytes()))
    }

    fn spend(&mut self, bytes: usize) -> Result<(), String> {
        match self.budget.checked_sub(bytes) {
            Some(rest) => {
                self.budget = rest;
                Ok(())
            }
            None => Err(format!(
                ": its resource and scope ({bytes} bytes) are repeated in too many rows"
            )),
        }
    }
}

fn id(name: &str, bytes: &[u8], want: usize) -> Result<(), String> {
    if bytes.len() != want {
        return Err(format!(".{name}: {} bytes, want {want}", bytes.len()));
    }
    if bytes.iter().all(|byte| *byte == 0) {
        return Err(format!(".{name}: all zero"));
    }
    Ok(())
}
