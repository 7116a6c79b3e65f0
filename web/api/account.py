"""GET /v1/auth/test and /v1/devices."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import get
from msgspec import Meta

from appliance.domain import validation, views
from appliance.domain.errors import AUTHENTICATED
from web.openapi.metadata import told
from web.request import ApiRequest, CallerDep, ServicesDep
from web.responses import MomentOrNull, SuccessResponse

OnOff = Annotated[str, Meta(extra_json_schema={"enum": ["online", "offline"]})]


class AuthAnswer(SuccessResponse, frozen=True, kw_only=True):
    """The key is valid."""

    message: str
    client_id: str
    device_id: str | None
    device_status: OnOff


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """A modem."""

    device_id: str
    name: str
    status: OnOff
    state: Annotated[
        str, Meta(description="More precise than status: ready, searching, pin_required, …")
    ]
    operator: str | None
    technology: str | None
    signal: Annotated[int | None, Meta(description="dBm")]
    phone_number: str | None
    since: Annotated[MomentOrNull, Meta(description="Since when the modem has this status.")]


class DevicesAnswer(SuccessResponse, frozen=True, kw_only=True):
    """The modems that this client may use."""

    devices: list[Device]


@get("/auth/test", summary="Test the key", tags=["Account"], opt=told(any_key=True))
async def auth_test(request: ApiRequest, caller: CallerDep, services: ServicesDep) -> AuthAnswer:
    """Shows the client of the key and the modem that it would use. Restricted keys may call it too."""
    tested = await services.devices.auth_test(caller)
    return AuthAnswer(
        message=AUTHENTICATED.plain(request.language),
        client_id=tested.client,
        device_id=tested.device_id,
        device_status=tested.device_status,
    )


@get("/devices", summary="Modems", tags=["Account"], opt=told())
async def devices(caller: CallerDep, services: ServicesDep) -> DevicesAnswer:
    """The modems of the box that this client may use."""
    return DevicesAnswer(devices=[_device(view) for view in await services.devices.of(caller)])


def _device(view: views.DeviceView) -> Device:
    return Device(
        device_id=view.device_id,
        name=view.name,
        status=view.status,
        state=view.state,
        operator=view.operator,
        technology=view.technology,
        signal=view.signal_dbm,
        phone_number=view.phone_number,
        since=validation.timestamp(view.since),
    )
