//! Takes the requests of a session's client and what its child says. Gives the stream that a message belongs to.
//! Never names two streams for one message; what belongs to no request is for the session's standalone stream.

use std::collections::HashMap;

use crate::frame::{Id, Kind, Message, Slot};

/// The stream that a client opens with GET.
pub(super) const STANDALONE: u64 = 0;

/// The open requests of a session.
#[derive(Debug, Default)]
pub(super) struct Routes {
    open: HashMap<Id, Open>,
    /// Requests by the token they want progress with.
    tokens: HashMap<Id, Id>,
    opened: u64,
}

#[derive(Debug)]
struct Open {
    stream: u64,
    token: Option<Id>,
    /// Later requests have higher numbers.
    number: u64,
    cancelled: bool,
}

/// What the end of a request means for its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Closed {
    pub stream: u64,
    /// No other request is answered on it.
    pub last: bool,
}

impl Routes {
    /// Opens a request. Gives a stream that is over by it: that of an older request with the same id, if it has no other.
    pub fn open(&mut self, message: &Message<'_>, stream: u64) -> Option<u64> {
        let id = message.id()?;
        let older = self.close(&id);
        let token = message.id_in(Slot::MetaProgressToken);
        if let Some(token) = &token {
            self.tokens.insert(token.clone(), id.clone());
        }
        self.opened += 1;
        let open = Open {
            stream,
            token,
            number: self.opened,
            cancelled: false,
        };
        self.open.insert(id, open);
        let older = older.filter(|older| older.last && older.stream != stream);
        older.map(|older| older.stream)
    }

    /// The client does not wait for the answer any more, which may come all the same. Gives its stream.
    pub fn cancel(&mut self, id: &Id) -> Option<u64> {
        let open = self.open.get_mut(id)?;
        open.cancelled = true;
        Some(open.stream)
    }

    /// Nobody reads a stream any more: forgets the requests on it that were cancelled. True when none is left.
    pub fn abandon(&mut self, stream: u64) -> bool {
        let cancelled = |open: &Open| open.stream == stream && open.cancelled;
        self.open.retain(|_, open| !cancelled(open));
        let open = &self.open;
        self.tokens.retain(|_, id| open.contains_key(id));
        !self.open.values().any(|open| open.stream == stream)
    }

    pub fn close(&mut self, id: &Id) -> Option<Closed> {
        let Open { stream, token, .. } = self.open.remove(id)?;
        if let Some(token) = token
            && self.tokens.get(&token) == Some(id)
        {
            self.tokens.remove(&token);
        }
        let last = !self.open.values().any(|open| open.stream == stream);
        Some(Closed { stream, last })
    }

    /// The id of the one open request; none when there are more.
    pub fn only(&self) -> Option<Id> {
        let mut open = self.open.keys();
        open.next().filter(|_| self.open.len() == 1).cloned()
    }

    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// The stream for a request or notification of the child.
    pub fn stream_for(&self, message: &Message<'_>, standalone_is_open: bool) -> u64 {
        let progress = message
            .id_in(Slot::ParamsProgressToken)
            .and_then(|token| self.tokens.get(&token))
            .and_then(|id| self.open.get(id));
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
