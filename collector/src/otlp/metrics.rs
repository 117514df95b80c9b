//! Takes the bytes of an `ExportMetricsServiceRequest`.
//! Gives its points one after the other, of all five kinds, each with its metric, resource and scope.
//! Never keeps a point: the visitor sees a view that the next point overwrites.

use std::fmt;

use super::Malformed;
use super::traces::push;
use super::value::{KeyValue, Resource, Scope, ScopeAt, Shape, each_scope};
use super::wire::{Field, Message};

mod point;

pub use point::{Buckets, Exemplar, Number, Point, Quantile};

const SHAPE: Shape = Shape {
    resources: "resource_metrics",
    scopes: "scope_metrics",
};

/// The five kinds of metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Gauge,
    Sum,
    Histogram,
    ExponentialHistogram,
    Summary,
}

impl Kind {
    /// By the field of `Metric.data` that is set.
    fn of(field_number: u32) -> Option<(Self, &'static str)> {
        match field_number {
            5 => Some((Self::Gauge, "gauge")),
            7 => Some((Self::Sum, "sum")),
            9 => Some((Self::Histogram, "histogram")),
            10 => Some((Self::ExponentialHistogram, "exponential_histogram")),
            11 => Some((Self::Summary, "summary")),
            _ => None,
        }
    }

    /// The word in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gauge => "Gauge",
            Self::Sum => "Sum",
            Self::Histogram => "Histogram",
            Self::ExponentialHistogram => "ExponentialHistogram",
            Self::Summary => "Summary",
        }
    }
}

/// What the points of a metric share.
#[derive(Debug, Clone, Copy)]
pub struct Metric<'a> {
    pub name: &'a str,
    pub description: &'a str,
    pub unit: &'a str,
    pub kind: Kind,
    pub temporality: i32,
    pub monotonic: bool,
}

impl Metric<'_> {
    /// The bytes that every one of its rows repeats.
    pub(super) fn bytes(&self) -> usize {
        let texts = [self.name.len(), self.description.len(), self.unit.len()];
        texts.into_iter().fold(0, usize::saturating_add)
    }
}

/// Where a point stands in its export.
#[derive(Debug, Clone, Copy)]
pub struct PointAt {
    at: ScopeAt,
    metric: usize,
    point: usize,
}

impl fmt::Display for PointAt {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ScopeAt { resource, scope } = self.at;
        let (metric, point) = (self.metric, self.point);
        write!(
            out,
            "resource_metrics[{resource}].scope_metrics[{scope}].metrics[{metric}].data_points[{point}]"
        )
    }
}

/// Hands every point of the export to `visit`.
///
/// # Errors
///
/// [`Malformed`] when the bytes are no metrics export. Points before the broken place were visited.
pub fn metrics<'a>(
    body: &'a [u8],
    mut visit: impl FnMut(PointAt, &Resource<'a>, &Scope<'a>, &Metric<'a>, &Point<'a>),
) -> Result<(), Malformed> {
    let mut scratch = Point::default();
    each_scope(body, &SHAPE, |at, resource, scope, items| {
        let mut index = 0;
        items.each(|field| {
            if field.number == 2 {
                let metric = field.message("metrics")?;
                let mut point = 0;
                in_metric(metric, &mut scratch, |metric, values| {
                    let at = PointAt {
                        at,
                        metric: index,
                        point,
                    };
                    visit(at, resource, scope, metric, values);
                    point += 1;
                })
                .map_err(|error| error.within_at("metrics", index))?;
                index += 1;
            }
            Ok(())
        })
    })
}

/// `data` is a oneof: the last one on the wire counts, and one kind may come in several pieces.
fn in_metric<'a>(
    message: Message<'a>,
    scratch: &mut Point<'a>,
    mut visit: impl FnMut(&Metric<'a>, &Point<'a>),
) -> Result<(), Malformed> {
    let (mut name, mut description, mut unit) = ("", "", "");
    let mut data = None;
    message.each(|field| {
        match field.number {
            1 => name = field.text("name")?,
            2 => description = field.text("description")?,
            3 => unit = field.text("unit")?,
            number => data = Kind::of(number).map(|kind| (number, kind)).or(data),
        }
        Ok(())
    })?;
    let Some((number, (kind, kind_name))) = data else {
        return Ok(());
    };
    let mut metric = Metric {
        name,
        description,
        unit,
        kind,
        temporality: 0,
        monotonic: false,
    };
    each_data(message, number, kind_name, |field| {
        match (kind, field.number) {
            (Kind::Gauge | Kind::Summary, _) => {}
            (_, 2) => metric.temporality = field.int32("aggregation_temporality")?,
            (Kind::Sum, 3) => metric.monotonic = field.varint("is_monotonic")? != 0,
            _ => {}
        }
        Ok(())
    })?;
    let mut index = 0;
    each_data(message, number, kind_name, |field| {
        if field.number == 1 {
            scratch
                .read(kind, field.message("data_points")?)
                .map_err(|error| error.within_at("data_points", index))?;
            visit(&metric, scratch);
            index += 1;
        }
        Ok(())
    })
}

fn each_data<'a>(
    metric: Message<'a>,
    number: u32,
    name: &str,
    mut visit: impl FnMut(Field<'a>) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    metric.each(|field| {
        if field.number == number {
            field
                .message(name)?
                .each(&mut visit)
                .map_err(|error| error.within(name))?;
        }
        Ok(())
    })
}
