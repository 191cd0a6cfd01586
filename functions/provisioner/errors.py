"""Every error a step can end with. The state machine names these classes in `Retry` and `Catch`.

ProvisionerError
├── RequestRejected          the request is not valid; carries every problem
├── Conflict                 what is asked does not fit what is known of its requestId
│   ├── RequestConflict      the requestId has other content, and keeps it
│   ├── RevisionSkipped      the revision is higher than the one that follows
│   ├── Immutable            a key exists, and the content differs in what a key never changes
│   ├── OperationConflict    the operationId is that of another operation
│   ├── OperationRefused     the key set is not as an operation needs it
│   ├── Released             the key set was released, so that nobody here manages it
│   ├── KeySetManaged        a request of this stack manages the key set that is to be adopted
│   ├── KeyNotAdoptable      the key that is to be adopted is none of a multi-Region key set
│   ├── OtherManager         somebody else manages a key that is to be adopted
│   └── PlanOutdated         the plan that is to be carried out is not the one that there is now
├── RequestBeingFinished     the request failed, and its execution is about to say so
├── RequestNotFound          no request of this ID is known
├── RequestTakenOver         another execution works on the request meanwhile
├── Cancelled                somebody cancelled the request while it was under way
├── NotUnderWay              the request to cancel has ended
├── PrimaryKeyUnconfirmed    CreateKey was sent and no answer was recorded
├── AliasInUse               the alias points to another key
├── AliasNotVisible          the alias exists, and KMS does not show (yet) which key has it
├── KeyOfEarlierDeployment   a key of this request is there that no record knows
├── ChangeRefused            a change that was under way lacks a word now, or is not possible
├── PromotionUnderWay        KMS does not show yet which key is the primary key
├── PromotionNotDone         the one promotion of a revision has not moved the primary key
├── RotationUnderWay         a rotation on demand is running, or may still begin
├── RotationNotDone          the one rotation of an operation has not taken place
├── PrimaryKeyMoved          another key of the set has become its primary key
├── KeySetIncomplete         KMS does not show the key set that was built
├── ReplicaKeyNotEnabled     the replica key is still being made
├── NotAwaited               the request does not wait for approval
├── AlreadyDecided           the approval is decided, and its execution has not acted on it yet
├── ContentChanged           the decision is about other content than what waits
├── ApproverIsRequester      the approver may be who asked, or has approved already
├── KeyMaterialNotAwaited    the request does not wait for key material
├── KeyMaterialNotProvided   nobody provided the key material before the deadline
├── TicketSystemBusy         a ticket system does not answer, or asks for fewer calls
├── TicketSystemRefused      a ticket system does not take what the stack's entry says
├── TicketNotUpdatable       a ticket is gone, closed or locked, or its ID is none
├── TicketNotMoved           a ticket has its comment, and does not take the transition
├── EventNotPublished        EventBridge did not take the outcome event
├── BatchUnreadable          the file of a batch is not usable as a whole
├── AnotherBatchRuns         a batch that was started earlier has not ended
├── DependencyUnavailable    another AWS service than KMS failed
└── KmsError
    ├── KmsThrottled         refused for its rate: nothing happened, try later
    ├── KmsUnavailable       no usable answer to a call that is safe to repeat
    ├── KmsAccessDenied      IAM or a key policy does not allow the call
    ├── KeyTagsNotInEffect   the same, on a key so new that its tags may not count yet
    ├── KeyTagMissing        the same, on a key that has lost the tag by which it is allowed
    ├── RegionNotEnabled     KMS in that Region does not know the account's credentials
    ├── ReplicaRegionNotEnabled  the same, of a replica, before there is any key
    ├── KmsKeyNotFound       the key is not (yet) visible in that Region
    ├── KmsLimitExceeded     a resource quota of the account is used up
    ├── AutomaticRotationNear    the key rotates by itself now or within minutes
    ├── RotationsUsedUp      the key was rotated on demand as often as KMS does that
    ├── KmsRequestRefused    KMS refuses the call as such
    ├── KeyPolicyRefused     KMS does not take the key policy
    ├── PolicyPrincipalGone  the same, and KMS shows that a principal of it was deleted
    ├── KeyStateConflict     the key's state does not allow the call
    └── KeyMaterialRefused   KMS does not take the key material; it is asked for again
        ├── IncorrectKeyMaterial     it is not the material that this key set has
        ├── KeyMaterialUnreadable    it is not wrapped as asked, or of the wrong length or form
        ├── ImportTokenInvalid       the import token belongs to another key
        └── ImportTokenExpired       the import token is older than 24 hours
"""

