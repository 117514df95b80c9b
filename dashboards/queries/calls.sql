-- The newest calls. Runs on ClickHouse and, with the parameters filled in, in `toolspan-collector calls`.
-- Parameters: tenant and tool ('' for all), errors (1 for failed calls only), since, limit.
SELECT
    TimestampUnixNano AS StartUnixNano,
    TenantId,
    ServiceName,
    McpMethod,
    McpTool,
    Outcome,
    ErrorType,
    Duration / 1000000.0 AS DurationMs,
    RequestBytes,
    ResponseBytes,
    ClientName,
    TraceId,
    SpanId
FROM spans
WHERE IsCall
  AND Timestamp >= {since:DateTime64(9, 'UTC')}
  AND ({tenant:String} = '' OR TenantId = {tenant:String})
  AND ({tool:String} = '' OR McpTool = {tool:String})
  AND ({errors:UInt8} = 0 OR StatusCode = 'Error')
ORDER BY StartUnixNano DESC, TraceId, SpanId
LIMIT {limit:UInt64}
