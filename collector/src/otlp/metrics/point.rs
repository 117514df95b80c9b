//! Takes one data point of any kind.
//! Gives its values in one view: what a kind does not have stays empty.
//! Never mixes kinds: the field numbers of each are read by their own rules.

use super::{Field, KeyValue, Kind, Malformed, Message, push};
use crate::otlp::wire::Merge;

/// A number as the wire has it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    Int(i64),
    Double(f64),
}

impl Number {
    /// The store has one column for both.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "as in every OTLP store, values beyond 2^53 are rounded"
    )]
    pub fn as_f64(self) -> f64 {
        match self {
            Self::Int(value) => value as f64,
            Self::Double(value) => value,
        }
    }
}

/// A data point: the union of what the five kinds hold.
#[derive(Debug, Clone, Default)]
pub struct Point<'a> {
    pub attributes: Vec<KeyValue<'a>>,
    pub start_unix_nanos: u64,
    pub unix_nanos: u64,
    pub flags: u32,
    pub value: Option<Number>,
    pub count: u64,
    pub sum: Option<f64>,
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub bucket_counts: Vec<u64>,
    /// The bits of the doubles.
    pub explicit_bounds: Vec<u64>,
    pub scale: i32,
    pub zero_count: u64,
    pub zero_threshold: f64,
    pub positive: Buckets,
    pub negative: Buckets,
    pub quantiles: Vec<Quantile>,
    pub exemplars: Vec<Exemplar<'a>>,
    /// The quantiles, the exemplars and their attributes.
    nested: usize,
}

/// One side of an exponential histogram.
#[derive(Debug, Clone, Default)]
pub struct Buckets {
    pub offset: i32,
    pub counts: Vec<u64>,
}

/// One quantile of a summary.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quantile {
    pub quantile: f64,
    pub value: f64,
}

/// A sample that a point was made of.
#[derive(Debug, Clone, Default)]
pub struct Exemplar<'a> {
    pub attributes: Vec<KeyValue<'a>>,
    pub unix_nanos: u64,
    pub value: Option<Number>,
    pub span_id: &'a [u8],
    pub trace_id: &'a [u8],
}

impl<'a> Point<'a> {
    /// Forgets the last point but keeps its attributes' memory.
    pub(super) fn read(&mut self, kind: Kind, message: Message<'a>) -> Result<(), Malformed> {
        let mut attributes = std::mem::take(&mut self.attributes);
        attributes.clear();
        *self = Self {
            attributes,
            // In a summary an absent sum is 0; in the histograms it is unknown.
            sum: (kind == Kind::Summary).then_some(0.0),
            ..Self::default()
        };
        message.each(|field| match kind {
            Kind::Gauge | Kind::Sum => self.number_field(field),
            Kind::Histogram => self.histogram_field(field),
            Kind::ExponentialHistogram => self.exponential_field(field),
            Kind::Summary => self.summary_field(field),
        })
    }

    /// How many elements its lists of messages hold.
    pub(in crate::otlp) fn elements(&self) -> usize {
        self.attributes.len().saturating_add(self.nested)
    }

    /// How many elements its lists of numbers hold.
    pub(in crate::otlp) fn numbers(&self) -> usize {
        let lists = [
            &self.bucket_counts,
            &self.explicit_bounds,
            &self.positive.counts,
            &self.negative.counts,
        ];
        lists.into_iter().map(Vec::len).sum()
    }

    fn number_field(&mut self, field: Field<'a>) -> Result<(), Malformed> {
        match field.number {
            4 => self.value = Some(Number::Double(field.double("as_double")?)),
            5 => push(&mut self.exemplars, &mut self.nested, field, "exemplars")?,
            6 => self.value = Some(Number::Int(field.fixed64("as_int")?.cast_signed())),
            7 => KeyValue::push(&mut self.attributes, field)?,
            8 => self.flags = field.uint32("flags")?,
            _ => self.time_field(field)?,
        }
        Ok(())
    }

