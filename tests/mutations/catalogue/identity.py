"""Mutations of whom members take each other for: which store speaks for an id, and where it is."""

from __future__ import annotations

from functools import partial

from tests.mutations.mutation import Edit, Mutation, in_scenario, mutation

_ACQUAINTANCES = "node/acquaintances.py"
_INTRODUCTIONS = "raft/leading/introductions.py"
_JOINING = "node/joining.py"
_FORGETTING = "node/forgetting.py"
_MEMBERS = "raft/leading/members.py"
_MEMBERSHIP = "raft/membership.py"
_STATE = "raft/state.py"
_LOST_STORE = "raft/lost_store.py"
_NEWEST = "raft/newest.py"

_of_members = partial(mutation, profile="members")


_FOUND_OUT = in_scenario(
    "tests/simulation/test_identity.py::"
    "test_a_voter_of_the_first_ones_without_its_files_is_found_out_though_nobody_has_met_it"
)
_OLDER = in_scenario(
    "tests/simulation/test_identity.py::"
    "test_an_older_copy_with_its_mark_is_found_out_by_those_who_have_met_its_node_since"
)
_MOVED = in_scenario(
    "tests/simulation/test_identity.py::"
    "test_a_member_that_has_moved_is_known_there_though_it_is_down_and_all_others_were_restarted"
)

SAID: tuple[Mutation, ...] = (
    _FOUND_OUT(
        "first-voters-never-bound",
        "the voters that a cluster began with are bound to their stores, too",
        "guarantees",
        Edit(
            _INTRODUCTIONS,
            "Introductions._news",
            "if (not member.incarnation or proven.address) and self._answers(member_id, now):",
            "if member.incarnation and proven.address and self._answers(member_id, now):",
        ),
    ),
    _FOUND_OUT(
        "bound-store-not-asked-for",
        "a member is who the configuration says, and nobody else who has its id",
        "guarantees",
        Edit(
            _ACQUAINTANCES,
            "Acquaintances._known_since",
            "return self._member(sender).incarnation or self._met.setdefault(sender, said)",
            "return self._met.setdefault(sender, said)",
        ),
    ),
    _OLDER(
        "older-copy-not-looked-for",
        "a store that never had the start at which it was met is an older copy",
        "guarantees",
        Edit(_ACQUAINTANCES, "Acquaintances.lacks", "not self.starts.lack(met.start)", "True"),
    ),
    _OLDER(
        "met-start-not-kept",
        "the start at which a peer was met is known after a restart, too",
        "guarantees",
        Edit(
            _ACQUAINTANCES,
            "Acquaintances._note_start",
            "if met != before and self._remember is not None:",
            "if met != before and self._remember is not None and False:",
        ),
    ),
    in_scenario("tests/simulation/test_refusals.py::test_who_missed_a_removal_does_not_go_back_to_the_store_before")(
        "missed-removal-changes-nothing",
        "what was met of a member is forgotten once the log says something else",
        "guarantees",
        Edit(
            _ACQUAINTANCES,
            "Acquaintances.settle",
            "for held in state.configurations.since(self._settled_index):",
            "for held in ():",
        ),
    ),
    in_scenario("tests/simulation/test_refusals.py::test_who_was_removed_can_not_end_a_node_that_was_admitted_since")(
        "refused-by-who-is-behind",
        "a refusal by who may have missed something ends nobody whom a newer configuration names",
        "guarantees",
        Edit(
            _ACQUAINTANCES,
            "Acquaintances.refused",
            "if state is not None and behind and state.leader != self.node_id:",
            "if state is not None and behind and False:",
        ),
    ),
    in_scenario(
        "tests/simulation/test_replaced_stores.py::"
        "test_old_files_whose_log_ends_with_a_configuration_that_nobody_else_has_are_no_news"
    )(
        "stale-configuration-taken-for-news",
        "a configuration of a deposed leader is no newer than one of a later term, whatever their indexes",
        "guarantees",
        Edit(
            _NEWEST,
            "Newest.is_newer_than",
            "return (self.term, self.index) > (other.term, other.index)",
            "return self.index > other.index",
        ),
    ),
    in_scenario(
        "tests/simulation/test_refusals.py::test_who_is_refused_stands_for_nobody_while_it_asks_whether_that_is_right"
    )(
        "who-doubts-still-stands",
        "who may have lost its files neither votes nor stands before it knows",
        "guarantees",
        Edit(_STATE, "RaftState.doubt_itself", "self.is_voter = self.has_vote_in(self.configuration)", ""),
    ),
    _MOVED(
        "moved-member-not-written",
        "where a member is that has moved is known to those who have not met it since",
        "guarantees",
        Edit(
            _INTRODUCTIONS,
            "Introductions._news",
            "if proven.address == known_at:",
            "if proven.address:",
        ),
    ),
    _MOVED(
        "moved-member-bound-anew",
        "a new address is its member's, and changes nothing else of it",
        "etcd #21736",
        Edit(
            _MEMBERSHIP,
            "_introduced",
            "return attrs.evolve(member, incarnation=incarnation, address=address)",
            """
            kept = incarnation if address == member.address else ""
            return attrs.evolve(member, incarnation=kept, address=address)
            """,
        ),
    ),
    _of_members(
        "introduced-beside-a-change",
        "what members say of themselves is not written beside a change",
        "§6",
        Edit(
            _MEMBERS,
            "Members.next",
            """
            if held.index > state.commit_index or not self.may_append:
                return None
            """,
            """
            if held.index > state.commit_index or not self.may_append:
                return self.introductions.due(now)
            """,
        ),
    ),
)
"""What members say of themselves."""

