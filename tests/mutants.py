"""Planted bugs: whether the tests notice each of them. `python -m tests.mutants [name ...]`

Each is planted alone in a copy of the repository, where the tests that ought to notice it run. They run there without
it first: what fails anyhow notices nothing. It is no part of the tests themselves, as it takes some minutes.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
SECONDS_MAX = 180
PASSED, FAILED = 0, 1
"""pytest's status where all tests passed, and where one failed."""
NOTICED = "noticed"


class Mutant(NamedTuple):
    name: str
    file: str
    said: str
    """What stands there once."""
    instead: str
    tests: Sequence[str]
    """What ought to notice it, as pytest is told."""
    hangs: bool = False
    """Whether it is noticed by tests that don't come to their end."""


TENANCY = ("tests/graphql/test_tenancy.py",)
STORE = ("tests/store/test_store.py",)
CONCURRENCY = ("tests/graphql/test_concurrency.py",)
TOGETHER = ("tests/graphql/test_together.py",)
BATCHES = ("tests/graphql/test_batches.py",)
CYCLES = ("tests/domain/test_cycles.py", "tests/domain/test_histories.py")
CLOSINGS = ("tests/store/test_closings.py",)
NETWORKS = ("tests/faults/test_networks_fail.py",)
ACCESS = ("tests/web/test_access.py",)
TOKENS = ("tests/web/test_auth.py",)
PLACES = ("tests/store/test_places.py",)
STARTS = ("tests/faults/test_starts.py",)
POWER = ("tests/faults/test_power_fails.py",)
SERIES = ("tests/graphql/test_balances.py", "tests/graphql/test_moments.py")
KILLS = ("tests/faults/test_kills.py", "-k", "each_place_of_a_batch")
LEAVING = ("tests/faults/test_clients_leave.py", "-k", "sqlite_work_out")
COMMITS = ("tests/faults/test_kills.py", "-k", "inside_a_commit")
DAMAGED_LOGS = ("tests/faults/test_damaged_logs.py",)
DURABILITY = ("tests/store/test_durability.py",)
RUNNERS = ("tests/faults/test_runners.py", "-k", "twice_at_a_time")
RESTORES = ("tests/faults/test_restores.py", "-k", "never_taken")