from collections.abc import Iterable
from typing import ClassVar, TypedDict

_MAX_PATH = 256
_MAX_MESSAGE = 1_000

# The aliases of a key set stay with it, also where it was never finished.
_UNDER_ANOTHER_ID = "choose another requestId and aliases that no key has yet"


class Problem(TypedDict):
    """One reason for a refusal or a failure.

    `path` names the field of the request (`replicas[1].region`), `code` is in upper snake case,
    `message` is a sentence for a person.
    """

    path: str
    code: str
    message: str


def new_problem(path: str, code: str, message: str) -> Problem:
    """Make a problem; a path may hold what the caller made up, so it is cut."""
    return {"path": path[:_MAX_PATH], "code": code, "message": message}


class ProvisionerError(Exception):
    """Base of every error this package raises.

    Attributes
    ----------
    field
        The field of the key set's declaration that the error is about.
    next_step
        What the person who reads the message can do about it.
    operation_step
        The same where the error has ended an operation, for which sending the request again does
        nothing; `{again}` is how to ask for it again. Empty where `next_step` holds as it is.
    reported_as
        The name of the error that an outcome has in its place; empty for its own.
    what_happened
        The message without the next step.
    """

    field: ClassVar[str] = "region"
    next_step: ClassVar[str] = ""
    operation_step: ClassVar[str] = ""
    reported_as: ClassVar[str] = ""

    def __init__(self, what_happened: str) -> None:
        # It may quote AWS at any length, and the errors of every Region travel together.
        self.what_happened = what_happened[:_MAX_MESSAGE]
        super().__init__(f"{self.what_happened} {self.next_step}".strip())


class RequestRejected(ProvisionerError):
    """The request is not valid. `problems` holds every reason, never only the first."""

    next_step = "Correct every field that is listed and send the request again."

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__(f"The request has {len(problems)} problem(s).")


class Conflict(ProvisionerError):
    """What is asked does not fit what is known of its requestId. Nothing changes.

    Attributes
    ----------
    fields
        The fields of the request that do not fit.
    """

    field = "requestId"

    def __init__(self, what_happened: str, fields: Iterable[str] = ()) -> None:
        self.fields = (*fields,) or (self.field,)
        super().__init__(what_happened)


class RequestConflict(Conflict):
    """The requestId is taken with other content, which stays."""

    next_step = (
        "GET /keys/{requestId} returns what exists. To create another key set, "
        f"{_UNDER_ANOTHER_ID}."
    )


class RevisionSkipped(Conflict):
    """The revision is higher than the one that follows the current one."""

    field = "revision"
    next_step = "Send the revisions in their order, or correct the number."

    def __init__(self, request_id: str, asked: int, next_revision: int) -> None:
        super().__init__(
            f"The next revision of request {request_id} is {next_revision}, and this is revision "
            f"{asked}."
        )


class Immutable(Conflict):
    """A key exists or may exist, and the content differs in what a key keeps for ever.

    https://docs.aws.amazon.com/kms/latest/developerguide/multi-region-keys-overview.html
    """

    next_step = f"Send the request with these fields as before, or {_UNDER_ANOTHER_ID}."


class OperationConflict(Conflict):
    """The operationId was used for another operation, which it stays."""

    field = "operationId"
    next_step = "Ask for this operation with an operationId of its own."


class OperationRefused(Conflict):
    """The key set is not as an operation needs it. Nothing was done."""

    field = "operation"
    next_step = "Then ask for the operation again, with a new operationId."
    operation_step = "Then {again}."


class Released(Conflict):
    """The key set was released, or is not adopted yet: nothing here manages it."""

    next_step = (
        "Adopt it again (POST /keys?adopt=true) to manage it, with the next revision where its "
        "declaration is another one by now."
    )


