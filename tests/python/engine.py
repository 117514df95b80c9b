#!/usr/bin/env python3
"""Takes ClickHouse HTTP requests on loopback. Gives the answers of a real engine (chdb, in this process).

Never pretends: SQL, formats, table engines and deduplication are ClickHouse's own. Ours is only the HTTP
layer: query and body, database, settings and params as arguments, compressed blocks, headers, status codes.
Not offered: users and grants, progress headers, exceptions in the middle of a stream.

    engine.py [--path FOLDER]     prints `port N` when ready, ends when standard input closes

For tests, POST /__faults takes {"mode": M, "n": K, "ms": T} and spoils the next K inserts:
    "503" "252" "241"       refuse with that failure (too many queries, too many parts, memory limit)
    "drop_before"           close the connection before the insert
    "drop_after_commit"     close the connection after the insert, before the answer
    "delay"                 wait T milliseconds before each insert, until the mode changes
"""

import argparse
import gzip
import json
import re
import sys
import threading
import time
import uuid
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

import chdb
import zstandard

import ch_blocks

# Arguments that are no settings.
RESERVED = frozenset(
    "query database default_format user password quota_key query_id session_id session_timeout session_check "
    "compress decompress enable_http_compression stacktrace close_session client_protocol_version role buffer_size "
    "wait_end_of_query add_http_cors_header".split()
)
LEADING_COMMENTS = re.compile(rb"^\s*(?:--[^\n]*\n\s*|/\*.*?\*/\s*)*", re.S)
INSERT = re.compile(rb"^\s*INSERT\s", re.I)
FORMAT_AT_END = re.compile(rb"\sFORMAT\s+([A-Za-z][A-Za-z0-9_]*)\s*;?\s*$", re.I)
FORMAT_THEN_DATA = re.compile(rb"\sFORMAT\s+([A-Za-z][A-Za-z0-9_]*)[ \t\r]*\n", re.I)

CONTENT_TYPES = {
    "JSON": "application/json; charset=UTF-8",
    "JSONCompact": "application/json; charset=UTF-8",
    "JSONEachRow": "application/x-ndjson; charset=UTF-8",
    "CSV": "text/csv; charset=UTF-8; header=absent",
    "TabSeparated": "text/tab-separated-values; charset=UTF-8",
}
BINARY_FORMATS = frozenset(["RowBinary", "RowBinaryWithNamesAndTypes", "Native", "Arrow", "ArrowStream", "Parquet"])

# As ClickHouse's src/Server/HTTP/exceptionCodeToHTTPStatus.cpp, the codes a client of ours can meet.
STATUS_OF_CODE = {
    **dict.fromkeys([6, 27, 33, 36, 41, 43, 53, 62, 89, 115, 117, 456, 457], 400),
    **dict.fromkeys([16, 47, 60, 73, 81], 404),
    **dict.fromkeys([164, 495, 497], 403),
    **dict.fromkeys([194, 516], 401),
    **dict.fromkeys([202], 503),
    381: 411,
}
FAULTS = {
    "503": "Code: 202. DB::Exception: injected (TOO_MANY_SIMULTANEOUS_QUERIES)",
    "252": "Code: 252. DB::Exception: injected (TOO_MANY_PARTS)",
    "241": "Code: 241. DB::Exception: injected (MEMORY_LIMIT_EXCEEDED)",
}


class Engine:
    """The engine of this process and what tests asked of it. A request has a connection of its own, so that
    SET and USE never leak; a `session_id` keeps one."""

    def __init__(self, path):
        self.path = path
        self.lock = threading.Lock()
        self.sessions = {}
        self.faults = {}
        self.inserts = 0
        self.base = chdb.connect(path)
        self.version = self.base.query("SELECT version()", "TabSeparated").bytes().decode().strip()

    def connect(self):
        return chdb.connect(self.path)

    def session(self, name):
        with self.lock:
            if name not in self.sessions:
                self.sessions[name] = self.connect()
            return self.sessions[name]

    def take_fault(self, *modes):
        """The mode that is due now, if it is one of these; counts it as done."""
        with self.lock:
            mode = self.faults.get("mode")
            if mode not in modes or self.faults.get("n", 0) <= 0:
                return None
            self.faults["n"] -= 1
            return mode


