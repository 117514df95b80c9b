// Takes the command line of `client_side`. Gives the matrix's client on npm `@modelcontextprotocol/sdk`.
// Never hides an error.

const { Client } = require('@modelcontextprotocol/sdk/client/index.js');
const { SSEClientTransport } = require('@modelcontextprotocol/sdk/client/sse.js');
const { StdioClientTransport } = require('@modelcontextprotocol/sdk/client/stdio.js');
const { StreamableHTTPClientTransport } = require('@modelcontextprotocol/sdk/client/streamableHttp.js');
const { WebSocketClientTransport } = require('@modelcontextprotocol/sdk/client/websocket.js');
const { ElicitRequestSchema } = require('@modelcontextprotocol/sdk/types.js');
const { args, run, say } = require('../typescript/client_side.cjs');

const given = args();

function transport() {
  const { requestInit } = given;
  switch (given.transport) {
    case 'stdio':
      return new StdioClientTransport(given.server);
    case 'sse':
      return new SSEClientTransport(new URL(given.url), { requestInit });
    case 'ws':
      return new WebSocketClientTransport(new URL(given.url));
    default:
      return new StreamableHTTPClientTransport(new URL(given.url), { requestInit });
  }
}

async function main() {
  const client = new Client({ name: 'matrix', version: '1.0.0' }, { capabilities: { elicitation: {} } });
  client.setRequestHandler(ElicitRequestSchema, () => ({ action: 'accept', content: { colour: 'blue' } }));
  const wire = transport();
  // Only a transport is told the version by this SDK.
  let version;
  const tell = wire.setProtocolVersion?.bind(wire);
  wire.setProtocolVersion = told => {
    version = told;
    tell?.(told);
  };
  await client.connect(wire);
  say('connect', { version, server: client.getServerVersion().name });
  await run(client, wire, given, options => [undefined, options]);
  if (given.transport === 'http') await wire.terminateSession();
  await client.close();
}

main();
