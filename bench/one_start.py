"""Starts a function once; `bench.cold_start` runs this file in processes of their own.

The first argument says what for, and the answer is a line of JSON:

- `boto3 SERVICE…`: how much CPU time `import boto3` and these clients take;
- `handler MODULE`: how much the import of a handler's module takes, which makes its clients;
- `clients MODULE`: whose clients that import makes;
- `modules MODULE SERVICE…`: what that import loads, for `-X importtime`, the clients made before.
"""

import gc
import importlib
import json
import sys
import time
from typing import Any


def main(purpose: str, *names: str) -> dict[str, Any]:
    """Do what the arguments say."""
    begin = time.process_time()
    if purpose == "boto3":
        boto3: Any = importlib.import_module("boto3")
        for service in names:
            boto3.client(service)
    elif purpose == "handler":
        importlib.import_module(names[0])
    elif purpose == "clients":
        return {"services": _services_of(names[0])}
    else:
        # A full collection takes as long as many imports, and would be counted as one of them.
        gc.disable()
        importlib.import_module("provisioner.aws.clients").prepare(*names[1:])
        importlib.import_module(names[0])
    return {"seconds": time.process_time() - begin, "modules": list(sys.modules)}


def _services_of(handler: str) -> list[str]:
    boto3: Any = importlib.import_module("boto3")
    make = boto3.client
    services = []

    def watched(service: str, **options: Any) -> Any:
        services.append(service)
        return make(service, **options)

    boto3.client = watched
    importlib.import_module(handler)
    return services


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
