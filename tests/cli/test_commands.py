"""The commands, as an operator starts them."""

import json
import os
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests import servers
from tests.databases import free_port

URL = "BALANCE_GATEWAY_DATABASE_URL"


def run(*arguments: str, folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """A command's outcome, in a folder of its own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BALANCE_GATEWAY_")}
    return subprocess.run(
        [servers.PROGRAM, *arguments],
        cwd=folder,
        env={**environment, **settings},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


def asked(url: str, query: str) -> Any:
    request = urllib.request.Request(
        f"{url}/graphql", json.dumps({"query": query}).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def test_help_names_the_commands(tmp_path: Path) -> None:
    told = run("--help", folder=tmp_path).stdout
    assert all(command in told for command in ("serve", "migrate", "schema", "seed"))


def test_the_default_database_is_a_file_in_the_current_folder(tmp_path: Path) -> None:
    done = run("migrate", folder=tmp_path)
    assert (done.returncode, done.stdout) == (0, "The database is at revision 0005.\n")
    assert (tmp_path / "balance-gateway.db").exists()


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("BALANCE_GATEWAY_PORT", "x"),
        ("BALANCE_GATEWAY_BALANCE_TYPES", "no list"),
        ("BALANCE_GATEWAY_CURRENCY", "nok"),
        ("BALANCE_GATEWAY_DATABASE_URL", "mysql://x"),
        ("BALANCE_GATEWAY_PAGE_MAX", "0"),
    ],
)
def test_a_wrong_setting_stops_the_start_and_is_named(tmp_path: Path, setting: str, value: str) -> None:
    done = run("migrate", folder=tmp_path, **{setting: value})
    assert done.returncode == 2
    assert setting.removeprefix("BALANCE_GATEWAY_").lower() in done.stderr.lower()
    assert "Traceback" not in done.stderr


def test_a_gateway_without_authentication_listens_on_loopback_alone(tmp_path: Path) -> None:
    done = run("serve", "--host", "0.0.0.0", folder=tmp_path)
    assert done.returncode == 2
    assert "loopback" in done.stderr
    assert not (tmp_path / "balance-gateway.db").exists()


def test_sample_data_fills_an_empty_database_and_never_another(empty_database_url: str, tmp_path: Path) -> None:
    first = run("seed", "--accounts", "12", "--days", "3", folder=tmp_path, **{URL: empty_database_url})
    assert first.returncode == 0, first.stderr
    again = run("seed", folder=tmp_path, **{URL: empty_database_url})
    assert again.returncode == 2
    assert "not empty" in again.stderr
    with servers.serving(empty_database_url, tmp_path) as gateway:
        answer = asked(gateway.url, "{ viewer { businessUnits } accounts { totalCount } balances { totalCount } }")
    assert answer["data"] == {
        "viewer": {"businessUnits": ["default", "nordic-bank", "voice-exchange"]},
        "accounts": {"totalCount": 12},
        "balances": {"totalCount": 36},
    }


def test_the_readmes_first_query_has_the_answer_that_it_tells(gateway_url: str) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    query = readme.split("-d '", 1)[1].split("'\n", 1)[0]
    told = readme.split("```json\n", 1)[1].split("\n```", 1)[0]
    assert asked(gateway_url, json.loads(query)["query"]) == json.loads(told)


def test_digits_survive_the_way_over_http_to_the_disk_and_back(server: servers.GatewayProcess) -> None:
    asked(server.url, 'mutation { createContractor(input: {name: "C", isVendor: true}) { contractor { id } } }')
    asked(
        server.url,
        'mutation { createAccount(input: {name: "A", contractorId: "contractor_1"}) { account { id } } }',
    )
    add = """mutation ($amount: Decimal!) { createBankAccountBalance(bankAccountId: "account_1",
      input: {amount: $amount, timestamp: "2026-01-01T00:00:00Z", currency: {code: "EUR"}}) { balance { amount } } }"""
    for written, told in (
        ("11111111111.00", "11111111111"),
        ("100000.5665", "100000.5665"),
        ("0.1", "0.1"),
        ("922337203685477.5807", "922337203685477.5807"),
        ('"-9007199254740993.25"', None),
        ("-900719925474099.3250", "-900719925474099.325"),
    ):
        body = json.dumps({"query": add, "variables": {"amount": 0}}).replace('"amount": 0', f'"amount": {written}')
        request = urllib.request.Request(f"{server.url}/graphql", body.encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            balance = json.load(answer)["data"]["createBankAccountBalance"]["balance"]
        assert (balance and balance["amount"]) == told


@pytest.mark.parametrize("command", ["serve", "runner"])
def test_a_file_has_one_serve_and_one_runner_and_the_second_is_told_so(
    sqlite_url: str, tmp_path: Path, command: str
) -> None:
    first = [command, *(["--port", str(free_port())] if command == "serve" else [])]
    environment = servers.environment(sqlite_url)
    with subprocess.Popen(
        [servers.PROGRAM, *first], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()  # It has its place when it says something.
        second = run(*first, folder=tmp_path, **{URL: sqlite_url})
        process.terminate()
    assert second.returncode == 2
    assert second.stderr.endswith(f"has a {command} already (process {process.pid}).\n")
    assert sqlite_url.rpartition("/")[0].rpartition("//")[2] in second.stderr
