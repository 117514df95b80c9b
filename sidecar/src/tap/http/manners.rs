//! Takes what a request says of where it came from. Gives what may be believed, and what the server is told.
//! Never believes a header of a peer that is not trusted (no I/O).

use std::net::{IpAddr, SocketAddr};

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::headers;
use crate::wire::Network;

const FORWARDED: HeaderName = HeaderName::from_static("forwarded");
const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FOR_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// What becomes of `Forwarded` and `X-Forwarded-*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Forwarded {
    /// They pass as they are, and nobody believes them.
    #[default]
    Pass,
    /// Ours is put behind those of peers that are trusted.
    Append,
    /// Ours take their place.
    Replace,
}

/// How a proxy speaks for its clients.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Manners {
    /// The server is told its own name, not the one that the client asked for.
    pub rewrite_host: bool,
    pub forwarded: Forwarded,
    pub trusted_proxies: Vec<Network>,
    /// Pages of these sites only; all where there are none.
    pub allowed_origins: Vec<String>,
}

impl Manners {
    /// Whether a page of the site that the request names may ask.
    pub(super) fn allows(&self, headers: &HeaderMap) -> bool {
        let known = |origin: &HeaderValue| {
            let listed = |listed: &String| {
                listed == "*" || listed.as_bytes().eq_ignore_ascii_case(origin.as_bytes())
            };
            self.allowed_origins.iter().any(listed)
        };
        self.allowed_origins.is_empty() || headers.get_all(header::ORIGIN).iter().all(known)
    }

    /// Whoever uses our Unix socket is our user.
    fn trusts(&self, peer: Option<IpAddr>) -> bool {
        peer.is_none_or(|peer| {
            self.trusted_proxies
                .iter()
                .any(|network| network.holds(peer))
        })
    }

    /// The client behind all proxies that are trusted.
    pub(super) fn client(
        &self,
        headers: &HeaderMap,
        peer: Option<SocketAddr>,
    ) -> Option<SocketAddr> {
        let ip = peer.map(|peer| peer.ip());
        if self.forwarded == Forwarded::Pass || !self.trusts(ip) {
            return peer;
        }
        let Some(list) = headers::list(headers, &FOR) else {
            return peer;
        };
        let mut client = peer;
        for hop in list.rsplit(',') {
            let Ok(ip) = hop.trim().parse::<IpAddr>() else {
                break;
            };
            client = Some(SocketAddr::new(ip, 0));
            if !self.trusts(Some(ip)) {
                break;
            }
        }
        client
    }

    /// Tells the server. `client` is who `client()` found, `scheme` what the peer spoke to us.
    pub(super) fn tell(
        &self,
        headers: &mut HeaderMap,
        (peer, client): (Option<SocketAddr>, Option<SocketAddr>),
        scheme: &'static str,
    ) {
        if self.forwarded == Forwarded::Pass {
            return;
        }
        let keeps = self.forwarded == Forwarded::Append && self.trusts(peer.map(|peer| peer.ip()));
        if !keeps {
            for name in [FORWARDED, FOR, PROTO, FOR_HOST] {
                headers.remove(name);
            }
        }
        let told = if keeps { peer } else { client }.map(|address| address.ip());
        let host = headers.get(header::HOST).cloned();
        append(headers, FORWARDED, &element(told, host.as_ref(), scheme));
        if let Some(ip) = told {
            append(headers, FOR, &ip.to_string());
        }
        headers
            .entry(PROTO)
            .or_insert(HeaderValue::from_static(scheme));
        if let Some(host) = host {
            headers.entry(FOR_HOST).or_insert(host);
        }
    }
}

/// One hop, as RFC 7239 writes it.
fn element(ip: Option<IpAddr>, host: Option<&HeaderValue>, scheme: &str) -> String {
    let of = match ip {
        None => "unknown".to_owned(),
        Some(IpAddr::V4(ip)) => ip.to_string(),
        Some(IpAddr::V6(ip)) => format!("\"[{ip}]\""),
    };
    let plain = |text: &&str| !text.contains(['"', '\\']);
    match host.and_then(|host| host.to_str().ok()).filter(plain) {
        Some(host) => format!("for={of};host=\"{host}\";proto={scheme}"),
        None => format!("for={of};proto={scheme}"),
    }
}

/// Puts a value at the end of a list that may have several lines.
fn append(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    let list = match headers::list(headers, &name) {
        Some(list) => format!("{list}, {value}"),
        None => value.to_owned(),
    };
    if let Ok(list) = HeaderValue::try_from(list) {
        headers.insert(name, list);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manners(forwarded: Forwarded) -> Manners {
        Manners {
            forwarded,
            trusted_proxies: vec!["10.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()],
            ..Manners::default()
        }
    }

    fn told(forwarded: Forwarded, peer: &str) -> (Option<String>, HeaderMap) {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, "a:1".parse().unwrap());
        headers.insert(FOR, "6.6.6.6, 7.7.7.7, 10.9.9.9".parse().unwrap());
        headers.insert(PROTO, "https".parse().unwrap());
        let peer = Some(peer.parse().unwrap());
        let manners = manners(forwarded);
        let client = manners.client(&headers, peer);
        manners.tell(&mut headers, (peer, client), "http");
        (client.map(|client| client.ip().to_string()), headers)
    }

    #[test]
    fn untouched_and_not_believed_by_default() {
        let (client, headers) = told(Forwarded::Pass, "10.0.0.1:5");
        assert_eq!(client.as_deref(), Some("10.0.0.1"));
        assert_eq!(headers[FOR], "6.6.6.6, 7.7.7.7, 10.9.9.9");
        assert!(!headers.contains_key(FORWARDED));
    }

    #[test]
    fn trusted_peers_are_believed_up_to_the_first_that_is_not() {
        let (client, headers) = told(Forwarded::Append, "10.0.0.1:5");
        assert_eq!(client.as_deref(), Some("7.7.7.7"));
        assert_eq!(headers[FOR], "6.6.6.6, 7.7.7.7, 10.9.9.9, 10.0.0.1");
        assert_eq!(headers[PROTO], "https");
        assert_eq!(headers[FORWARDED], "for=10.0.0.1;host=\"a:1\";proto=http");
        let (client, headers) = told(Forwarded::Replace, "10.0.0.1:5");
        assert_eq!(client.as_deref(), Some("7.7.7.7"));
        assert_eq!(
            (&headers[FOR], &headers[PROTO]),
            (&"7.7.7.7".parse().unwrap(), &"http".parse().unwrap())
        );
    }

    #[test]
    fn what_others_say_is_dropped() {
        for forwarded in [Forwarded::Append, Forwarded::Replace] {
            let (client, headers) = told(forwarded, "8.8.8.8:5");
            assert_eq!(client.as_deref(), Some("8.8.8.8"));
            assert_eq!(headers[FOR], "8.8.8.8");
            assert_eq!(headers[PROTO], "http");
        }
        let (_, headers) = told(Forwarded::Append, "[::2]:5");
        assert_eq!(headers[FORWARDED], "for=\"[::2]\";host=\"a:1\";proto=http");
    }
}
