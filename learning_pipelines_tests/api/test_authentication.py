"""Who is let in: API keys, bearer tokens, tokens for one execution, browser sessions; and who is not.

Belongs here: credentials and roles over HTTP. Not here: what rows they reach (test_isolation.py).
"""

from __future__ import annotations

import base64
import datetime as dt
import hmac
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from learning_pipelines.api import sessions
from learning_pipelines.storage import ended_sessions
from learning_pipelines_tests.api.conftest import AUDIENCE, JWT_SECRET, TOKEN_SECRET, MakeSettings
from learning_pipelines_tests.api.serving import Api, serving

THUMB = {"execution_id": "run", "agent": "desk", "feedback_type": "thumbs_up"}


def bearer(secret: str = JWT_SECRET, algorithm: str = "HS256", headers: dict[str, Any] | None = None, **claims: Any) -> str:
    """A token as the identity provider makes it; a claim given as None is left out."""
    chosen = {"sub": "ada", "organization": "default", "role": "user", "aud": AUDIENCE, "exp": dt.datetime.now(dt.UTC) + dt.timedelta(minutes=5), **claims}
    return jwt.encode({name: value for name, value in chosen.items() if value is not None}, secret, algorithm, headers)


def unsigned(**claims: Any) -> str:
    """alg=none, by hand: no library makes such a token by accident."""
    parts = [{"alg": "none", "typ": "JWT"}, {"sub": "ada", "organization": "default", "role": "admin", "aud": AUDIENCE, "exp": 4_000_000_000, **claims}]
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts) + "."


def refused(api: Api, credential: str) -> bool:
    answer = api.get("/stats", credential)
    assert answer.status_code in (200, 401)
    return answer.status_code == 401


def test_a_request_without_credentials_is_told_how(api: Api) -> None:
    answer = api.get("/stats")
    assert (answer.status_code, answer.headers["www-authenticate"], answer.headers["content-type"]) == (401, "Bearer", "application/problem+json")


def test_a_key_is_stored_as_a_hash_only(api: Api) -> None:
    key = api.key()
    with api.database.connect("pipeline") as connection:
        stored = connection.execute("SELECT string_agg(k::text, ' ') FROM api_keys k").fetchone()
    assert stored is not None and key.split("_", 2)[2] not in str(stored[0])
    assert not refused(api, key)


@pytest.mark.parametrize(
    "change",
    [lambda key: key[:-1] + ("A" if key[-1] != "A" else "B"), lambda key: key.replace("default", "other"), lambda key: key + "x", lambda key: "lp_default_",
     lambda key: "lp_DEFAULT_" + "a" * 43, lambda key: "lp_" + "a" * 70 + "_" + "a" * 43, lambda key: "nonsense", lambda key: "é" * 20],
)  # fmt: skip
def test_a_key_that_is_none_is_refused(api: Api, change: Any) -> None:
    assert api.ask("GET", "/stats", headers={"Authorization": f"Bearer {change(api.key())}".encode()}).status_code == 401


@pytest.mark.parametrize("header", ["", "Bearer", "Basic abc", "lp_default_x", "Bearer " + "x" * 9000])
def test_a_header_that_is_no_bearer_credential_is_refused(api: Api, header: str) -> None:
    assert api.ask("GET", "/stats", headers={"Authorization": header}).status_code == 401


def test_a_bearer_token_is_let_in(api: Api) -> None:
    assert not refused(api, bearer())
    assert not refused(api, bearer(role=None))


@pytest.mark.parametrize(
    "claims",
    [{"exp": dt.datetime.now(dt.UTC) - dt.timedelta(seconds=2)}, {"exp": None}, {"aud": "another"}, {"aud": None}, {"sub": None}, {"sub": ""}, {"sub": "a\x00"},
     {"organization": None}, {"organization": "nobody-has-this"}, {"organization": "UPPER"}, {"organization": 7}, {"role": "root"}, {"role": ["admin"]},
     {"nbf": dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)}, {"sub": 5}],
)  # fmt: skip
def test_a_token_that_is_not_valid_in_every_respect_is_refused(api: Api, claims: dict[str, Any]) -> None:
    try:
        token = bearer(**claims)
    except TypeError:  # this version of the library does not make such a token
        pytest.skip("the library refuses to make it")
    assert refused(api, token)


def test_a_forged_token_is_refused(api: Api) -> None:
    assert refused(api, bearer("another secret that is long enough 32"))
    assert refused(api, bearer(TOKEN_SECRET))
    assert refused(api, unsigned())
    assert refused(api, unsigned(role="user") + "AAAA")
    assert refused(api, bearer(JWT_SECRET, "HS384"))
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    claims = {"sub": "ada", "organization": "default", "role": "admin", "aud": AUDIENCE, "exp": 4_000_000_000}
    assert refused(api, jwt.encode(claims, private, "RS256"))


