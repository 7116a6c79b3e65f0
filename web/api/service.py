"""GET /health and /metrics: monitoring, without a key."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import Response, get
from msgspec import Meta

from appliance.domain.views import OnOff, SuccessResponse
from web.openapi.metadata import documented
from web.request import ApiRequest, ServicesDep

# https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
METRICS = "text/plain; version=0.0.4"  # Litestar adds the charset


class ModemHealth(msgspec.Struct, frozen=True, kw_only=True):
    """A modem, without personal data."""

    device_id: str
    status: OnOff
    state: str
    operator: str | None
    signal: Annotated[int | None, Meta(description="dBm")]


class HealthAnswer(SuccessResponse, frozen=True, kw_only=True):
    """The box is alive. `status` is `ok` if it can store messages and a modem is ready to send, else `degraded`."""

    status: Annotated[str, Meta(extra_json_schema={"enum": ["ok", "degraded"]})]
    reason: Annotated[
        str | None,
        Meta(
            description="Why the status is `degraded`: `no_modem`, `storage_full` or `storage_not_writable`.",
        ),
    ]
    version: str
    queued: int
    devices: list[ModemHealth]


@get("/health", summary="Health", tags=["Service"], opt=documented())
async def health(services: ServicesDep) -> HealthAnswer:
    """Answers 200 while the box accepts requests."""
    found = await services.health.take()
    return HealthAnswer(
        status=found.status,
        reason=found.reason,
        version=found.version,
        queued=found.queued,
        devices=[
            ModemHealth(
                device_id=device.device_id,
                status=device.status,
                state=device.state,
                operator=device.operator,
                signal=device.signal,
            )
            for device in found.devices
        ],
    )


@get(
    "/metrics",
    summary="Metrics",
    tags=["Service"],
    opt=documented(errors=("INVALID_API_KEY",), media=("text/plain",)),
)
async def metrics(request: ApiRequest, services: ServicesDep) -> Response[bytes]:
    """Metrics in Prometheus text format. If a token is configured, send it as `Authorization: Bearer`."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    token_sent = token.strip() if scheme.lower() == "bearer" else None
    return Response(await services.metrics.text(token_sent), media_type=METRICS)
