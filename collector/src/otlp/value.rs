//! Takes the messages that all signals share: values, attributes, resources, scopes.
//! Gives them as borrowed views, checked to the last byte.
//! Never nests deeper than [`MAX_DEPTH`].

use super::Malformed;
use super::wire::{Field, Merge, Message};

/// How deep arrays and lists may nest in a value. The SDKs allow none at all.
pub const MAX_DEPTH: usize = 32;

/// An attribute's value.
#[derive(Debug, Clone, Copy, Default)]
pub enum Value<'a> {
    #[default]
    Empty,
    Text(&'a str),
    Bool(bool),
    Int(i64),
    Double(f64),
    Bytes(&'a [u8]),
    Array(Message<'a>),
    List(Message<'a>),
}

/// An attribute.
#[derive(Debug, Clone, Copy, Default)]
pub struct KeyValue<'a> {
    pub key: &'a str,
    pub value: Value<'a>,
}

impl<'a> Value<'a> {
    /// The values of an array; empty for every other kind.
    #[must_use]
    pub fn items(self) -> Vec<Value<'a>> {
        let mut items = Vec::new();
        if let Value::Array(message) = self {
            // It was read once already, so it cannot fail here; a failure would only shorten the list.
            let _ = message.each(|field| {
                if field.number == 1 {
                    items.push(Self::read(field.message("values")?, MAX_DEPTH)?);
                }
                Ok(())
            });
        }
        items
    }

    /// The attributes of a list; empty for every other kind.
    #[must_use]
    pub fn entries(self) -> Vec<KeyValue<'a>> {
        let mut entries = Vec::new();
        if let Value::List(message) = self {
            let _ = message.each(|field| {
                if field.number == 1 {
                    entries.push(KeyValue::read(field.message("values")?, MAX_DEPTH)?);
                }
                Ok(())
            });
        }
        entries
    }

    fn read(message: Message<'a>, depth: usize) -> Result<Self, Malformed> {
        let mut value = Self::Empty;
        message.each(|field| {
            match field.number {
                1 => value = Self::Text(field.text("string_value")?),
                2 => value = Self::Bool(field.varint("bool_value")? != 0),
                3 => value = Self::Int(field.varint("int_value")?.cast_signed()),
                4 => value = Self::Double(field.double("double_value")?),
                5 => {
                    let array = field.message("array_value")?;
                    check_array(array, depth).map_err(|e| e.within("array_value"))?;
                    value = Self::Array(array);
                }
                6 => {
                    let list = field.message("kvlist_value")?;
                    check_list(list, depth).map_err(|e| e.within("kvlist_value"))?;
                    value = Self::List(list);
                }
                7 => value = Self::Bytes(field.bytes("bytes_value")?),
                _ => {}
            }
            Ok(())
        })?;
        Ok(value)
    }
}

impl<'a> KeyValue<'a> {
    fn read(message: Message<'a>, depth: usize) -> Result<Self, Malformed> {
        let mut pair = Self::default();
        message.each(|field| {
            match field.number {
                1 => pair.key = field.text("key")?,
                2 => {
                    let value = field.message("value")?;
                    pair.value = Value::read(value, depth).map_err(|e| e.within("value"))?;
                }
                _ => {}
            }
            Ok(())
        })?;
        Ok(pair)
    }

    /// About how many bytes `list` takes in a row beyond its length on the wire.
    fn overhead(list: &[Self]) -> usize {
        let more = list.iter().map(|pair| match pair.value {
            // JSON writes one byte as up to six.
            Value::Array(message) | Value::List(message) => message.size().saturating_mul(5),
            // Base64.
            Value::Bytes(bytes) => bytes.len() / 3,
            _ => 0,
        });
        more.fold(list.len().saturating_mul(16), usize::saturating_add)
    }

    /// Reads one attribute into `list`, naming its place should it be broken.
    pub(super) fn push(list: &mut Vec<Self>, field: Field<'a>) -> Result<(), Malformed> {
        field.room("attributes", list.len())?;
        let message = field.message("attributes")?;
        let pair =
            Self::read(message, MAX_DEPTH).map_err(|e| e.within_at("attributes", list.len()))?;
        list.push(pair);
        Ok(())
    }
}

fn check_array(message: Message<'_>, depth: usize) -> Result<(), Malformed> {
    let depth = deeper(message, depth)?;
    let mut index = 0;
    message.each(|field| {
        if field.number == 1 {
            field.room("values", index)?;
            Value::read(field.message("values")?, depth)
                .map_err(|error| error.within_at("values", index))?;
            index += 1;
        }
        Ok(())
    })
}

fn check_list(message: Message<'_>, depth: usize) -> Result<(), Malformed> {
    let depth = deeper(message, depth)?;
    let mut index = 0;
    message.each(|field| {
        if field.number == 1 {
            field.room("values", index)?;
            KeyValue::read(field.message("values")?, depth)
                .map_err(|error| error.within_at("values", index))?;
            index += 1;
        }
        Ok(())
    })
}

