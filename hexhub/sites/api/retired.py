"""What old clients still ask for accounts, and what they should use instead (http-api.md §1.14)."""

from __future__ import annotations

from hexhub.http.call import Call

PASSWORDS = ("POST", "/users/{who}/reset")
TRIALS = ("GET", "/users/{who}/test")
ACCOUNTS = ("POST", "/users")
KEYS = (("POST", "/keys"), ("POST", "/orgs/{organization}/keys"))


def advice(call: Call) -> str | None:
    """What to use in place of this account action; None for one that is not retired.

    To be called once it is known who asks: a key made with a password is the old way to sign in, one
    made with a key or a token is not.
    """
    hub = call.hub
    action = (call.route.method, call.route.pattern.removeprefix("/api"))
    if action == PASSWORDS:
        return f"setting a password from the terminal is retired; go to {hub.url}/password/reset"
    if action == TRIALS:
        return "testing an account by its name is retired; run mix hex.user whoami"
    if action == ACCOUNTS and not hub.registration_open:
        return (
            "making accounts from the terminal is retired; ask an administrator for one, "
            "then run mix hex.user auth"
        )
    if action in KEYS and call.actor.user is not None and call.actor.credential is None:
        return (
            "making keys with a password is retired; run mix hex.user auth with a current Hex, "
            f"or make a key at {hub.url}/dashboard/keys"
        )
    return None