def test_a_session_token_is_no_bearer_token(api: Api) -> None:
    token, _, _ = api.service.tokens.for_session("default", "ada", "admin", 60)
    assert refused(api, token)
    assert refused(api, bearer(TOKEN_SECRET, headers={"typ": "session+jwt"}, aud="learning-session"))


# Roles: each includes user, admin includes all.

ROUTES = [
    ("GET", "/stats", "user"), ("GET", "/feedback/stats/desk", "user"), ("GET", "/feedback/issues/desk", "user"), ("GET", "/executions", "user"),
    ("GET", "/prompts/desk", "user"), ("POST", "/feedback", "user"), ("POST", "/demonstrations", "expert"), ("GET", "/datasets/desk", "trainer"),
    ("POST", "/optimize-prompt", "trainer"), ("GET", "/runs", "trainer"), ("GET", "/runs/x", "trainer"), ("POST", "/prompts/desk", "admin"),
    ("PUT", "/prompts/desk/labels/production", "admin"), ("GET", "/lineage/user/ada", "admin"), ("GET", "/annotations/queue", "expert"),
    ("POST", "/annotations", "expert"), ("POST", "/annotations/bulk", "expert"),
]  # fmt: skip
KEYS_ONLY = ["/feedback/batch", "/executions", "/executions/batch", "/retrieval-feedback", "/documents", "/tokens"]


@pytest.mark.parametrize(("method", "path", "needed"), ROUTES)
def test_a_route_asks_for_its_role_before_anything_else(api: Api, method: str, path: str, needed: str) -> None:
    for role in ("user", "expert", "trainer", "experimenter", "admin"):
        permitted = needed == "user" or role in (needed, "admin")
        for credential in (bearer(role=role), api.key(role)):
            status = api.ask(method, path, credential, json={} if method != "GET" else None).status_code
            assert (status != 403) is permitted, (method, path, role, status)
            assert status != 401
    assert api.ask(method, path, json={}).status_code == 401


@pytest.mark.parametrize("path", KEYS_ONLY)
def test_routes_for_applications_take_no_persons_token(api: Api, path: str) -> None:
    assert api.post(path, {}, bearer(role="admin")).status_code == 403
    assert api.post(path, {}, api.key()).status_code == 422


def test_a_403_says_the_same_whether_the_thing_exists_or_not(api: Api) -> None:
    there, absent = (api.get(f"/datasets/{agent}", bearer()) for agent in ("desk", "no-such-agent"))
    assert (there.status_code, there.json()) == (absent.status_code, absent.json()) == (403, there.json())


# For whom a write counts.


def author(api: Api, feedback_id: str) -> str | None:
    with api.database.connect("pipeline") as connection:
        row = connection.execute("SELECT u.external_id FROM agent_feedback f LEFT JOIN users u ON u.id = f.user_id WHERE f.id = %s", [feedback_id]).fetchone()
    assert row is not None
    return None if row[0] is None else str(row[0])


def test_a_person_speaks_for_themselves_only(api: Api) -> None:
    stored = api.post("/feedback", THUMB, bearer()).json()["feedback_id"]
    assert author(api, stored) == "ada"
    assert api.post("/feedback", {**THUMB, "user": "ada"}, bearer()).status_code == 201
    answer = api.post("/feedback", {**THUMB, "user": "bob"}, bearer())
    assert (answer.status_code, answer.json()["field"]) == (403, "user")


def test_a_key_made_for_a_user_acts_for_that_user(api: Api) -> None:
    key = api.key(user="carla")
    assert author(api, api.post("/feedback", THUMB, key).json()["feedback_id"]) == "carla"
    assert api.post("/feedback", {**THUMB, "user": "bob"}, key).status_code == 403


def test_another_key_acts_for_the_user_that_the_body_names_and_else_for_nobody_known(api: Api) -> None:
    key = api.key()
    assert author(api, api.post("/feedback", {**THUMB, "user": "dora"}, key).json()["feedback_id"]) == "dora"
    assert author(api, api.post("/feedback", THUMB, key).json()["feedback_id"]) is None


# A token for one execution.


def token(api: Api, **body: Any) -> str:
    answer = api.post("/tokens", {"execution_id": "run", **body}, api.key())
    assert answer.status_code == 201, answer.text
    return str(answer.json()["token"])


