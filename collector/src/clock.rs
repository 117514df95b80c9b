//! Takes nothing.
//! Gives the time and random numbers, to be passed on as arguments.
//! Never read elsewhere: everything behind the edge is a function of what it is given.

use std::io::Read;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Nanoseconds since 1970; 0 on a clock that stands before it.
pub fn unix_nanos() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// For distances in time that no change of the clock can reach.
pub fn instant() -> Instant {
    Instant::now()
}

/// A number no other log has.
pub fn random_id() -> std::io::Result<u128> {
    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(u128::from_le_bytes(bytes))
}
