//! Takes a POST. Gives its body, scanned, and what the message says of its trace and tenant.
//! Never reads more than the bound, never believes a body that is no JSON.

use bytes::{Bytes, BytesMut};
use http::header::EXPECT;
use http::{HeaderMap, StatusCode};
use http_body::Body;
use http_body_util::BodyExt;

use super::Bridge;
use super::answer::{INVALID_REQUEST, PARSE_ERROR, Refusal, SERVER_ERROR};
use super::budget::{Most, Payer, Spent};
use super::lines::scan;
use crate::clock;
use crate::frame::line::Edit;
use crate::frame::{Kind, Message, Scanner, Slot};
use crate::record::Tenant;
use crate::session::{Arrival, Direction, Hop, Key, Peers, Scope};
use crate::tap::http::ClientInfo;
use crate::tap::http::headers::{self, Media};
use crate::tap::http::paced::ClientBody;
use crate::tenant::{Standing, Tenants, UnknownTenant};

use super::caller::{Caller, Certificate, Claim, Holder};
use super::legacy::Session;

/// The body of a POST.
#[derive(Debug)]
pub(super) struct Posted {
    pub body: Bytes,
    pub scanner: Scanner,
    /// What it takes of the room for all.
    pub spent: Spent,
}

impl Posted {
    /// Lets go of it once its lines are made: they are all that is needed of it, and they may wait.
    pub fn into_spent(self) -> Spent {
        self.spent
    }
}

/// Reads a body.
pub(super) async fn read(
    bridge: &Bridge,
    headers: &HeaderMap,
    mut body: ClientBody,
    payer: Payer,
) -> Result<Posted, Refusal> {
    if headers::media(headers) != Media::Json || headers::encoded(headers) {
        return Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            INVALID_REQUEST,
            "Unsupported Media Type: Content-Type must be application/json, without an encoding",
        ));
    }
    let rules = bridge.rules();
    let (max, most) = (rules.settings.max_message_bytes, Most::of(&rules.settings));
    if body.size_hint().lower() > max as u64 {
        return Err(too_large(max));
    }
    let (mut whole, mut spent) = (BytesMut::new(), bridge.budget.begin(payer));
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refusal::bad("the body did not arrive"))?;
        // Trailers of a request have no meaning in MCP; they are the only frames without data.
        let Ok(data) = frame.into_data() else {
            continue;
        };
        let length = whole.len() + data.len();
        if length > max {
            return Err(too_large(max));
        }
        if !spent.grow_to(length, most) {
            drop((whole, spent));
            bridge.counters.refuse(crate::counters::Refusal::HeldBytes);
            // Whoever waited for a word to go on has had it.
            read_away(bridge, body).await;
            return Err(no_room(most));
        }
        whole.extend_from_slice(&data);
    }
    let body = whole.freeze();
    let scanned = scan(&body);
    bridge.count(scanned.as_ref());
    match scanned {
        Some(scanner) if scanner.overflowed() => Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            INVALID_REQUEST,
            "the batch has too many messages",
        )),
        Some(scanner) => Ok(Posted {
            body,
            scanner,
            spent,
        }),
        None => Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            PARSE_ERROR,
            "Parse error: the body is not JSON",
        )),
    }
}

/// For whose child a POST is, as far as its head says: that of a session, or of a caller.
pub(super) fn payer(
    bridge: &Bridge,
    client: &ClientInfo,
    headers: &HeaderMap,
    session: Option<&Session>,
) -> Payer {
    let keys = &bridge.keys;
    if let Some(session) = session {
        return Payer(keys.hash(("session", &session.id)));
    }
    let whose = tenant(bridge, client, headers, None).ok();
    let caller = Caller::new(keys, headers, client.certificate, whose);
    Payer(keys.hash(("caller", caller)))
}

/// Reads the body of a request that was refused by its head, and holds nothing of it: to close the connection on a
/// client that still writes would be to lose the answer with it.
pub(super) async fn pass_over(
    bridge: &Bridge,
    headers: &HeaderMap,
    body: ClientBody,
    refusal: Refusal,
) -> Refusal {
    if !headers.contains_key(EXPECT) {
        read_away(bridge, body).await;
    }
    refusal
}

async fn read_away(bridge: &Bridge, mut body: ClientBody) {
    let mut left = bridge.rules().settings.max_message_bytes;
    if body.size_hint().lower() > left as u64 {
        return;
    }
    while let Some(Ok(frame)) = body.frame().await {
        let read = frame.data_ref().map_or(0, Bytes::len);
        let Some(rest) = left.checked_sub(read) else {
            break;
        };
        left = rest;
    }
}

fn no_room(most: Most) -> Refusal {
    Refusal::new(
        StatusCode::SERVICE_UNAVAILABLE,
        SERVER_ERROR,
        format!(
            "messages that wait for the command may take {} bytes, and {} of one client; no more are allowed",
            most.all, most.each
        ),
    )
}

