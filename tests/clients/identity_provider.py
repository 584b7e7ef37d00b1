"""flask-multipass-authentik's provider of identities and groups: URL TOKEN."""
import sys

import flask
from flask_multipass import Multipass
from flask_multipass_authentik import AuthentikIdentityProvider

url, token = sys.argv[1:]
app = flask.Flask("test")
app.secret_key = "a test"
multipass = Multipass(app)
with app.app_context():
    provider = AuthentikIdentityProvider(multipass, "authentik", {
        "identifier_field": "username",
        "authlib_args": {},
        "authentik_args": {"api_key": token, "api_url": f"{url}/api/v3"},
    })
    assert [group.name for group in provider.search_groups("staff", exact=True)] == ["staff"]
    assert [group.name for group in provider.search_groups("sta")] == ["staff"]
    assert list(provider.search_groups("nobody", exact=True)) == []
    group = provider.get_group("staff")
    assert [member.identifier for member in group.get_members()] == ["alice"]
    assert group.has_member("alice") and not group.has_member("bob")
