//! Takes the events of a session. Gives those that a client that came back has not seen.
//! Never holds more than its bound: the oldest go first, and those that nobody got are counted.

use std::collections::VecDeque;

use bytes::Bytes;

use super::events::{EventId, cost};

/// What was sent, or is to be sent, on the streams of one session.
#[derive(Debug)]
pub(super) struct History {
    events: VecDeque<Event>,
    bytes: usize,
    max_bytes: usize,
}

#[derive(Debug)]
struct Event {
    id: EventId,
    text: Bytes,
    /// No client was there to take it.
    missed: bool,
}

impl History {
    pub fn new(max_bytes: usize) -> Self {
        Self {
            events: VecDeque::new(),
            bytes: 0,
            max_bytes,
        }
    }

    /// Adds an event that nobody has got yet. Gives the number of those that are lost by it.
    pub fn add(&mut self, id: EventId, text: Bytes) -> u64 {
        self.bytes += cost(&text);
        self.events.push_back(Event {
            id,
            text,
            missed: true,
        });
        // The newest stays whatever its size: it may be on its way to a client right now.
        self.shrink_to(1)
    }

    /// Keeps within the bound, but for so many of the newest.
    fn shrink_to(&mut self, least: usize) -> u64 {
        let mut lost = 0;
        while self.bytes > self.max_bytes && self.events.len() > least {
            let Some(oldest) = self.events.pop_front() else {
                break;
            };
            self.bytes -= cost(&oldest.text);
            lost += u64::from(oldest.missed);
        }
        lost
    }

    /// A client was there for this event.
    pub fn taken(&mut self, id: EventId) {
        let event = self.events.iter_mut().rev().find(|event| event.id == id);
        if let Some(event) = event {
            event.missed = false;
        }
        self.shrink_to(0);
    }

    /// What follows an event on its stream, for the client that asks for it.
    pub fn after(&mut self, last: EventId) -> Vec<Bytes> {
        self.hand_out(|event| event.id.stream == last.stream && event.id > last)
    }

    /// What came for a stream while nobody was there.
    pub fn missed(&mut self, stream: u64) -> Vec<Bytes> {
        self.hand_out(|event| event.id.stream == stream && event.missed)
    }

    /// Whether there was such an event, as far as is known.
    pub fn knows(&self, id: EventId) -> bool {
        self.events.iter().any(|event| event.id.stream == id.stream)
    }

    /// How many events nobody got.
    pub fn lost(&self) -> u64 {
        self.events
            .iter()
            .map(|event| u64::from(event.missed))
            .sum()
    }

    fn hand_out(&mut self, wanted: impl Fn(&Event) -> bool) -> Vec<Bytes> {
        let found = self.events.iter_mut().filter(|event| wanted(event));
        found
            .map(|event| {
                event.missed = false;
                event.text.clone()
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tap::bridge::events::OVERHEAD;

    fn id(stream: u64, number: u64) -> EventId {
        EventId { stream, number }
    }

    #[test]
    fn a_client_gets_what_it_has_not_seen_of_its_own_stream() {
        let mut history = History::new(4 * OVERHEAD + 100);
        for number in 1..=4 {
            let event = id(number % 2, number);
            assert_eq!(history.add(event, Bytes::from(number.to_string())), 0);
            history.taken(event);
        }
        assert_eq!(history.after(id(1, 1)), ["3"]);
        assert_eq!(history.after(id(0, 4)), Vec::<Bytes>::new());
        assert!(history.knows(id(0, 1)) && !history.knows(id(7, 1)));
    }

    #[test]
    fn what_nobody_took_is_kept_for_the_next_client_once() {
        let mut history = History::new(4 * OVERHEAD + 100);
        history.add(id(0, 1), Bytes::from("a"));
        history.add(id(0, 2), Bytes::from("b"));
        history.taken(id(0, 1));
        assert_eq!(history.lost(), 1);
        assert_eq!(history.missed(0), ["b"]);
        assert_eq!(history.missed(0), Vec::<Bytes>::new());
        assert_eq!(history.lost(), 0);
    }

    #[test]
    fn the_oldest_go_first_and_are_counted_when_nobody_got_them() {
        let mut history = History::new(OVERHEAD + 3);
        assert_eq!(history.add(id(1, 1), Bytes::from("aa")), 0);
        assert_eq!(history.add(id(1, 2), Bytes::from("bb")), 1);
        history.taken(id(1, 2));
        assert_eq!(history.add(id(1, 3), Bytes::from("larger than all")), 0);
        assert_eq!(history.after(id(1, 0)), ["larger than all"]);
        history.taken(id(1, 3));
        assert_eq!(history.after(id(1, 0)), Vec::<Bytes>::new());
    }
}
