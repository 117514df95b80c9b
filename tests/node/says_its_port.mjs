// Takes PORT_FILE. Gives HOST:PORT in it once the program that is loaded next listens. Never changes what it does.
import { renameSync, writeFileSync } from "node:fs";
import { Server } from "node:net";

const listen = Server.prototype.listen;
Server.prototype.listen = function (...args) {
  this.once("listening", () => {
    const scratch = `${process.env.PORT_FILE}.new`;
    writeFileSync(scratch, `127.0.0.1:${this.address().port}\n`);
    renameSync(scratch, process.env.PORT_FILE);
  });
  return listen.apply(this, args);
};
