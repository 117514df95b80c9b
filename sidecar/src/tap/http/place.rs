//! Takes a URI that the server wrote: of an `endpoint` event or a `Location`. Gives it as the client must see it, and
//! the path and query that the client will ask for.
//! Never does I/O, and never changes a URI that is right as it stands.

/// Where the two sides see one request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Places<'a> {
    /// The origin the client used: its scheme and `Host`.
    pub client: (&'a str, &'a str),
    /// Host and port of the server behind us.
    pub upstream: &'a str,
    /// What stands before the client's path on the server; empty or `/...` without a slash at its end.
    pub prefix: &'a str,
    /// The path the client asked for.
    pub path: &'a str,
}

/// A URI cut into what matters here.
#[derive(Debug, Clone, Copy)]
struct Parts<'a> {
    scheme: Option<&'a str>,
    authority: Option<&'a str>,
    path: &'a str,
    /// The query with its question mark, the fragment behind it.
    query: &'a str,
    fragment: &'a str,
}

impl<'a> Parts<'a> {
    fn of(uri: &'a str) -> Self {
        let (rest, fragment) = uri.split_at(uri.find('#').unwrap_or(uri.len()));
        let (rest, query) = rest.split_at(rest.find('?').unwrap_or(rest.len()));
        let scheme = rest.split_once(':').filter(|(scheme, _)| is_scheme(scheme));
        let (scheme, rest) = scheme.map_or((None, rest), |(scheme, rest)| (Some(scheme), rest));
        let (authority, path) = match rest.strip_prefix("//") {
            Some(rest) => {
                let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                (Some(authority), path)
            }
            None => (None, rest),
        };
        Self {
            scheme,
            authority,
            path,
            query,
            fragment,
        }
    }

    /// The absolute path it means when it stands in an answer to a request for `base`.
    fn resolve(&self, base: &str) -> String {
        if self.path.is_empty() && self.authority.is_none() {
            return base.to_owned();
        }
        if self.path.starts_with('/') || self.authority.is_some() {
            return without_dots(self.path);
        }
        let folder = base.rfind('/').map_or("", |end| &base[..end]);
        without_dots(&format!("{folder}/{}", self.path))
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
}

/// Removes `.` and `..` segments (RFC 3986, 5.2.4).
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut folder = false;
    for segment in path.split('/').skip(1) {
        folder = matches!(segment, "." | "..");
        match segment {
            "." => {}
            ".." => {
                kept.pop();
            }
            segment => kept.push(segment),
        }
    }
    if folder {
        kept.push("");
    }
    format!("/{}", kept.join("/"))
}

/// What became of a URI.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Placed {
    /// The URI to put in its place; none when it is right as it stands.
    pub rewritten: Option<String>,
    /// Path and query the client will ask us for; none when it will ask somebody else.
    pub target: Option<String>,
}

