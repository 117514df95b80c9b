// Takes the command line every client program of the matrix has. Gives one JSON line for each step of a script.
// Never prints what differs from run to run: no times, no ids, no ports.
//
//     client.cjs --transport stdio|http|sse|ws --era legacy|modern --traceparent T --script JSON (--url URL | -- COMMAND ARG...)

const { parseArgs } = require('node:util');

const text = { type: 'string' };

function args() {
  const options = { transport: text, era: text, traceparent: text, script: text, url: text };
  const { values, positionals } = parseArgs({ options, allowPositionals: true });
  const [command, ...rest] = positionals;
  const env = { ...process.env, TRACEPARENT: values.traceparent };
  const headers = { traceparent: values.traceparent };
  return { ...values, script: JSON.parse(values.script), server: { command, args: rest, env }, requestInit: { headers } };
}

function say(step, what) {
  process.stdout.write(JSON.stringify({ step, ...what }) + '\n');
}

// The calls of both major versions are the same.
function send(client, step, _meta, wanted) {
  const { name, arguments: given, uri } = step;
  switch (step.do) {
    case 'tools':
      return client.listTools({ _meta });
    case 'resource':
      return client.readResource({ uri, _meta });
    case 'prompt':
      return client.getPrompt({ name, arguments: given, _meta });
    default:
      return client.callTool({ name, arguments: given, _meta }, ...wanted);
  }
}

// Notes each report of progress as it comes off the wire: these SDKs forget those that arrive together with the answer.
function reports(wire) {
  const noted = [];
  const handle = wire.onmessage;
  wire.onmessage = (message, extra) => {
    if (message.method === 'notifications/progress') noted.push([message.params.progress, message.params.total]);
    handle(message, extra);
  };
  return noted;
}

// `options` gives the arguments of a call behind its parameters; having a callback makes a client ask for progress.
async function run(client, wire, given, options) {
  const _meta = { traceparent: given.traceparent };
  const noted = reports(wire);
  const wanted = options({ onprogress: () => {} });
  for (const step of given.script) {
    const name = [step.do, step.name ?? step.uri].filter(Boolean).join(' ');
    try {
      const result = await send(client, step, _meta, wanted);
      const progress = noted.splice(0);
      say(name, { result, ...(progress.length > 0 ? { progress } : {}) });
    } catch (error) {
      if (error.code === undefined) throw error;
      say(name, { error: { code: error.code, message: error.message, data: error.data } });
    }
  }
}

module.exports = { args, run, say };
