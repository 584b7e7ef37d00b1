"""What each client of authentik is asked to do, and what has to be true afterwards.

Each function takes the running server and the folder of `tests/clients/install`. It raises an
AssertionError that says what went wrong. What a client claims is read back through the API.
"""
import json
import os
import subprocess
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
PASSWORD = "Correct-Horse-77-battery"


def run(command, environment=None, stdin=None, expect=0, timeout=180):
    """Runs a command; what it printed. An exit code other than `expect` is an error."""
    done = subprocess.run([str(part) for part in command], env=os.environ | (environment or {}), input=stdin,
                          capture_output=True, text=True, timeout=timeout, check=False)
    said = done.stdout + done.stderr
    if expect is not None and done.returncode != expect:
        raise AssertionError(f"{' '.join(map(str, command[1:]))}: exit {done.returncode}\n{said[-2000:]}")
    return said


def must(truth, what):
    if not truth:
        raise AssertionError(what)


def results(server, path):
    status, answer = server.ask("GET", path)
    must(status == 200, f"GET {path}: {status} {answer}")
    return answer["results"]


def python_client(server, clients):
    run([clients / "python/bin/python", HERE / "python_client.py", server.url, server.token])


def npm_client(server, clients):
    run(["node", HERE / "npm_client.mjs", server.url, server.token, clients / "npm"])


def kctl(server, clients):
    home = server.folder / "home"
    home.mkdir()
    environment = {"HOME": str(home), "KCTL_AK_PROFILE": "here", "COLUMNS": "200", "NO_COLOR": "1"}

    def ak(*arguments):
        return run([clients / "kctl/bin/kctl-ak", *arguments], environment)

    ak("config", "add", "here", "--url", server.url, "--token", server.token, "--default")
    must("Connected" in ak("config", "test"), "the connection is called bad")
    for report in ["users list", "users get alice", "users me", "users pending", "groups list", "groups tree",
                   "sessions list", "sessions stats", "sessions active", "tokens list", "dashboard", "setup status",
                   "apps list", "providers list", "flows list", "audit list", "audit stats", "doctor"]:
        ak(*report.split())
    ak("users", "create", "zoe@example.com", "--name", "Zoë", "--username", "zoe", "--password", PASSWORD)
    zoe = results(server, "core/users/?username=zoe")[0]
    must(zoe["email"] == "zoe@example.com" and zoe["name"] == "Zoë", f"the user is another: {zoe}")
    ak("users", "update", "zoe", "name", "Zoë M.")
    must(results(server, "core/users/?username=zoe")[0]["name"] == "Zoë M.", "the name is the old one")
    ak("groups", "create", "staff")
    ak("groups", "add-user", "staff", "zoe")
    must("zoe@example.com" in ak("groups", "members", "staff"), "the member is missing")
    ak("groups", "remove-user", "staff", "zoe")
    must(results(server, "core/groups/?name=staff")[0]["users"] == [], "the member is still there")
    ak("groups", "delete", "staff", "--force")
    must("Key:" in ak("tokens", "create", "laptop", "zoe"), "the key is not shown")
    first = ak("tokens", "view", "laptop")
    must("New key:" in ak("tokens", "rotate", "laptop"), "the new key is not shown")
    must(ak("tokens", "view", "laptop") != first, "the key after the rotation is the old one")
    ak("tokens", "delete-all", "zoe", "--force")
    must(results(server, f"core/tokens/?user={zoe['pk']}") == [], "tokens are left")
    others = len(results(server, "core/authenticated_sessions/?page_size=100"))
    alice = len(results(server, "core/authenticated_sessions/?user__username=alice&page_size=100"))
    must(alice > 1, "alice has no sessions to end")
    ak("sessions", "kill-user", "alice", "--force")
    left = results(server, "core/authenticated_sessions/?page_size=100")
    must(len(left) == others - alice, f"{others} sessions, {alice} of alice: {len(left)} are left")
    ak("users", "deactivate", "zoe")
    must(results(server, "core/users/?username=zoe")[0]["is_active"] is False, "the user is still active")
    ak("users", "activate", "zoe")
    must("/set-up/" in ak("users", "recovery", "zoe"), "there is no recovery link")
    ak("users", "delete", "zoe", "--force")
    must(results(server, "core/users/?username=zoe") == [], "the user is still there")


