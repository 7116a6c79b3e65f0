"""GET /metrics of a running box, parsed as Prometheus does."""

from __future__ import annotations

import re
from collections.abc import Callable

import requests
from prometheus_client.parser import text_string_to_metric_families

from tests.box.running import REQUEST_SECONDS, RunningBox, code, eventually
from tests.box.when import ahead

Labels = tuple[tuple[str, str], ...]


def scraped(box: RunningBox, **headers: str) -> tuple[str, dict[tuple[str, Labels], float]]:
    """The text, and each sample by its name and labels."""
    answer = requests.get(f"{box.url}/metrics", headers=headers, timeout=REQUEST_SECONDS)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    samples = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    return answer.text, samples


def of(samples: dict[tuple[str, Labels], float], name: str, **labels: str) -> float:
    return samples[name, tuple(sorted(labels.items()))]


def test_metrics_count_events_without_personal_data(
    own_box: Callable[..., RunningBox],
) -> None:
    box = own_box()
    made = box.zimbox("client", "create")
    client = box.client(of=made["client_id"])
    number, text = "+33612349999", "Un texte que personne ne lit"
    client.until(client.send(number, text * 10), "delivered")
    client.until(client.send("+33695550106", text), "failed")
    client.send(number, text, scheduled_at=ahead(hours=1))
    client.get(f"/sms/history?to={number}")

    def settled() -> dict[tuple[str, Labels], float] | None:
        _, samples = scraped(box)
        done = of(samples, "zimbox_messages", mode="live", status="delivered")
        return samples if done == 1 else None

    samples = eventually(settled, "the scrape of this moment")
    assert of(samples, "zimbox_messages", mode="live", status="failed") == 1
    assert of(samples, "zimbox_messages", mode="live", status="queued") == 1
    assert of(samples, "zimbox_messages", mode="test", status="queued") == 0
    assert of(samples, "zimbox_messages_accepted_total", mode="live") == 3
    assert of(samples, "zimbox_queue_scheduled_messages") == 1
    assert of(samples, "zimbox_queue_messages", priority="3") == 0
    assert of(samples, "zimbox_uncertain_messages") == 0
    assert of(samples, "zimbox_modem_up", device="device_1") == 1
    assert of(samples, "zimbox_modem_state", device="device_1", state="ready") == 1
    assert of(samples, "zimbox_modem_state", device="device_1", state="searching") == 0
    assert of(samples, "zimbox_modem_limitation", device="device_1", limitation="no_storage") == 0
    assert -113 <= of(samples, "zimbox_modem_signal_dbm", device="device_1") <= -51
    assert of(samples, "zimbox_parts_sent_total", device="device_1", verdict="taken") == 2
    assert of(samples, "zimbox_parts_sent_total", device="device_1", verdict="never") == 1
    assert of(samples, "zimbox_storage_free_bytes") > 0
    assert of(samples, "zimbox_database_bytes") > 0
    assert of(samples, "zimbox_webhook_calls_total", result="ok") == 0
    sent = {"method": "POST", "route": "/v1/sms/send", "status": "202"}
    assert of(samples, "zimbox_http_requests_total", **sent) == 3
    assert samples["process_resident_memory_bytes", ()] > 0

    result, _ = scraped(box)
    for secret in (number, number[1:], text, client.api_key, "+3360000", made["signing_secret"]):
        assert secret not in result
    assert not re.search(r"\d{14,}(?!\.)", re.sub(r" [\d.e+-]+$", "", result, flags=re.MULTILINE))


def test_metric_names_and_units_follow_the_conventions(box: RunningBox) -> None:
    result, _ = scraped(box)
    for family in text_string_to_metric_families(result):
        assert re.fullmatch(r"[a-z][a-z0-9_]*", family.name), family.name
        assert family.documentation, family.name
        assert family.type in ("counter", "gauge", "histogram"), family.name
        if family.type == "counter":
            assert all(sample.name.endswith("_total") for sample in family.samples), family.name
    assert "_created" not in result


def test_the_metrics_survive_a_restart_where_they_count_what_is_stored(
    own_box: Callable[..., RunningBox],
) -> None:
    box = own_box()
    client = box.client()
    client.until(client.send("+33612345678"), "delivered")
    box.stop()
    box.start()
    _, samples = scraped(box)
    assert of(samples, "zimbox_messages_accepted_total", mode="live") == 1
    assert of(samples, "zimbox_messages", mode="live", status="delivered") == 1


def test_metrics_need_the_token_if_one_is_set(own_box: Callable[..., RunningBox]) -> None:
    box = own_box(server_metrics_token="a-secret-token")
    scraped(box, Authorization="Bearer a-secret-token")
    for headers in (
        {},
        {"Authorization": "Bearer another"},
        {"Authorization": "Basic a-secret-token"},
    ):
        answer = requests.get(f"{box.url}/metrics", headers=headers, timeout=REQUEST_SECONDS)
        assert code(answer, 401) == "INVALID_API_KEY"
