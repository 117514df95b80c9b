//! Takes the requests of a session's client and what its child says. Gives the stream that a message belongs to.
//! Never names two streams for one message; what belongs to no request is for the session's standalone stream.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use crate::frame::{Id, Kind, Message, Slot};

/// The stream that a client opens with GET.
pub(super) const STANDALONE: u64 = 0;
/// Requests that may wait in one session, where nobody reads the stream that their answers are for.
const MAX_OPEN: usize = 10_000;
/// A name whose text is longer is remembered by its hash.
const LONGEST_NAME: usize = 256;

/// The open requests of a session.
#[derive(Debug, Default)]
pub(super) struct Routes {
    open: HashMap<Name, Open>,
    /// Requests by the token they want progress with.
    tokens: HashMap<Name, Name>,
    opened: u64,
    /// Key the hashes of long names, so that nobody can make two that are alike.
    keys: [RandomState; 2],
}

/// An id or a token, by its value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Name {
    Short(Id),
    Long([u64; 2]),
}

#[derive(Debug)]
struct Open {
    stream: u64,
    token: Option<Name>,
    /// Later requests have higher numbers.
    number: u64,
    cancelled: bool,
}

/// The request that an answer ends.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answered {
    /// None where the id is so long that no call was opened under it.
    pub id: Option<Id>,
    pub closed: Closed,
}

/// What the end of a request means for its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Closed {
    pub stream: u64,
    /// No other request is answered on it.
    pub last: bool,
}

impl Routes {
    /// Opens a request of a body. Gives a stream that is over by it: that of an older request with the same id, if it
    /// has no other.
    pub fn open(&mut self, message: &Message<'_>, body: &[u8], stream: u64) -> Option<u64> {
        let name = self.name(message, body, Slot::Id)?;
        let older = self.close(&name);
        let token = self.name(message, body, Slot::MetaProgressToken);
        if let Some(token) = &token {
            self.tokens.insert(token.clone(), name.clone());
        }
        self.opened += 1;
        let open = Open {
            stream,
            token,
            number: self.opened,
            cancelled: false,
        };
        self.open.insert(name, open);
        let older = older.filter(|older| older.last && older.stream != stream);
        older.map(|older| older.stream)
    }

    /// Forgets the oldest request on a stream that nobody reads, where too many are open. Its answer will belong nowhere.
    pub fn shrink(&mut self, is_unread: impl Fn(u64) -> bool) -> Option<Closed> {
        if self.open.len() <= MAX_OPEN {
            return None;
        }
        let unread = self.open.iter().filter(|(_, open)| is_unread(open.stream));
        let (oldest, _) = unread.min_by_key(|(_, open)| open.number)?;
        let oldest = oldest.clone();
        self.close(&oldest)
    }

    /// The client does not wait any more for the answer to what it cancels here, which may come all the same. Gives
    /// its stream.
    pub fn cancel(&mut self, message: &Message<'_>, body: &[u8]) -> Option<u64> {
        let name = self.name(message, body, Slot::ParamsRequestId)?;
        let open = self.open.get_mut(&name)?;
        open.cancelled = true;
        Some(open.stream)
    }

    /// Nobody reads a stream any more: forgets the requests on it that were cancelled. True when none is left.
    pub fn abandon(&mut self, stream: u64) -> bool {
        let cancelled = |open: &Open| open.stream == stream && open.cancelled;
        self.open.retain(|_, open| !cancelled(open));
        let open = &self.open;
        self.tokens.retain(|_, name| open.contains_key(name));
        !self.open.values().any(|open| open.stream == stream)
    }

    /// Ends the request that a response answers; `line` is empty where the response was not held. An error without an
    /// id can only mean the request that is open, if there is no other.
    pub fn answer(&mut self, message: &Message<'_>, line: &[u8]) -> Option<Answered> {
        let name = match message.is_nameless_error() {
            true => self.only()?,
            false => self.name(message, line, Slot::Id)?,
        };
        let closed = self.close(&name)?;
        let id = match name {
            Name::Short(id) => Some(id),
            Name::Long(_) => None,
        };
        Some(Answered { id, closed })
    }

    fn close(&mut self, name: &Name) -> Option<Closed> {
        let Open { stream, token, .. } = self.open.remove(name)?;
        if let Some(token) = token
            && self.tokens.get(&token) == Some(name)
        {
            self.tokens.remove(&token);
        }
        let last = !self.open.values().any(|open| open.stream == stream);
        Some(Closed { stream, last })
    }

    /// The one open request; none when there are more.
    fn only(&self) -> Option<Name> {
        let mut open = self.open.keys();
        open.next().filter(|_| self.open.len() == 1).cloned()
    }

    fn name(&self, message: &Message<'_>, bytes: &[u8], slot: Slot) -> Option<Name> {
        let id = message.id_out_of(bytes, slot)?;
        Some(match id.text().len() {
            0..=LONGEST_NAME => Name::Short(id),
            _ => Name::Long(self.keys.each_ref().map(|key| key.hash_one(&id))),
        })
    }

    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// The stream for a request or notification of the child, which stands in a line.
    pub fn stream_for(&self, message: &Message<'_>, line: &[u8], standalone_is_open: bool) -> u64 {
        let progress = self
            .name(message, line, Slot::ParamsProgressToken)
            .and_then(|token| self.tokens.get(&token))
            .and_then(|name| self.open.get(name));
        if let Some(open) = progress {
            return open.stream;
        }
        let newest = self.open.values().max_by_key(|open| open.number);
        match newest {
            // What a child asks or logs while it works on one request belongs to that: on the same stream it
            // stays in order with the answer.
            Some(only) if self.open.len() == 1 && within_a_call(message) => only.stream,
            Some(newest) if !standalone_is_open => newest.stream,
            _ => STANDALONE,
        }
    }
}

/// What servers send while they work on a request, rather than when something of theirs has changed.
fn within_a_call(message: &Message<'_>) -> bool {
    message.kind() == Kind::Request
        || message.text(Slot::Method).as_deref() == Some("notifications/message")
}

#[cfg(test)]
mod tests;
