"""Everything an operator may set, from ``LAYERSCOPE_…`` environment variables."""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, IPvAnyNetwork, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy import URL

from layerscope.app.machine import usable_bytes, usable_cores
from layerscope.engine.execution.cost import Limits
from layerscope.engine.store.location import default_url

__all__ = ["SLACK", "Settings", "settings_table", "unknown_variables"]

LONGEST_NAME = 100
SLACK = 1.25
"""How far beyond its estimate a computation may go: docs/trust.md says how far they are off."""
MOST_BYTES = 4 * 2**30
LEAST_BYTES = 128 * 2**20
"""With less than this for each computation, fewer run at once."""
RESERVED_BYTES = 512 * 2**20
ORIGIN = re.compile(r"https?://(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+)(:\d{1,5})?")
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Settings(BaseSettings):
    """The server's settings; every field is one environment variable, ``LAYERSCOPE_`` + its name.

    Errors:
        ``pydantic.ValidationError`` naming the variable, its value and what was expected.

    >>> Settings(port=9000).port
    9000
    """

    model_config = SettingsConfigDict(
        env_prefix="LAYERSCOPE_", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    host: str = "127.0.0.1"
    """Address to listen on; `0.0.0.0` opens it to all."""
    port: int = Field(8000, ge=0, le=65535)
    """TCP port; 0 takes any free one."""
    token: SecretStr | None = None
    """What every request but a health probe has to know. By default none on a loopback address, and
    one made and printed at start beyond; empty for none there either."""
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = ()
    """Origins of other sites whose pages may ask this server, for example `https://notes.example`,
    separated by commas; `*` for any."""
    frame_origins: Annotated[tuple[str, ...], NoDecode] = ()
    """Origins whose pages may show a run's page in a frame, for example a notebook's
    `http://localhost:8888`, separated by commas; by default this server's own alone."""
    trusted_proxies: Annotated[tuple[IPvAnyNetwork, ...], NoDecode] = ()
    """Addresses or networks, separated by commas, of the proxies whose `X-Forwarded-For` and
    `X-Forwarded-Proto` are believed."""
    root_path: str = Field("", pattern=r"^(/[A-Za-z0-9._~-]+)*$")
    """Path below which a proxy serves this, for example `/layerscope`."""
    workers: int = Field(1, ge=1, le=64)
    """Web processes behind the one address; every limit here is for each of them."""
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    """Further host names to answer to, separated by commas; `*` for any. Loopback names and the
    address listened on are always allowed (guards against DNS rebinding)."""
    data_dir: Path = Path("data")
    """Folder for everything that is written; created when needed."""
    store: SecretStr = SecretStr("")
    """Where runs are kept, as an SQLAlchemy URL; by default `runs.db` in the data folder. Trainings
    that are told no other place go there too."""
    max_concurrent: int = Field(
        default_factory=lambda: _places(), ge=1, le=1024,
        json_schema_extra={"default": "number of usable cores"},
    )  # fmt: skip
    """Computations running at once; one more that is quick, or of a client that has none, may run
    beside them."""
    max_trainings: int = Field(2, ge=0, le=64)
    """Networks of ours that are trained at once, each in a process of its own; 0 for none."""
    max_training_seconds: float = Field(3600.0, gt=0)
    """Longest that one of these may take at a stretch, in seconds; then it is stopped, and can be
    gone on with."""
    max_flops: float = Field(4e12, gt=0)
    """Most work that one request may cost, everything that it computes included: operations of a
    matrix product in float32 that take as long on one core, by what was measured at start."""
    # About a minute. Fixes alone may take 1.2e12, and twice that where entries are dear.
    max_bytes: int = Field(
        default_factory=lambda given: _share(
            given["workers"], given["max_concurrent"] + given["max_trainings"]
        ), gt=0,
        json_schema_extra={"default": "an equal share of the usable memory, at most `4294967296`"},
    )  # fmt: skip
    """Most memory, in bytes, that one computation may be estimated to hold; refused where all of
    them together could take more memory than there is."""
    max_seconds: float = Field(120.0, gt=0)
    """Longest that one computation may take, in seconds; then it is ended."""
    check_max_flops: float = Field(1e11, ge=0)
    """Experiments whose passes cost up to this many such operations are checked against autograd,
    where that keeps within the other limits."""
    max_map_cells: int = Field(20_000, ge=1)
    """Experiments that one map may have, its cells times their seeds; each is held to the limits
    above too."""
    max_map_flops: float = Field(2e15, gt=0)
    """Most work that one map may cost, all its experiments together."""
    max_maps: int = Field(2, ge=1, le=64)
    """Maps computed at once, beside everything else and behind it; further ones get 503."""
    map_jobs: int = Field(
        default_factory=lambda: usable_cores(), ge=1, le=1024,
        json_schema_extra={"default": "number of usable cores"},
    )  # fmt: skip
    """Processes that compute a map on this machine."""
    dask: str = Field("", pattern=r"^(|(tcp|tls|ws|wss|ucx)://\S+)$")
    """Address of a Dask scheduler that computes maps instead, for example `tcp://host:8786`."""
    torch_threads: int = Field(1, ge=1, le=1024)
    """Threads that torch uses for one computation. More than one pays off only for networks of
    thousands of units on a machine with nothing else to do."""
    max_waiting: int = Field(16, ge=0)
    """Requests of one client that may wait for a computation to end; then 503."""
    max_wait_seconds: float = Field(30.0, gt=0)
    """Longest wait for a free place, in seconds; then 503."""
    max_body_bytes: int = Field(65536, ge=1)
    """Largest request body, in bytes; larger ones get 413."""
    max_batch_bytes: int = Field(8 * 2**20, ge=1024)
    """Largest body of a training's entries, in bytes; larger ones get 413."""
    max_header_bytes: int = Field(32768, ge=1024)
    """Largest header of a request, in bytes; larger ones get 431."""
    header_seconds: float = Field(10.0, gt=0)
    """How long a request's header may take, from the connection or the request's first byte, in
    seconds; then 408."""
    body_seconds: float = Field(30.0, gt=0)
    """How long a request's body may take, in seconds; then 408."""
    idle_seconds: float = Field(5.0, gt=0)
    """How long a connection is kept open between requests, in seconds."""
    write_seconds: float = Field(30.0, gt=0)
    """How long a client may take no byte of what is sent to it, in seconds; then its connection is
    cut."""
    max_connections: int = Field(1000, ge=1)
    """Connections open at once; further ones get 503."""
    max_sending_bytes: int = Field(256 * 2**20, ge=1)
    """Bytes of large answers that may be on their way to clients at once; further ones get 503. One
    answer alone may be larger."""
    max_exports: int = Field(4, ge=1, le=1024)
    """Runs written as files at once; further ones get 503."""
    cache_seconds: int = Field(60, ge=0)
    """How long a browser or proxy may reuse a result without asking again."""
    undo_hours: float = Field(24.0, gt=0)
    """How long a deleted run can be brought back; then it is removed for good, and what a training
    of ours kept beside it."""
    warm_up: bool = True
    """Compile and run everything once at start; `/healthz` is 503 until then."""
    shutdown_seconds: int = Field(5, ge=0)
    """How long open requests may take to finish when the server stops."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe message that is logged."""
    log_format: Literal["text", "json"] = "text"
    """`text` for people, `json` for machines: one object a line."""

    @field_validator(
        "allowed_hosts", "allowed_origins", "frame_origins", "trusted_proxies", mode="before"
    )
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("frame_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if wrong := [each for each in value if not ORIGIN.fullmatch(each)]:
            raise ValueError(f"expected origins such as http://localhost:8888, got {wrong[0]!r}")
        return value

    @field_validator("max_bytes")
    @classmethod
    def _fits(cls, value: int, info: ValidationInfo) -> int:
        if not {"workers", "max_concurrent", "max_trainings"} <= info.data.keys():
            return value  # refused by themselves
        each = info.data["max_concurrent"] + 1 + info.data["max_trainings"]
        usable, places = usable_bytes(), info.data["workers"] * each
        if usable is not None and places * value * SLACK > usable:
            raise ValueError(
                f"{places} computations at once could take {places * value * SLACK:.3g} bytes; "
                f"this process may use {usable:.3g}: expected a smaller value, or fewer places "
                "(LAYERSCOPE_MAX_CONCURRENT, LAYERSCOPE_MAX_TRAININGS) or processes "
                "(LAYERSCOPE_WORKERS)"
            )
        return value

    @property
    def ceiling_bytes(self) -> int:
        """What the operating system lets a worker hold beyond what it has while idle."""
        return int(self.max_bytes * SLACK)

    @property
    def limits(self) -> Limits:
        """What a computation may cost: ``settings.limits.check(cost)`` refuses the rest."""
        return Limits(flops=int(self.max_flops), bytes=self.max_bytes)

    @property
    def store_url(self) -> URL:
        """Where runs are kept. Errors: ``ValueError`` with a sentence that holds no password."""
        return default_url(self.data_dir, self.store.get_secret_value())

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the address listened on."""
        host = self.host.strip("[]").lower()
        return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)

    def allows_host(self, name: str) -> bool:
        """Whether a request whose ``Host`` is ``name`` (without its port) is answered.

        An address can't be rebound by a foreign DNS server, so when the server listens on every
        address, every address is allowed; a name has to be listed.

        >>> Settings().allows_host("localhost"), Settings().allows_host("evil.example")
        (True, False)
        """
        name = name.strip("[]").lower().rstrip(".")
        listed = {host.strip("[]").lower() for host in (*self.allowed_hosts, self.host)}
        if "*" in listed or name in listed or name in LOOPBACK:
            return True
        return self.host in ("0.0.0.0", "::", "") and _is_address(name)  # noqa: S104 - compared


def _places() -> int:
    """As many as there are cores, and as have room; at least one."""
    usable = usable_bytes()
    room = usable and int((usable - _reserve(usable)) / (LEAST_BYTES * SLACK)) - 1
    return max(1, usable_cores() if room is None else min(usable_cores(), room))


def _share(workers: int, places: int) -> int:
    """Of the usable memory, for each of the places, trainings' among them, and the spare one."""
    usable = usable_bytes()
    if usable is None:
        return MOST_BYTES
    return min(MOST_BYTES, int((usable - _reserve(usable)) / (workers * (places + 1) * SLACK)))


def _reserve(usable: int) -> int:
    """What the web process and the fork server take."""
    return min(RESERVED_BYTES, usable // 4)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """A sentence for each ``LAYERSCOPE_…`` variable that is no setting: a misspelt one is lost.

    >>> unknown_variables({"LAYERSCOPE_MAX_FLOP": "1e9"})
    ['LAYERSCOPE_MAX_FLOP is no setting; did you mean LAYERSCOPE_MAX_FLOPS?']
    """
    known = [f"LAYERSCOPE_{name.upper()}" for name in Settings.model_fields]
    sentences = []
    for name in sorted(environment):
        if name.startswith("LAYERSCOPE_") and name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {near[0]}?" if near else "; docs/settings.md lists them."
            sentences.append(f"{name[:LONGEST_NAME]} is no setting{hint}")
    return sentences


def settings_table() -> str:
    """The Markdown table of every setting: variable, type, default, meaning.

    >>> settings_table().splitlines()[0]
    '| variable | default | meaning |'
    """
    lines = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        extra = field.json_schema_extra
        words = extra.get("default") if isinstance(extra, dict) else None
        default = words or _plain(field.default)
        meaning = " ".join(str(field.description).split())
        lines.append(f"| `LAYERSCOPE_{name.upper()}` | {default} | {meaning} |")
    return "\n".join(lines) + "\n"


def _plain(default: object) -> str:
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, float):
        return f"`{default:g}`"
    return f"`{default}`" if default not in ((), None, "", SecretStr("")) else "none"