def test_a_token_permits_feedback_on_its_execution_and_nothing_else(api: Api) -> None:
    credential = token(api, user="eve")
    stored = api.post("/feedback", THUMB, credential)
    assert (stored.status_code, author(api, stored.json()["feedback_id"])) == (201, "eve")
    assert api.post("/feedback", {**THUMB, "execution_id": "other"}, credential).status_code == 403
    assert api.post("/feedback", {**THUMB, "user": "bob"}, credential).status_code == 403
    for method, path, _ in ROUTES:
        if (method, path) != ("POST", "/feedback"):
            assert api.ask(method, path, credential, json={} if method != "GET" else None).status_code == 403, path
    for path in KEYS_ONLY:
        assert api.post(path, {}, credential).status_code == 403


def test_a_token_for_nobody_stores_anonymous_feedback_but_names_no_one(api: Api) -> None:
    credential = token(api)
    assert author(api, api.post("/feedback", THUMB, credential).json()["feedback_id"]) is None
    assert api.post("/feedback", {**THUMB, "user": "bob"}, credential).status_code == 403


def test_an_expired_or_forged_execution_token_is_refused(api: Api) -> None:
    ended, _ = api.service.tokens.for_execution("default", "run", "eve", -1)
    claims = {"organization": "default", "execution": "run", "sub": "eve", "aud": "learning-execution", "exp": 4_000_000_000}
    forged = jwt.encode(claims, JWT_SECRET, headers={"typ": "execution+jwt"})
    elsewhere = jwt.encode({**claims, "aud": AUDIENCE}, TOKEN_SECRET, headers={"typ": "execution+jwt"})
    nothing = jwt.encode({key: value for key, value in claims.items() if key != "execution"}, TOKEN_SECRET, headers={"typ": "execution+jwt"})
    for credential in (ended, forged, elsewhere, nothing):
        assert api.post("/feedback", THUMB, credential).status_code == 401


@pytest.mark.parametrize(
    "body", [{}, {"execution_id": ""}, {"execution_id": "r", "ttl_seconds": 0}, {"execution_id": "r", "ttl_seconds": 90_000}, {"execution_id": "r", "x": 1}]
)
def test_a_token_request_that_is_none_is_refused(api: Api, body: dict[str, Any]) -> None:
    assert api.post("/tokens", body, api.key()).status_code == 422


# Browser sessions.


def test_a_session_cookie_needs_its_csrf_token_for_whatever_changes_something(api: Api) -> None:
    made = api.post("/session", {}, bearer())
    cookie = made.headers["set-cookie"]
    assert made.status_code == 201 and "HttpOnly" in cookie and "SameSite=strict" in cookie
    headers = {"Cookie": cookie.split(";")[0]}
    assert api.get("/stats", headers=headers).status_code == 200
    assert api.post("/feedback", THUMB, headers=headers).status_code == 403
    assert api.post("/feedback", THUMB, headers={**headers, "X-CSRF-Token": "x" * 32}).status_code == 403
    assert api.post("/feedback", THUMB, headers={**headers, "X-CSRF-Token": made.json()["csrf_token"]}).status_code == 201


def test_a_session_made_by_a_key_has_its_role_and_ends_with_it(api: Api) -> None:
    key = api.key(role="expert", user="edda")
    made = api.post("/session", {}, key)
    headers = {"Cookie": made.headers["set-cookie"].split(";")[0]}
    assert (made.json()["user"], made.json()["role"], made.json()["organization"]) == ("edda", "expert", "default")
    assert api.get("/session", headers=headers).json() == made.json()
    assert api.get("/annotations/queue", headers=headers).status_code == 200
    assert api.get("/proposals", headers=headers).status_code == 403
    api.revoke(key)
    assert api.get("/session", headers=headers).status_code == 401


def test_signing_out_ends_every_copy_of_the_cookie_and_no_other_session(api: Api) -> None:
    key = api.key(role="expert", user="edda")
    made, other = (api.post("/session", {}, key) for _ in range(2))
    copied, kept = ({"Cookie": one.headers["set-cookie"].split(";")[0]} for one in (made, other))
    assert api.ask("DELETE", "/session", headers={**copied, "X-CSRF-Token": made.json()["csrf_token"]}).status_code == 204
    assert [api.get("/stats", headers=headers).status_code for headers in (copied, kept)] == [401, 200]
    assert api.ask("DELETE", "/session", headers={**copied, "X-CSRF-Token": made.json()["csrf_token"]}).status_code == 401
    with api.database.connect("pipeline") as connection:
        assert ended_sessions.prune(connection) == 0
        connection.execute("UPDATE ended_sessions SET ends_at = now() - interval '2 hours'")
        assert ended_sessions.prune(connection) == 1


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, 201), ({"Sec-Fetch-Site": "cross-site"}, 403), ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "https://elsewhere.example"}, 403), ({"Origin": "null"}, 403), ({"Origin": "https://elsewhere.example", "Sec-Fetch-Site": "none"}, 201),
    ],
)  # fmt: skip
def test_a_page_of_another_origin_signs_nobody_in(api: Api, headers: dict[str, str], status: int) -> None:
    made = api.post("/session", {}, api.key(), headers=headers)
    assert (made.status_code, "set-cookie" in made.headers) == (status, status == 201)
    assert api.post("/session", {}, api.key(), headers={"Origin": api.url}).status_code == 201


