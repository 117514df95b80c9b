//! Takes the declared names. Gives them as the Markdown that `toolspan names` prints and README shows.
//! A test compares it with what really leaves the process.
//! Never lists a name itself.

use std::fmt::Write as _;

use super::{ATTRIBUTES, METRICS};

/// The type of an attribute's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Bool,
    Int,
    Text,
}

/// What carries an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    Span,
    /// Points of `mcp.*.operation.duration`.
    Operation,
    /// Points of `mcp.*.session.duration`.
    Session,
    /// Points of the sums and gauges of the process.
    Sum,
    Resource,
}

/// Who says what a name means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The semantic conventions of OpenTelemetry, those for MCP and GenAI left out.
    Core,
    /// The semantic conventions for MCP, and those for GenAI that they use.
    Mcp,
    /// The OpenTelemetry SDK, which sets it.
    Sdk,
    /// The client libraries of Prometheus.
    Prometheus,
    Ours,
}

/// What kind of metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instrument {
    /// Exported only.
    Histogram,
    /// Monotonic, of whole numbers; exported, and on the page of the admin listener.
    Sum,
    /// How many there are now; exported for the process, and on the page for each hop.
    Level,
    /// On the page only.
    Gauge,
    /// On the page only.
    Counter,
}

#[derive(Debug)]
pub struct Attribute {
    pub name: &'static str,
    pub kind: Kind,
    pub source: Source,
    pub on: &'static [On],
    pub when: &'static str,
}

#[derive(Debug)]
pub struct Metric {
    pub name: &'static str,
    pub instrument: Instrument,
    pub unit: &'static str,
    pub source: Source,
    /// What tells its series apart, beside the tenant.
    pub label: Option<&'static str>,
    pub description: &'static str,
}

const ABOUT_SPANS: &str = "\
| span | kind | when |
|---|---|---|
| `{mcp.method.name}`, of a tool or prompt `{mcp.method.name} {name}` | server | a call, \
unless `side = \"client\"` |
| the same | client | a call with `side = \"client\"` or `span_pair`, and a request of the server |

";

const ABOUT_SOURCES: &str = "
`OTel` is the semantic conventions of OpenTelemetry. `OTel MCP` is its conventions for MCP, in Development: last in \
release 1.41.1, since then in `semantic-conventions-genai`, without a release. Resources also have what \
`resource_attributes` and `OTEL_RESOURCE_ATTRIBUTES` say.

";

/// All names, as tables.
#[must_use]
pub fn print() -> String {
    let mut out = String::from(ABOUT_SPANS);
    out.push_str("| attribute | type | from | on | when |\n|---|---|---|---|---|\n");
    for attribute in ATTRIBUTES {
        let on: Vec<_> = attribute.on.iter().map(|on| on.word()).collect();
        row(
            &mut out,
            &[
                &format!("`{}`", attribute.name),
                attribute.kind.word(),
                attribute.source.word(),
                &on.join(", "),
                attribute.when,
            ],
        );
    }
    out.push_str(ABOUT_SOURCES);
    out.push_str(
        "| metric | kind | unit | from | on `/metrics` | what |\n|---|---|---|---|---|---|\n",
    );
    for metric in METRICS {
        let exported = match metric.instrument {
            Instrument::Histogram | Instrument::Sum | Instrument::Level => {
                format!("`{}`", metric.name)
            }
            Instrument::Gauge | Instrument::Counter => "-".to_owned(),
        };
        row(
            &mut out,
            &[
                &exported,
                metric.instrument.word(),
                &format!("`{}`", metric.unit),
                metric.source.word(),
                &metric.on_page(),
                metric.description,
            ],
        );
    }
    out
}

fn row(out: &mut String, cells: &[&str]) {
    // Writing to a text cannot fail.
    let _ = writeln!(out, "| {} |", cells.join(" | "));
}

impl Metric {
    /// Its name in Prometheus' exposition format.
    #[must_use]
    pub fn page_name(&self) -> String {
        match self.instrument {
            Instrument::Sum => format!("{}_total", self.name.replace('.', "_")),
            Instrument::Level => self.name.replace('.', "_"),
            _ => self.name.to_owned(),
        }
    }

    fn on_page(&self) -> String {
        match (self.instrument, self.label) {
            (Instrument::Histogram, _) => "-".to_owned(),
            (_, Some(label)) => format!("`{}{{{label}}}`", self.page_name()),
            (_, None) => format!("`{}`", self.page_name()),
        }
    }
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Bool => "boolean",
            Self::Int => "int",
            Self::Text => "string",
        }
    }
}

impl On {
    fn word(self) -> &'static str {
        match self {
            Self::Span => "spans",
            Self::Operation => "operations",
            Self::Session => "sessions",
            Self::Sum => "sums",
            Self::Resource => "resource",
        }
    }
}

impl Source {
    fn word(self) -> &'static str {
        match self {
            Self::Core => "OTel",
            Self::Mcp => "OTel MCP",
            Self::Sdk => "OTel SDK",
            Self::Prometheus => "Prometheus",
            Self::Ours => "toolspan",
        }
    }
}

impl Instrument {
    fn word(self) -> &'static str {
        match self {
            Self::Histogram => "histogram",
            Self::Sum => "sum",
            Self::Level | Self::Gauge => "gauge",
            Self::Counter => "counter",
        }
    }
}
