// Takes the command line of `server_side`. Gives the matrix's server on npm `@modelcontextprotocol/sdk`.
// Never guesses.

const { randomUUID } = require('node:crypto');
const { McpServer } = require('@modelcontextprotocol/sdk/server/mcp.js');
const { SSEServerTransport } = require('@modelcontextprotocol/sdk/server/sse.js');
const { StdioServerTransport } = require('@modelcontextprotocol/sdk/server/stdio.js');
const { StreamableHTTPServerTransport } = require('@modelcontextprotocol/sdk/server/streamableHttp.js');
const { addTools, args, serve } = require('../typescript/server_side.cjs');

function fresh() {
  const server = new McpServer({ name: 'matrix-typescript-1', version: '1.0.0' });
  const context = extra => ({
    meta: extra._meta,
    header: name => extra.requestInfo?.headers[name],
    notify: notification => extra.sendNotification(notification),
    elicit: params => server.server.elicitInput(params, { relatedRequestId: extra.requestId }),
  });
  return addTools(server, context, fields => fields);
}

const sessions = new Map();

async function streamable(request, response) {
  const known = sessions.get(request.headers['mcp-session-id']);
  if (known) return known.handleRequest(request, response);
  const opened = new StreamableHTTPServerTransport({
    sessionIdGenerator: randomUUID,
    onsessioninitialized: id => sessions.set(id, opened),
  });
  await fresh().connect(opened);
  return opened.handleRequest(request, response);
}

async function twoEndpoints(request, response) {
  const url = new URL(request.url, 'http://localhost');
  if (request.method === 'GET') {
    const opened = new SSEServerTransport('/message', response);
    sessions.set(opened.sessionId, opened);
    return fresh().connect(opened);
  }
  return sessions.get(url.searchParams.get('sessionId')).handlePostMessage(request, response);
}

const { transport, portFile } = args();
if (transport === 'stdio') {
  fresh().connect(new StdioServerTransport());
  // This version's transport does not notice the end of its input.
  process.stdin.on('end', () => process.exit(0));
} else {
  serve(transport === 'sse' ? twoEndpoints : streamable, portFile);
}