    fn histogram_field(&mut self, field: Field<'a>) -> Result<(), Malformed> {
        match field.number {
            4 => self.count = field.fixed64("count")?,
            5 => self.sum = Some(field.double("sum")?),
            6 => field.fixed64s("bucket_counts", &mut self.bucket_counts)?,
            7 => field.fixed64s("explicit_bounds", &mut self.explicit_bounds)?,
            8 => push(&mut self.exemplars, &mut self.nested, field, "exemplars")?,
            9 => KeyValue::push(&mut self.attributes, field)?,
            10 => self.flags = field.uint32("flags")?,
            11 => self.min = Some(field.double("min")?),
            12 => self.max = Some(field.double("max")?),
            _ => self.time_field(field)?,
        }
        Ok(())
    }

    fn exponential_field(&mut self, field: Field<'a>) -> Result<(), Malformed> {
        match field.number {
            1 => KeyValue::push(&mut self.attributes, field)?,
            4 => self.count = field.fixed64("count")?,
            5 => self.sum = Some(field.double("sum")?),
            6 => self.scale = field.sint32("scale")?,
            7 => self.zero_count = field.fixed64("zero_count")?,
            8 => self.positive.read(field, "positive")?,
            9 => self.negative.read(field, "negative")?,
            10 => self.flags = field.uint32("flags")?,
            11 => push(&mut self.exemplars, &mut self.nested, field, "exemplars")?,
            12 => self.min = Some(field.double("min")?),
            13 => self.max = Some(field.double("max")?),
            14 => self.zero_threshold = field.double("zero_threshold")?,
            _ => self.time_field(field)?,
        }
        Ok(())
    }

    fn summary_field(&mut self, field: Field<'a>) -> Result<(), Malformed> {
        match field.number {
            4 => self.count = field.fixed64("count")?,
            5 => self.sum = Some(field.double("sum")?),
            6 => push(
                &mut self.quantiles,
                &mut self.nested,
                field,
                "quantile_values",
            )?,
            7 => KeyValue::push(&mut self.attributes, field)?,
            8 => self.flags = field.uint32("flags")?,
            _ => self.time_field(field)?,
        }
        Ok(())
    }

    /// Fields 2 and 3 are the same in every kind.
    fn time_field(&mut self, field: Field<'a>) -> Result<(), Malformed> {
        match field.number {
            2 => self.start_unix_nanos = field.fixed64("start_time_unix_nano")?,
            3 => self.unix_nanos = field.fixed64("time_unix_nano")?,
            _ => {}
        }
        Ok(())
    }
}

impl Buckets {
    fn read(&mut self, field: Field<'_>, name: &str) -> Result<(), Malformed> {
        let read = field.message(name)?.each(|field| {
            match field.number {
                1 => self.offset = field.sint32("offset")?,
                2 => field.varints("bucket_counts", &mut self.counts)?,
                _ => {}
            }
            Ok(())
        });
        read.map_err(|error| error.within(name))
    }
}

impl<'a> Merge<'a> for Quantile {
    fn merge(&mut self, field: Field<'a>) -> Result<(), Malformed> {
        match field.number {
            1 => self.quantile = field.double("quantile")?,
            2 => self.value = field.double("value")?,
            _ => {}
        }
        Ok(())
    }
}

impl<'a> Merge<'a> for Exemplar<'a> {
    fn merge(&mut self, field: Field<'a>) -> Result<(), Malformed> {
        match field.number {
            2 => self.unix_nanos = field.fixed64("time_unix_nano")?,
            3 => self.value = Some(Number::Double(field.double("as_double")?)),
            4 => self.span_id = field.bytes("span_id")?,
            5 => self.trace_id = field.bytes("trace_id")?,
            6 => self.value = Some(Number::Int(field.fixed64("as_int")?.cast_signed())),
            7 => KeyValue::push(&mut self.attributes, field)?,
            _ => {}
        }
        Ok(())
    }

    fn elements(&self) -> usize {
        self.attributes.len()
    }
}