impl Places<'_> {
    /// The URI as the client must see it.
    pub fn to_client(self, uri: &str) -> Placed {
        let parts = Parts::of(uri);
        let same_scheme =
            |scheme: &str| parts.scheme.is_none_or(|s| s.eq_ignore_ascii_case(scheme));
        let is = |host: &str| {
            parts
                .authority
                .is_some_and(|a| a.eq_ignore_ascii_case(host))
        };
        let of_client = is(self.client.1) && same_scheme(self.client.0);
        let of_upstream = !of_client && is(self.upstream) && parts.scheme.is_some();
        let opaque = parts.scheme.is_some() && parts.authority.is_none();
        if opaque || !(of_client || of_upstream || parts.authority.is_none()) {
            return Placed {
                rewritten: None,
                target: None,
            };
        }
        let on_server = parts.resolve(&format!("{}{}", self.prefix, self.path));
        let path = self.without_prefix(&on_server);
        let seen = parts.resolve(self.path);
        let origin = match (parts.scheme, parts.authority) {
            _ if of_upstream => format!("{}://{}", self.client.0, self.client.1),
            (Some(scheme), Some(authority)) => format!("{scheme}://{authority}"),
            (None, Some(authority)) => format!("//{authority}"),
            _ => String::new(),
        };
        let right = !of_upstream && path == seen;
        Placed {
            rewritten: (!right).then(|| format!("{origin}{path}{}{}", parts.query, parts.fragment)),
            target: Some(format!("{path}{}", parts.query)),
        }
    }

    fn without_prefix<'a>(&self, path: &'a str) -> &'a str {
        match path.strip_prefix(self.prefix) {
            Some("") => "/",
            Some(rest) if rest.starts_with('/') => rest,
            _ => path,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(prefix: &str, path: &str, uri: &str) -> (Option<String>, Option<String>) {
        let places = Places {
            client: ("http", "proxy:80"),
            upstream: "server:3000",
            prefix,
            path,
        };
        let placed = places.to_client(uri);
        (placed.rewritten, placed.target)
    }

    /// Prefix, the client's path, the URI, what the client sees, what it asks for.
    type Row = (
        &'static str,
        &'static str,
        &'static str,
        Option<&'static str>,
        Option<&'static str>,
    );

    const TABLE: &[Row] = &[
        // Without a prefix a URI of our own is right as it stands.
        ("", "/sse", "/message?s=1", None, Some("/message?s=1")),
        ("", "/a/sse", "message?s=1", None, Some("/a/message?s=1")),
        ("", "/a/sse", "../m/./x?s=1", None, Some("/m/x?s=1")),
        ("", "/sse", "?s=1", None, Some("/sse?s=1")),
        ("", "/sse", "http://proxy:80/m?s=1#f", None, Some("/m?s=1")),
        ("", "/sse", "HTTP://PROXY:80/m", None, Some("/m")),
        ("", "/sse", "//proxy:80/m", None, Some("/m")),
        (
            "",
            "/sse",
            "/m?back=http://x/",
            None,
            Some("/m?back=http://x/"),
        ),
        // One that names the server's own origin becomes the client's.
        (
            "",
            "/sse",
            "http://server:3000/m?s=1",
            Some("http://proxy:80/m?s=1"),
            Some("/m?s=1"),
        ),
        (
            "",
            "/sse",
            "https://server:3000",
            Some("http://proxy:80/"),
            Some("/"),
        ),
        // Somebody else's is left alone.
        ("", "/sse", "http://other/m", None, None),
        ("", "/sse", "https://proxy:80/m", None, None),
        ("", "/sse", "mailto:a@b", None, None),
        // A prefix is the server's business only.
        (
            "/p",
            "/sse",
            "/p/message?s=1",
            Some("/message?s=1"),
            Some("/message?s=1"),
        ),
        ("/p", "/sse", "/p", Some("/"), Some("/")),
        ("/p", "/sse", "/path/m", None, Some("/path/m")),
        ("/p", "/sse", "/message", None, Some("/message")),
        ("/p", "/a/sse", "message?s=1", None, Some("/a/message?s=1")),
        ("/p", "/a/sse", "../message", None, Some("/message")),
        (
            "/p",
            "/a/sse",
            "../../p/message",
            Some("/message"),
            Some("/message"),
        ),
        ("/p", "/sse", "?s=1", None, Some("/sse?s=1")),
        (
            "/p",
            "/sse",
            "http://proxy:80/p/m?s=1",
            Some("http://proxy:80/m?s=1"),
            Some("/m?s=1"),
        ),
        (
            "/p",
            "/sse",
            "//proxy:80/p/m",
            Some("//proxy:80/m"),
            Some("/m"),
        ),
        (
            "/p",
            "/sse",
            "http://server:3000/p/m",
            Some("http://proxy:80/m"),
            Some("/m"),
        ),
        ("/p", "/sse", "http://other/p/m", None, None),
    ];

    #[test]
    fn a_uri_is_placed_where_the_client_is() {
        for (prefix, path, uri, rewritten, target) in TABLE {
            let found = placed(prefix, path, uri);
            let expected = (rewritten.map(str::to_owned), target.map(str::to_owned));
            assert_eq!(found, expected, "{prefix:?} {path} {uri}");
        }
    }
}
