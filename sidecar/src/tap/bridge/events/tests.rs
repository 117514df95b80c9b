use super::*;

/// Longer than a test may wait for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

fn read_by_somebody(pace: Pace) -> Arc<Outlet> {
    let outlet = Outlet::new(pace);
    outlet.lock().attached = true;
    outlet
}

#[tokio::test]
async fn a_client_that_is_behind_is_cut_in_time_whatever_little_it_reads() {
    let outlet = read_by_somebody(Pace {
        max_bytes: 10,
        stall: Duration::from_millis(50),
    });
    let text = Bytes::from_static(b"more than half");
    assert_eq!(outlet.push(1, text.clone()).await, Pushed::Taken);
    let reading_a_little = async {
        loop {
            outlet.room.notify_waiters();
            tokio::task::yield_now().await;
        }
    };
    let pushed = tokio::select! {
        pushed = outlet.push(2, text) => pushed,
        () = reading_a_little => unreachable!("it never ends"),
        () = tokio::time::sleep(PATIENCE) => panic!("it is still there"),
    };
    assert_eq!(pushed, Pushed::Stalled);
}
