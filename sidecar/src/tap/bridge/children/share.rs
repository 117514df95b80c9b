//! Takes a caller. Gives it the child that it shares with nobody else, started where there is none.
//! Never refuses one because its child has just been ended, and never chooses a child that is to end.

use std::ffi::OsString;
use std::sync::Arc;

use super::NoChild;
use crate::tap::bridge::caller::Caller;
use crate::tap::bridge::modern::{InUse, Shared};
use crate::tap::bridge::{Bridge, lock};

impl Bridge {
    /// The child of a caller, which is started where there is none.
    pub(in crate::tap::bridge) async fn share(
        self: &Arc<Self>,
        caller: &Caller,
    ) -> Result<InUse, NoChild> {
        self.when_there_is_room(|| self.share_now(caller)).await
    }

    fn share_now(self: &Arc<Self>, caller: &Caller) -> Result<InUse, NoChild> {
        let mut places = lock(&self.places);
        let rules = self.rules();
        if let Some(shared) = places.callers.get(caller).and_then(Shared::hold) {
            return Ok(shared);
        }
        if let Err(full) = self.check_room(&mut places) {
            // A command that is not ours any more is better than none.
            let retired = places.retired.iter();
            let mut own = retired.filter(|shared| shared.caller == *caller);
            return own.find_map(Shared::hold).ok_or(full);
        }
        let (child, running) = self.start_child(&rules)?;
        let shared = Arc::new(Shared::new(self, &rules, child, caller.clone()));
        let in_use = shared.hold();
        if places.draining {
            shared.drain();
        }
        places.callers.insert(caller.clone(), Arc::clone(&shared));
        self.run(&mut places, running, shared);
        // The lock is not given back yet, so nobody can have ended it.
        in_use.ok_or(NoChild::Ending)
    }

    /// Children of callers that were not started with this command serve no new request.
    pub(in crate::tap) fn retire(&self, command: &[OsString]) {
        let retired: Vec<_> = {
            let mut places = lock(&self.places);
            let outdated = places
                .callers
                .extract_if(|_, shared| shared.command != command);
            let outdated: Vec<_> = outdated.map(|(_, shared)| shared).collect();
            places.retired.extend(outdated.iter().cloned());
            outdated
        };
        for shared in retired {
            shared.retire();
        }
    }
}
