//! Takes the protobuf bytes of one OTLP export.
//! Gives whether they are well formed, how many items can be stored, and the items themselves.
//! Never panics, whatever the bytes are, and never builds message objects.
//!
//! The encoder walks the same bytes with the same rules, so what [`check`] accepts is what gets stored.

mod admission;
mod metrics;
mod traces;
mod value;
mod wire;

pub use admission::Admission;
pub use metrics::{Buckets, Exemplar, Kind, Metric, Number, Point, PointAt, Quantile, metrics};
pub use traces::{Event, Link, Span, SpanAt, traces};
pub use value::{KeyValue, Resource, Scope, Value};
pub use wire::Message;

/// What an export carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Signal {
    Traces,
    Metrics,
}

impl Signal {
    /// The word used in folder names, logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
        }
    }
}

/// What a valid export holds.
///
/// Items the store cannot hold are refused one by one: counted, with a reason (OTLP partial success).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    pub accepted: u64,
    pub rejected: u64,
    pub reason: Option<String>,
}

/// Bytes that are no OTLP export, and where they stop being one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("malformed OTLP at byte {offset}: {what}")]
pub struct Malformed {
    pub offset: usize,
    /// A path and what is wrong there: `resource_spans[0].scope_spans[1].spans[3].name: not UTF-8`.
    pub what: String,
}

impl Malformed {
    /// Something wrong with the field `name`.
    fn field(offset: usize, name: &str, what: &str) -> Self {
        Self {
            offset,
            what: format!("{name}: {what}"),
        }
    }

    /// Something wrong between the fields of a message; the caller knows its name.
    fn message(offset: usize, what: String) -> Self {
        Self {
            offset,
            what: format!(": {what}"),
        }
    }

    /// The same, seen from the message that holds `name`. Paths are only built once something is wrong.
    fn within(mut self, name: &str) -> Self {
        let dot = if self.what.starts_with(':') { "" } else { "." };
        self.what.insert_str(0, dot);
        self.what.insert_str(0, name);
        self
    }

    fn within_at(self, name: &str, index: usize) -> Self {
        self.within(&format!("{name}[{index}]"))
    }

    fn finish(mut self) -> Self {
        if let Some(bare) = self.what.strip_prefix(": ") {
            self.what = bare.to_owned();
        }
        self
    }
}

/// Validates an export and counts its items.
///
/// # Errors
///
/// [`Malformed`] when the bytes are no export of this signal.
pub fn check(signal: Signal, body: &[u8]) -> Result<Checked, Malformed> {
    let mut checked = Checked::default();
    let mut admission = Admission::new(body.len());
    match signal {
        Signal::Traces => traces(body, |at, resource, scope, span| {
            checked.count(admission.span(resource, scope, span), || at.to_string());
        }),
        Signal::Metrics => metrics(body, |at, resource, scope, metric, point| {
            checked.count(admission.point(resource, scope, metric, point), || {
                at.to_string()
            });
        }),
    }?;
    Ok(checked)
}

impl Checked {
    fn count(&mut self, verdict: Result<(), String>, place: impl Fn() -> String) {
        match verdict {
            Ok(()) => self.accepted = self.accepted.saturating_add(1),
            Err(why) => {
                self.rejected = self.rejected.saturating_add(1);
                // The first reason stands for all: an exporter's mistake repeats itself.
                self.reason
                    .get_or_insert_with(|| format!("{}{why}", place()));
            }
        }
    }
}

#[cfg(test)]
mod tests;