class KeySetManaged(Conflict):
    """A request of this stack manages the key set, and a key set has one declaration."""

    field = "keyArn"
    next_step = (
        "To change it, send the next revision of that request. To manage it under another "
        "requestId, release it first (POST /keys/{requestId}/operations, RELEASE)."
    )


class KeyNotAdoptable(Conflict):
    """The key that is to be adopted does not exist, or is no key of a multi-Region key set.

    https://docs.aws.amazon.com/kms/latest/developerguide/multi-region-keys-overview.html
    """

    field = "keyArn"
    next_step = "Send the ARN of a multi-Region key of this account, in the Region that it is in."


class OtherManager(Conflict):
    """Somebody else manages a key that is to be adopted, by the tags that it has."""

    field = "takeOver"
    next_step = (
        "Let that one forget the keys without deleting them, or adopt the key set with takeOver "
        "true."
    )


class PlanOutdated(Conflict):
    """The key set, its record or the request is not what the plan was made of."""

    field = "planId"
    next_step = (
        "Plan again (POST /keys?plan=true), see what would change now, and send the request with "
        "the new planId."
    )


class RequestBeingFinished(ProvisionerError):
    """The request failed and is about to say so. Then it can be taken up again."""

    field = "requestId"
    next_step = "Send the request again in a moment: it goes on where it stopped."
    operation_step = "Wait for its outcome, then {again}."


class RequestNotFound(ProvisionerError):
    """No request of this ID is known to the stack."""

    field = "requestId"
    next_step = "Check the spelling of the requestId, and which stack and Region you ask."


class RequestTakenOver(ProvisionerError):
    """Another execution holds the request, so this one must not go on with it."""

    field = "requestId"
    next_step = "There is nothing to do: the other execution finishes the request."


class Cancelled(ProvisionerError):
    """Somebody cancelled the request. What exists is kept or rolled back, as the request asks."""

    field = "requestId"
    next_step = "Send the request again to take it up where it stopped."
    operation_step = "To go on, {again}."

    def __init__(self, request_id: str) -> None:
        super().__init__(f"Request {request_id} was cancelled.")


class NotUnderWay(ProvisionerError):
    """The request has ended, so there is nothing to cancel."""

    field = "requestId"
    next_step = "Ask for the request's status: it says how the request ended."


class PrimaryKeyUnconfirmed(ProvisionerError):
    """CreateKey was sent and its answer is not known, so a key may exist that nobody recorded."""

    next_step = "Send the request again: its key is looked for before another one is created."


class AliasInUse(ProvisionerError):
    """The alias points to another key, and an alias in use is never moved."""

    field = "alias"
    next_step = (
        "Choose another alias, or delete that one, and send the request again under the same "
        "requestId."
    )
    operation_step = "Delete that alias, or confirm MOVE_ALIAS of that Region, then {again}."


class AliasNotVisible(ProvisionerError):
    """The alias exists, and no key that KMS shows has it: KMS is eventually consistent.

    https://docs.aws.amazon.com/kms/latest/developerguide/accessing-kms.html#programming-eventual-consistency
    """

    field = "alias"
    next_step = (
        "Send the request again. If that does not help, another key has the alias: delete it "
        "there, or send the request with another alias under the same requestId."
    )
    operation_step = (
        "Wait a minute, then {again}. If that does not help, another key has the alias: delete it "
        "there."
    )


class KeyOfEarlierDeployment(ProvisionerError):
    """A key with this request's tags is there that no record knows, so none was created."""

    field = "requestId"
    next_step = (
        "If an earlier deployment of the stack made it, deploy with its table of requests "
        "(ExistingRequestsTable) and send the request again. Otherwise "
        f"{_UNDER_ANOTHER_ID}."
    )


class ChangeRefused(ProvisionerError):
    """What KMS has now does not allow a change that was claimed before, or asks for other words."""

    field = "confirm"
    next_step = "Send what is needed with the next revision. What was done stays done."
    operation_step = (
        "Where it is meant, add the word that is named to confirm and {again}. What was done stays "
        "done."
    )


class PromotionUnderWay(ProvisionerError):
    """The keys of a set are changing their roles, or do not agree on them yet.

    KMS changes roles within seconds, and meanwhile some of its answers show the earlier ones.
    https://docs.aws.amazon.com/kms/latest/developerguide/multi-region-update.html
    """

    field = "primaryRegion"
    next_step = "Send the request again in a moment: it goes on where it stopped."
    operation_step = "Wait until every key is Enabled, which takes seconds, then {again}."


