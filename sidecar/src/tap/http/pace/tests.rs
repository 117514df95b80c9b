use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use super::*;

/// Short, because it is waited for; and never over, because it is not.
const SHORT: Duration = Duration::from_millis(5);
const LONG: Duration = Duration::from_secs(100_000);

async fn run(
    pace: &Pace,
    bounds: &Bounds,
    exchange: impl Future<Output = ()>,
) -> Result<(), Refusal> {
    let (mut exchange, mut clocks) = (pin!(exchange), Clocks::default());
    poll_fn(|cx| clocks.poll(pace, bounds, exchange.as_mut(), cx)).await
}

fn bounds(body_idle: Duration, write_idle: Duration) -> Bounds {
    Bounds {
        body_idle,
        write_idle,
        ..Bounds::default()
    }
}

#[tokio::test]
async fn a_client_that_owes_something_for_too_long_is_slow_with_that() {
    let body = Pace::default();
    body.request(true);
    let ended = run(&body, &bounds(SHORT, LONG), std::future::pending()).await;
    assert_eq!(ended, Err(Refusal::SlowBody));
    let answer = Pace::default();
    answer.answer(true);
    let ended = run(&answer, &bounds(LONG, SHORT), std::future::pending()).await;
    assert_eq!(ended, Err(Refusal::SlowReader));
}

#[tokio::test]
async fn a_body_that_is_read_elsewhere_starts_the_clock_too() {
    let pace = Arc::new(Pace::default());
    let reader = Arc::clone(&pace);
    let (begun, begin) = tokio::sync::oneshot::channel();
    let reading = tokio::spawn(async move {
        begin.await.unwrap();
        reader.request(true);
    });
    let mut begun = Some(begun);
    let exchange = poll_fn(|_| {
        // The other task cannot run before this one waits.
        begun.take().map(|begun| begun.send(()));
        Poll::Pending
    });
    let ended = run(&pace, &bounds(SHORT, LONG), exchange).await;
    assert_eq!(ended, Err(Refusal::SlowBody));
    reading.await.unwrap();
}

#[tokio::test]
async fn each_turn_has_all_of_its_time_and_a_server_that_has_the_move_has_it_for_ever() {
    let pace = Pace::default();
    // Together many times the limit, and each time not the client's.
    let exchange = async {
        for _ in 0..20 {
            pace.request(true);
            pace.answer(true);
            pace.request(false);
            pace.answer(false);
            tokio::time::sleep(SHORT).await;
        }
    };
    assert_eq!(run(&pace, &bounds(SHORT, SHORT), exchange).await, Ok(()));
}

#[tokio::test]
async fn a_clock_begins_anew_with_each_turn() {
    let (mut clock, mut turn) = (Clock::default(), Turn::default());
    assert!(turn.set(true) && !turn.set(true));
    poll_fn(|cx| clock.poll(turn, SHORT, cx)).await;
    poll_fn(|cx| {
        turn.set(false);
        assert!(clock.poll(turn, SHORT, cx).is_pending());
        turn.set(true);
        assert!(clock.poll(turn, LONG, cx).is_pending(), "another turn");
        Poll::Ready(())
    })
    .await;
}
