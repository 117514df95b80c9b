-- Who calls, how much, and when first and last.
-- Parameters: since.
SELECT
    TenantId,
    count(*) AS Calls,
    sum(CASE WHEN StatusCode = 'Error' THEN 1 ELSE 0 END) AS Errors,
    count(DISTINCT CASE WHEN McpTool <> '' THEN McpTool END) AS Tools,
    min(TimestampUnixNano) AS FirstUnixNano,
    max(TimestampUnixNano) AS LastUnixNano
FROM spans
WHERE IsCall
  AND Timestamp >= {since:DateTime64(9, 'UTC')}
GROUP BY TenantId
ORDER BY Calls DESC, TenantId