fn deeper(message: Message<'_>, depth: usize) -> Result<usize, Malformed> {
    depth.checked_sub(1).ok_or_else(|| {
        let what = format!("nested deeper than {MAX_DEPTH}");
        Malformed::message(message.offset(), what)
    })
}

/// Who sent the items.
#[derive(Debug, Clone, Default)]
pub struct Resource<'a> {
    pub attributes: Vec<KeyValue<'a>>,
    pub schema_url: &'a str,
    /// About what every row repeats of it: its length on the wire, its schema's address, what its lists add.
    pub bytes: usize,
}

impl<'a> Merge<'a> for Resource<'a> {
    fn merge(&mut self, field: Field<'a>) -> Result<(), Malformed> {
        match field.number {
            1 => KeyValue::push(&mut self.attributes, field)?,
            2 => drop(field.uint32("dropped_attributes_count")?),
            _ => {}
        }
        Ok(())
    }
}

/// Which library made the items.
#[derive(Debug, Clone, Default)]
pub struct Scope<'a> {
    pub name: &'a str,
    pub version: &'a str,
    pub attributes: Vec<KeyValue<'a>>,
    pub schema_url: &'a str,
    /// About what every row repeats of it: its length on the wire, its schema's address, what its lists add.
    pub bytes: usize,
}

impl<'a> Merge<'a> for Scope<'a> {
    fn merge(&mut self, field: Field<'a>) -> Result<(), Malformed> {
        match field.number {
            1 => self.name = field.text("name")?,
            2 => self.version = field.text("version")?,
            3 => KeyValue::push(&mut self.attributes, field)?,
            _ => {}
        }
        Ok(())
    }
}

/// The shape both signals share: resources hold scopes, scopes hold items.
pub(super) struct Shape {
    pub(super) resources: &'static str,
    pub(super) scopes: &'static str,
}

/// Where a scope stands in its export.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ScopeAt {
    pub(super) resource: usize,
    pub(super) scope: usize,
}

/// Walks an export down to its scopes.
///
/// A resource may follow its items on the wire, so it is looked for first.
pub(super) fn each_scope<'a>(
    body: &'a [u8],
    shape: &Shape,
    mut visit: impl FnMut(ScopeAt, &Resource<'a>, &Scope<'a>, Message<'a>) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let mut at = ScopeAt::default();
    let walked = Message::new(body).each(|field| {
        if field.number == 1 {
            let group = field.message(shape.resources)?;
            at.scope = 0;
            in_resource(group, shape, &mut at, &mut visit)
                .map_err(|error| error.within_at(shape.resources, at.resource))?;
            at.resource += 1;
        }
        Ok(())
    });
    walked.map_err(Malformed::finish)
}

fn in_resource<'a>(
    group: Message<'a>,
    shape: &Shape,
    at: &mut ScopeAt,
    visit: &mut impl FnMut(ScopeAt, &Resource<'a>, &Scope<'a>, Message<'a>) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let mut resource = Resource::default();
    group.each(|field| {
        match field.number {
            1 => {
                let message = field.message("resource")?;
                resource.bytes = resource.bytes.saturating_add(message.size());
                message
                    .read(&mut resource)
                    .map_err(|error| error.within("resource"))?;
            }
            3 => {
                resource.schema_url = field.text("schema_url")?;
                resource.bytes = resource.bytes.saturating_add(resource.schema_url.len());
            }
            _ => {}
        }
        Ok(())
    })?;
    let overhead = KeyValue::overhead(&resource.attributes);
    resource.bytes = resource.bytes.saturating_add(overhead);
    group.each(|field| {
        if field.number == 2 {
            let items = field.message(shape.scopes)?;
            in_scope(items)
                .and_then(|scope| visit(*at, &resource, &scope, items))
                .map_err(|error| error.within_at(shape.scopes, at.scope))?;
            at.scope += 1;
        }
        Ok(())
    })
}

fn in_scope(items: Message<'_>) -> Result<Scope<'_>, Malformed> {
    let mut scope = Scope::default();
    items.each(|field| {
        match field.number {
            1 => {
                let message = field.message("scope")?;
                scope.bytes = scope.bytes.saturating_add(message.size());
                message
                    .read(&mut scope)
                    .map_err(|error| error.within("scope"))?;
            }
            3 => {
                scope.schema_url = field.text("schema_url")?;
                scope.bytes = scope.bytes.saturating_add(scope.schema_url.len());
            }
            _ => {}
        }
        Ok(())
    })?;
    let overhead = KeyValue::overhead(&scope.attributes);
    scope.bytes = scope.bytes.saturating_add(overhead);
    Ok(scope)
}
