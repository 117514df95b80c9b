//! Takes the arguments of a view: whose calls, which tool, since when.
//! Gives the answer of its SQL in `dashboards/queries/`, the very text that boards run on ClickHouse.
//! Never counts a span twice: the views look at marked spans only, a trace shows all.

use std::io;

use clap::Args;

use super::output::{self, Cells, Dress, Format};
use super::params::{Param, bind};
use super::{QueryError, Source, Store, tree};
use crate::{calendar, clock};

/// The SQL of the view `calls`.
pub const CALLS: &str = include_str!("../../../dashboards/queries/calls.sql");
/// The SQL of the view `tools`.
pub const TOOLS: &str = include_str!("../../../dashboards/queries/tools.sql");
/// The SQL of the view `trace`.
pub const TRACE: &str = include_str!("../../../dashboards/queries/trace.sql");
/// The SQL of the view `tenants`.
pub const TENANTS: &str = include_str!("../../../dashboards/queries/tenants.sql");

/// The newest calls first.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  toolspan-collector calls --store ./data
  toolspan-collector calls --store ./data --tenant acme --errors --since 2h
  toolspan-collector calls --store ./data --tool get_weather --format json")]
pub struct CallsArgs {
    #[command(flatten)]
    pub source: Source,
    /// Only this tenant's.
    #[arg(long, value_name = "NAME")]
    pub tenant: Option<String>,
    /// Only calls of this tool.
    #[arg(long, value_name = "NAME")]
    pub tool: Option<String>,
    /// Only calls that failed.
    #[arg(long)]
    pub errors: bool,
    /// Only calls that began since: 15m, 2h, 7d, or 2026-11-20T10:00:00Z.
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub limit: u64,
}

/// Calls, error rate, durations and sizes by tenant and tool.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  toolspan-collector tools --store ./data
  toolspan-collector tools --store ./data --tenant acme --since 7d --format csv")]
pub struct ToolsArgs {
    #[command(flatten)]
    pub source: Source,
    /// Only this tenant's.
    #[arg(long, value_name = "NAME")]
    pub tenant: Option<String>,
    /// Only calls that began since: 15m, 2h, 7d, or 2026-11-20T10:00:00Z.
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
}

/// One trace as a tree.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  toolspan-collector trace 4bf92f3577b34da6a3ce929d0e0e4736 --store ./data
  toolspan-collector trace 4bf92f3577b34da6a3ce929d0e0e4736 --store ./data --format json")]
pub struct TraceArgs {
    /// 32 hex digits, or a whole `traceparent`.
    #[arg(value_name = "ID")]
    pub id: String,
    #[command(flatten)]
    pub source: Source,
    /// Only this tenant's spans.
    #[arg(long, value_name = "NAME")]
    pub tenant: Option<String>,
}

/// Who calls, how much, and when first and last.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  toolspan-collector tenants --store ./data --since 7d")]
pub struct TenantsArgs {
    #[command(flatten)]
    pub source: Source,
    /// Only calls that began since: 15m, 2h, 7d, or 2026-11-20T10:00:00Z.
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
}

/// Runs `calls`.
///
/// # Errors
///
/// When there is no such store, or the output is gone.
pub async fn calls(args: CallsArgs) -> Result<(), QueryError> {
    let params = [
        ("since", since(args.since.as_deref())?),
        ("tenant", text(args.tenant)),
        ("tool", text(args.tool)),
        ("errors", Param::Number(u64::from(args.errors))),
        ("limit", Param::Number(args.limit)),
    ];
    print_view(&args.source, CALLS, &params).await
}

/// Runs `tools`.
///
/// # Errors
///
/// When there is no such store, or the output is gone.
pub async fn tools(args: ToolsArgs) -> Result<(), QueryError> {
    let params = [
        ("since", since(args.since.as_deref())?),
        ("tenant", text(args.tenant)),
    ];
    print_view(&args.source, TOOLS, &params).await
}

/// Runs `tenants`.
///
/// # Errors
///
/// When there is no such store, or the output is gone.
pub async fn tenants(args: TenantsArgs) -> Result<(), QueryError> {
    let params = [("since", since(args.since.as_deref())?)];
    print_view(&args.source, TENANTS, &params).await
}

