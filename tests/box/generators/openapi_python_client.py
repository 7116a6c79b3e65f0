"""Sends with the client that openapi-python-client generates; run by ../test_generators.py."""

import json
import sys

from zim_box_client import AuthenticatedClient
from zim_box_client.api.sending import send
from zim_box_client.api.tracking import history, status
from zim_box_client.models import (
    AcceptedAnswer,
    ErrorAnswer,
    HistoryAnswer,
    MessageAnswer,
    SendBody,
)
from zim_box_client.models.priority_type_0 import PriorityType0

url, key, client_id = sys.argv[1:]
box = AuthenticatedClient(base_url=url, token=key, prefix="", auth_header_name="X-API-Key")
sent = []
for priority in (PriorityType0.HIGH, 2):
    body = SendBody(to="+33612345678", message="Bonjour", priority=priority)
    answer = send.sync(client=box, x_client_id=client_id, body=body)
    assert isinstance(answer, AcceptedAnswer), answer
    sent.append(answer)
one = status.sync(sent[0].message_id, client=box, x_client_id=client_id)
assert isinstance(one, MessageAnswer), one
listed = history.sync(client=box, x_client_id=client_id, limit=2)
assert isinstance(listed, HistoryAnswer), listed
body = SendBody(to="0", message="x")
refused = send.sync(client=box, x_client_id=client_id, body=body)
assert isinstance(refused, ErrorAnswer), refused
print(
    json.dumps(
        {
            "sent": [each.message_id for each in sent],
            "priorities": [each.priority for each in sent],
            "status": one.message_id,
            "listed": [each.message_id for each in listed.data],
            "refused": refused.error.code,
        }
    )
)
