"""GET /v1/auth/test and /v1/devices."""

from __future__ import annotations

from litestar import get

from appliance.domain.errors import AUTHENTICATED
from appliance.domain.views import Device, OnOff, SuccessResponse
from web.openapi.metadata import documented
from web.request import ApiRequest, CallerDep, ServicesDep


class AuthAnswer(SuccessResponse, frozen=True, kw_only=True):
    """The key is valid."""

    message: str
    client_id: str
    device_id: str | None
    device_status: OnOff


class DevicesAnswer(SuccessResponse, frozen=True, kw_only=True):
    """The modems that this client may use."""

    devices: list[Device]


@get("/auth/test", summary="Test the key", tags=["Account"], opt=documented(any_key=True))
async def auth_test(request: ApiRequest, caller: CallerDep, services: ServicesDep) -> AuthAnswer:
    """Shows the client of the key and the modem that it would use. Restricted keys may call it too."""
    tested = await services.devices.auth_test(caller)
    return AuthAnswer(
        message=AUTHENTICATED.plain(request.language),
        client_id=tested.client,
        device_id=tested.device_id,
        device_status=tested.device_status,
    )


@get("/devices", summary="Modems", tags=["Account"], opt=documented())
async def devices(caller: CallerDep, services: ServicesDep) -> DevicesAnswer:
    """The modems of the box that this client may use."""
    return DevicesAnswer(devices=list(await services.devices.of(caller)))
