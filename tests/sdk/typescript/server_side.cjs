// Takes a `McpServer` class of either major version. Gives it the tools every server of the matrix has.
// Never outlives its input: an HTTP server ends when standard input closes.
//
//     server.cjs stdio
//     server.cjs http|sse --port-file FILE

const { renameSync, writeFileSync } = require('node:fs');
const { createServer } = require('node:http');
const { parseArgs } = require('node:util');
const { z } = require('zod');

const said = text => ({ content: [{ type: 'text', text }] });

const COLOUR = { type: 'object', properties: { colour: { type: 'string' } }, required: ['colour'] };

// `context` gives what the versions name differently: meta, header(name), notify(notification), elicit(params).
// `prompt` makes the schema of a prompt out of its fields.
function addTools(server, context, prompt) {
  const tool = (name, description, shape, answer) =>
    server.registerTool(name, { description, inputSchema: z.object(shape) }, (given, extra) => answer(given, context(extra)));
  tool('echo', 'Give the text back.', { text: z.string() }, ({ text }) => said(text));
  tool('add', 'Give the sum.', { a: z.number(), b: z.number() }, ({ a, b }) => said(String(a + b)));
  tool('fail', 'Answer with a result whose isError is true.', { message: z.string() }, ({ message }) => {
    return { ...said(message), isError: true };
  });
  tool('progress', 'Report progress n times, then answer.', { n: z.number() }, async ({ n }, { meta, notify }) => {
    for (let progress = 1; progress <= n; progress++) {
      const params = { progressToken: meta.progressToken, progress, total: n };
      await notify({ method: 'notifications/progress', params });
    }
    return said(`reported ${n}`);
  });
  tool('trace', 'Give the trace context that came with the call.', {}, (_given, { meta, header }) => {
    const state = meta?.tracestate ?? null;
    return said(JSON.stringify({ meta: meta?.traceparent ?? null, state, header: header('traceparent') ?? null }));
  });
  tool('ask', 'Ask the client for a colour.', {}, async (_given, { elicit }) => {
    const answer = await elicit({ mode: 'form', message: 'Which colour?', requestedSchema: COLOUR });
    return said(`${answer.action} ${answer.content?.colour}`);
  });
  server.registerResource('note', 'fixture://note', { description: 'One resource.' }, uri => ({
    contents: [{ uri: uri.href, mimeType: 'text/plain', text: 'a note' }],
  }));
  server.registerPrompt('greet', { description: 'One prompt.', argsSchema: prompt({ name: z.string() }) }, ({ name }) => ({
    messages: [{ role: 'user', content: { type: 'text', text: `Say hello to ${name}.` } }],
  }));
  return server;
}

function args() {
  const { values, positionals } = parseArgs({ options: { 'port-file': { type: 'string' } }, allowPositionals: true });
  return { transport: positionals[0], portFile: values['port-file'] };
}

function serve(listener, portFile) {
  const web = createServer((request, response) => {
    Promise.resolve(listener(request, response)).catch(error => {
      process.stderr.write(`${error.stack}\n`);
      response.destroy();
    });
  });
  web.listen(0, '127.0.0.1', () => {
    writeFileSync(`${portFile}.new`, `127.0.0.1:${web.address().port}\n`);
    renameSync(`${portFile}.new`, portFile);
  });
  process.stdin.resume().on('end', () => process.exit(0));
}

module.exports = { addTools, args, serve, z };
