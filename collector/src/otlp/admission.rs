//! Takes the items of a well-formed export.
//! Gives whether the store can hold each, by rules that depend on the export alone.
//! Never looks at configuration or time: the encoder must come to the same verdict after a crash.

use super::metrics::{Metric, Point};
use super::traces::Span;
use super::value::{Resource, Scope};
use super::wire::Merge as _;

/// How far the rows of a small export may grow, relative to its bytes.
///
/// Rows repeat their resource and scope, and an empty item of two bytes is a row of as many columns as any: a small
/// export with one huge resource and many tiny spans would grow to gigabytes.
const MAX_GROWTH: usize = 64;

/// Every export may grow to this size, however small it is.
const FREE_BYTES: usize = 4 << 20;

/// No export may grow beyond this, unless it is so large that [`LARGE_GROWTH`] times its bytes are more.
const MAX_BYTES: usize = 192 << 20;

/// Spans of seventeen attributes grow four to five times, number points of a few attributes seven times.
const LARGE_GROWTH: usize = 8;

/// A column of one batch holds at most 2 GiB of text.
const COLUMN_BYTES: usize = 1 << 30;

/// What a row takes beside its texts and lists while it is encoded and written, measured with empty points.
const ROW: usize = 512;

/// What an attribute, event, link, exemplar or quantile takes beside its texts.
const ELEMENT: usize = 64;

/// What a bucket takes.
const NUMBER: usize = 8;

/// The verdicts over one export, item by item in order.
#[derive(Debug)]
pub struct Admission {
    budget: usize,
    spent: usize,
}

impl Admission {
    /// Begins with the length of the whole export.
    #[must_use]
    pub fn new(export_bytes: usize) -> Self {
        let small = export_bytes.saturating_mul(MAX_GROWTH);
        let large = export_bytes.saturating_mul(LARGE_GROWTH).max(MAX_BYTES);
        let budget = small.saturating_add(FREE_BYTES).min(large);
        Self {
            budget: budget.min(COLUMN_BYTES),
            spent: 0,
        }
    }

    /// About how many bytes the rows so far take, beside the texts of their own items.
    #[must_use]
    pub fn spent(&self) -> usize {
        self.spent
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
        self.spend(resource, scope, span.elements().saturating_mul(ELEMENT))
    }

    /// # Errors
    ///
    /// Why the point cannot be stored.
    pub fn point(
        &mut self,
        resource: &Resource<'_>,
        scope: &Scope<'_>,
        metric: &Metric<'_>,
        point: &Point<'_>,
    ) -> Result<(), String> {
        let elements = point.elements().saturating_mul(ELEMENT);
        let numbers = point.numbers().saturating_mul(NUMBER);
        let lists = elements.saturating_add(numbers);
        self.spend(resource, scope, lists.saturating_add(metric.bytes()))
    }

    fn spend(
        &mut self,
        resource: &Resource<'_>,
        scope: &Scope<'_>,
        own: usize,
    ) -> Result<(), String> {
        let parts = [ROW, resource.bytes, scope.bytes, own];
        let bytes = parts.into_iter().fold(self.spent, usize::saturating_add);
        if bytes > self.budget {
            let repeated = resource.bytes.saturating_add(scope.bytes);
            let budget = self.budget;
            return Err(format!(
                ": the rows of its export would take more than {budget} bytes; each repeats its resource and \
                 scope ({repeated} bytes): send smaller exports"
            ));
        }
        self.spent = bytes;
        Ok(())
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
