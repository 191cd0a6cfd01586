"""The answers that an API makes by itself, which the emulator does not read from the API's body.

SAM writes a REST API's `GatewayResponses` into its OpenAPI body, as API Gateway imports them.
https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-swagger-extensions-gateway-responses.html
"""

from collections.abc import Callable
from typing import Any

from ministack.services import apigateway_v1

_EXTENSION = "x-amazon-apigateway-gateway-responses"


def install() -> None:
    """Put an import that takes them in the place of the emulator's."""
    apigateway_v1._import_rest_api = _with_responses(apigateway_v1._import_rest_api)


def _with_responses(import_api: Callable[..., str]) -> Callable[..., str]:
    def imported(spec: dict[str, Any], base_data: dict[str, Any] | None = None) -> str:
        api_id = import_api(spec, base_data)
        for kind, response in (spec.get(_EXTENSION) or {}).items():
            status, _, answer = apigateway_v1._put_gateway_response(api_id, kind, response)
            if status >= 400:  # noqa: PLR2004 - HTTP's refusals
                raise ValueError(f"API Gateway refused the gateway response {kind}: {answer}")
        return api_id

    return imported
