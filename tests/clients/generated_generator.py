"""Lists sessions and users with the client that openapi-generator made: URL TOKEN FOLDER."""
import sys

url, token, folder = sys.argv[1:]
sys.path.insert(0, folder)
import made_by_generator as made  # noqa: E402

configuration = made.Configuration(host=f"{url}/api/v3", access_token=token)
with made.ApiClient(configuration) as client:
    core = made.CoreApi(client)
    sessions = core.core_authenticated_sessions_list(page_size=5)
    assert sessions.pagination.count > 5 and len(sessions.results) == 5, sessions
    users = core.core_users_list(search="alice")
    assert any(user.username == "alice" for user in users.results), users