class PromotionNotDone(ProvisionerError):
    """The one UpdatePrimaryRegion of this revision has not moved the primary key for good.

    It was never sent, KMS never did it, or somebody has moved the primary key back since. Another
    call might undo what somebody has done on purpose, so it takes another word.
    """

    field = "primaryRegion"
    next_step = (
        "If the primary key is to be moved, send the next revision with the word again; a revision "
        "promotes once."
    )


class RotationUnderWay(ProvisionerError):
    """A rotation on demand is running, or was asked for and may still begin.

    KMS rotates within minutes, and a rotation that runs cannot be stopped.
    https://docs.aws.amazon.com/kms/latest/developerguide/rotating-keys-on-demand.html
    """

    field = "operationId"
    next_step = (
        "Wait until GET /keys/{requestId} shows the rotation in `rotations`. If none appears "
        "within the hour, ask for another one with a new operationId."
    )


class RotationNotDone(ProvisionerError):
    """The one RotateKeyOnDemand of an operation has had no effect, and can have none any more.

    It was never sent, or KMS never did it. A second one of the same operation might be a second
    rotation, so it takes another operation.
    """

    field = "operationId"
    next_step = (
        "If the key is still to be rotated, ask for it with a new operationId; an operation "
        "rotates once."
    )


class PrimaryKeyMoved(ProvisionerError):
    """Somebody made another key of the set its primary key, so this one cannot be replicated.

    https://docs.aws.amazon.com/kms/latest/developerguide/multi-region-update.html
    """

    field = "primaryRegion"
    next_step = (
        "Run what is named, wait until both keys are Enabled again, which takes seconds, then send "
        "the request again."
    )
    operation_step = (
        "Run what is named, wait until both keys are Enabled again, which takes seconds, then "
        "{again}."
    )


class KeySetIncomplete(ProvisionerError):
    """KMS does not show the key set that the earlier steps built."""

    next_step = "Send the request again: it completes what is missing."
    operation_step = "To go on, {again}."


class ReplicaKeyNotEnabled(ProvisionerError):
    """The replica key is there and cannot be used yet: most often it is still Creating.

    https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html
    """

    next_step = "Send the request again: it goes on waiting."
    operation_step = "Wait until the key is Enabled, then {again}."


class TicketSystemBusy(ProvisionerError):
    """A ticket system did not answer, or asked to come back after `retry_after` seconds."""

    field = "ticket"
    next_step = "Nothing has to be done: the ticket is updated once the system answers."

    def __init__(self, what_happened: str, retry_after: int | None = None) -> None:
        self.retry_after = retry_after
        super().__init__(what_happened)


class TicketSystemRefused(ProvisionerError):
    """A ticket system refuses the stack's user, or answers from another address."""

    field = "ticket"
    next_step = (
        "Correct the system's entry in the secret TicketsSecretArn: its url, user and token. Then "
        "redrive what waits in the queue UndeliveredTicketUpdates."
    )


class TicketNotUpdatable(ProvisionerError):
    """A ticket is gone, closed or locked, or its ID is none of its system."""

    field = "ticket"
    next_step = (
        "Read the outcome with GET /keys/{requestId}, and inform whoever asked. A request that is "
        "sent with another ticket writes there."
    )


class TicketNotMoved(ProvisionerError):
    """A ticket has its comment, and its system does not take the transition."""

    field = "ticket"
    next_step = (
        "Move the ticket by hand. Where every ticket is refused so, let the transition in the "
        "system's entry of the secret TicketsSecretArn be one that needs no more than its name."
    )


class NotAwaited(ProvisionerError):
    """A decision came for a request that does not wait for approval."""

    field = "requestId"
    next_step = "Ask for the request's status: it says what it waits for, if for anything."


class AlreadyDecided(ProvisionerError):
    """The approval of the request to cancel is decided, and its execution has yet to act on it."""

    field = "requestId"
    next_step = "Send the DELETE again in a moment."


class ContentChanged(ProvisionerError):
    """A decision is about other content than that which waits for approval."""

    field = "contentHash"
    next_step = (
        "Read what waits now (GET /keys/{requestId}, approval), and decide with its contentHash."
    )


