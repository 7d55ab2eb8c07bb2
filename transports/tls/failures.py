"""Why a connection is not secured, by names that statistics count and operators can look up.

OpenSSL says it in numbers and phrases of its own, which differ between its versions; here they become one of a few.
"""

from __future__ import annotations

import enum
import ssl

from raft_actors.errors import ProtocolError


class Trouble(enum.Enum):
    """What is wrong with the other side's certificate, or with the TLS connection itself. The value tells it."""

    CERTIFICATE_EXPIRED = "its certificate has expired"
    CERTIFICATE_NOT_YET_VALID = "its certificate is not valid yet: is one of the two clocks wrong?"
    UNKNOWN_CA = "its certificate was not issued by a CA that this side trusts"
    WRONG_USAGE = "its certificate is not for this use (extended key usage)"
    CHAIN_TOO_LONG = "its certificate comes with too long a chain"
    BAD_CERTIFICATE = "its certificate does not hold"
    NO_CERTIFICATE = "it has shown no certificate"
    OTHER_NODE = "its certificate is another node's"
    OTHER_CLUSTER = "its certificate is of another cluster"
    NO_NAME = "its certificate names no node in the way that this side goes by"
    NO_RIGHT = "its certificate is a client's, which may not do this"
    NOT_A_MEMBER = "its certificate is a node's that is no member, as far as this node knows"
    REFUSED_HERE = "it refused this side's certificate"
    NO_COMMON_VERSION = "it does not speak TLS 1.3 as this side does"
    PLAIN = "its connection is without TLS, which this side does not accept"
    NOT_TLS = "what it says is no TLS"
    LEFT = "it left before it said who it is: its log tells whether it refused this side's certificate"
    ENDED = "it left during the TLS handshake"
    TOO_MUCH = "it sent more than a TLS handshake takes"
    BROKEN = "the TLS connection is damaged"


class TlsFailure(ProtocolError):
    """A connection is not secured, and closed.

    Attributes:
        trouble: why, in one of a fixed set of names.
    """

    def __init__(self, trouble: Trouble, detail: str = "") -> None:
        self.trouble = trouble
        super().__init__(trouble.value + (f" ({detail})" if detail else ""))


_VERIFY_CODES = {
    7: Trouble.BAD_CERTIFICATE,  # its signature is wrong
    9: Trouble.CERTIFICATE_NOT_YET_VALID,
    10: Trouble.CERTIFICATE_EXPIRED,
    18: Trouble.UNKNOWN_CA,  # signed by itself
    19: Trouble.UNKNOWN_CA,  # its chain ends in a stranger that is signed by itself
    20: Trouble.UNKNOWN_CA,
    21: Trouble.UNKNOWN_CA,  # no issuer at all
    22: Trouble.CHAIN_TOO_LONG,
    24: Trouble.BAD_CERTIFICATE,  # a CA that is none
    25: Trouble.CHAIN_TOO_LONG,  # longer than one of its CAs allows
    26: Trouble.WRONG_USAGE,
    79: Trouble.BAD_CERTIFICATE,  # a CA that is none
}
_REASONS = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": Trouble.NO_CERTIFICATE,
    "EXCESSIVE_MESSAGE_SIZE": Trouble.CHAIN_TOO_LONG,
    "UNSUPPORTED_PROTOCOL": Trouble.NO_COMMON_VERSION,
    "NO_SHARED_CIPHER": Trouble.NO_COMMON_VERSION,
    "WRONG_VERSION_NUMBER": Trouble.NOT_TLS,
    "HTTP_REQUEST": Trouble.NOT_TLS,
    "PACKET_LENGTH_TOO_LONG": Trouble.NOT_TLS,
    "RECORD_LAYER_FAILURE": Trouble.NOT_TLS,
    "UNEXPECTED_MESSAGE": Trouble.NOT_TLS,
    "CERTIFICATE_VERIFY_FAILED": Trouble.BAD_CERTIFICATE,
    "UNEXPECTED_EOF_WHILE_READING": Trouble.ENDED,
}
_ALERTS_OF_VERSION = ("ALERT_PROTOCOL_VERSION", "ALERT_HANDSHAKE_FAILURE", "ALERT_INSUFFICIENT_SECURITY")
_ALERTS_OF_CERTIFICATE = (
    *("ALERT_BAD_CERTIFICATE", "ALERT_UNSUPPORTED_CERTIFICATE", "ALERT_CERTIFICATE_REVOKED"),
    *("ALERT_CERTIFICATE_EXPIRED", "ALERT_CERTIFICATE_UNKNOWN", "ALERT_UNKNOWN_CA", "ALERT_ACCESS_DENIED"),
    *("ALERT_CERTIFICATE_REQUIRED", "ALERT_DECRYPT_ERROR"),
)


def failure_of(error: ssl.SSLError) -> TlsFailure:
    """Name what the ssl module has raised."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return TlsFailure(_VERIFY_CODES.get(error.verify_code, Trouble.BAD_CERTIFICATE), error.verify_message)
    reason = error.reason or ""
    detail = reason.lower().replace("_", " ")
    for alerts, trouble in (
        (_ALERTS_OF_CERTIFICATE, Trouble.REFUSED_HERE),
        (_ALERTS_OF_VERSION, Trouble.NO_COMMON_VERSION),
    ):
        if reason.endswith(alerts):
            return TlsFailure(trouble, detail)
    return TlsFailure(_REASONS.get(reason, Trouble.BROKEN), detail or str(error))
