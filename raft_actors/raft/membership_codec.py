"""Configurations as bytes and back: what an entry of kind CONFIGURATION, a snapshot and a store hold.

A msgpack map by field name, so that a later version can add a field; what it does not know, a node ignores.
"""

from __future__ import annotations

from typing import Any

from cattrs.preconf.msgpack import MsgpackConverter, make_converter

from raft_actors.raft.membership import Configuration
from raft_actors.strict import forbid_coercion


def _is_ids(kind: Any) -> bool:
    return bool(kind == frozenset[str])


def _read_ids(value: Any, _kind: Any) -> frozenset[str]:
    ids: list[Any] = value
    if type(value) is not list or not all(type(member_id) is str for member_id in ids):
        raise TypeError(f"a list of ids expected, not {value!r}")
    return frozenset(ids)


def _make_converter() -> MsgpackConverter:
    converter = make_converter(detailed_validation=False, omit_if_default=True)
    forbid_coercion(converter)
    # Sorted: the same configuration has the same bytes in every process.
    converter.register_unstructure_hook_func(_is_ids, sorted)
    converter.register_structure_hook_func(_is_ids, _read_ids)
    return converter


_converter = _make_converter()

MAX_CONFIGURATION_BYTES = 1024 * 1024
"""Far more than any cluster's members take; as many bytes of nothing but small objects are still bearable in memory."""


MOST_BYTES = 64 * 1024
"""What a leader appends takes no more: each member keeps all configurations of its log, and a snapshot's first chunk
has one."""


def encode_configuration(configuration: Configuration) -> bytes:
    """Return its bytes: the same for equal configurations."""
    return _converter.dumps(configuration)


def decode_configuration(data: bytes) -> Configuration:
    """Return the configuration that `data` encodes.

    Raises:
        ValueError: the bytes are none.
    """
    if len(data) > MAX_CONFIGURATION_BYTES:
        raise ValueError(f"{len(data)} bytes are no configuration: {MAX_CONFIGURATION_BYTES} are allowed")
    try:
        raw: Any = _converter.loads(data, Configuration)
    except Exception as error:  # msgpack, cattrs and Configuration raise whatever the bytes provoke
        raise ValueError(f"{len(data)} bytes are no configuration: {error!r}") from error
    configuration: Configuration = raw
    return configuration
