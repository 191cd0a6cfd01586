"""The local stack's names are cut as those that CloudFormation was seen to make."""

import pytest

from local.stack.cloudformation_names import physical_name


# Names in an account, without the twelve characters at their ends.
# https://github.com/KensioSoftware/yulin/issues/1113
@pytest.mark.parametrize(
    ("logical_id", "longest", "lowercase", "seen"),
    [
        (
            "RainlyticsLogsBucket8DF44B32",
            63,
            True,
            "chineseboostanalyticsstac-rainlyticslogsbucket8df4-",
        ),
        (
            "RainlyticsSummariesJobFunctionServiceRole",
            64,
            False,
            "ChineseboostAnalyticsStac-RainlyticsSummariesJobFun-",
        ),
        (
            "RainlyticsSummariesJobLogs1C6CB09C",
            512,
            False,
            "ChineseboostAnalyticsStack-RainlyticsSummariesJobLogs1C6CB09C-",
        ),
    ],
    ids=["bucket", "role", "log group"],
)
def test_a_name_is_cut_as_cloudformation_cuts_it(
    logical_id: str, longest: int, seen: str, *, lowercase: bool
) -> None:
    name = physical_name(
        "ChineseboostAnalyticsStack", logical_id, lowercase=lowercase, max_len=longest
    )

    assert name[:-12] == seen
    assert len(name) <= longest


def test_names_that_are_cut_alike_still_differ() -> None:
    first, second = (
        physical_name("s" * 64, f"CreatePrimaryKeyFunctionRole{end}", max_len=64) for end in "AB"
    )

    assert first[:-12] == second[:-12]
    assert first != second
