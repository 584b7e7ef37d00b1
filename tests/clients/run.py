#!/usr/bin/env python3
"""Runs clients of authentik that others wrote against a real Rollcall, each on a server of its own.

    tests/clients/run.py --binary target/debug/rollcall --database sqlite|postgres [CLIENT…]

`tests/clients/install` puts the clients into target/clients. A client that is not there is skipped, with
a line that says so; with REQUIRE_ALL_TESTS=1 it is a failure. PostgreSQL is the one of TEST_DATABASE_URL.
Exit: 0 when all that ran passed, 1 otherwise.
"""
import argparse
import contextlib
import http.client
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.parse
from pathlib import Path

import commands

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden"
CLIENTS = ROOT / "target" / "clients"


class Server:
    """A server with the recorded fixture in it, and what a client needs to reach it."""

    def __init__(self, binary, database):
        self.binary = binary
        self.folder = Path(tempfile.mkdtemp(prefix="rollcall-clients-"))
        self.schema = None
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("ROLLCALL_")}
        credentials = json.loads((GOLDEN / "credentials.json").read_text())
        self.token = credentials["principals"]["admin-token"]["headers"]["Authorization"].removeprefix("Bearer ")
        self.environment |= {
            "ROLLCALL_DATA_DIR": str(self.folder / "data"),
            "ROLLCALL_LISTEN": "127.0.0.1:0",
            # Clients of OpenID Connect need an issuer.
            "ROLLCALL_HTTP__PUBLIC_URL": "http://127.0.0.1",
            "ROLLCALL_AUTHENTIK__SECRET_KEY": credentials["secret_key"],
            "ROLLCALL_SESSIONS__PURGE_INTERVAL": "0",
        }
        if database == "postgres":
            base = os.environ["TEST_DATABASE_URL"]
            self.schema = f"clients_{os.getpid()}_{secrets.token_hex(4)}"
            subprocess.run(["psql", "-q", base, "-c", f"CREATE SCHEMA {self.schema}"], check=True)
            mark = "&" if "?" in base else "?"
            self.environment["ROLLCALL_DATABASE__URL"] = f"{base}{mark}options=-csearch_path%3D{self.schema}"
        self.log = open(self.folder / "log", "w+", encoding="utf-8")
        self.process = None

    def start(self):
        self.rollcall("import", "--replace", str(GOLDEN / "fixture.jsonl"))
        self.process = subprocess.Popen([self.binary, "serve"], env=self.environment, cwd=self.folder,
                                        stdout=self.log, stderr=self.log)
        for _ in range(600):
            found = re.search(r"listening on (http://\S+)", (self.folder / "log").read_text())
            if found:
                self.url = found.group(1).rstrip("/")
                return self
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise SystemExit("the server did not start:\n" + (self.folder / "log").read_text())

    def rollcall(self, *arguments):
        done = subprocess.run([self.binary, *arguments], env=self.environment, cwd=self.folder,
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise AssertionError(f"rollcall {' '.join(arguments)}: {done.stderr}")
        return done.stdout

    def ask(self, method, path, body=None):
        """One request with the administrator's token; the status and the JSON of the answer."""
        target = urllib.parse.urlsplit(self.url)
        connection = http.client.HTTPConnection(target.hostname, target.port, timeout=30)
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        connection.request(method, "/api/v3/" + path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        content = answer.read()
        return answer.status, json.loads(content) if content else None

    def stop(self):
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(10)
            self.process.kill()
        self.log.close()
        if self.schema:
            subprocess.run(["psql", "-q", os.environ["TEST_DATABASE_URL"], "-c",
                            f"SET client_min_messages = warning; DROP SCHEMA {self.schema} CASCADE"], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--binary", default=str(ROOT / "target" / "debug" / "rollcall"))
    parser.add_argument("--database", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument("clients", nargs="*", help="names of clients; none: all")
    given = parser.parse_args()
    unknown = set(given.clients) - set(commands.CLIENTS)
    if unknown:
        parser.error(f"no such client: {', '.join(sorted(unknown))}; there are {', '.join(commands.CLIENTS)}")
    failed = 0
    for name, run in commands.CLIENTS.items():
        if given.clients and name not in given.clients:
            continue
        started = time.monotonic()
        missing = commands.missing(name, CLIENTS)
        if missing:
            print(f"SKIPPED {name}: {missing}")
            failed += os.environ.get("REQUIRE_ALL_TESTS") == "1" and name not in commands.OPTIONAL
            continue
        server = Server(os.path.abspath(given.binary), given.database)
        try:
            server.start()
            run(server, CLIENTS)
            print(f"ok      {name} on {given.database} ({time.monotonic() - started:.1f} s)")
        except (AssertionError, subprocess.SubprocessError) as problem:
            failed += 1
            print(f"FAILED  {name} on {given.database}: {problem}")
        finally:
            server.stop()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