class Statement:
    """One request's SQL, taken apart far enough to know where an insert's data is."""

    def __init__(self, query, body):
        self.data = b""
        self.sql = body if query is None else query.encode(errors="surrogateescape")
        self.is_insert = bool(INSERT.match(LEADING_COMMENTS.sub(b"", self.sql, count=1)))
        if query is not None:
            if self.is_insert:
                self.data = body
            elif body:
                self.sql += b"\n" + body
        self.format = None
        self.head = self.sql
        if self.is_insert:
            self._split_insert()
        elif found := FORMAT_AT_END.search(self.sql):
            self.format = found[1].decode()

    def _split_insert(self):
        if found := FORMAT_AT_END.search(self.sql):
            self.format, self.head = found[1].decode(), self.sql[: found.start()]
        elif found := FORMAT_THEN_DATA.search(self.sql):
            self.format, self.head = found[1].decode(), self.sql[: found.start()]
            self.data = self.sql[found.end() :] + self.data

    @property
    def streams_data(self):
        return self.is_insert and self.format is not None and self.format.upper() != "VALUES"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    engine = None

    def log_message(self, *args):
        pass

    def setup(self):
        super().setup()
        self.connection.setsockopt(6, 1, 1)  # TCP_NODELAY

    def do_GET(self):
        self.answer()

    def do_POST(self):
        self.answer()

    def answer(self):
        url = urlsplit(self.path)
        self.args = dict(parse_qsl(url.query, keep_blank_values=True))
        self.query_id = self.args.get("query_id") or str(uuid.uuid4())
        try:
            body = self.read_body()
            if url.path == "/ping" or (url.path == "/" and not self.args and not body):
                return self.reply(200, b"Ok.\n")
            if url.path == "/__faults":
                return self.set_faults(body)
            if self.args.get("decompress") == "1" and body:
                body = ch_blocks.decompress(body)
            self.execute(Statement(self.args.get("query"), body))
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        except Exception as error:  # the engine's errors are RuntimeErrors whose text names the code
            self.fail(str(error))

    def read_body(self):
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            body = self.read_chunks()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        encoding = (self.headers.get("Content-Encoding") or "").lower()
        if encoding == "gzip":
            return gzip.decompress(body)
        if encoding == "deflate":
            return zlib.decompress(body)
        if encoding == "zstd":
            return zstandard.ZstdDecompressor().decompressobj().decompress(body)
        if encoding:
            raise ValueError(f"unsupported Content-Encoding {encoding}")
        return body

    def read_chunks(self):
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0].strip() or b"0", 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(chunks)

    def set_faults(self, body):
        with self.engine.lock:
            self.engine.faults = json.loads(body or b"{}")
            state = {"faults": self.engine.faults, "inserts": self.engine.inserts}
        self.reply(200, json.dumps(state).encode())

    def execute(self, statement):
        if statement.is_insert and self.spoil_insert():
            return
        name = self.args.get("session_id")
        connection = self.engine.session(name) if name else self.engine.connect()
        try:
            self.prepare(connection)
            if statement.streams_data:
                self.insert(connection, statement)
            else:
                self.select(connection, statement)
        finally:
            if not name:
                connection.close()

    def spoil_insert(self):
        with self.engine.lock:
            self.engine.inserts += 1
            delay = self.engine.faults.get("ms", 0) if self.engine.faults.get("mode") == "delay" else 0
        time.sleep(delay / 1000)
        mode = self.engine.take_fault(*FAULTS, "drop_before")
        if mode == "drop_before":
            self.hang_up()
        elif mode:
            self.fail(FAULTS[mode])
        return mode is not None

    def prepare(self, connection):
        database = self.args.get("database") or self.headers.get("X-ClickHouse-Database")
        if database:
            connection.query(f"USE `{database}`")
        for name, value in self.args.items():
            if name not in RESERVED and not name.startswith("param_"):
                connection.query(f"SET `{name}` = {quote(value)}")

    def insert(self, connection, statement):
        stream = connection.send_insert(statement.head.decode(), statement.format)
        try:
            if statement.data:
                stream.append(statement.data)
            done = stream.finish()
        except Exception:
            stream.cancel()
            raise
        if self.engine.take_fault("drop_after_commit"):
            return self.hang_up()
        rows, size = str(done.rows_written), str(done.bytes_written)
        summary = {"read_rows": rows, "read_bytes": size, "written_rows": rows, "written_bytes": size}
        self.reply(200, b"", {"X-ClickHouse-Summary": json.dumps(summary)})

    def select(self, connection, statement):
        params = {name[6:]: value for name, value in self.args.items() if name.startswith("param_")}
        default = self.args.get("default_format") or self.headers.get("X-ClickHouse-Format") or "TabSeparated"
        result = connection.query(
            statement.sql.decode(errors="surrogateescape"), default, **({"params": params} if params else {})
        )
        out = result.bytes() if hasattr(result, "bytes") else b""
        used = statement.format or default
        headers = {
            "X-ClickHouse-Format": used,
            "X-ClickHouse-Summary": json.dumps({"result_bytes": str(len(out))}),
        }
        if self.args.get("compress") == "1":
            out = ch_blocks.compress(out)
        elif self.args.get("enable_http_compression") == "1":
            if "gzip" in (self.headers.get("Accept-Encoding") or ""):
                out, headers["Content-Encoding"] = gzip.compress(out, 3), "gzip"
        self.reply(200, out, headers, content_type(used))

    def hang_up(self):
        self.close_connection = True
        self.connection.close()

    def fail(self, text):
        found = re.search(r"Code: (\d+)\.", text)
        code = int(found[1]) if found else 1002
        text = text[text.find("Code:") :] if found else f"Code: {code}. DB::Exception: {text}"
        if "(version" not in text:
            text = f"{text.rstrip()} (version {self.engine.version} (official build))\n"
        out = text.encode(errors="surrogateescape")
        if self.args.get("compress") == "1":
            out = ch_blocks.compress(out)
        self.reply(STATUS_OF_CODE.get(code, 500), out, {"X-ClickHouse-Exception-Code": str(code)})

    def reply(self, status, data, headers=None, kind="text/plain; charset=UTF-8"):
        self.send_response_only(status)
        standard = {
            "Content-Type": kind,
            "Content-Length": str(len(data)),
            "X-ClickHouse-Server-Display-Name": "engine",
            "X-ClickHouse-Timezone": "UTC",
            "X-ClickHouse-Query-Id": self.query_id,
        }
        for name, value in {**standard, **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


def content_type(name):
    if name in BINARY_FORMATS:
        return "application/octet-stream"
    return CONTENT_TYPES.get(name, "text/plain; charset=UTF-8")


def quote(value):
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--path", default=":memory:", help="where the data is kept (default: memory)")
    args = parser.parse_args()
    Handler.engine = Engine(args.path)
    server = Server(("127.0.0.1", 0), Handler)
    print(f"port {server.server_port}", flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.buffer.read()


if __name__ == "__main__":
    main()
