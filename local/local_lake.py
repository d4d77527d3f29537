"""A lake on this machine: its engine keeps everything in one folder and runs only while a command needs it."""

from __future__ import annotations

import fcntl
import json
import re
import shlex
import shutil
from collections.abc import Iterable
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from local.copies import copy_logs
from local.deploy import ONLY_WITH_TLS, STACK_NAME, TEMPLATE, deploy
from local.engine import Engine
from local.errors import CommandError
from local.lake import Lake, Rows
from local.tables import create_tables

# The engine checks the role of each function, as AWS does.
ENGINE_SETTINGS = {"AUTH": "true"}
DEMO_LOG = "functions.log"
_LOCK = "engine.lock"
# The feeds of a stack that was never told others, such as that of a demo, whose run names its feeds.
TEMPLATE_FEEDS = '["bluesky:bsky.app"]'
_LOOPBACK = re.compile(r"https?://(?:127\.0\.0\.1|localhost|\[::1\])(?::[0-9]+)?(?![\w.-])")


class LocalLake(Lake):
    """A lake in ``folder``; one command at a time may change it, and others may read it meanwhile."""

    after_interrupt = "The next run continues where this one ended."

    def __init__(self, folder: Path, *, create: bool = False) -> None:
        super().__init__(f"the lake in {folder}", folder, STACK_NAME)
        self._create = create
        self._opened = ExitStack()
        self._engine: Engine | None = None
        self._is_owner = False

    def __enter__(self) -> Self:
        # The second one is what a lake has that ``imagelake demo --state`` made.
        is_lake = any((self.folder / name).exists() for name in (_LOCK, "state"))
        if not self._create and not is_lake:
            raise CommandError(f"there is no lake in {self.folder}; start one with: ./imagelake run FEED")
        if self._create and not is_lake and self.folder.is_dir() and any(self.folder.iterdir()):
            raise CommandError(f"{self.folder} is neither empty nor a lake; name another folder with --lake")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.__exit__(kind, error, trace)

    @property
    def options(self) -> str:
        """The options of the command line that lead to this lake."""
        return f"--lake {shlex.quote(str(self.folder))}"

    def client(self, service: str) -> Any:
        """Return the boto3 client of a service; the first call starts the engine."""
        if self._engine is None:
            self._engine = self._start()
        return self._engine.client(service)

    def _start(self) -> Engine:
        """Start the engine, or use the one that another command has started."""
        # A demo without --state leaves its results, and no state.
        if not self._create and (self.folder / DEMO_LOG).exists() and not any(self.folder.glob("state/*.json")):
            raise CommandError(
                f"{self.folder} is of a demo, whose lake is gone: use ./imagelake query,"
                " or start a lake with ./imagelake run FEED"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = self._opened.enter_context((self.folder / _LOCK).open("a+"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            port = lock.read()
            if not port:
                raise CommandError(f"another command is starting {self.title}; try again") from None
            return Engine(self.folder, port=int(port))
        # The engine has the lock too: if this process is killed, no other command starts before the state is saved.
        engine = Engine(self.folder, keep=True, settings=ENGINE_SETTINGS, open_files=[lock.fileno()])
        if not (self.folder / "state" / "stepfunctions.json").exists():
            # The machine stopped in the first run, so the engine knows nothing about the objects that it stored.
            shutil.rmtree(self.folder / "s3", ignore_errors=True)
        lock.truncate(0)
        lock.write(str(engine.port))
        lock.flush()
        self._is_owner = True
        return self._opened.enter_context(engine)

    def prepare(self, feeds: list[Any], *, remember: bool = True) -> list[Any]:
        """Deploy the template as it is in the checkout; the stack keeps feeds to remember, so the input needs none."""
        client = self.client("cloudformation")
        if self._engine is None or not self._is_owner:
            raise CommandError(f"another command is using {self.title}; wait until it ends")
        self._require_logins(feeds)
        before = _parameters(client)
        own = before.get("Feeds", TEMPLATE_FEEDS)
        if not feeds and own == TEMPLATE_FEEDS:
            raise CommandError(f"{self.title} has no feeds of its own yet; name one, such as bluesky:nasa.gov")
        trusted = {
            *filter(None, before.get("TrustedOrigins", "").split(",")),
            *loopback_origins(map(json.dumps, feeds)),
        }
        parameters = {"ScheduleState": "DISABLED", "TrustedOrigins": ",".join(sorted(trusted))}
        is_new = bool(feeds) and remember
        # A text of several lines differs from that of the template, also if the feeds are the same.
        parameters["Feeds"] = json.dumps(feeds, indent=1) if is_new else own
        self.outputs = deploy(self._engine, TEMPLATE, parameters, without=ONLY_WITH_TLS)
        return [] if is_new else feeds

    def _require_logins(self, feeds: list[Any]) -> None:
        """Raise if a feed's network needs a login for which this lake has no secret."""
        from imagelake.sources import get_source, parse_feed

        secrets = {secret["Name"] for secret in self.client("secretsmanager").list_secrets()["SecretList"]}
        for feed in map(parse_feed, feeds):
            source = get_source(feed.source)
            if source.manifest.credentials_required and f"{STACK_NAME}/{source.name}" not in secrets:
                raise CommandError(
                    f"{feed.name}: {source.manifest.title} needs a login, and a lake on this machine has none;"
                    " read this feed with a stack: --stack NAME"
                )

    def save(self, run_id: str, started_at: datetime) -> dict[str, Any]:
        """Copy the dataset, the report and the logs of the run to ``folder``."""
        self.copy("lake/")
        self.copy(f"reports/{run_id}/")
        self.copy("reports/index.html")
        logs = self.folder / "logs" / f"{run_id}.log"
        copy_logs(self.client("logs"), logs, since=started_at.timestamp())
        places = {
            "Report": self.folder / "reports" / run_id / "index.html",
            "Dataset": self.folder / "lake" / "images",
            "Logs": logs,
        }
        return {title: place for title, place in places.items() if place.exists()}

    def save_receipt(self, key: str) -> dict[str, Any]:
        """Copy the receipt; replace the copies of the dataset and of reports, and delete those of logs."""
        for copied in ("lake", "reports", "logs"):
            shutil.rmtree(self.folder / copied, ignore_errors=True)
        for prefix in ("lake/", "reports/", "erasures/"):
            self.copy(prefix)
        return {"Receipt": self.folder / key, "Page": self.folder / f"{key.removesuffix('json')}html"}

    def query(self, sql: str) -> Rows:
        """Run a query with DuckDB over the dataset files in ``folder``."""
        return query_files(self.folder, sql)


def _parameters(client: Any) -> dict[str, str]:
    try:
        (stack,) = client.describe_stacks(StackName=STACK_NAME)["Stacks"]
    except client.exceptions.ClientError:
        return {}
    return {entry["ParameterKey"]: entry["ParameterValue"] for entry in stack.get("Parameters", [])}


def loopback_origins(feeds: Iterable[str]) -> set[str]:
    """Find the servers on this machine that feeds name; a run reaches such a server only if its stack trusts it."""
    return {origin for feed in feeds for origin in _LOOPBACK.findall(feed)}


def query_files(folder: Path, sql: str) -> Rows:
    """Run a query with DuckDB over the files below ``folder``, with the tables and views of Athena."""
    import duckdb

    # Otherwise the name of a table could lead to a variable of this program.
    with duckdb.connect(config={"python_enable_replacements": False}) as connection:
        try:
            if not connection.extract_statements(sql):
                raise CommandError("the query is empty")
            if not create_tables(connection, folder):
                raise CommandError(f"there is no dataset file in {folder} yet")
            result = connection.sql(sql)
            return Rows(result.columns, result.fetchall()) if result is not None else Rows([], [])
        except duckdb.Error as error:
            raise CommandError(f"DuckDB: {error}") from None