fn too_large(max: usize) -> Refusal {
    Refusal::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        INVALID_REQUEST,
        format!("the message is larger than {max} bytes"),
    )
}

/// What the sources of the tenant make of a request.
pub(super) fn standing(tenants: &Tenants, client: &ClientInfo, headers: &HeaderMap) -> Standing {
    tenants.judge(&client.evidence(headers, clock::now().wall))
}

/// Whose request it is, as its connection, its headers and its message say.
pub(super) fn tenant(
    bridge: &Bridge,
    client: &ClientInfo,
    headers: &HeaderMap,
    message: Option<&Message<'_>>,
) -> Result<Tenant, UnknownTenant> {
    let tenants = &bridge.rules().tenants;
    let standing = standing(tenants, client, headers);
    tenant_by(tenants, &standing, headers, message)
}

fn tenant_by(
    tenants: &Tenants,
    standing: &Standing,
    headers: &HeaderMap,
    message: Option<&Message<'_>>,
) -> Result<Tenant, UnknownTenant> {
    let of_message = message.and_then(|message| message.whole_text(Slot::Baggage));
    let of_head = headers::list(headers, &headers::BAGGAGE);
    tenants.find(Some(standing), of_message.as_deref(), of_head.as_deref())
}

/// Who asks, as far as a session is bound to that.
pub(super) fn holder(
    bridge: &Bridge,
    client: &ClientInfo,
    headers: &HeaderMap,
    message: Option<&Message<'_>>,
) -> Holder {
    let tenants = &bridge.rules().tenants;
    let standing = standing(tenants, client, headers);
    let found = tenant_by(tenants, &standing, headers, message);
    holder_of(bridge, client, headers, standing, found)
}

/// The same before the message is read, which has the last word on baggage.
pub(super) fn holder_by_head(bridge: &Bridge, client: &ClientInfo, headers: &HeaderMap) -> Holder {
    let tenants = &bridge.rules().tenants;
    let standing = standing(tenants, client, headers);
    let found = tenants.find(Some(&standing), None, None);
    holder_of(bridge, client, headers, standing, found)
}

fn holder_of(
    bridge: &Bridge,
    client: &ClientInfo,
    headers: &HeaderMap,
    standing: Standing,
    found: Result<Tenant, UnknownTenant>,
) -> Holder {
    let claim = Claim::new(bridge.rules().tenants.rule(), &standing, found);
    let certificate = client.certificate.zip(client.names.as_deref());
    let certificate =
        certificate.map(|(shown, names)| Certificate::new(&bridge.keys, shown, names));
    let mut holder = Holder::new(&bridge.keys, headers, certificate, claim);
    holder.standing = standing;
    holder
}

/// Where the messages of a POST belong.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub scope: Scope,
    pub session: Option<u64>,
    pub peers: Peers,
}

/// What the messages of a POST mean for the calls.
#[derive(Debug, Default)]
pub(super) struct Observed {
    /// What to splice in, in ascending order of place.
    pub edits: Vec<Edit>,
    /// The calls that began.
    pub calls: Vec<Key>,
}

/// Opens, answers and cancels what the messages say.
pub(super) fn observe(
    hop: Option<&Hop>,
    headers: &HeaderMap,
    client: &ClientInfo,
    posted: &Posted,
    place: Place,
) -> Observed {
    let mut observed = Observed::default();
    let Some(hop) = hop else { return observed };
    let (at, now) = ((place.scope, Direction::ToServer), clock::now());
    let baggage = headers::list(headers, &headers::BAGGAGE);
    let standing = standing(&hop.tenants, client, headers);
    let mut arrival = Arrival {
        header: headers::carrier(headers),
        standing: Some(&standing),
        baggage_header: baggage.as_deref(),
        session: place.session,
        peers: place.peers,
        client_address: client.address,
        http_version: Some(client.http),
        size: posted.body.len(),
        ..Arrival::default()
    };
    for message in posted.scanner.messages() {
        match message.kind() {
            Kind::Request => {
                let Some(call) = hop.open(&message, at, &arrival, now) else {
                    continue;
                };
                arrival.size += call.edits.iter().map(|edit| edit.with.len()).sum::<usize>();
                observed.calls.push(call.key);
                observed.edits.extend(call.edits);
            }
            Kind::Notification => hop.cancel(&message, at, now),
            // The client answers a request of the server.
            Kind::Response => {
                let key = message.id().map(|id| Key {
                    scope: place.scope,
                    direction: Direction::ToClient,
                    id,
                });
                hop.answer(&message, key.as_ref(), now);
            }
            Kind::Invalid => {}
        }
    }
    observed
}