MUTANTS = (
    Mutant(
        "those who write together are judged by what stood before",
        "app/actions/add_balance.py",
        "position = standing.get(account, position)",
        "position = position or standing.get(account)",
        CONCURRENCY,
    ),
    Mutant(
        "who waited for a lock does not look again",
        "app/store/recording.py",
        'for name in _SEEN if name != "account_id")',
        'for name in _SEEN if name not in {"account_id", "high_threshold"})',
        TOGETHER,
    ),
    Mutant(
        "of equal moments the first stays current",
        "app/store/recording.py",
        "(h.at IS NULL OR g.at >= h.at)",
        "(h.at IS NULL OR g.at > h.at)",
        BATCHES,
    ),
    Mutant(
        "a batch counts in its own order",
        "app/store/recording.py",
        "ORDER BY at, place",
        "ORDER BY place",
        BATCHES,
    ),
    Mutant(
        "an account stands at its first entry of a batch",
        "app/store/recording.py",
        "ORDER BY account_id, id DESC",
        "ORDER BY account_id, id",
        BATCHES,
    ),
    Mutant(
        "a batch passes over thresholds",
        "app/store/recording.py",
        "NOT EXISTS (SELECT FROM fresh WHERE became_current AND crosses)",
        "true",
        BATCHES,
    ),
    Mutant(
        "an account is called for ever as it was",
        "app/store/recording.py",
        '"p.external_id = n.external_id"',
        '"true"',
        BATCHES,
    ),
    Mutant(
        "a batch is recorded in part",
        "app/store/recording.py",
        "SELECT are_named, are_named AND NOT",
        "SELECT are_named, NOT",
        BATCHES,
    ),
    Mutant(
        "kinds of what was not recorded are known",
        "app/store/store.py",
        "[number is not None and not known for",
        "[not known for",
        BATCHES,
    ),
    Mutant(
        "an account's old name is remembered",
        "app/store/store.py",
        "standing.forget_names(accounts.values())",
        "standing.forget(accounts)",
        BATCHES,
    ),
    Mutant(
        "a batch leaves positions that others lean on",
        "app/store/store.py",
        "            standing.forget(accounts)\n            if not are_named:\n",
        "            if not are_named:\n",
        BATCHES,
    ),
    Mutant(
        "who crossed a threshold is remembered as before",
        "app/actions/add_balance.py",
        "store.unsee([] if number is None else [number])",
        "store.unsee([])",
        TOGETHER,
    ),
    Mutant(
        "a known head is followed by anything",
        "app/web/known.py",
        "if found is None or len(data) - end != found[0].length:",
        "if found is None:",
        ("tests/web/test_known.py",),
    ),
    Mutant(
        "what was answered is not committed",
        "app/store/store.py",
        "self._kept(self._commit(connection))",
        "self._kept(connection.close())",
        ("tests/graphql/test_balances.py",),
    ),
    Mutant("a race for a key is not run again", "app/store/failures.py", ', "40P01", "23505"}', "}", CONCURRENCY),
    Mutant("a transaction begins late", "app/store/sqlite.py", '"BEGIN IMMEDIATE"', '"BEGIN"', (*CONCURRENCY, *STORE)),
    Mutant("a commit is not on the disk", "app/store/sqlite.py", '"synchronous=FULL"', '"synchronous=NORMAL"', STORE),
    Mutant(
        "foreign keys are off",
        "app/store/sqlite.py",
        '"synchronous=FULL", "foreign_keys=ON"',
        '"synchronous=FULL", "foreign_keys=OFF"',
        STORE,
    ),
    Mutant(
        "the end of the process has no last moment",
        "app/cli.py",
        "            last_moment.begin()\n            super().handle_exit",
        "            super().handle_exit",
        ("tests/faults/test_stops.py",),
    ),
    Mutant(
        "an answer is waited for for ever",
        "app/store/wires.py",
        '            "command_timeout": statement_seconds + ANSWER_SECONDS,\n',
        "",
        NETWORKS,
    ),
    Mutant(
        "a connection that may lead nowhere is used unasked",
        "app/store/postgres.py",
        "network.is_doubtful(wire) and not",
        "False and not",
        NETWORKS,
    ),
    Mutant(
        "a transaction that nobody carries on keeps its locks",
        "app/store/postgres.py",
        "IDLE_SECONDS = 8",
        "IDLE_SECONDS = 60",
        NETWORKS,
    ),
    Mutant(
        "who waits for what is stuck waits as long as in a burst",
        "app/store/places.py",
        "STILL_SECONDS = 2.0",
        "STILL_SECONDS = 8.0",
        PLACES,
    ),
    Mutant(
        "a burst is refused as if nobody got on",
        "app/store/places.py",
        "max(begun, self._moved_at) + STILL_SECONDS",
        "begun + STILL_SECONDS",
        PLACES,
    ),
    Mutant(
        "a reading that waits in vain keeps the next one waiting",
        "app/store/places.py",
        "begun = loop.time() if since is None else since",
        "begun = loop.time()",
        PLACES,
    ),
    Mutant(
        "whoever watches waits among all others",
        "app/store/store.py",
        "async with self._watching.connect() as connection:\n                revision",
        "async with self._writer.connect() as connection:\n                revision",
        ("tests/faults/test_crowds.py", "-k", "taken_is_told"),
    ),
    Mutant(
        "what fails in a commit is told as if nothing was done",
        "app/store/failures.py",
        "        raise told from error",
        "        raise",
        ("tests/store/test_durability.py", "-k", "in_a_commit or after_a_commit"),
    ),
    Mutant(
        "what fails after a commit is told as if it had not been done",
        "app/store/failures.py",
        '        _tell("failed_after_commit")\n',
        "        raise\n",
        ("tests/store/test_durability.py", "-k", "changes_no_answer"),
    ),
    Mutant(
        "a start looks through the whole database",
        "app/store/migrations/__init__.py",
        "    if revision != HEAD:",
        '    if connection.execute(text("SELECT sum(amount) FROM entries")) and revision != HEAD:',
        (*STARTS, "-k", "whatever_the_size"),
    ),
    Mutant(
        "a start waits for whoever keeps the database locked",
        "app/store/migrations/__init__.py",
        "WAIT_SECONDS = 10.0",
        "WAIT_SECONDS = 40.0",
        (*STARTS, "-k", "locked"),
    ),
    Mutant(
        "a failure is logged as often as it happens",
        "app/logs.py",
        "ALIKE_MAX = 10",
        "ALIKE_MAX = 10_000",
        ACCESS,
    ),
    Mutant(
        "what the log leaves out is told only when another line comes",
        "app/logs.py",
        "call_later(1.0, _tell_when_due)",
        "call_later(60.0, _tell_when_due)",
        ACCESS,
    ),
    Mutant(
        "each closing is followed by a look for another one",
        "app/runner.py",
        "            if waiting(configured._replace(last=closed.run), self._clock()) is None:\n                break\n",
        "",
        ("tests/faults/test_crowds.py", "-k", "few_statements"),
    ),
    Mutant(
        "closings that were missed are passed over",
        "app/actions/close_cycle.py",
        "first = next(due(configured, now), None)",
        "first = next(reversed(list(due(configured, now))), None)",
        ("tests/faults/test_clocks.py",),
    ),
    Mutant(
        "readings take all connections",
        "app/store/store.py",
        "Places(min(READINGS_MAX, connections - 1))",
        "Places(1_000)",
        STORE,
    ),
    Mutant(
        "each token has a minute of its own",
        "app/rates.py",
        'f"{caller.issuer} {caller.subject}"',
        'f"{caller.issuer} {caller.subject} {caller.expires_at}"',
        ("tests/web/test_gateways_with_keys.py", "-k", "forged_addresses"),
    ),
    Mutant(
        "a file that was replaced is written to",
        "app/store/failures.py",
        "        if self._is_in_place():\n            return []",
        "        if True:\n            return []",
        ("tests/faults/test_files_away.py",),
    ),
    Mutant(
        "a commit to a file that was moved is answered",
        "app/store/store.py",
        "        self._damage.doubt_commit()\n",
        "",
        ("tests/faults/test_files_away.py",),
    ),
    Mutant(
        "a connection is opened to what took a file's place",
        "app/store/opening.py",
        "        self._refuse_another()\n        connection = await",
        "        connection = await",
        ("tests/faults/test_files_away.py",),
    ),
    Mutant(
        "what a plan asks SQLite goes on when nobody waits for it",
        "app/store/lanes.py",
        "                    connection._conn.interrupt()  # noqa: SLF001\n",
        "                    pass\n",
        LEAVING,
    ),
    Mutant(
        "what a reading asks SQLite goes on when nobody waits for it",
        "app/store/sqlite.py",
        "        driver._conn.interrupt()  # noqa: SLF001 - the driver would wait for its thread.\n",
        "        del driver\n",
        LEAVING,
    ),
    Mutant(
        "a batch is committed before its key",
        "app/actions/once.py",
        "            done = await act(work)\n",
        "            done = await act(work)\n            await work.reads._connection.commit()\n",
        COMMITS,
    ),
    Mutant(
        "damage closes nothing",
        "app/store/failures.py",
        "        self._is_known = True",
        "        self._is_known = False",
        ("tests/faults/test_disks.py",),
    ),
    Mutant(
        "the answer to an event has no deadline",
        "schema/execution/run.py",
        "timeout=self._event_seconds",
        "timeout=None",
        ("tests/graphql/test_events.py",),
    ),
    Mutant(
        "an object of another unit is found by its id",
        "app/store/reads.py",
        "            self._visible(view),\n",
        "            true(),\n",
        TENANCY,
    ),
    Mutant(
        "objects of other units are counted",
        "app/store/reads.py",
        "return and_(self._visible(view), condition_sql(self._dialect, source, view, condition))",
        "return and_(true(), condition_sql(self._dialect, source, view, condition))",
        ("tests/graphql/test_plans.py",),
    ),
    Mutant(
        "children of another unit are found",
        "app/store/reads.py",
        'visible(self.dialect, view.unit_id, self.names) if self.link != "unit_id" else true(),',
        "true(),",
        TENANCY,
    ),
    Mutant(
        "an account of another unit is written",
        "app/store/accounts.py",
        "sorted(numbers)), self._visible(p.c.unit_id))\n        statement",
        "sorted(numbers)))\n        statement",
        TENANCY,
    ),
    Mutant(
        "a statement answers with objects of other units",
        "app/store/writer.py",
        "return [*([] if is_seen else self.seen(spelling.unit_id)), *only]",
        "return only",
        TENANCY,
    ),
    Mutant(
        "what is behind a page is looked for before it",
        "app/store/writer.py",
        "up=form.order.descending == towards_end, is_not=True",
        "up=form.order.descending != towards_end, is_not=True",
        ("tests/graphql/test_filters_and_pages.py", "tests/graphql/test_pages.py"),
    ),
    Mutant(
        "a condition's values are another's",
        "app/store/conditions.py",
        "first, self.values = self.values, self.values + shape.values",
        "first, self.values = 0, self.values + shape.values",
        ("tests/graphql/test_filters_and_pages.py",),
    ),
    Mutant(
        "a damaged log is taken up to where it is damaged",
        "app/store/migrations/__init__.py",
        "        check_log(file)\n",
        "        del file\n",
        DAMAGED_LOGS,
    ),
    Mutant(
        "what stands behind damage proves nothing",
        "app/store/frames.py",
        "is_more_behind = before.number >= broken",
        "is_more_behind = False",
        DAMAGED_LOGS,
    ),
    Mutant(
        "what power left of a commit is taken for damage",
        "app/store/frames.py",
        "if broken is not None and frame.is_sound and before is not None and before.is_commit:",
        "if broken is not None and frame.is_commit and before is not None:",
        POWER,
    ),
    Mutant(
        "a part of statements is made when it is asked for",
        "app/store/readiness.py",
        "    shapes.count(of)\n",
        "",
        ("tests/graphql/test_kept.py",),
    ),
    Mutant(
        "an account that was seen is everybody's",
        "app/store/standing.py",
        "return units is None or self._unit_names.get(position.unit_id) in units",
        "return True",
        TENANCY,
    ),
    Mutant(
        "loaders are shared by all",
        "resolvers/loaders.py",
        "self._of: dict[Hashable, DataLoader[Any, Any]] = {}",
        'self._of: dict[Hashable, DataLoader[Any, Any]] = globals().setdefault("_ALL", {})',
        ("tests/graphql/test_execution.py",),
    ),
    Mutant(
        "an answer is shared with other callers",
        "schema/execution/run.py",
        "_canonical(asked.variables), caller._replace(expires_at=None))",
        "_canonical(asked.variables))",
        ("tests/graphql/test_scopes.py",),
    ),
    Mutant(
        "what ran too long was wrong",
        "app/store/failures.py",
        '    if said == "interrupted":\n        return Refusal(Code.TIMEOUT,',
        '    if said == "interrupted":\n        return Refusal(Code.BAD_REQUEST,',
        STORE,
    ),
    Mutant(
        "as of a moment is with that moment",
        "resolvers/fetch.py",
        'Comparison("timestamp", Operator.LT, arguments["before"])',
        'Comparison("timestamp", Operator.LTE, arguments["before"])',
        ("tests/graphql/test_plans.py",),
    ),
    Mutant(
        "as of a moment is with that moment, where the database answers",
        "app/store/shapes.py",
        "at < bind(at.type),",
        "at <= bind(at.type),",
        ("tests/graphql/test_balances.py", "tests/graphql/test_moments.py"),
    ),
    Mutant(
        "a closing comes after itself", "app/domain/cycles.py", "closing.at > after:", "closing.at >= after:", CYCLES
    ),
    Mutant(
        "a delay is counted on the wall's clock",
        "app/domain/histories.py",
        "governed[0].at + governed[1].delay <= until",
        "governed[0].at.astimezone(zone) + governed[1].delay <= until",
        (*CYCLES, *CLOSINGS),
    ),
    Mutant(
        "local times are compared",
        "app/domain/cycles.py",
        "closing.at > after:",
        "closing.at.astimezone(zone).replace(tzinfo=None) > after.astimezone(zone).replace(tzinfo=None):",
        CYCLES,
    ),
    Mutant(
        "a lost lease goes unnoticed",
        "app/store/closings.py",
        "c.c.fence == bindparam(",
        "c.c.fence >= bindparam(",
        CLOSINGS,
    ),
    Mutant(
        "each attempt has an id of its own",
        "app/deliveries/webhooks.py",
        '"webhook-id": event_id,',
        '"webhook-id": f"{event_id}-{now.timestamp()}",',
        ("tests/deliveries/test_webhooks.py",),
    ),
    Mutant(
        "every number is one",
        "app/domain/money.py",
        "if len(text) > TEXT_MAX or _NUMBER.fullmatch(text) is None:",
        "if len(text) > TEXT_MAX:",
        ("tests/web/test_catalogue.py", "-k", "sqlite and Decimal"),
    ),
    Mutant(
        "errors have no end",
        "schema/execution/documents.py",
        "ERRORS_MAX = 5\n",
        "ERRORS_MAX = 5_000\n",
        ("tests/web/test_catalogue.py", "-k", "sqlite and (D20 or D25)"),
    ),
    Mutant(
        "a failure's text is told",
        "schema/execution/run.py",
        'return {"message": "Internal error.", ',
        'return {"message": str(error), ',
        ACCESS,
    ),
    Mutant("a failure's text is logged", "app/logs.py", "_SAFE = (OSError, ", "_SAFE = (Exception, ", ACCESS),
    Mutant(
        "variables are logged",
        "schema/execution/run.py",
        "request.name, request.type = operation.name, ",
        "request.name, request.type = str(asked.variables), ",
        ACCESS,
    ),
    Mutant(
        "the query of an address is logged",
        "app/web/access.py",
        'else None, scope["path"])',
        "else None, f\"{scope['path']}?{scope['query_string'].decode()}\")",
        ACCESS,
    ),
    Mutant(
        "every origin is allowed",
        "app/web/cors.py",
        "if len(origins) == 1 and origins[0] in self._origins else None",
        "if origins else None",
        ("tests/web/test_cors.py",),
    ),
    Mutant(
        "a key of a JSON object may stand twice",
        "app/web/bodies.py",
        "if len(made) != len(pairs):",
        "if False:",
        ("tests/web/test_json.py",),
    ),
    Mutant(
        "production tells the schema",
        "schema/execution/documents.py",
        "specified_rules if is_schema_told else",
        "specified_rules if True else",
        ("tests/web/test_production.py",),
    ),
    Mutant(
        "every algorithm is allowed",
        "app/web/tokens.py",
        "if key is None or token.algorithm not in key.algorithms:",
        "if key is None:",
        TOKENS,
    ),
    Mutant(
        "a token is for everybody",
        "app/web/tokens.py",
        "if bool(audiences) if rules.audience is None else rules.audience not in audiences:",
        "if False:",
        TOKENS,
    ),
    Mutant(
        "a token lasts for ever",
        "app/web/tokens.py",
        '    if expires is None:\n        raise refused("The token has no expiry (exp).")\n',
        "    if expires is None:\n        return now + rules.age_max\n",
        TOKENS,
    ),
    Mutant(
        "a key stands for any request",
        "app/actions/once.py",
        "if found.fingerprint != self._fingerprint:",
        "if False:",
        ("tests/graphql/test_idempotency.py", "tests/web/test_idempotency_key.py"),
    ),
    Mutant(
        "a commit on SQLite is not synced",
        "app/store/sqlite.py",
        'synchronous=FULL"',
        'synchronous=NORMAL"',
        POWER,
    ),
    Mutant(
        "a commit on PostgreSQL is not synced",
        "app/store/postgres.py",
        '"synchronous_commit": "on"',
        '"synchronous_commit": "off"',
        POWER,
    ),
    Mutant(
        "a work is answered before it is committed",
        "app/store/store.py",
        "        await asyncio.shield(self._kept(self._commit(connection)))\n",
        "        self._kept(self._commit(connection))\n",
        POWER,
    ),
    Mutant(
        "a connection that can't be given back keeps its locks",
        "app/store/store.py",
        "            connection.sync_connection.invalidate()\n",
        "            pass\n",
        DURABILITY,
    ),
    Mutant(
        "lost ids are given again after a restore",
        "app/store/log.py",
        "SKIPPED = 10**12",
        "SKIPPED = 1",
        RESTORES,
    ),
    Mutant(
        "a place that was lost is taken for one that is held",
        "resolvers/events.py",
        "or not held or lost:",
        "or not held:",
        RESTORES,
    ),
    Mutant(
        "an id is looked up whatever a token allows",
        "resolvers/plans.py",
        "        context.caller.must(declaration.of.stored[kind][1])\n",
        "",
        ("tests/graphql/test_plans.py", "tests/graphql/test_scopes.py"),
    ),
    Mutant(
        "the objects of several ids change their places",
        "app/store/shapes.py",
        ".select_from(ids).order_by(ids.c.place)",
        ".select_from(ids).order_by(ids.c.number)",
        ("tests/graphql/test_plans.py",),
    ),
    Mutant(
        "an entry at a series' first instant counts as before it",
        "app/store/movements.py",
        "where(own, e.c.at < since)",
        "where(own, e.c.at <= since)",
        SERIES,
    ),
    Mutant(
        "entries of another currency are points of a series",
        "app/store/movements.py",
        'literal_column("p.currency", Letters)',
        "e.c.currency",
        SERIES,
    ),
    Mutant(
        "a series forgets what was before an interval",
        "app/domain/series.py",
        "among = own if last is None else [last, *own]",
        "among = own",
        SERIES,
    ),
    Mutant(
        "a small body keeps the last of two equal keys",
        "app/web/bodies.py",
        "return value if keys is not None and _is_whole(value, keys, raw) else _UNSURE",
        "return value if keys is not None else _UNSURE",
        ("tests/web/test_json.py",),
    ),
    Mutant(
        "a work is committed before its key is taken",
        "app/actions/once.py",
        """            await self._begin(work, None)
            done = await act(work)
            await work.idempotency.finish(self._key, json.dumps(_facts_of(done)))
""",
        """            done = await act(work)
            await work.reads._connection.commit()
            await self._begin(work, json.dumps(_facts_of(done)))
""",
        ("tests/graphql/test_idempotency.py",),
    ),
    Mutant(
        "what happened is told in a transaction of its own",
        "app/store/log.py",
        "        if rows:\n",
        "        if rows:\n            await self._connection.commit()\n",
        KILLS,
    ),
    Mutant(
        "numbers are looked up, and no key holds them",
        "app/store/migrations/versions/0001_initial.py",
        'pk_entries PRIMARY KEY (id))""",\n'
        '    """CREATE INDEX ix_entries_account_id_at_id ON entries (account_id, at, id)""",\n'
        '    """CREATE UNIQUE INDEX ix_entries_number',
        'pk_entries PRIMARY KEY (id))""",\n'
        '    """CREATE INDEX ix_entries_account_id_at_id ON entries (account_id, at, id)""",\n'
        '    """CREATE INDEX ix_entries_number',
        (*BATCHES, "-k", "another_account_took"),
    ),
    Mutant(
        "a work whose commit has no answer is run again",
        "app/store/failures.py",
        "        if _is_unknown(error):\n            raise _unknown() from error",
        "        if _is_unknown(error):\n            raise RaceLost from error",
        (*DURABILITY, "-k", "breaks_in_the_commit"),
    ),
    Mutant(
        "what a fragment adds up to is counted wherever it is spread",
        "schema/execution/limits.py",
        "    known = _counted_fragments(fragments)\n",
        """    class Anew(dict):
        def get(self, name):
            return _spelt_out(fragments[name], self) if name in fragments else None
    known = Anew()
""",
        ("tests/graphql/test_limits.py",),
    ),
    Mutant(
        "a receiver is taken from whoever holds it",
        "app/store/receivers.py",
        "where = and_(r.c.id == number, or_(r.c.lease_until.is_(None), r.c.lease_until <= now))",
        "where = r.c.id == number",
        RUNNERS,
    ),
    Mutant(
        "a receiver is held for no time",
        "app/dispatch.py",
        "lease_until=now + LEASE)",
        "lease_until=now)",
        RUNNERS,
    ),
    Mutant(
        "events of one subject are told together",
        "app/dispatch.py",
        "subjects.setdefault((event.subject, target), [])",
        'subjects.setdefault((f"{event.subject} {event.id}", target), [])',
        RUNNERS,
    ),
)


