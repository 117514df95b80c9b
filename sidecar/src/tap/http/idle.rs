//! Takes a hop. Ends the sessions in it that nobody uses any more, for as long as it is polled.
//! Never ends one that has a stream open or a request under way.

use std::sync::Arc;
use std::time::Duration;

use crate::clock;
use crate::session::Hop;

/// Looks for idle sessions again and again.
pub async fn end_idle_sessions(hop: Arc<Hop>, limit: Duration) {
    let rest = (limit / 4).clamp(Duration::from_millis(100), Duration::from_secs(60));
    loop {
        tokio::time::sleep(rest).await;
        hop.end_idle_sessions(limit, clock::now());
    }
}
