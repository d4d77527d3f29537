"""A lake on this machine: its engine keeps everything in one folder and runs only while a command needs it."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from local.copies import copy_logs, mirror_objects
from local.deploy import ONLY_WITH_TLS, STACK_NAME, TEMPLATE, deploy
from local.engine import Engine
from local.errors import CommandError
from local.lake import Lake, Rows
from local.lake_lock import LOCK, LakeLock
from local.tables import create_tables

# The engine checks the role of each function, as AWS does.
ENGINE_SETTINGS = {"AUTH": "true"}
DEMO_LOG = "functions.log"
# The objects of which the folder has copies.
COPIED = ("lake/", "reports/", "erasures/")
# The feeds of a stack that was never told others, such as that of a demo, whose run names its feeds.
TEMPLATE_FEEDS = '["bluesky:bsky.app"]'
_LOOPBACK = re.compile(r"https?://(?:127\.0\.0\.1|localhost|\[::1\])(?::[0-9]+)?(?![\w.-])")


class LocalLake(Lake):
    """A lake in ``folder``; one command at a time may change it, and others may read it meanwhile."""

    after_interrupt = "The next run continues where this one ended."
    without_stack = "it has had no run yet; start one with: ./imagelake run FEED"
    runs_on = False

    def __init__(self, folder: Path, *, create: bool = False, command: str = "") -> None:
        super().__init__(f"the lake in {folder}", folder, STACK_NAME)
        self._create = create
        self._command = command
        self._lock = LakeLock(folder)
        self._opened = ExitStack()
        self._engine: Engine | None = None
        self._is_owner = False
        self._serves_feeds = False

    def __enter__(self) -> Self:
        # The second one is what a lake has that ``imagelake demo --state`` made.
        is_lake = any((self.folder / name).exists() for name in (LOCK, "state"))
        if not self._create and not is_lake:
            raise CommandError(f"there is no lake in {self.folder}; start one with: ./imagelake run FEED")
        if self._create and not is_lake and self.folder.is_dir() and any(self.folder.iterdir()):
            raise CommandError(f"{self.folder} is neither empty nor a lake; name another folder with --lake")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Bring the copies up to date, also if the command failed or was stopped, and stop the engine."""
        try:
            # Only a command that has asked for the outputs knows that there is a stack.
            if self._is_owner and "outputs" in self.__dict__:
                if kind is not None and not issubclass(kind, CommandError):
                    # An execution goes on until its engine stops, and the copies have to show what it has done.
                    self._opened.pop_all().__exit__(kind, error, trace)
                    kind = error = trace = None
                    self._engine = self._start()
                for prefix in COPIED:
                    mirror_objects(self.client("s3"), self.outputs["BucketName"], prefix, self.folder)
        finally:
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
        # A demo without --state leaves its results, and no state; a new lake would replace them.
        if (self.folder / DEMO_LOG).exists() and not any(self.folder.glob("state/*.json")):
            raise CommandError(
                f"{self.folder} is of a demo, whose lake is gone: use ./imagelake query,"
                " or start a lake with ./imagelake run FEED"
            )
        self._opened.enter_context(self._lock)
        if not self._lock.take(self._command):
            holder = self._lock.holder()
            if not holder.port:
                raise CommandError(f"./imagelake {holder.command} is just starting {self.title}; try again")
            return Engine(self.folder, port=holder.port)
        # The engine has the lock too: if this process is killed, no other command starts before the state is saved.
        engine = Engine(self.folder, keep=True, settings=ENGINE_SETTINGS, open_files=[self._lock.fileno()])
        if not (self.folder / "state" / "stepfunctions.json").exists():
            # The machine stopped in the first run, so the engine knows nothing about the objects that it stored.
            shutil.rmtree(self.folder / "s3", ignore_errors=True)
        self._opened.enter_context(engine)
        self._lock.share(engine.port)
        self._is_owner = True
        return engine

    def prepare(self, feeds: list[Any], *, remember: bool = True) -> list[Any]:
        """Deploy the template as it is in the checkout; the stack keeps feeds to remember, so the input needs none."""
        client = self.client("cloudformation")
        if self._engine is None or not self._is_owner:
            raise self._lock.refuse()
        self._require_logins(feeds)
        before = stack_parameters(client)
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
        self.outputs = deploy(self._engine, TEMPLATE, parameters, without=ONLY_WITH_TLS, for_lake=True)
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

    def serve_feeds(self, feeds: list[Any]) -> None:
        """Serve the sample feeds of a demo at their port, if the run reads them."""
        from imagelake.sources import parse_feed
        from local.feed_server import FeedServer, sample_port

        given = feeds or json.loads(stack_parameters(self.client("cloudformation"))["Feeds"])
        port = sample_port(parse_feed(feed).name for feed in given)
        if port is not None and not self._serves_feeds:
            self._opened.enter_context(FeedServer(rate_limit_once=False, port=port))
            self._serves_feeds = True

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
        for prefix in COPIED:
            self.copy(prefix)
        return {"Receipt": self.folder / key, "Page": self.folder / f"{key.removesuffix('json')}html"}

    def query(self, sql: str) -> Rows:
        """Run a query with DuckDB over the dataset files in ``folder``."""
        return query_files(self.folder, sql)


def update_copies(folder: Path, command: str) -> None:
    """Bring the copies of a lake up to date; do nothing if it has no stack yet."""
    with suppress(CommandError), LocalLake(folder, command=command) as lake:
        assert lake.outputs


def stack_parameters(client: Any) -> dict[str, str]:
    """Read the parameters of the lake's stack; there are none before it is deployed."""
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
