"""What to paste for each tool, with this hub's address, key and fingerprint.

Every line was tried with the client it is for, or says facts of its documentation (clients.md §3.1).
"""

from __future__ import annotations

from dataclasses import dataclass

from hexhub.schema import PUBLIC


@dataclass(frozen=True, slots=True)
class Step:
    """Something to paste, and why."""

    title: str
    text: str
    note: str = ""


def tools(
    url: str, fingerprint: str, pem: str, repository: str, secret: str, *, closed: bool
) -> list[tuple[str, list[Step]]]:
    """What to paste, by tool. `closed`: the public repository, too, is read with a key."""
    if repository == PUBLIC:
        return _public(url, fingerprint, pem, secret if closed else "")
    return _private(url, fingerprint, pem, repository, secret)


def shelf(url: str, key: str = "") -> str:
    """The lines that make mix fetch the public packages of this hub."""
    return (
        f"curl -fsSo hub.pem {url}/public_key\n"
        f"mix hex.repo set hexpm --url {url}/repo --public-key hub.pem{_auth(key)}"
    )


def _auth(key: str) -> str:
    return f" --auth-key {key}" if key else ""


def _publish(url: str, repository: str) -> Step:
    where = "" if repository == PUBLIC else f" --organization {repository}"
    return Step(
        "Publish",
        f"HEX_API_URL={url}/api HEX_API_KEY=KEY mix hex.publish{where} --yes",
        "KEY is a key that may write to the API, made under API keys.",
    )


def _public(url: str, fingerprint: str, pem: str, secret: str) -> list[tuple[str, list[Step]]]:
    """`secret` is empty where everybody may read."""
    repo_key = f',\n  repo_key => <<"{secret}">>' if secret else ""
    in_github = shelf(url, "${{ secrets.HUB_KEY }}" if secret else "").splitlines()
    in_gitlab = shelf(url, "$HUB_KEY" if secret else "").splitlines()
    mount = "--mount=type=secret,id=hub_key " if secret else ""
    in_docker = _auth('"$(cat /run/secrets/hub_key)"' if secret else "")
    return [
        (
            "mix",
            [
                Step("Once per machine", shelf(url, secret)),
                Step("In mix.exs", '{:my_package, "~> 1.0"}'),
                _publish(url, PUBLIC),
            ],
        ),
        (
            "rebar3",
            [
                Step(
                    "In rebar.config",
                    '{hex, [{repos, [#{name => <<"hexpm">>,\n'
                    f'  repo_public_key => <<"{pem.strip()}\n">>{repo_key}}}]}}]}}.\n'
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
                    f"RUN {mount}mix hex.repo set hexpm --url {url}/repo"
                    f" --public-key /tmp/hub.pem{in_docker} \\\n    && mix deps.get",
                    "Build with --secret id=hub_key,env=HUB_KEY." if secret else "",
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
                    + "".join(f"    {line}\n" for line in in_github)
                    + "    mix deps.get",
                )
            ],
        ),
        (
            "GitLab",
            [
                Step(
                    "In .gitlab-ci.yml",
                    "test:\n  image: elixir:1.18\n  script:\n    - mix local.hex --force\n"
                    + "".join(f"    - {line}\n" for line in in_gitlab)
                    + "    - mix deps.get\n    - mix test",
                )
            ],
        ),
        (
            "Renovate",
            [
                Step(
                    "In renovate.json",
                    f'{{\n  "packageRules": [{{\n    "matchDatasources": ["hex"],\n'
                    f'    "registryUrls": ["{url}"]\n  }}]'
                    + (f',\n  "hostRules": [{_host_rule(url)}]' if secret else "")
                    + "\n}",
                )
            ],
        ),
        (
            "Dependabot",
            [
                Step(
                    "In .github/dependabot.yml",
                    "version: 2\nregistries:\n  hub:\n    type: hex-repository\n    repo: hexpm\n"
                    f"    url: {url}/repo\n"
                    + ("    auth-key: ${{ secrets.HUB_KEY }}\n" if secret else "")
                    + f"    public-key-fingerprint: {fingerprint}\n"
                    "updates:\n  - package-ecosystem: mix\n    directory: /\n    registries: [hub]\n"
                    "    schedule: {interval: weekly}",
                )
            ],
        ),
    ]


def _host_rule(url: str) -> str:
    return (
        f'{{\n    "hostType": "hex",\n    "matchHost": "{url}",\n'
        '    "token": "{{ secrets.HUB_KEY }}"\n  }'
    )


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
                    f'{{\n  "hostRules": [{_host_rule(url)}]\n}}',
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
