// Takes the command line of `client_side`. Gives the matrix's client on npm `@modelcontextprotocol/client`.
// Never hides an error.

const { Client, SSEClientTransport, StreamableHTTPClientTransport } = require('@modelcontextprotocol/client');
const { StdioClientTransport } = require('@modelcontextprotocol/client/stdio');
const { args, run, say } = require('../typescript/client_side.cjs');

const given = args();

function transport() {
  const { requestInit } = given;
  switch (given.transport) {
    case 'stdio':
      return new StdioClientTransport(given.server);
    case 'sse':
      return new SSEClientTransport(new URL(given.url), { requestInit });
    default:
      return new StreamableHTTPClientTransport(new URL(given.url), { requestInit });
  }
}

async function main() {
  const mode = given.era === 'modern' ? 'auto' : 'legacy';
  const options = { capabilities: { elicitation: {} }, versionNegotiation: { mode } };
  const client = new Client({ name: 'matrix', version: '1.0.0' }, options);
  client.setRequestHandler('elicitation/create', () => ({ action: 'accept', content: { colour: 'blue' } }));
  const wire = transport();
  await client.connect(wire);
  say('connect', { version: client.getNegotiatedProtocolVersion(), server: client.getServerVersion().name });
  await run(client, wire, given, options => [options]);
  if (given.transport === 'http' && given.era === 'legacy') await wire.terminateSession();
  await client.close();
}

main();
