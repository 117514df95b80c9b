//! Takes SIGTERM and SIGINT.
//! Gives every part of the program the word to finish.
//! Never waits for anyone: the second signal ends the process at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Says when to stop. Clones hear the same word.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<bool>);

/// Gives the word.
#[derive(Debug)]
pub struct Stopper(watch::Sender<bool>);

/// A word that has not been given yet.
pub fn stop() -> (Stopper, Stop) {
    let (sender, receiver) = watch::channel(false);
    (Stopper(sender), Stop(receiver))
}

impl Stopper {
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// Returns once the word is given, or whoever could give it is gone.
    pub async fn wait(&mut self) {
        let _ = self.0.wait_for(|stop| *stop).await;
    }

    pub fn is_given(&self) -> bool {
        *self.0.borrow()
    }
}

/// Gives the word at the first SIGTERM or SIGINT; at the second the process ends with status 1.
pub fn on_signal() -> std::io::Result<Stop> {
    let (stopper, stop) = stop();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        for turn in 0.. {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            if turn > 0 {
                tracing::warn!(
                    signal = name,
                    "second signal, stopping at once; what is in the log stays there"
                );
                std::process::exit(1);
            }
            tracing::info!(signal = name, "stopping");
            stopper.stop();
        }
    });
    Ok(stop)
}