_ANEW = "tests/cluster/test_joining_anew.py::"

FORGOTTEN: tuple[Mutation, ...] = (
    in_scenario(
        "tests/simulation/test_relearning.py::"
        "test_a_store_that_learns_the_log_anew_is_not_the_only_voter_that_its_node_once_was"
    )(
        "new-voter-without-its-store",
        "who is to vote is bound to its store before",
        "guarantees",
        Edit(_MEMBERS, "Members._is_named", "return bool(named) or", "return True or bool(named) or"),
        Edit(
            _MEMBERS,
            "Members._naming_newcomers",
            "newcomers = configuration.newcomers & configuration.ids",
            "newcomers = configuration.newcomers - configuration.ids",
        ),
    ),
    in_scenario(
        "tests/embedding/test_members_over_tcp.py::test_who_comes_back_before_its_leave_is_over_is_bound_to_its_store"
    )(
        "unknown-store-not-asked-for",
        "a member whose connection is older than its membership says again which store it has",
        "guarantees",
        Edit("node/observing.py", "Observing._greet_unknown", "if unknown:", "if not unknown and unknown:"),
    ),
    in_scenario(f"{_ANEW}test_who_joins_again_is_not_the_voter_that_the_cluster_began_with")(
        "joins-as-who-began",
        "who joins under the id of a voter that the cluster began with is not that voter",
        "guarantees",
        Edit(
            _JOINING,
            "_voters",
            "return {voter: str(address) for voter, address in named.items()}, forgotten",
            "return {voter: str(address) for voter, address in named.items()}, False",
        ),
    ),
    in_scenario(f"{_ANEW}test_a_wiped_voter_that_is_named_before_it_is_removed_is_not_the_one_that_it_was")(
        "name-in-place-gives-the-vote-back",
        "who was named in the place of the voter that it was has no vote of its own yet",
        "guarantees",
        Edit(
            "raft/configurations.py",
            "Configurations.admit",
            "gives_vote = node_id in held.configuration.all_voters",
            "gives_vote = False",
        ),
    ),
    in_scenario(f"{_ANEW}test_a_wiped_voter_knows_that_it_was_at_its_next_start_too")(
        "loss-not-noted",
        "a store that lacks what its node promised knows that after a restart, too",
        "guarantees",
        Edit(
            _FORGETTING,
            "renew",
            "knows = is_empty(recovered) and recovered.renewed",
            "knows = is_empty(recovered)",
        ),
    ),
    in_scenario(f"{_ANEW}test_an_initial_voter_that_was_removed_and_lost_its_files_joins_anew_where_it_may")(
        "removal-is-no-loss",
        "an initial voter that was removed, and comes back on an empty store, is not the one that it was",
        "guarantees",
        Edit(
            _FORGETTING,
            "has_forgotten",
            "return other or any(_was_removed(reply, node_id) for reply in replies)",
            "return other",
        ),
    ),
    in_scenario(
        "tests/simulation/test_relearning.py::"
        "test_who_was_the_only_voter_and_lost_its_store_is_not_again_by_the_log_that_it_learns"
    )(
        "loss-in-the-log-not-noticed",
        "a store that lacks what could not be committed without its node is not the one that the node had",
        "guarantees",
        Edit(
            _LOST_STORE,
            "doubts_of",
            "state.doubt_itself()\nreturn [DoubtStore(sender, learned.index, error, term)]",
            "return []",
        ),
    ),
)
"""Stores that lack what their nodes have promised, and what they take themselves for."""
