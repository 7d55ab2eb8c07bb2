"""Settings that can't work are refused, and the message names the setting and the remedy."""

from __future__ import annotations

import math
import re
from typing import Any

import attrs
import pytest

from raft_actors.config import ClusterConfig, NodeConfig
from raft_actors.errors import ConfigurationError

MAY_BE_ZERO = {"trailing_entries", "max_catch_up_bytes", "apply_slice_s", "shutdown_timeout_s"}
MAY_BE_NONE = {
    "snapshot_entries",
    "snapshot_bytes",
    "state_check_entries",
    "seed",
    "congestion_delay_s",
    "max_room_wait_s",
}
NUMBERS = [
    field.name
    for field in attrs.fields(NodeConfig)
    if field.name not in {"election_timeout_s", "heartbeat_interval_s", "seed"} and type(field.default) is not bool
]


def config(name: str, value: Any) -> NodeConfig:
    return NodeConfig(**{name: value})


def test_the_defaults_work() -> None:
    assert NodeConfig() == NodeConfig()


@pytest.mark.parametrize("name", NUMBERS)
def test_a_size_time_or_number_below_zero_is_refused_by_name(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} must be positive, not -1"):
        config(name, -1)


@pytest.mark.parametrize("name", NUMBERS)
def test_zero_is_refused_by_name_except_where_it_means_something(name: str) -> None:
    if name in MAY_BE_ZERO:
        assert getattr(config(name, 0), name) == 0
    else:
        with pytest.raises(ConfigurationError, match=f"{name} must be positive, not 0"):
            config(name, 0)


@pytest.mark.parametrize("name", [*NUMBERS, "seed"])
def test_none_is_refused_by_name_except_where_it_means_something(name: str) -> None:
    if name in MAY_BE_NONE:
        assert getattr(config(name, None), name) is None
    else:
        with pytest.raises(ConfigurationError, match=f"{name} must be positive, not None"):
            config(name, None)


@pytest.mark.parametrize("seed", [-1, 0, 7])
def test_any_seed_will_do(seed: int) -> None:
    assert NodeConfig(seed=seed).seed == seed


@pytest.mark.parametrize("timeouts", [(0, 1), (-1, 1), (0.5, 0.5), (0.8, 0.4), (math.nan, 1)])
def test_election_timeouts_must_be_a_range(timeouts: tuple[float, float]) -> None:
    with pytest.raises(ConfigurationError, match=r"election_timeout_s must be a range \(shortest, longest\)"):
        NodeConfig(election_timeout_s=timeouts)


@pytest.mark.parametrize("interval", [0, -1, 0.26, math.nan])
def test_heartbeats_must_be_well_below_the_election_timeout(interval: float) -> None:
    with pytest.raises(ConfigurationError, match=r"heartbeat_interval_s .* or beat more often"):
        NodeConfig(heartbeat_interval_s=interval)


def test_a_heartbeat_of_half_the_election_timeout_works() -> None:
    assert NodeConfig(heartbeat_interval_s=0.2).heartbeat_interval_s == 0.2


@pytest.mark.parametrize("name", ["max_command_bytes", "max_append_bytes", "snapshot_chunk_bytes"])
def test_no_message_may_be_larger_than_every_node_takes(name: str) -> None:
    largest: dict[str, Any] = {"max_uncommitted_bytes": 2**40, name: 512 * 2**20}
    NodeConfig(**largest)
    too_large: dict[str, Any] = {**largest, name: 512 * 2**20 + 1}
    with pytest.raises(ConfigurationError, match=f"{name} must be at most 536,870,912 bytes, not 536,870,913"):
        NodeConfig(**too_large)


def test_one_command_of_the_largest_size_must_fit_what_may_be_uncommitted() -> None:
    with pytest.raises(ConfigurationError, match="max_uncommitted_bytes must have room for one command"):
        NodeConfig(max_command_bytes=1001, max_uncommitted_bytes=1000)
    NodeConfig(max_command_bytes=1000, max_uncommitted_bytes=1000)


# --- clusters -----------------------------------------------------------------------------------------------------


def test_voters_are_sorted_and_the_callers_mapping_is_not_kept() -> None:
    voters = {"n2": "b", "n1": "a"}
    cluster = ClusterConfig("c", voters)
    voters.clear()
    assert list(cluster.voters.items()) == [("n1", "a"), ("n2", "b")]


@pytest.mark.parametrize("cluster_id", ["", "x" * 256, 7, "n\n1", "n\udcff"])
def test_a_cluster_needs_a_name(cluster_id: Any) -> None:
    with pytest.raises(ConfigurationError, match="cluster_id must be a string of 1 to 255 printable characters"):
        ClusterConfig(cluster_id, {"n1": "a"})


@pytest.mark.parametrize("node_id", ["", "x" * 256, 7, "n\n1", "n\udcff"])
def test_a_bad_node_id_is_named(node_id: Any) -> None:
    with pytest.raises(
        ConfigurationError,
        match=re.escape(f"a node's id must be a string of 1 to 255 printable characters, not {node_id!r}"),
    ):
        ClusterConfig("c", {node_id: "a"})


@pytest.mark.parametrize(
    "skipped", [{0: "0123456789abcdef"}, {"7": "0123456789abcdef"}, {7: "0123"}, {7: b"x"}, {7: None}]
)
def test_skipped_commands_are_named_as_the_error_names_them(skipped: Any) -> None:
    with pytest.raises(ConfigurationError, match="skipped_commands maps log indexes to digests"):
        ClusterConfig("c", skipped_commands=skipped)


def test_skipped_commands_are_bounded() -> None:
    with pytest.raises(ConfigurationError, match="may name 64 commands, not 65"):
        ClusterConfig("c", skipped_commands=dict.fromkeys(range(1, 66), "0123456789abcdef"))
