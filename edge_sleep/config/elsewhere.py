"""Other machines: what travels to them, and what they do for this one."""
from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from edge_sleep.config.values import Duration, Place, Section


class Sync(Section):
    remote: Place = Field("", description="where checkpoints travel: folder:/PATH or dropbox:/PATH; empty sends nothing anywhere")
    role: Literal["raising", "training", "development"] = Field(
        "raising", description="what this machine is: raising sends and receives, training sends, development receives")
    auto_upload: bool | None = Field(None, description="queue what a night accepted; null is as the role does")
    auto_download: bool | None = Field(None, description="fetch what other machines published; null is as the role does")
    bandwidth_bytes: int | None = Field(None, ge=1024, description="most bytes a second to send or fetch; null is no limit")
    timeout: Duration = Field(60.0, description="silence of a remote after which a transfer is tried again later")


class Thor(Section):
    mailbox: Place = Field("", description="where jobs for a bigger machine are put, as sync.remote; empty ships nothing")
    ship: Literal["never", "needed", "always"] = Field(
        "needed", description="when a night is trained elsewhere: needed is where this machine cannot do it in time and memory")
    wait: Duration = Field(0.0, description="how long the night waits for the result; 0 comes back for it next time")
    patience: Duration = Field(20 * 3600.0, description="time after which a job is taken back and tonight is done without it")
    lease: Duration = Field(10 * 60.0, description="silence of a worker after which another may take its job")
    bases: tuple[str, ...] = Field((), description="worker: model folders or hub ids it may train on")
    processes: Literal["auto"] | Annotated[int, Field(ge=1, le=64)] = Field(
        "auto", description="worker: processes that share one job, on a GPU each; auto is as many of the machine's GPUs as pay")
    engine: Literal["local", "ray"] = Field("local", description="worker: where it trains: here, or on a Ray cluster")
    ray_address: str = Field("auto", pattern=r"^(auto|[^\s:/]+:\d{1,5})$", description="worker: HOST:PORT of the cluster's head; "
                             "auto is the cluster that this machine is a node of")
    gpus: Literal["auto"] | Annotated[float, Field(ge=0, le=1)] = Field(
        "auto", description="worker on Ray: GPUs of one job; auto is one where the cluster has any, a share puts several on one")
    node_bytes: int = Field(0, ge=0, description="worker on Ray: memory of the largest node that the cluster may grow to; "
                            "0 counts those that are there")
    node_cache: str = Field("", description="worker on Ray: folder on each node where bases are placed once; empty is the user's "
                            "cache folder")
    metrics: str = Field("", pattern=r"^$|^([^\s:/]+:)?\d{1,5}$", description="worker: PORT on the loopback, or HOST:PORT, where "
                         "Prometheus reads its numbers; empty is none")
