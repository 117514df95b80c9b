//! Takes the sizes of the bodies that are on their way in.
//! Gives each room, out of one sum for all connections of both ports.
//! Never lets them hold more together, and never lets one wait long for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::Refusal;

/// What one permit stands for.
const UNIT: u64 = 1024;

/// Bodies wait this long for room. Those that hold a part and wait for each other end here.
const PATIENCE: Duration = Duration::from_secs(1);

/// The memory that exports may use until they are durable.
#[derive(Debug)]
pub struct Memory {
    units: Arc<Semaphore>,
    expanding: Semaphore,
}

/// What one export holds; dropping it gives it back.
#[derive(Debug)]
pub struct Held<'a> {
    memory: &'a Memory,
    permit: Option<OwnedSemaphorePermit>,
}

impl Memory {
    /// Bodies that are decompressed at a time: how large they come out is known only then.
    const EXPANDING: usize = 4;

    pub fn new(bytes: u64) -> Self {
        let units = usize::try_from(bytes / UNIT).unwrap_or(usize::MAX);
        Self {
            units: Arc::new(Semaphore::new(units.min(Semaphore::MAX_PERMITS))),
            expanding: Semaphore::new(Self::EXPANDING),
        }
    }

    /// Nothing yet.
    pub fn held(&self) -> Held<'_> {
        Held {
            memory: self,
            permit: None,
        }
    }
}

impl<'a> Held<'a> {
    /// Holds room for `bytes` in all, or says that there is none.
    pub async fn grow_to(&mut self, bytes: u64) -> Result<(), Refusal> {
        let held = self
            .permit
            .as_ref()
            .map_or(0, OwnedSemaphorePermit::num_permits);
        let more = bytes.div_ceil(UNIT).saturating_sub(held as u64);
        if more == 0 {
            return Ok(());
        }
        let more = u32::try_from(more).map_err(|_| Refusal::Busy)?;
        let units = Arc::clone(&self.memory.units);
        match timeout(PATIENCE, units.acquire_many_owned(more)).await {
            Ok(Ok(permit)) => match &mut self.permit {
                Some(held) => held.merge(permit),
                none => *none = Some(permit),
            },
            _ => return Err(Refusal::Busy),
        }
        Ok(())
    }

    /// The turn to decompress, until dropped.
    pub async fn turn_to_expand(&self) -> Result<tokio::sync::SemaphorePermit<'a>, Refusal> {
        let turn = self.memory.expanding.acquire().await;
        turn.map_err(|closed| Refusal::Unavailable(closed.to_string()))
    }
}
