-- Calls, errors, durations and sizes by tenant and tool; calls without a tool stand under their method.
-- The percentiles are exact: the nearest rank among all durations, so both stores give the same.
-- Parameters: tenant ('' for all), since.
SELECT
    TenantId,
    Name AS Tool,
    count(*) AS Calls,
    sum(CASE WHEN StatusCode = 'Error' THEN 1 ELSE 0 END) AS Errors,
    sum(CASE WHEN StatusCode = 'Error' THEN 1.0 ELSE 0.0 END) / count(*) AS ErrorRate,
    min(CASE WHEN Place * 100 >= Size * 50 THEN Duration END) / 1000000.0 AS P50Ms,
    min(CASE WHEN Place * 100 >= Size * 95 THEN Duration END) / 1000000.0 AS P95Ms,
    min(CASE WHEN Place * 100 >= Size * 99 THEN Duration END) / 1000000.0 AS P99Ms,
    sum(RequestBytes) AS BytesIn,
    sum(ResponseBytes) AS BytesOut
FROM (
    SELECT
        *,
        row_number() OVER (PARTITION BY TenantId, Name ORDER BY Duration) AS Place,
        count(*) OVER (PARTITION BY TenantId, Name) AS Size
    FROM (
        SELECT
            TenantId,
            CASE WHEN McpTool <> '' THEN McpTool ELSE McpMethod END AS Name,
            StatusCode,
            Duration,
            RequestBytes,
            ResponseBytes
        FROM spans
        WHERE IsCall
          AND Timestamp >= {since:DateTime64(9, 'UTC')}
          AND ({tenant:String} = '' OR TenantId = {tenant:String})
    ) AS called
) AS ranked
GROUP BY TenantId, Name
ORDER BY Calls DESC, TenantId, Tool
