use clickhouse::error::Error;

use super::*;

#[test]
fn answers_are_classed_by_their_code() {
    let answered = |text: &str| fate(&Error::BadResponse(text.into()));
    assert_eq!(
        answered("Code: 252. DB::Exception: Too many parts"),
        Fate::Retry
    );
    assert_eq!(
        answered("Code: 117. DB::Exception: wrong data"),
        Fate::Poison
    );
    assert_eq!(
        answered("Code: 60. DB::Exception: no such table"),
        Fate::Schema
    );
    assert_eq!(answered("Code: 516. DB::Exception: password"), Fate::Retry);
    assert_eq!(answered("503 Service Unavailable"), Fate::Retry);
    assert_eq!(fate(&Error::TimedOut), Fate::Retry);
    assert_eq!(fate(&Error::Network("gone".into())), Fate::Retry);
}

#[test]
fn a_url_is_taken_apart_and_its_password_never_shown() {
    let target: Target = "http://me:p%40ss@ch.example:8123/?database=traces"
        .parse()
        .unwrap();
    assert_eq!(target.url, "http://ch.example:8123/");
    assert_eq!(target.user.as_deref(), Some("me"));
    assert_eq!(target.password.reveal(), "p@ss");
    assert_eq!(target.database, "traces");
    let shown = format!("{target:?} {target} {:?}", ClickHouse::new(&target));
    assert!(!shown.contains("p@ss") && shown.contains("***"), "{shown}");

    let bare: Target = "http://127.0.0.1:8123".parse().unwrap();
    assert_eq!((bare.user, bare.database.as_str()), (None, "toolspan"));
}

#[test]
fn wrong_urls_are_refused_without_repeating_them() {
    for wrong in [
        "",
        "127.0.0.1:8123",
        "http://",
        "https://me:secret@h/",
        "http://me:secret@h/?db=x",
        "http://me:secret@a b/",
    ] {
        let error = wrong.parse::<Target>().unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_is_away_means_try_again() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let target: Target = format!("http://me:secret@{address}").parse().unwrap();
    let error = ClickHouse::new(&target)
        .write(&crate::sample::story_block())
        .await
        .unwrap_err();
    assert!(
        matches!(&error, SinkError::Retry { what } if !what.contains("secret")),
        "{error}"
    );
}
