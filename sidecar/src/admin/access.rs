//! Takes the peer and the headers of an operator's request. Gives whether it may see calls, or switch.
//! Never trusts a header to say where a request comes from; a browser that is led here by a page is refused.

use std::net::{IpAddr, SocketAddr};

use http::header::{self, HeaderMap};

/// Why not.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused(pub &'static str);

/// Calls and sessions are for this machine, asked for by a name that no other can claim (DNS rebinding).
pub(super) fn may_read(peer: Option<SocketAddr>, headers: &HeaderMap) -> Result<(), Refused> {
    // A Unix socket has no address, and only our user may use it.
    if peer.is_some_and(|peer| !peer.ip().to_canonical().is_loopback()) {
        return Err(Refused("this is answered to this machine only"));
    }
    if !names_an_address(headers) {
        return Err(Refused(
            "ask by the address of this machine or by localhost",
        ));
    }
    Ok(())
}

/// The same, and no page of a browser: those say where they come from.
pub(super) fn may_switch(peer: Option<SocketAddr>, headers: &HeaderMap) -> Result<(), Refused> {
    may_read(peer, headers)?;
    if headers.contains_key(header::ORIGIN) {
        return Err(Refused("pages of a browser cannot switch anything"));
    }
    Ok(())
}

fn names_an_address(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST) else {
        return true;
    };
    let Ok(authority) = http::uri::Authority::try_from(host.as_bytes()) else {
        return false;
    };
    let host = authority.host();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok()
}
