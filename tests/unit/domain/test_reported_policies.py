import pytest

from provisioner.intake.request import parse_request, policy_warnings
from tests.support.carried_out import Asked, judged
from tests.support.reported_policies import REPORTED_POLICIES, ReportedPolicy
from tests.support.samples import SETTINGS, pairs_of


@pytest.mark.parametrize("case", REPORTED_POLICIES, ids=lambda case: case.name)
def test_a_policy_of_a_public_report_becomes_what_it_has_to(case: ReportedPolicy) -> None:
    where = "policy.document"

    assert pairs_of(case.document) == {(f"{where}{path}", code) for path, code in case.refused}
    if not case.refused:
        warnings = policy_warnings(parse_request(case.document, SETTINGS), SETTINGS)
        assert {(warning["path"], warning["code"]) for warning in warnings} == {
            (f"{where}{path}", code) for path, code in case.warned
        }


@pytest.mark.parametrize("case", REPORTED_POLICIES, ids=lambda case: case.name)
def test_the_local_kms_does_with_it_what_validation_says(case: ReportedPolicy) -> None:
    asked = Asked(
        case.document["policy"]["document"],
        tuple((replica["region"], None) for replica in case.fields.get("replicas", [])),
        rotates="rotation" in case.fields,
        imports=case.fields.get("origin") == "EXTERNAL",
    )

    assert judged(asked).startswith("refused" if case.refused else "accepted")
