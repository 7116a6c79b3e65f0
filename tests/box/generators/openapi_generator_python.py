"""Sends with the Python client that openapi-generator generates; run by ../test_generators.py."""

import json
import sys

import openapi_client
from openapi_client.models import ErrorAnswer, Priority, SendBody

url, key, client_id = sys.argv[1:]
configuration = openapi_client.Configuration(host=url, api_key={"ApiKey": key})
with openapi_client.ApiClient(configuration) as api:
    sending, tracking = openapi_client.SendingApi(api), openapi_client.TrackingApi(api)
    sent = [
        sending.send(
            client_id,
            SendBody(to="+33612345678", message="Bonjour", priority=Priority(priority)),
        )
        for priority in ("high", 2)
    ]
    one = tracking.status(sent[0].message_id, client_id)
    listed = tracking.history(client_id, limit=2)
    try:
        sending.send(client_id, SendBody(to="+33000", message="x"))
    except openapi_client.ApiException as error:
        refused = ErrorAnswer.from_json(error.body)
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
