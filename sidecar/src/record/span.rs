//! Takes a call record. Gives SDK span data.