/// Runs `trace`.
///
/// # Errors
///
/// When there is no such store or trace, or the output is gone.
pub async fn trace(args: TraceArgs) -> Result<(), QueryError> {
    let id = trace_id(&args.id).ok_or_else(|| QueryError::TraceId(args.id.clone()))?;
    let params = [
        ("trace", Param::Text(id.clone())),
        ("tenant", text(args.tenant)),
    ];
    let sql = bind(TRACE, &params)?;
    let store = Store::open(&args.source.store)?;
    let rows = store.sql(&sql).await?;
    if args.source.format != Format::Table {
        return output::write(rows, args.source.format, &mut io::stdout().lock()).await;
    }
    let cells = Cells::collect(rows).await?;
    if cells.rows.is_empty() {
        return Err(QueryError::NoTrace(id));
    }
    print(tree::draw(&cells).as_bytes())
}

async fn print_view(
    source: &Source,
    sql: &str,
    params: &[(&str, Param)],
) -> Result<(), QueryError> {
    let mut text = Vec::new();
    show(source, sql, params, &mut text).await?;
    print(&text)
}

/// A view's answer as it is printed.
pub(super) async fn show(
    source: &Source,
    sql: &str,
    params: &[(&str, Param)],
    out: &mut Vec<u8>,
) -> Result<(), QueryError> {
    let sql = bind(sql, params)?;
    let rows = Store::open(&source.store)?.sql(&sql).await?;
    if source.format != Format::Table {
        return output::write(rows, source.format, out).await;
    }
    let mut cells = Cells::collect(rows).await?;
    cells.dress(dress);
    cells.write(out)?;
    Ok(())
}

fn print(text: &[u8]) -> Result<(), QueryError> {
    match io::Write::write_all(&mut io::stdout().lock(), text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Programs get the SQL's own columns; people get fewer, with short names and times they can read.
fn dress(name: &str) -> Option<Dress> {
    let shown = |name: &str, cell| Some(Dress::Shown(name.to_owned(), cell));
    let same: fn(&str) -> String = str::to_owned;
    match name {
        "SpanId" | "ErrorType" | "ClientName" => Some(Dress::Hidden),
        "TenantId" => shown("Tenant", same),
        "ServiceName" => shown("Service", same),
        "McpMethod" => shown("Method", same),
        "McpTool" => shown("Tool", same),
        "RequestBytes" => shown("BytesIn", same),
        "ResponseBytes" => shown("BytesOut", same),
        "DurationMs" => shown("Ms", millis),
        "ErrorRate" => shown(name, percent),
        _ if name.ends_with("Ms") => shown(name, millis),
        _ => shown(name.strip_suffix("UnixNano")?, time),
    }
}

fn time(cell: &str) -> String {
    cell.parse().map_or(cell.to_owned(), calendar::millis)
}

fn millis(cell: &str) -> String {
    let number = cell.parse::<f64>();
    number.map_or(cell.to_owned(), |ms| format!("{ms:.2}"))
}

fn percent(cell: &str) -> String {
    let number = cell.parse::<f64>();
    number.map_or(cell.to_owned(), |rate| format!("{:.1}%", rate * 100.0))
}

fn text(value: Option<String>) -> Param {
    Param::Text(value.unwrap_or_default())
}

fn since(text: Option<&str>) -> Result<Param, QueryError> {
    let Some(text) = text else {
        return Ok(Param::Time(0));
    };
    let now = i64::try_from(clock::unix_nanos()).unwrap_or(i64::MAX);
    let time = calendar::since(text, now);
    time.map(Param::Time)
        .ok_or_else(|| QueryError::Since(text.to_owned()))
}

/// Ids are stored in lower case, and often pasted with the rest of a `traceparent`.
fn trace_id(text: &str) -> Option<String> {
    let id = text.trim().to_ascii_lowercase();
    let parts: Vec<&str> = id.split('-').collect();
    let id = match parts.as_slice() {
        [id] | [_, id, _, _] => *id,
        _ => return None,
    };
    let hex = id.bytes().all(|byte| byte.is_ascii_hexdigit());
    (id.len() == 32 && hex).then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trace_ids_are_taken_in_any_case_and_from_a_traceparent() {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        assert_eq!(trace_id(&id.to_uppercase()).as_deref(), Some(id));
        let parent = format!("00-{id}-00f067aa0ba902b7-01");
        assert_eq!(trace_id(&parent).as_deref(), Some(id));
        assert_eq!(trace_id("4bf9"), None);
        assert_eq!(trace_id("zzf92f3577b34da6a3ce929d0e0e4736"), None);
    }
}
