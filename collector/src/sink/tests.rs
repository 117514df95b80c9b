use super::*;

#[tokio::test]
async fn entries_that_panic_go_to_the_dead_letters() {
    #[expect(clippy::panic, reason = "the panic is what is tested")]
    let ended = tokio::task::spawn_blocking(|| panic!("of these rows")).await;
    let error = SinkError::from(ended.unwrap_err());
    assert!(
        matches!(&error, SinkError::Poison { what } if what.contains("of these rows")),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_task_that_was_stopped_is_tried_again() {
    let task = tokio::spawn(std::future::pending::<()>());
    task.abort();
    let error = SinkError::from(task.await.unwrap_err());
    assert!(matches!(error, SinkError::Retry { .. }), "{error:?}");
}