class ApproverIsRequester(ProvisionerError):
    """Whoever approves may be the person who asked, or who has approved already."""

    field = "decision"
    next_step = "Somebody else has to approve it, under a role session or user of their own."


class KeyMaterialNotAwaited(ProvisionerError):
    """Key material was provided for a request that does not wait for any."""

    field = "requestId"
    next_step = "Ask for the request's status: it says what it waits for, if for anything."


class KeyMaterialNotProvided(ProvisionerError):
    """The request's deadline passed, and its key material had not come."""

    next_step = "Send the request again: it asks for the key material again."
    operation_step = "Have the key material at hand, then {again}."


class EventNotPublished(ProvisionerError):
    """EventBridge took the call but not the event."""

    next_step = (
        "Check the event bus and its quotas. The sweep publishes the outcome within two hours; "
        "redriving the execution (aws stepfunctions redrive-execution) publishes it at once."
    )


class BatchUnreadable(ProvisionerError):
    """The file of a batch is missing, or not usable as a whole. No request of it was started."""

    next_step = "Correct the file, put it into the bucket and start the batch again."


class AnotherBatchRuns(ProvisionerError):
    """Batches share the quotas of KMS, so one at a time is worked on, the oldest first."""

    next_step = "This batch waits for it. Stop that one if it is not wanted."


class DependencyUnavailable(ProvisionerError):
    """An AWS service other than KMS failed after the SDK's own retries."""

    next_step = "Send the request again: it goes on where it stopped."
    operation_step = "To go on, {again}."


class KmsError(ProvisionerError):
    """KMS answered a call with an error, or not at all."""

    next_step = "Send the request again: it goes on where it stopped."
    operation_step = "To go on, {again}."


class KmsThrottled(KmsError):
    """The call was refused for its rate.

    https://docs.aws.amazon.com/kms/latest/developerguide/throttling.html
    """


class KmsUnavailable(KmsError):
    """A call that is safe to repeat timed out or failed inside KMS."""


class KmsAccessDenied(KmsError):
    """IAM, a key policy or an organisation's policy does not allow the call."""

    next_step = (
        "Allow the action that is named: in IAM, or in the request's key policy, which replaces "
        "what was changed by hand. Or put the key's tag mrk:stack back if it is missing. Then send "
        "the request again."
    )
    operation_step = (
        "Allow the action that is named, in IAM or in the key policy, or put the key's tag "
        "mrk:stack back if it is missing. Then {again}."
    )


class KeyTagsNotInEffect(KmsError):
    """The call is not allowed on a key that was made minutes ago.

    The stack's roles may act only on keys with its tag, and tags can take up to five minutes to
    count in authorisation.
    https://docs.aws.amazon.com/kms/latest/developerguide/abac.html
    """

    next_step = KmsAccessDenied.next_step
    operation_step = KmsAccessDenied.operation_step
    reported_as = "KmsAccessDenied"


class KeyTagMissing(KmsError):
    """The call is not allowed because the key does not have this stack's tag any more.

    https://docs.aws.amazon.com/kms/latest/developerguide/abac.html
    """

    next_step = (
        "Run what is named, then send the request again. It can take five minutes until KMS goes "
        "by a tag."
    )
    operation_step = (
        "Run what is named, wait five minutes, since KMS may take as long to go by a tag, then "
        "{again}."
    )


class RegionNotEnabled(KmsError):
    """KMS in the Region does not know the account's credentials.

    https://docs.aws.amazon.com/accounts/latest/reference/manage-acct-regions.html
    """

    next_step = (
        "The Region is most likely not enabled for this account: enable it (aws account "
        "enable-region) or remove it from the request, then send the request again under the same "
        "requestId."
    )
    operation_step = (
        "The Region is most likely not enabled for this account: enable it (aws account "
        "enable-region), then {again}."
    )


class ReplicaRegionNotEnabled(KmsError):
    """KMS in Regions of replicas does not know the account's credentials. No key was created."""

    field = "replicas"
    next_step = RegionNotEnabled.next_step
    reported_as = "RegionNotEnabled"