def main(names: Sequence[str]) -> int:
    """Plant each mutant, or those named; 1 where one goes unnoticed or can't be planted."""
    unnoticed = []
    with tempfile.TemporaryDirectory(prefix="mutants-") as name:
        folder = Path(name)
        _copy(folder)
        controls: dict[tuple[str, ...], int | None] = {}
        for mutant in MUTANTS:
            if names and mutant.name not in names:
                continue
            tests = tuple(mutant.tests)
            if tests not in controls:
                controls[tests] = _status(folder, tests)
            told = _told(folder, mutant) if controls[tests] == PASSED else "FAILS WITHOUT IT"
            print(f"{told}: {mutant.name}", flush=True)
            if told != NOTICED:
                unnoticed.append(mutant.name)
    print(f"{len(unnoticed)} not noticed: {', '.join(unnoticed)}" if unnoticed else "All were noticed.")
    return 1 if unnoticed else 0


def _copy(folder: Path) -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    for path in filter(None, listed.stdout.split("\0")):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, folder / path)


def _told(folder: Path, mutant: Mutant) -> str:
    file = folder / mutant.file
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    if text.count(mutant.said) != 1:
        return "NOT THERE"
    file.write_text(text.replace(mutant.said, mutant.instead), encoding="utf-8")
    try:
        status = _status(folder, mutant.tests)
    finally:
        file.write_text(text, encoding="utf-8")
    if status is None:
        return NOTICED if mutant.hangs else "TIMED OUT"
    return NOTICED if status == FAILED else "NOT NOTICED"


def _status(folder: Path, tests: Sequence[str]) -> int | None:
    """How tests end in the copy; None where they don't in time."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    # The copy comes before the installed package, in the tests and in the gateways that they start.
    environment = os.environ | {"PYTHONPATH": str(folder)}
    try:
        return subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, timeout=SECONDS_MAX, check=False
        ).returncode
    except subprocess.TimeoutExpired:
        return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
