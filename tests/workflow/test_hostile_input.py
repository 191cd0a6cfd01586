"""Five hundred generated requests through the deployed API, and expressions that travel as text."""

import json
import re
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import batched
from typing import Any

import httpx

from local.polling import wait_for
from local.stack.stack import Stack
from provisioner import json_text
from provisioner.errors import Problem
from tests.support.hostile_requests import EXPRESSIONS, HALF_SURROGATES, TEXTS, Generated, generated
from tests.support.samples import problems_of
from tests.support.stack.reading import ADMIN, calls_since, new_request, read_key

REQUESTS = 500
CREATED = 20
# Each more starts a process more of every function, a second of a core each.
AT_A_TIME = 4

# What Python, Lambda, Step Functions or KMS would say of themselves, and no answer must.
_INSIDES = re.compile(
    r"Traceback|File \\?\"/|\.py\b|site-packages|errorType|stackTrace|botocore|pydantic"
)


def problems_in(body: str) -> list[Problem]:
    """List what is wrong with a body, read as the API reads it."""
    try:
        return problems_of(json_text.parse(body))
    except json_text.Unreadable as unreadable:
        return unreadable.problems


def in_parallel[T](call: Callable[[T], httpx.Response], items: Sequence[T]) -> list[httpx.Response]:
    with ThreadPoolExecutor(AT_A_TIME) as threads:
        return list(threads.map(call, items))


def pairs(problems: list[Any]) -> Counter[tuple[str, str]]:
    return Counter((problem["path"], problem["code"]) for problem in problems)


def test_five_hundred_generated_requests(stack: Stack) -> None:
    # Sound requests differ in names alone from run to run, so that several runs find none taken.
    requests = [*generated(REQUESTS, seed=500, prefix=f"hostile-{uuid.uuid4().hex[:8]}")]
    expected = {request.body: problems_in(request.body) for request in requests}
    sound = [r for r in requests if not expected[r.body] and "EXTERNAL" not in r.body]
    created, others = sound[:CREATED], [r for r in requests if r not in sound[:CREATED]]
    before = len(stack.kms_calls())

    def post(request: Generated) -> httpx.Response:
        # A request that is taken is only planned, so that it leaves no keys.
        query = "" if expected[request.body] else "?plan=true"

        def send() -> httpx.Response | None:
            answer = stack.api("POST", f"/keys{query}", content=request.body)
            # Too many functions run at once; the request was not looked into.
            return None if answer.status_code == httpx.codes.TOO_MANY_REQUESTS else answer

        return wait_for(send, "a function that takes the request", timeout=60)

    answers = in_parallel(post, others)

    for request, answer in zip(others, answers, strict=True):
        problems = expected[request.body]
        assert answer.status_code == (400 if problems else 200), (request, answer.text)
        assert not _INSIDES.search(answer.text), (request, answer.text)
        assert pairs(answer.json().get("errors", [])) == pairs(problems), request
    kinds = Counter(answer.status_code for answer in answers)
    assert kinds[400] >= 250
    assert kinds[200] >= 150
    # A plan looks each alias up, and what is refused is not looked up at all.
    regions = sum(len(answer.json().get("keys", [])) for answer in answers)
    looks = [call["operation"] for call in calls_since(stack, before)]
    assert looks == ["DescribeKey"] * regions

    for some in batched(created, AT_A_TIME, strict=True):
        accepted = in_parallel(lambda r: stack.api("POST", "/keys", content=r.body), some)
        assert {answer.status_code for answer in accepted} == {202}
        for request in some:
            document = json.loads(request.body)
            outcome = stack.wait_for_outcome(document["requestId"])["detail"]
            assert (outcome["status"], outcome["errors"]) == ("CREATED", []), document
            assert outcome["ticket"] == document.get("ticket")


def test_expressions_travel_as_text(stack: Stack) -> None:
    ticket = {text: [{"{% $request %}": text}] for text in TEXTS[:-1]}
    described = "\n".join(TEXTS)
    request = new_request(
        "expressions",
        description=described,
        ticket=ticket,
        policy={"administrators": [ADMIN]},
        replicas=[{"region": "eu-west-1", "description": "{% $request %}"}],
    )

    stack.start_execution(request)
    outcome = stack.wait_for_outcome(request["requestId"])["detail"]
    status = stack.api("GET", f"/keys/{request['requestId']}").json()

    assert (outcome["status"], outcome["ticket"], status["ticket"]) == ("CREATED", ticket, ticket)
    key = outcome["key"]
    home, replica = key["primary"], key["replicas"][0]
    assert read_key(stack, home["region"], home["arn"])["description"] == described
    assert read_key(stack, replica["region"], replica["arn"])["description"] == "{% $request %}"


def test_expressions_travel_as_text_in_a_refusal_too(stack: Stack) -> None:
    ticket = {text: text for text in EXPRESSIONS}
    request = new_request(
        "refused", alias="{% $request %}", ticket=ticket, **{"{% x %}": "{% x %}"}
    )

    stack.start_execution(request)
    outcome = stack.wait_for_outcome(request["requestId"])["detail"]

    assert (outcome["status"], outcome["ticket"]) == ("REJECTED", ticket)
    assert pairs(outcome["errors"]) == pairs(problems_of(request))


def test_hostile_addresses(stack: Stack) -> None:
    ids = ["r" * 3000, "%7B%25%20$x%20%25%7D", "..%2F..%2Fkeys", "%00", "%ED%A0%80", "a'b", "*"]
    plans = ["True", "1", "%00", "true%20", "{%25%20true%20%25}"]

    answers = in_parallel(lambda name: stack.api("GET", f"/keys/{name}"), ids)
    refused = in_parallel(lambda plan: stack.api("POST", f"/keys?plan={plan}", json={}), plans)

    assert {answer.status_code for answer in answers} <= {400, 403, 404}
    assert {answer.status_code for answer in refused} == {400}
    assert not any(_INSIDES.search(answer.text) for answer in [*answers, *refused])


def test_bytes_that_are_no_text(stack: Stack) -> None:
    bodies = [
        b"\xff\xfe",
        b"\x80",
        b'{"requestId": "\xed\xa0\x80"}',
        b"\x00" * 1000,
        b"\x1f\x8b\x08",
    ]
    bodies += [
        json.dumps({"requestId": text, "ticket": {"t": text}}).encode() for text in HALF_SURROGATES
    ]

    answers = in_parallel(lambda body: stack.api("POST", "/keys", content=body), bodies)

    assert {answer.status_code for answer in answers} == {400}
    assert not any(_INSIDES.search(answer.text) for answer in answers)
