"""Everything an operator may set, from ``LAYERSCOPE_…`` environment variables."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

__all__ = ["Settings", "settings_table"]

LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Settings(BaseSettings):
    """The server's settings; every field is one environment variable, ``LAYERSCOPE_`` + its name.

    Errors:
        ``pydantic.ValidationError`` naming the variable, its value and what was expected.

    >>> Settings(port=9000).port
    9000
    """

    model_config = SettingsConfigDict(env_prefix="LAYERSCOPE_", frozen=True)

    host: str = Field("127.0.0.1", description="Address to listen on; `0.0.0.0` opens it to all.")
    port: int = Field(8000, ge=0, le=65535, description="TCP port; 0 takes any free one.")
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Further host names to answer to, separated by commas; `*` for any. Loopback "
        "names and the address listened on are always allowed (guards against DNS rebinding).",
    )
    data_dir: Path = Field(
        Path("data"), description="Folder for everything that is written; created when needed."
    )
    max_flops: float = Field(
        4e11, gt=0, description="Most floating-point operations one experiment may cost."
    )
    max_bytes: int = Field(
        4 * 2**30, gt=0, description="Most memory, in bytes, that one experiment may hold."
    )
    check_max_flops: float = Field(
        2e10,
        ge=0,
        description="Experiments up to this many operations are checked against autograd.",
    )
    max_concurrent: int = Field(
        default_factory=lambda: max(2, os.cpu_count() or 1),
        ge=1,
        le=1024,
        description="Computations running at once; default: the number of cores, at least 2.",
    )
    torch_threads: int = Field(
        1,
        ge=1,
        le=1024,
        description="Threads that torch uses for one computation. More than one pays off only for "
        "networks of thousands of units on a machine with nothing else to do.",
    )
    max_waiting: int = Field(
        16, ge=0, description="Requests that may wait for a computation to end; then 503."
    )
    max_wait_seconds: float = Field(
        30.0, gt=0, description="Longest wait for a free place, in seconds; then 503."
    )
    max_body_bytes: int = Field(
        65536, ge=1, description="Largest request body, in bytes; larger ones get 413."
    )
    cache_seconds: int = Field(
        60,
        ge=0,
        description="How long a browser or proxy may reuse a result without asking again.",
    )
    warm_up: bool = Field(
        True, description="Compile and run everything once at start; `/healthz` is 503 until then."
    )
    shutdown_seconds: int = Field(
        5, ge=0, description="How long open requests may take to finish when the server stops."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe message that is logged."
    )
    log_format: Literal["text", "json"] = Field(
        "text", description="`text` for people, `json` for machines: one object a line."
    )

    @field_validator("allowed_hosts", mode="before")
    @classmethod
    def _split_hosts(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

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


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def settings_table() -> str:
    """The Markdown table of every setting: variable, type, default, meaning.

    >>> settings_table().splitlines()[0]
    '| variable | default | meaning |'
    """
    lines = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = "number of cores" if field.default_factory else _plain(field.default)
        lines.append(f"| `LAYERSCOPE_{name.upper()}` | {default} | {field.description} |")
    return "\n".join(lines) + "\n"


def _plain(default: object) -> str:
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, float):
        return f"`{default:g}`"
    return f"`{default}`" if default != () else "none"