@pytest.mark.parametrize(("public", "host", "secure"), [(None, "127.0.0.1", False), ("https://learning.example", "127.0.0.1", True), (None, "0.0.0.0", True)])
def test_the_cookie_of_a_session_goes_by_https_only_wherever_people_come_by_it(
    make_settings: MakeSettings, public: str | None, host: str, secure: bool
) -> None:
    assert sessions._secure(make_settings(public_url=public, api_host=host)) is secure


def test_a_key_without_a_person_gets_a_session_for_its_service_user(api: Api) -> None:
    made = api.post("/session", {}, api.key(role="admin")).json()
    assert made["user"].startswith("key:") and made["role"] == "admin"


def test_a_token_for_one_execution_gets_no_session_and_a_bearer_token_has_none(api: Api) -> None:
    assert api.post("/session", {}, token(api, user="ada")).status_code == 403
    assert api.get("/session", bearer()).status_code == 401
    assert api.get("/session").status_code == 401


def test_no_other_token_is_taken_for_a_session(api: Api) -> None:
    for value in (bearer(), token(api, user="ada"), "x"):
        assert api.get("/stats", headers={"Cookie": f"learning_session={value}"}).status_code == 401


# Keys of an identity provider.


@pytest.fixture(scope="module")
def provider() -> Iterator[tuple[str, rsa.RSAPrivateKey]]:
    """An identity provider's JWKS on a real socket, and the private key behind it."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(private.public_key()))
    document = json.dumps({"keys": [{**public, "kid": "k1", "use": "sig", "alg": "RS256"}]}).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(document)))
            self.end_headers()
            self.wfile.write(document)

        def log_message(self, format: str, *args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/jwks.json", private
    server.shutdown()
    server.server_close()


def test_tokens_of_an_identity_provider_are_checked_with_its_published_key(
    api: Api, make_settings: MakeSettings, provider: tuple[str, rsa.RSAPrivateKey]
) -> None:
    url, private = provider
    claims = {"user_name": "ada", "tenant": "default", "groups": "trainer", "aud": AUDIENCE, "exp": 4_000_000_000}
    settings = make_settings(jwt_secret=None, jwks_url=url, jwt_claims="user_name,tenant,groups")
    with serving(api.database, settings) as running:
        good = jwt.encode(claims, private, "RS256", {"kid": "k1"})
        assert running.get("/datasets/desk", good).status_code == 200
        public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        confused = hmac_signed({**claims, "groups": "admin"}, public, {"alg": "HS256", "typ": "JWT", "kid": "k1"})
        stranger = jwt.encode(claims, rsa.generate_private_key(public_exponent=65537, key_size=2048), "RS256", {"kid": "k1"})
        for credential in (confused, stranger, jwt.encode(claims, private, "RS256", {"kid": "k2"}), bearer(), unsigned()):
            assert refused(running, credential)


def test_a_provider_that_is_away_is_no_fault_of_the_credentials(api: Api, make_settings: MakeSettings, provider: tuple[str, rsa.RSAPrivateKey]) -> None:
    good = jwt.encode({"sub": "ada", "organization": "default", "aud": AUDIENCE, "exp": 4_000_000_000}, provider[1], "RS256", {"kid": "k1"})
    with serving(api.database, make_settings(jwt_secret=None, jwks_url="http://127.0.0.1:9/jwks.json")) as running:
        answer = running.get("/stats", good)
        assert answer.status_code == 503 and "Retry-After" in answer.headers and "identity provider" in answer.json()["detail"]


def hmac_signed(claims: dict[str, Any], key: bytes, header: dict[str, str]) -> str:
    """Signed with the public key as if it were a secret: the old confusion of algorithms, which libraries refuse to make."""
    text = ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, claims))
    return f"{text}.{base64.urlsafe_b64encode(hmac.digest(key, text.encode(), 'sha256')).rstrip(b'=').decode()}"
