//! Takes the head of a message of one HTTP version. Gives it as the other version writes it (RFC 9113, 8.2 and 8.3).
//! Never changes what is end to end: only where a message says its target, and what means one connection.

use http::header::{self, HeaderMap, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Uri, Version, request};

/// What HTTP/2 allows in `te`.
const TRAILERS: HeaderValue = HeaderValue::from_static("trailers");

/// Writes the target as HTTP/1.1 does: a path, and `Host`. Whatever came as an absolute target wins over `Host`.
pub(super) fn origin_form(parts: &mut request::Parts) {
    if let Some(authority) = parts.uri.authority()
        && let Ok(host) = HeaderValue::try_from(authority.as_str())
    {
        parts.headers.insert(header::HOST, host);
    }
    // Most requests have this form already.
    if parts.uri.authority().is_some() || parts.uri.path_and_query().is_none() {
        parts.uri = parts
            .uri
            .path_and_query()
            .map_or_else(root, |path| path.clone().into());
    }
    if parts.version == Version::HTTP_2 {
        join_cookies(&mut parts.headers);
    }
    parts.version = Version::HTTP_11;
}

fn root() -> Uri {
    Uri::from_static("/")
}

/// Writes the target as HTTP/2 does: scheme, authority and path. False when `Host` is no authority.
pub(super) fn absolute_form<B>(request: &mut Request<B>, scheme: Scheme) -> bool {
    let Some(host) = request.headers().get(header::HOST) else {
        return false;
    };
    let Ok(authority) = Authority::try_from(host.as_bytes()) else {
        return false;
    };
    let path = request.uri().path_and_query().cloned();
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(scheme);
    parts.authority = Some(authority);
    parts.path_and_query = Some(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
    let Ok(uri) = Uri::from_parts(parts) else {
        return false;
    };
    *request.uri_mut() = uri;
    *request.version_mut() = Version::HTTP_2;
    let headers = request.headers_mut();
    headers.remove(header::HOST);
    headers.remove(header::CONNECTION);
    headers.remove(header::TRANSFER_ENCODING);
    true
}

/// Writes the target of a whole request as HTTP/1.1 does.
pub(super) fn to_origin_form<B>(request: Request<B>) -> Request<B> {
    let (mut parts, body) = request.into_parts();
    origin_form(&mut parts);
    Request::from_parts(parts, body)
}

/// HTTP/2 may send a cookie in crumbs; HTTP/1.1 has one line (RFC 9113, 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut crumbs = headers.get_all(header::COOKIE).iter();
    let (Some(_), Some(_)) = (crumbs.next(), crumbs.next()) else {
        return;
    };
    let crumbs: Vec<_> = headers
        .get_all(header::COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if let Ok(mut whole) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        whole.set_sensitive(true);
        headers.insert(header::COOKIE, whole);
    }
}

/// Whether the sender takes trailers: what is left of `te` on the next connection.
pub(super) fn takes_trailers(headers: &HeaderMap) -> bool {
    headers.get_all(header::TE).iter().any(|value| {
        value.as_bytes().split(|&byte| byte == b',').any(|coding| {
            let name = coding
                .split(|&byte| byte == b';')
                .next()
                .unwrap_or_default();
            name.trim_ascii().eq_ignore_ascii_case(TRAILERS.as_bytes())
        })
    })
}

/// Says on the next connection that trailers are taken.
pub(super) fn take_trailers(headers: &mut HeaderMap) {
    headers.insert(header::TE, TRAILERS);
    // HTTP/1.1 marks it as meant for one connection (RFC 9110, 10.1.4); for HTTP/2 the mark is taken off again.
    headers.insert(header::CONNECTION, HeaderValue::from_static("te"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(version: Version, uri: &str, headers: &[(&'static str, &str)]) -> Request<()> {
        let mut request = Request::new(());
        *request.uri_mut() = uri.parse().unwrap();
        *request.version_mut() = version;
        for (name, value) in headers {
            request.headers_mut().append(*name, value.parse().unwrap());
        }
        request
    }

    fn to_one(request: Request<()>) -> Request<()> {
        to_origin_form(request)
    }

    #[test]
    fn a_target_is_written_as_each_version_does() {
        let two = request(Version::HTTP_2, "https://a.example:8/mcp?x=1", &[]);
        let mut one = to_one(two);
        assert_eq!(one.uri(), "/mcp?x=1");
        assert_eq!(one.headers()[header::HOST], "a.example:8");
        assert_eq!(one.version(), Version::HTTP_11);
        assert!(absolute_form(&mut one, Scheme::HTTPS));
        assert_eq!(one.uri(), "https://a.example:8/mcp?x=1");
        assert_eq!(one.version(), Version::HTTP_2);
        assert!(one.headers().is_empty());
    }

    #[test]
    fn an_absolute_target_wins_over_the_host() {
        let one = to_one(request(Version::HTTP_11, "http://a/x", &[("host", "b")]));
        assert_eq!(
            (one.uri().path(), one.headers()[header::HOST].as_bytes()),
            ("/x", &b"a"[..])
        );
        let plain = to_one(request(Version::HTTP_11, "/x", &[("host", "b")]));
        assert_eq!(
            (plain.uri().path(), plain.headers()[header::HOST].as_bytes()),
            ("/x", &b"b"[..])
        );
    }

    #[test]
    fn a_host_that_is_no_authority_is_said() {
        for host in ["a/b", "a b", ""] {
            let mut one = request(Version::HTTP_11, "/", &[("host", host)]);
            assert!(!absolute_form(&mut one, Scheme::HTTP), "{host}");
        }
    }

    #[test]
    fn crumbs_are_one_line_again() {
        let one = to_one(request(
            Version::HTTP_2,
            "http://a/",
            &[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2")],
        ));
        let cookies: Vec<_> = one.headers().get_all(header::COOKIE).iter().collect();
        assert_eq!(cookies, ["a=1; b=2"]);
    }

    #[test]
    fn only_trailers_are_left_of_te() {
        for (te, taken) in [
            ("trailers", true),
            ("gzip, Trailers;q=1", true),
            ("gzip", false),
        ] {
            let headers = request(Version::HTTP_11, "/", &[("te", te)])
                .into_parts()
                .0
                .headers;
            assert_eq!(takes_trailers(&headers), taken, "{te}");
        }
    }
}
