//! Takes messages of many clients for one child, and those of the child. Gives the edits that keep their ids apart.
//! Never touches anything but ids, progress tokens and subscription ids, and gives each back byte for byte.
//!
//! A request goes to the child under a number that only it has, and so does its progress token: two clients may both
//! have a request `1`. What the child says names the number; the client sees the bytes it wrote.

use bytes::Bytes;

use super::lines::{place, range};
use crate::frame::line::Edit;
use crate::frame::{Id, Kind, Message, Shape, Slot};

/// The names that a client gave, as it wrote them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names {
    pub id: Bytes,
    pub token: Option<Bytes>,
}

/// The names of a request, and the edits that put a number in their place.
pub(super) fn number(message: &Message<'_>, body: &Bytes, number: u64) -> (Names, Vec<Edit>) {
    let mut edits = Vec::with_capacity(2);
    let mut take = |slot: Slot| {
        let at = range(message, slot);
        // A copy: a slice would keep the whole body for as long as the request is open.
        let name = Bytes::copy_from_slice(body.get(at.clone()).unwrap_or_default());
        edits.push(Edit {
            at,
            with: number.to_string().into_bytes(),
        });
        name
    };
    let names = Names {
        id: take(Slot::Id),
        token: message
            .id_in(Slot::MetaProgressToken)
            .map(|_| take(Slot::MetaProgressToken)),
    };
    (names, edits)
}

/// What a message of the child says it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Belongs {
    /// It answers this request.
    Answer(u64),
    /// It comes before the answer to this request.
    Within(u64),
    /// The child ends this request, which listens, by a cancel.
    Ends(u64),
    /// A notification that names nothing.
    Unnamed,
    /// An error that names nothing.
    NamelessError,
    /// The newest protocol has no such message.
    Nowhere,
}

/// Finds the request that a message of the child belongs to.
pub(super) fn belongs(message: &Message<'_>) -> Belongs {
    let named = |slot| message.id_in(slot).as_ref().and_then(read);
    match message.kind() {
        Kind::Response if message.is_nameless_error() => Belongs::NamelessError,
        Kind::Response => named(Slot::Id).map_or(Belongs::Nowhere, Belongs::Answer),
        Kind::Notification => {
            if message.text(Slot::Method).as_deref() == Some("notifications/cancelled") {
                return named(Slot::ParamsRequestId).map_or(Belongs::Nowhere, Belongs::Ends);
            }
            named(Slot::ParamsProgressToken)
                .or_else(|| named(Slot::MetaSubscriptionId))
                .map_or(Belongs::Unnamed, Belongs::Within)
        }
        Kind::Request | Kind::Invalid => Belongs::Nowhere,
    }
}

/// The edits that put the client's own names back, in ascending order of place.
pub(super) fn restore(message: &Message<'_>, number: u64, names: &Names) -> Vec<Edit> {
    let slots = [
        (Slot::Id, Some(&names.id)),
        (Slot::ParamsRequestId, Some(&names.id)),
        (Slot::MetaSubscriptionId, Some(&names.id)),
        (Slot::ResultSubscriptionId, Some(&names.id)),
        (Slot::ParamsProgressToken, names.token.as_ref()),
    ];
    let mut edits: Vec<Edit> = slots
        .into_iter()
        .filter(|(slot, _)| message.id_in(*slot).as_ref().and_then(read) == Some(number))
        .filter_map(|(slot, name)| {
            Some(Edit {
                at: range(message, slot),
                with: name?.to_vec(),
            })
        })
        .collect();
    if message.is_nameless_error() {
        edits.push(name_error(message, names));
    }
    edits.sort_by_key(|edit| edit.at.start);
    edits
}

/// Says whose an error is that did not.
fn name_error(message: &Message<'_>, names: &Names) -> Edit {
    if message.shape(Slot::Id) == Shape::Null {
        return Edit {
            at: range(message, Slot::Id),
            with: names.id.to_vec(),
        };
    }
    let behind_brace = place(message).start + 1;
    Edit {
        at: behind_brace..behind_brace,
        // Something follows: the error.
        with: [b"\"id\":", &names.id[..], b","].concat(),
    }
}

/// Some servers write a number back as a string.
fn read(id: &Id) -> Option<u64> {
    id.text().parse().ok()
}

#[cfg(test)]
mod tests;
