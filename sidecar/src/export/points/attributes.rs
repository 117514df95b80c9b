//! Takes a record and the side its point stands for. Gives the attributes of the point.
//! The list is that of the conventions, plus the tenant and the outcome.
//! Never holds a method outside the protocol's list, an argument, a URI or a session's id.

use std::borrow::Cow;
use std::sync::Arc;

use opentelemetry::{KeyValue, StringValue};

use crate::record::span::cut;
use crate::record::{CallRecord, HopInfo, SessionRecord, Side, Target, names};

/// A tool's or prompt's name longer than this is cut.
const MAX_NAME_BYTES: usize = 256;
const EXPECTED: usize = 14;

pub(super) fn of_call(
    record: &CallRecord,
    side: Side,
    tenant: &Arc<str>,
    overflow: bool,
) -> Vec<KeyValue> {
    let mut out = start(tenant, overflow);
    let method = names::known_method(&record.method).unwrap_or(names::OTHER);
    out.push(KeyValue::new(names::MCP_METHOD_NAME, method));
    if method == names::TOOLS_CALL {
        let name = names::EXECUTE_TOOL;
        out.push(KeyValue::new(names::GEN_AI_OPERATION_NAME, name));
    }
    out.push(KeyValue::new(names::OUTCOME, record.outcome.as_str()));
    match &record.target {
        Some(Target::Tool(name)) => out.push(named(names::GEN_AI_TOOL_NAME, name)),
        Some(Target::Prompt(name)) => out.push(named(names::GEN_AI_PROMPT_NAME, name)),
        Some(Target::Resource(_)) | None => {}
    }
    if let Some(code) = record.outcome.rpc_status_code() {
        let code = code.to_string();
        out.push(KeyValue::new(names::RPC_RESPONSE_STATUS_CODE, code));
    }
    push_error(&mut out, record.outcome.error_type(side));
    push_version(&mut out, record.protocol_version.as_ref());
    push_network(&mut out, &record.hop, record.network_protocol_version);
    // A request of the server goes the other way: the hop's address is not its receiver.
    if record.side == record.hop.side {
        push_server(&mut out, &record.hop, side);
    }
    out
}

pub(super) fn of_session(
    record: &SessionRecord,
    side: Side,
    tenant: &Arc<str>,
    overflow: bool,
) -> Vec<KeyValue> {
    let mut out = start(tenant, overflow);
    push_error(&mut out, record.error_type.map(Cow::Borrowed));
    push_version(&mut out, record.protocol_version.as_ref());
    push_network(&mut out, &record.hop, record.network_protocol_version);
    push_server(&mut out, &record.hop, side);
    out
}

fn start(tenant: &Arc<str>, overflow: bool) -> Vec<KeyValue> {
    let mut out = Vec::with_capacity(EXPECTED);
    out.push(KeyValue::new(names::TENANT_ID, Arc::clone(tenant)));
    if overflow {
        out.push(KeyValue::new(names::OVERFLOW, true));
    }
    out
}

fn named(key: &'static str, name: &str) -> KeyValue {
    KeyValue::new(key, cut(name, MAX_NAME_BYTES).to_owned())
}

fn push_error(out: &mut Vec<KeyValue>, error_type: Option<Cow<'static, str>>) {
    if let Some(error) = error_type {
        out.push(KeyValue::new(names::ERROR_TYPE, StringValue::from(error)));
    }
}

fn push_version(out: &mut Vec<KeyValue>, version: Option<&Arc<str>>) {
    let Some(version) = version else { return };
    out.push(if is_date(version) {
        KeyValue::new(names::MCP_PROTOCOL_VERSION, Arc::clone(version))
    } else {
        KeyValue::new(names::MCP_PROTOCOL_VERSION, names::OTHER)
    });
}

/// Versions are dates; a peer may send anything else.
fn is_date(version: &str) -> bool {
    version.len() == "2026-07-28".len()
        && version
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'-')
}

fn push_network(out: &mut Vec<KeyValue>, hop: &HopInfo, version: Option<&'static str>) {
    out.push(KeyValue::new(
        names::NETWORK_TRANSPORT,
        hop.network_transport,
    ));
    if let Some(name) = hop.network_protocol_name {
        out.push(KeyValue::new(names::NETWORK_PROTOCOL_NAME, name));
    }
    if let Some(version) = version {
        out.push(KeyValue::new(names::NETWORK_PROTOCOL_VERSION, version));
    }
}

/// Only the client's metrics name the server.
fn push_server(out: &mut Vec<KeyValue>, hop: &HopInfo, side: Side) {
    if side != Side::Client {
        return;
    }
    if let Some(address) = &hop.server_address {
        out.push(KeyValue::new(names::SERVER_ADDRESS, Arc::clone(address)));
        if let Some(port) = hop.server_port {
            out.push(KeyValue::new(names::SERVER_PORT, i64::from(port)));
        }
    }
}
