"""Every error that a backend or a spec raises, sorted by what to do next.

ProviderError
 + SpecError              the request is wrong: change the named field
 + ConfigurationError     the connection or the installation is wrong: change it, then run again
 + ServiceError           the service answered, or did not
    + Unavailable         a passing fault: ask again later
    + AccessDenied        the credentials lack something: grant it
    + NotFound            no such cluster or job, and the call needs one
    + CapacityError       quota or capacity is exhausted: ask for less, or later
 + ClusterFailed          the cluster ended before the work did
 + JobFailed              the program ran and failed, or was cancelled
 + WaitTimeout            the limit that the caller set has passed
"""

from __future__ import annotations


class ProviderError(Exception):
    """Base of every error this provider raises on purpose."""


class SpecError(ProviderError, ValueError):
    """A field of a spec is wrong, or the backend cannot honour it.

    :param problems: one sentence a problem, each naming its field.
    """

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class ConfigurationError(ProviderError):
    """A connection field or an installed library is missing or wrong; the message names it and the fix."""


class ServiceError(ProviderError):
    """The service that runs Spark refused or failed a call."""


class Unavailable(ServiceError):
    """A passing fault (throttled, restarting, unreachable). The only error that is worth asking again."""


class AccessDenied(ServiceError):
    """The service knows who asks and says no; the message names the missing permission where it is known."""


class NotFound(ServiceError):
    """The cluster or job does not exist, for a call that needs it."""


class CapacityError(ServiceError):
    """The service, or this machine, has no room for what was asked."""


class ClusterFailed(ProviderError):
    """The cluster failed to start, or ended while work still needed it."""


class JobFailed(ProviderError):
    """The job ended in any state but success."""


class WaitTimeout(ProviderError, TimeoutError):
    """The caller's own limit passed before the work ended."""