class KmsKeyNotFound(KmsError):
    """The key is not visible in that Region, or not yet: KMS is eventually consistent.

    https://docs.aws.amazon.com/kms/latest/developerguide/accessing-kms.html#programming-eventual-consistency
    """

    next_step = (
        "Send the request again: KMS may have shown the key late. If the key was deleted, "
        f"{_UNDER_ANOTHER_ID}."
    )
    operation_step = (
        "KMS may have shown the key late: {again}. If a replica key was deleted, the operation "
        "REPAIR creates it again."
    )


class KmsLimitExceeded(KmsError):
    """A resource quota is used up.

    https://docs.aws.amazon.com/kms/latest/developerguide/resource-limits.html
    """

    next_step = (
        "Raise the quota or free some of it, or correct the request to need less, then send it "
        "again under the same requestId."
    )
    operation_step = "Raise the quota or free some of it, then {again}."


class AutomaticRotationNear(KmsError):
    """The key rotates by itself now, or is about to within 20 minutes. Nothing was rotated.

    https://docs.aws.amazon.com/kms/latest/APIReference/API_RotateKeyOnDemand.html
    """

    field = "operation"
    next_step = (
        "KMS rotates the key by itself these minutes, which GET /keys/{requestId} shows in "
        "`rotations`. If another rotation is still wanted half an hour later, ask for it with a "
        "new operationId."
    )
    operation_step = next_step


class RotationsUsedUp(KmsError):
    """KMS rotates a key on demand 25 times, and never again.

    https://docs.aws.amazon.com/kms/latest/developerguide/resource-limits.html
    """

    field = "operation"
    next_step = (
        "KMS does not raise this number. Let the key rotate by itself (`rotation` in the request, "
        "which does not count), or create another key set and move to it."
    )
    operation_step = next_step


class KmsRequestRefused(KmsError):
    """KMS refuses the call for what it asks."""

    next_step = (
        "Read the reason that KMS returns, fix its cause or correct the request, then send it "
        "again under the same requestId."
    )
    operation_step = (
        "Read the reason that KMS returns and fix its cause, then {again}; or change what is "
        "declared with the next revision."
    )


class KeyPolicyRefused(KmsError):
    """KMS does not take the key policy, often because a principal does not exist (yet)."""

    field = "policy"
    next_step = (
        "Check that every principal of the policy exists (roles and users in their accounts, "
        "services in this Region) and that its conditions let this stack's roles in. Create what "
        "is missing or correct the policy in the request, then send it again under the same "
        "requestId."
    )
    operation_step = (
        "Check that every principal of the policy exists (roles and users in their accounts, "
        "services in this Region) and that its conditions let this stack's roles in. Create what "
        "is missing, then {again}; or correct the policy with the next revision."
    )


class PolicyPrincipalGone(KmsError):
    """KMS does not take the key policy, and shows that a principal which it had was deleted.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids
    """

    field = "policy"
    next_step = (
        "Create the role or user again if it is to be let in, or leave it out of the policy in the "
        "request; then send it again under the same requestId."
    )


class KeyStateConflict(KmsError):
    """The key's state does not allow the call.

    https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html
    """

    next_step = "Bring the key back to Enabled, then send the request again."
    operation_step = "Bring the key back to Enabled, then {again}."


class KeyMaterialRefused(KmsError):
    """KMS does not take what was given as key material. Nothing has changed in KMS.

    https://docs.aws.amazon.com/kms/latest/APIReference/API_ImportKeyMaterial.html
    """

    next_step = "Wrap the right key material with the new parameters and answer again."
    operation_step = next_step


class IncorrectKeyMaterial(KeyMaterialRefused):
    """Every Region of a key set holds the same key material, and this is other material.

    https://docs.aws.amazon.com/kms/latest/developerguide/multi-region-keys-import.html
    """


class KeyMaterialUnreadable(KeyMaterialRefused):
    """The key material is not wrapped as asked, or does not have the form of its key spec.

    https://docs.aws.amazon.com/kms/latest/developerguide/importing-keys-conceptual.html
    """


class ImportTokenInvalid(KeyMaterialRefused):
    """The import token was made for another key."""


class ImportTokenExpired(KeyMaterialRefused):
    """Import parameters are valid for 24 hours.

    https://docs.aws.amazon.com/kms/latest/APIReference/API_GetParametersForImport.html
    """
