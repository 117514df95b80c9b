-- Every span of a trace, marked or not, in order of time.
-- Parameters: trace (32 lower-case hex digits), tenant ('' for all).
SELECT
    TimestampUnixNano AS StartUnixNano,
    Duration / 1000000.0 AS DurationMs,
    TraceId,
    SpanId,
    ParentSpanId,
    SpanName,
    SpanKind,
    ServiceName,
    TenantId,
    IsCall,
    Outcome,
    StatusCode,
    ErrorType
FROM spans
WHERE TraceId = {trace:String}
  AND ({tenant:String} = '' OR TenantId = {tenant:String})
ORDER BY StartUnixNano, DurationMs DESC, SpanId
