"""What a client tells its callers, beside the errors of nodes: each says what became of the request."""

from __future__ import annotations

from raft_actors.errors import ProposalError


class Unavailable(ProposalError):
    """A client found no member in time that could serve it: nothing was proposed, nothing was read."""


class OutcomeUnknown(ProposalError):
    """A client did not learn a command's outcome in time: it may have taken effect, once, may still do so, or never
    will. Never raised where that can be known."""


class NotPermitted(ProposalError):
    """A client's certificate does not allow this: nothing was proposed, nothing was read (`TlsConfig.clients`)."""


class QueryFailed(ProposalError):
    """A client's query raised at the node that ran it; the message says what. Or its answer could not travel."""
