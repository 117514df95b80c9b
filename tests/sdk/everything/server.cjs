// Takes the command line of the matrix's servers. Gives `@modelcontextprotocol/server-everything` as it is.
// Never lets it choose its port: any free one on loopback is taken, and written to the port file.

const { renameSync, writeFileSync } = require('node:fs');
const { Server } = require('node:net');
const { pathToFileURL } = require('node:url');

const [, , transport, , portFile] = process.argv;

if (transport !== 'stdio') {
  const listen = Server.prototype.listen;
  Server.prototype.listen = function (_port, ...rest) {
    this.once('listening', () => {
      writeFileSync(`${portFile}.new`, `127.0.0.1:${this.address().port}\n`);
      renameSync(`${portFile}.new`, portFile);
    });
    return listen.call(this, 0, '127.0.0.1', ...rest.filter(argument => typeof argument === 'function'));
  };
  process.stdin.resume().on('end', () => process.exit(0));
}
process.argv[2] = transport === 'http' ? 'streamableHttp' : transport;
import(pathToFileURL(require.resolve('@modelcontextprotocol/server-everything/dist/index.js')));
