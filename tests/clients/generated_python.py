"""Lists sessions and users with the client that openapi-python-client made: URL TOKEN FOLDER."""
import sys

url, token, folder = sys.argv[1:]
sys.path.insert(0, folder)
from made import AuthenticatedClient  # noqa: E402
from made.api.core import core_authenticated_sessions_list, core_users_list  # noqa: E402

client = AuthenticatedClient(base_url=f"{url}/api/v3", token=token)
sessions = core_authenticated_sessions_list.sync(client=client, page_size=5)
assert sessions.pagination.count > 5 and len(sessions.results) == 5, sessions
assert all(session.user_agent is not None for session in sessions.results)
users = core_users_list.sync(client=client, search="alice")
assert any(user.username == "alice" for user in users.results), users