def identity_aiops(server, clients):
    home = server.folder / "home"
    (home / ".identity-aiops").mkdir(parents=True)
    (home / ".identity-aiops/config.yaml").write_text(
        f"targets:\n  - name: here\n    platform: authentik\n    base_url: {server.url}\n")
    environment = {"HOME": str(home), "IDENTITY_HERE_SECRET": server.token, "COLUMNS": "200",
                   "IDENTITY_AUDIT_RATIONALE": "a test", "IDENTITY_AUDIT_APPROVED_BY": "a test"}

    def ops(*arguments, stdin=None, expect=0):
        return run([clients / "python/bin/identity-aiops", *arguments], environment, stdin, expect)

    # `doctor` exits with 1 since the token is not in its encrypted store; what it says of us counts.
    must("auth OK" in ops("doctor", expect=None), "the connection is called bad")
    overview = ops("overview")
    must('"errors": []' in overview and '"userCount": 12' in overview, overview)
    for report in ["users list", "users show 2", "users sessions 2", "users credentials 2", "events"]:
        ops(*report.split())
    ops("users", "disable", "3", stdin="y\ny\n")
    must(server.ask("GET", "core/users/3/")[1]["is_active"] is False, "the user is still active")
    ops("users", "enable", "3", stdin="y\ny\n")
    must(server.ask("GET", "core/users/3/")[1]["is_active"] is True, "the user is not active again")
    # It asks for the first page of all sessions without a filter, and deletes every row of it.
    def count_by_owner():
        return Counter(row["user"] for row in results(server, "core/authenticated_sessions/?page_size=100"))

    before = count_by_owner()
    ops("users", "revoke-sessions", "2", stdin="y\ny\n", expect=None)
    ended = before - count_by_owner()
    others = ended.total() - max(ended.values(), default=0)
    must(0 < others <= 10, f"sessions of others ended: {others}, by user: {dict(ended)}")
    refused = results(server, "events/events/?action=suspicious_request")
    must(refused, "no event says that ends were refused")


