"""Setting up a client: the lines to paste for each tool, with this hub's address, key and fingerprint.

Every line was tried with the client it is for, or says facts of its documentation (clients.md §3.1).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from aiohttp.web import StreamResponse

from hexhub.domain import keys
from hexhub.errors import NotFound
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.schema import PUBLIC
from hexhub.sites.web import pages, reading
from hexhub.sites.web.account import CONFIRMED, forms, signed_in

routes = Routes(forms)

SECRET = "KEY"
GOOD_FOR = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class Step:
    """Something to paste, and why."""

    title: str
    text: str
    note: str = ""


@routes.get("/setup", allow=pages.READER)
async def show(call: Call) -> StreamResponse:
    """The lines, with KEY where a key belongs."""
    return _page(call, _repository(call), SECRET)


@routes.get("/setup/key", allow=CONFIRMED)
async def back(call: Call) -> StreamResponse:
    """Where one lands after giving the password: the form is to be sent again."""
    return pages.redirect("/setup")


@routes.post("/setup/key", allow=CONFIRMED)
async def with_key(call: Call) -> StreamResponse:
    """The same lines with a key made on the spot, which is shown this once."""
    hub, secret = call.hub, call.hub.new_secret()
    user, _ = signed_in(call)
    name = f"set-up {call.now:%Y-%m-%d %H:%M:%S}"
    await hub.store.transact(
        keys.create,
        call.origin,
        f"user:{user.username}",
        name,
        [{"domain": "repositories", "resource": None}],
        call.now + GOOD_FOR,
        hub.secret_hash(secret),
        call.now,
    )
    return _page(call, _repository(call), secret, made=name)


def _repository(call: Call) -> str:
    wanted = str(call.parameter("repository") or PUBLIC)
    with call.hub.store.view() as view:
        if wanted != PUBLIC and wanted not in reading.repositories(view, call):
            raise NotFound
    return wanted


def _page(call: Call, repository: str, secret: str, made: str | None = None) -> StreamResponse:
    hub = call.hub
    with hub.store.view() as view:
        repositories = reading.repositories(view, call)
    return pages.page(
        "setup.html",
        repository=repository,
        repositories=[each for each in repositories if each != PUBLIC],
        tools=tools(hub.url, hub.fingerprint, hub.public_key_pem.decode(), repository, secret),
        upstream=hub.mirror is not None,
        made=made,
        url=hub.url,
        fingerprint=hub.fingerprint,
        public=PUBLIC,
    )


def tools(
    url: str, fingerprint: str, pem: str, repository: str, secret: str
) -> list[tuple[str, list[Step]]]:
    """What to paste, by tool."""
    made = _public if repository == PUBLIC else _private
    return made(url, fingerprint, pem, repository, secret)


def shelf(url: str) -> str:
    """The lines that make mix fetch the public packages of this hub."""
    return (
        f"curl -fsSo hub.pem {url}/public_key\n"
        f"mix hex.repo set hexpm --url {url}/repo --public-key hub.pem"
    )


def _publish(url: str, repository: str) -> Step:
    where = "" if repository == PUBLIC else f" --organization {repository}"
    return Step(
        "Publish",
        f"HEX_API_URL={url}/api HEX_API_KEY=KEY mix hex.publish{where} --yes",
        "KEY is a key that may write to the API, made under API keys.",
    )


def _public(
    url: str, fingerprint: str, pem: str, repository: str, secret: str
) -> list[tuple[str, list[Step]]]:
    lines = shelf(url)
    return [
        (
            "mix",
            [
                Step("Once per machine", lines),
                Step("In mix.exs", '{:my_package, "~> 1.0"}'),
                _publish(url, repository),
            ],
        ),
        (
            "rebar3",
            [
                Step(
                    "In rebar.config",
                    '{hex, [{repos, [#{name => <<"hexpm">>,\n'
                    f'  repo_public_key => <<"{pem.strip()}\n">>}}]}}]}}.\n'
                    '{deps, [{my_package, "1.0.0"}]}.',
                ),
                Step("In the environment", f"export HEX_CDN={url}/repo"),
            ],
        ),
        (
            "Gleam",
            [
                Step(
                    "In gleam.toml",
                    'my_package = ">= 1.0.0 and < 2.0.0"',
                    "Gleam knows only hex.pm by name: point that name at this hub "
                    "by your own DNS and certificate, with GLEAM_CACERTS_PATH.",
                )
            ],
        ),
        (
            "Docker",
            [
                Step(
                    "In the Dockerfile",
                    "RUN mix local.hex --force && mix local.rebar --force\n"
                    f"ADD {url}/public_key /tmp/hub.pem\n"
                    f"RUN mix hex.repo set hexpm --url {url}/repo --public-key /tmp/hub.pem",
                )
            ],
        ),
        (
            "GitHub",
            [
                Step(
                    "In .github/workflows/ci.yml",
                    "- uses: erlef/setup-beam@v1\n  with:\n    otp-version: 27\n"
                    "    elixir-version: 1.18\n- run: |\n"
                    f"    {lines.replace(chr(10), chr(10) + '    ')}\n    mix deps.get",
                )
            ],
        ),
        (
            "GitLab",
            [
                Step(
                    "In .gitlab-ci.yml",
                    "test:\n  image: elixir:1.18\n  script:\n    - mix local.hex --force\n"
                    f"    - {lines.replace(chr(10), chr(10) + '    - ')}\n    - mix deps.get\n    - mix test",
                )
            ],
        ),
        (
            "Renovate",
            [
                Step(
                    "In renovate.json",
                    f'{{\n  "packageRules": [{{\n    "matchDatasources": ["hex"],\n'
                    f'    "registryUrls": ["{url}"]\n  }}]\n}}',
                )
            ],
        ),
        (
            "Dependabot",
            [
                Step(
                    "In .github/dependabot.yml",
                    "version: 2\nregistries:\n  hub:\n    type: hex-repository\n    repo: hexpm\n"
                    f"    url: {url}/repo\n    public-key-fingerprint: {fingerprint}\n"
                    "updates:\n  - package-ecosystem: mix\n    directory: /\n    registries: [hub]\n"
                    "    schedule: {interval: weekly}",
                )
            ],
        ),
    ]


def _private(
    url: str, fingerprint: str, pem: str, repository: str, secret: str
) -> list[tuple[str, list[Step]]]:
    add = f"mix hex.repo add hub {url} --fetch-public-key {fingerprint} --auth-key"
    return [
        (
            "mix",
            [
                Step("Once per machine", f"{add} {secret}", "Every organization that you are in."),
                Step("In mix.exs", f'{{:my_package, "~> 1.0", repo: "hub:{repository}"}}'),
                _publish(url, repository),
            ],
        ),
        (
            "rebar3",
            [
                Step(
                    "In rebar.config",
                    f'{{hex, [{{repos, [#{{name => <<"{repository}">>,\n'
                    f'  repo_url => <<"{url}/repos/{repository}">>,\n'
                    f'  repo_public_key => <<"{pem.strip()}\n">>,\n'
                    f'  repo_key => <<"{secret}">>}}]}}]}}.\n'
                    '{deps, [{my_package, "1.0.0"}]}.',
                )
            ],
        ),
        (
            "Gleam",
            [
                Step(
                    "Not yet",
                    "# Gleam reads only the public repository",
                    "Gleam has no private repositories; publish such packages to the public one.",
                )
            ],
        ),
        (
            "Docker",
            [
                Step(
                    "In the Dockerfile",
                    "RUN mix local.hex --force && mix local.rebar --force\n"
                    f'RUN --mount=type=secret,id=hub_key \\\n    {add} "$(cat /run/secrets/hub_key)"'
                    " \\\n    && mix deps.get \\\n    && mix hex.repo remove hub",
                    "Build with --secret id=hub_key,env=HUB_KEY: no layer keeps the key.",
                )
            ],
        ),
        (
            "GitHub",
            [
                Step(
                    "In .github/workflows/ci.yml",
                    "- uses: erlef/setup-beam@v1\n  with:\n    otp-version: 27\n"
                    f"    elixir-version: 1.18\n- run: |\n    {add} ${{{{ secrets.HUB_KEY }}}}\n"
                    "    mix deps.get",
                )
            ],
        ),
        (
            "GitLab",
            [
                Step(
                    "In .gitlab-ci.yml",
                    "test:\n  image: elixir:1.18\n  script:\n    - mix local.hex --force\n"
                    f"    - {add} $HUB_KEY\n    - mix deps.get\n    - mix test",
                )
            ],
        ),
        (
            "Renovate",
            [
                Step(
                    "In renovate.json",
                    '{\n  "hostRules": [{\n    "hostType": "hex",\n'
                    f'    "matchHost": "{url}",\n    "token": "{{{{ secrets.HUB_KEY }}}}"\n  }}]\n}}',
                )
            ],
        ),
        (
            "Dependabot",
            [
                Step(
                    "In .github/dependabot.yml",
                    "version: 2\nregistries:\n  hub:\n    type: hex-repository\n    repo: hub\n"
                    f"    url: {url}\n    auth-key: ${{{{ secrets.HUB_KEY }}}}\n"
                    f"    public-key-fingerprint: {fingerprint}\n"
                    "updates:\n  - package-ecosystem: mix\n    directory: /\n    registries: [hub]\n"
                    "    schedule: {interval: weekly}",
                )
            ],
        ),
    ]
