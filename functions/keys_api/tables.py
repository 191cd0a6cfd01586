"""The tables that the API reads and writes, made once for each instance of the function."""

import os

from provisioner.aws.approvals import Approvals
from provisioner.aws.clients import client, prepare
from provisioner.aws.history import History
from provisioner.aws.operations import Operations
from provisioner.aws.records import Records
from provisioner.settings import settings

prepare("dynamodb", "events", "kms", "resourcegroupstaggingapi", "stepfunctions")

records = Records(client("dynamodb"), settings().requests_table)
approvals = Approvals(client("dynamodb"), settings().requests_table)
operations = Operations(client("dynamodb"), settings().requests_table)
history = History(client("dynamodb"), os.environ["HISTORY_TABLE"])