class Mcp:
    """A server of the model context protocol, spoken to in lines of JSON."""

    def __init__(self, program, server):
        self.process = subprocess.Popen([str(program), "--base-url", server.url, "--token", server.token],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.number = 0
        self.request("initialize", {"protocolVersion": "2024-11-05", "capabilities": {},
                                    "clientInfo": {"name": "test", "version": "1"}})
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def send(self, message):
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()

    def request(self, method, parameters):
        self.number += 1
        self.send({"jsonrpc": "2.0", "id": self.number, "method": method, "params": parameters})
        while True:
            line = self.process.stdout.readline()
            if not line:
                raise AssertionError(f"the program ended: {self.process.stderr.read()[-2000:]}")
            answer = json.loads(line)
            if answer.get("id") == self.number:
                must("error" not in answer, f"{method}: {answer.get('error')}")
                return answer["result"]

    def tool(self, tool, /, **arguments):
        answer = self.request("tools/call", {"name": tool, "arguments": arguments})
        text = "".join(part["text"] for part in answer["content"])
        must(not answer.get("isError") and not text.startswith("Error"), f"{tool}: {text}")
        return text

    def remove(self, tool, **arguments):
        """A tool that deletes: these clients expect JSON in the empty answer and call it an error."""
        self.request("tools/call", {"name": tool, "arguments": arguments})

    def names(self):
        return [tool["name"] for tool in self.request("tools/list", {})["tools"]]

    def end(self):
        self.process.stdin.close()
        self.process.terminate()
        self.process.wait(10)


def authentik_mcp(server, clients):
    mcp = Mcp(clients / "mcp/bin/authentik-mcp", server)
    try:
        must("alice" in mcp.tool("authentik_list_users", search="alice"), "the user is missing")
        must("alice" in mcp.tool("authentik_get_user", user_id=2), "the user is missing")
        mcp.tool("authentik_create_user", username="zoe", email="zoe@example.com", name="Zoë")
        zoe = results(server, "core/users/?username=zoe")[0]
        mcp.tool("authentik_update_user", user_id=zoe["pk"], name="Zoë M.")
        must(server.ask("GET", f"core/users/{zoe['pk']}/")[1]["name"] == "Zoë M.", "the name is the old one")
        mcp.tool("authentik_create_group", name="staff")
        staff = results(server, "core/groups/?name=staff")[0]
        must("staff" in mcp.tool("authentik_list_groups"), "the group is missing")
        mcp.tool("authentik_get_group", group_id=staff["pk"])
        mcp.tool("authentik_update_group", group_id=staff["pk"], name="team")
        mcp.remove("authentik_delete_group", group_id=staff["pk"])
        must(results(server, "core/groups/") == [], "the group is still there")
        mcp.tool("authentik_create_token", identifier="from-mcp", user=zoe["pk"], description="a test")
        must("from-mcp" in mcp.tool("authentik_list_tokens"), "the token is missing")
        for name in ["authentik_list_events", "authentik_list_flows", "authentik_list_providers",
                     "authentik_list_applications"]:
            mcp.tool(name)
        mcp.remove("authentik_delete_user", user_id=zoe["pk"])
        must(results(server, "core/users/?username=zoe") == [], "the user is still there")
    finally:
        mcp.end()


def authentik_diag_mcp(server, clients):
    mcp = Mcp(clients / "mcp/bin/authentik-diag-mcp", server)
    try:
        for name in [name for name in mcp.names() if "_list_" in name]:
            mcp.tool(name)
        must("alice" in mcp.tool("authentik_get_user_info", user_id=2), "the user is missing")
    finally:
        mcp.end()


def flask_multipass(server, clients):
    status, group = server.ask("POST", "core/groups/", {"name": "staff", "users": [2]})
    must(status == 201, group)
    run([clients / "flask/bin/python", HERE / "identity_provider.py", server.url, server.token])


def user_manager(server, clients):
    status, _ = server.ask("PATCH", "core/users/2/", {"email": "alice@example.com"})
    must(status == 200, "the e-mail cannot be set")
    app = server.folder / "app.yaml"
    app.write_text(f"authentik_url: {server.url}\nauthentik_token: {server.token}\nauthentik_title: Here\n"
                   "invitation_flow_slug: default-authentication-flow\ncreate_missing_groups: true\n")
    users = server.folder / "users.yaml"
    users.write_text("- name: Alice\n  email: alice@example.com\n  username: alice\n  groups: [staff, board]\n")

    def sync(*flags):
        return run([clients / "python/bin/auth-user-mgr", "sync", "-c", app, "-u", users, "--no-email", *flags])

    sync("--dry")
    must(results(server, "core/groups/") == [], "the dry run made groups")
    sync()
    names = sorted(group["name"] for group in server.ask("GET", "core/users/2/")[1]["groups_obj"])
    must(names == ["board", "staff"], f"the groups of alice: {names}")
    users.write_text("- name: Alice\n  email: alice@example.com\n  username: alice\n  groups: [board]\n")
    sync()
    names = [group["name"] for group in server.ask("GET", "core/users/2/")[1]["groups_obj"]]
    must(names == ["board"], f"the groups of alice: {names}")


def generated(server, clients):
    """Three generators make a client from the description, and each lists sessions with it."""
    description = server.folder / "openapi.json"
    description.write_text(server.rollcall("openapi"))
    run(["node", HERE / "generated_typescript.mjs", server.url, server.token, clients / "npm", description,
         server.folder])
    generators = clients / "generators/bin"
    run([generators / "openapi-python-client", "generate", "--path", description, "--output-path",
         server.folder / "made", "--overwrite", "--meta", "none", "--fail-on-warning"],
        {"PATH": f"{generators}:{os.environ['PATH']}"})
    run([generators / "python", HERE / "generated_python.py", server.url, server.token, server.folder])
    run([generators / "openapi-generator-cli", "generate", "-g", "python", "-i", description, "-o",
         server.folder / "generator", "--package-name", "made_by_generator"], timeout=300)
    run([clients / "python/bin/python", HERE / "generated_generator.py", server.url, server.token,
         server.folder / "generator"])


CLIENTS = {
    "python": python_client,
    "npm": npm_client,
    "kctl-ak": kctl,
    "identity-aiops": identity_aiops,
    "authentik-mcp": authentik_mcp,
    "authentik-diag-mcp": authentik_diag_mcp,
    "flask-multipass-authentik": flask_multipass,
    "authentik-user-manager": user_manager,
    "generated": generated,
}

PARTS = {
    "python": ["python/installed"],
    "npm": ["npm/node_modules/@goauthentik/api"],
    "kctl-ak": ["kctl/installed"],
    "identity-aiops": ["python/installed"],
    "authentik-mcp": ["mcp/installed"],
    "authentik-diag-mcp": ["mcp/installed"],
    "flask-multipass-authentik": ["flask/installed"],
    "authentik-user-manager": ["python/installed"],
    "generated": ["generators/installed", "npm/node_modules/openapi-typescript", "python/installed"],
}

# What may be missing even where everything has to run, and why.
OPTIONAL = {"kctl-ak": "it needs Python 3.12 or later"}


def missing(name, clients):
    """Why a client cannot run, or nothing."""
    absent = [part for part in PARTS[name] if not (clients / part).exists()]
    if not absent:
        return None
    return f"{', '.join(absent)} is not in {clients}; tests/clients/install puts it there"
