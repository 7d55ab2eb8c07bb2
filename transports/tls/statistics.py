"""What can be asked about certificates, without any of what handles them."""

from __future__ import annotations

from raft_actors.records import define


@define
class CertificateStatistics:
    """What has become of one side's certificate files."""

    expires_at: float = 0.0
    """When the certificate in use ends, in seconds since 1970."""
    reloads: int = 0
    failed_reloads: int = 0
    """Sets of new files that were of no use: the last good ones are in use."""
    last_failure: str | None = None
    """What was wrong with the newest files; None where they are in use."""
