// Takes the command line of `server_side`. Gives the matrix's server on npm `@modelcontextprotocol/server`.
// Never guesses. Both eras share an endpoint: the older one has sessions, because a server asks only inside of one.

const { randomUUID } = require('node:crypto');
const { McpServer, createMcpHandler, isLegacyRequest } = require('@modelcontextprotocol/server');
const { serveStdio } = require('@modelcontextprotocol/server/stdio');
const { NodeStreamableHTTPServerTransport, toNodeHandler, toWebRequest } = require('@modelcontextprotocol/node');
const { addTools, args, serve, z } = require('../typescript/server_side.cjs');

function fresh() {
  const server = new McpServer({ name: 'matrix-typescript-2', version: '1.0.0' });
  const context = ({ mcpReq, http }) => ({
    meta: mcpReq._meta,
    header: name => http?.req?.headers.get(name),
    notify: notification => mcpReq.notify(notification),
    elicit: params => mcpReq.elicitInput(params),
  });
  return addTools(server, context, fields => z.object(fields));
}

const sessions = new Map();

async function legacy(request, response, body) {
  const known = sessions.get(request.headers['mcp-session-id']);
  if (known) return known.handleRequest(request, response, body);
  const opened = new NodeStreamableHTTPServerTransport({
    sessionIdGenerator: randomUUID,
    onsessioninitialized: id => sessions.set(id, opened),
  });
  await fresh().connect(opened);
  return opened.handleRequest(request, response, body);
}

const modern = toNodeHandler(createMcpHandler(fresh, { legacy: 'reject' }));

async function bothEras(request, response) {
  let body;
  if (request.method === 'POST') {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    body = JSON.parse(Buffer.concat(chunks).toString());
  }
  const older = await isLegacyRequest(await toWebRequest(request, body));
  return older ? legacy(request, response, body) : modern(request, response, body);
}

const { transport, portFile } = args();
if (transport === 'stdio') {
  serveStdio(fresh);
} else {
  serve(bothEras, portFile);
}
