"""Every error of the API: code, status, French and English; and the sentences of successes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

Language = Literal["fr", "en"]

Code = Literal[
    # of the server
    "INVALID_REQUEST",
    "NOT_FOUND",
    "METHOD_NOT_ALLOWED",
    "PAYLOAD_TOO_LARGE",
    "UNSUPPORTED_MEDIA_TYPE",
    "INTERNAL_ERROR",
    "STORAGE_FULL",
    # authentication
    "MISSING_AUTH_HEADERS",
    "INVALID_API_KEY",
    "INVALID_CLIENT_ID",
    "INVALID_DEVICE_ID",
    "KEY_NOT_ALLOWED",
    # sending
    "INVALID_PHONE_NUMBER",
    "MESSAGE_TOO_LONG",
    "INVALID_PRIORITY",
    "INVALID_SCHEDULED_DATE",
    "INVALID_WEBHOOK_URL",
    "TOO_MANY_RECIPIENTS",
    "IDEMPOTENCY_CONFLICT",
    "BLOCKED_NUMBER",
    "RATE_LIMIT_EXCEEDED",
    "QUEUE_FULL",
    "QUOTA_EXCEEDED",
    "DEVICE_OFFLINE",
    "NO_DEVICE_AVAILABLE",
    # tracking
    "MESSAGE_NOT_FOUND",
    "CANNOT_CANCEL_MESSAGE",
    "CANNOT_RESEND_MESSAGE",
    # one-time codes
    "OTP_RATE_LIMIT",
    "OTP_NOT_FOUND",
    "OTP_EXPIRED",
    "OTP_MAX_ATTEMPTS",
    # webhooks
    "WEBHOOK_NOT_FOUND",
]

FailureCode = Literal[
    "NETWORK_ERROR",
    "NO_CREDIT",
    "BLOCKED_NUMBER",
    "INVALID_NUMBER",
    "SMS_SEND_TIMEOUT",
    "DEVICE_ERROR",
]


class Words(msgspec.Struct, frozen=True):
    """A sentence in both languages."""

    french: str
    english: str

    def say(self, language: Language) -> str:
        """Return the sentence in `language`."""
        return self.english if language == "en" else self.french


class ErrorSpec(msgspec.Struct, frozen=True):
    """The specification of an error code: its HTTP status and its sentence."""

    status: int
    words: Words


def _spec(status: int, french: str, english: str) -> ErrorSpec:
    return ErrorSpec(status, Words(french, english))


ERROR_SPECS: dict[Code, ErrorSpec] = {
    "INVALID_REQUEST": _spec(400, "La requête est invalide.", "The request is invalid."),
    "NOT_FOUND": _spec(404, "Il n'y a rien à cette adresse.", "There is nothing at this address."),
    "METHOD_NOT_ALLOWED": _spec(
        405,
        "Cette méthode HTTP n'est pas acceptée à cette adresse.",
        "This HTTP method is not allowed at this address.",
    ),
    "PAYLOAD_TOO_LARGE": _spec(
        413,
        "Le corps de la requête est trop volumineux.",
        "The body of the request is too large.",
    ),
    "UNSUPPORTED_MEDIA_TYPE": _spec(
        415,
        "Le corps de la requête doit être en JSON (Content-Type: application/json).",
        "The body of the request must be JSON (Content-Type: application/json).",
    ),
    "INTERNAL_ERROR": _spec(
        500,
        "Une erreur interne est survenue. Elle a été consignée dans le journal du boîtier.",
        "An internal error occurred. It was recorded in the log of the box.",
    ),
    "STORAGE_FULL": _spec(
        503,
        "Le stockage du boîtier est plein ou en panne : rien n'a été enregistré.",
        "The storage of the box is full or failing: nothing was kept.",
    ),
    "MISSING_AUTH_HEADERS": _spec(
        400,
        "Les en-têtes d'authentification X-API-Key et X-Client-ID sont obligatoires.",
        "The authentication headers X-API-Key and X-Client-ID are required.",
    ),
    "INVALID_API_KEY": _spec(
        401,
        "La clé API est inconnue, révoquée ou expirée.",
        "The API key is unknown, revoked or expired.",
    ),
    "INVALID_CLIENT_ID": _spec(
        401,
        "L'identifiant client est inconnu ou ne correspond pas à cette clé API.",
        "The client id is unknown or does not match this API key.",
    ),
    "INVALID_DEVICE_ID": _spec(
        404,
        "Cet appareil n'existe pas ou ne vous est pas attribué.",
        "This device does not exist or is not assigned to you.",
    ),
    "KEY_NOT_ALLOWED": _spec(
        403,
        "Cette clé API n'est pas autorisée à effectuer cette opération.",
        "This API key is not allowed to do this.",
    ),
    "INVALID_PHONE_NUMBER": _spec(
        400,
        "Le numéro de téléphone est invalide : il doit être au format international, "
        "par exemple +33612345678.",
        "The phone number is invalid: it must be in international format, "
        "for example +33612345678.",
    ),
    "MESSAGE_TOO_LONG": _spec(
        400,
        "Le message dépasse 1600 caractères.",
        "The message is longer than 1600 characters.",
    ),
    "INVALID_PRIORITY": _spec(
        400,
        "La priorité est invalide : utilisez 1 à 5, ou urgent, high, normal, low, bulk.",
        "The priority is invalid: use 1 to 5, or urgent, high, normal, low, bulk.",
    ),
    "INVALID_SCHEDULED_DATE": _spec(
        400,
        "La date d'envoi programmée est invalide : au format ISO 8601, "
        "dans le futur et à 30 jours au plus.",
        "The scheduled date is invalid: it must be ISO 8601, "
        "in the future and at most 30 days ahead.",
    ),
    "INVALID_WEBHOOK_URL": _spec(
        400,
        "L'URL du webhook est invalide ou n'est pas autorisée.",
        "The webhook URL is invalid or not allowed.",
    ),
    "TOO_MANY_RECIPIENTS": _spec(
        400,
        "L'envoi groupé contient trop de destinataires.",
        "The bulk request has too many recipients.",
    ),
    "IDEMPOTENCY_CONFLICT": _spec(
        409,
        "Cette clé d'idempotence a déjà servi pour une requête différente.",
        "This idempotency key was already used for a different request.",
    ),
    "BLOCKED_NUMBER": _spec(
        403,
        "Ce numéro est bloqué ou s'est désabonné : aucun SMS ne lui est envoyé.",
        "This number is blocked or has opted out: no SMS is sent to it.",
    ),
    "RATE_LIMIT_EXCEEDED": _spec(
        429,
        "Trop de requêtes. Réessayez dans un instant.",
        "Too many requests. Try again in a moment.",
    ),
    "QUEUE_FULL": _spec(
        429,
        "La file d'attente est pleine. Réessayez lorsque des messages seront partis.",
        "The queue is full. Try again when some messages have left.",
    ),
    "QUOTA_EXCEEDED": _spec(
        429,
        "La limite d'envoi est atteinte : ce message ne pourrait pas partir à temps.",
        "The sending limit is reached: this message could not leave in time.",
    ),
    "DEVICE_OFFLINE": _spec(
        503,
        "L'appareil demandé est hors ligne depuis trop longtemps.",
        "The requested device has been offline for too long.",
    ),
    "NO_DEVICE_AVAILABLE": _spec(
        503,
        "Aucun appareil n'est disponible pour envoyer ce message.",
        "No device is available to send this message.",
    ),
    "MESSAGE_NOT_FOUND": _spec(404, "Ce message n'existe pas.", "This message does not exist."),
    "CANNOT_CANCEL_MESSAGE": _spec(
        400,
        "Ce message ne peut plus être annulé : son envoi a commencé ou il est déjà terminé.",
        "This message can no longer be cancelled: its sending has begun or it is already over.",
    ),
    "CANNOT_RESEND_MESSAGE": _spec(
        400,
        "Ce message ne peut pas être renvoyé : seul un message en échec peut l'être, "
        "à l'exception des codes de vérification.",
        "This message cannot be resent: only a failed message can, and never a verification code.",
    ),
    "OTP_RATE_LIMIT": _spec(
        429,
        "Trop de codes de vérification ont été demandés pour ce numéro. Réessayez plus tard.",
        "Too many verification codes were requested for this number. Try again later.",
    ),
    "OTP_NOT_FOUND": _spec(
        404,
        "Ce code de vérification n'existe pas ou a déjà été utilisé.",
        "This verification code does not exist or was already used.",
    ),
    "OTP_EXPIRED": _spec(
        400,
        "Le code de vérification a expiré. Demandez-en un nouveau.",
        "The verification code has expired. Request a new one.",
    ),
    "OTP_MAX_ATTEMPTS": _spec(
        429,
        "Le nombre maximal de tentatives est atteint. Demandez un nouveau code.",
        "The maximum number of attempts is reached. Request a new code.",
    ),
    "WEBHOOK_NOT_FOUND": _spec(404, "Ce webhook n'existe pas.", "This webhook does not exist."),
}

# `error.code` of a failed message (docs/api-contract.md, "Errors while sending").
FAILURES: dict[FailureCode, Words] = {
    "NETWORK_ERROR": Words(
        "Le réseau mobile a refusé le message ou n'a pas pu l'acheminer.",
        "The mobile network refused the message or could not deliver it.",
    ),
    "NO_CREDIT": Words(
        "Le crédit de la carte SIM est épuisé.", "The credit of the SIM card is used up."
    ),
    "BLOCKED_NUMBER": Words(
        "Ce numéro est bloqué ou s'est désabonné.", "This number is blocked or has opted out."
    ),
    "INVALID_NUMBER": Words("Ce numéro n'est pas attribué.", "This number is not in use."),
    "SMS_SEND_TIMEOUT": Words(
        "Le message n'a pas pu être envoyé ou confirmé à temps.",
        "The message could not be sent or confirmed in time.",
    ),
    "DEVICE_ERROR": Words(
        "Le modem ou sa carte SIM n'a pas pu envoyer le message.",
        "The modem or its SIM card could not send the message.",
    ),
}

# The sentences of successes.
AUTHENTICATED = Words("Authentification réussie", "Authentication successful")
CANCELLED = Words("SMS annulé avec succès", "SMS cancelled successfully")
OTP_VALID = Words("Code vérifié avec succès", "Code verified successfully")
OTP_WRONG = Words("Code incorrect", "Incorrect code")
WEBHOOK_ANSWERED = Words("Le webhook a répondu avec succès", "The webhook answered successfully")
WEBHOOK_REFUSED = Words("Le webhook a répondu par une erreur", "The webhook answered with an error")
WEBHOOK_SILENT = Words("Le webhook n'a pas répondu", "The webhook did not answer")


class Reason(msgspec.Struct, frozen=True):
    """An error as a value, which can be stored and shown in either language."""

    code: Code
    details: Mapping[str, object] | None = None

    @property
    def status(self) -> int:
        """The HTTP status of this code."""
        return ERROR_SPECS[self.code].status

    def message(self, language: Language = "fr") -> str:
        """Return the sentence; for INVALID_REQUEST with the field and the reason."""
        sentence = ERROR_SPECS[self.code].words.say(language)
        details = self.told(language) or {}
        if self.code != "INVALID_REQUEST" or "reason" not in details:
            return sentence
        colon = ": " if language == "en" else " : "
        place = f"{details['field']}, " if "field" in details else ""
        return f"{sentence.rstrip('.')}{colon}{place}{details['reason']}"

    def told(self, language: Language = "fr") -> dict[str, object] | None:
        """Return the details with their sentences in `language`."""
        if self.details is None:
            return None
        return {name: _said(value, language) for name, value in self.details.items()}


def _said(value: object, language: Language) -> object:
    if isinstance(value, Words):
        return value.say(language)
    # A stored reason (such as of an idempotent answer) is loaded as a plain mapping.
    if isinstance(value, Mapping) and value.keys() == {"french", "english"}:
        return value["english" if language == "en" else "french"]
    return value


class ApiError(Exception):
    """An error of the API, answered with its code, status and sentence."""

    def __init__(
        self,
        code: Code,
        details: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        if code not in ERROR_SPECS:
            raise ValueError(f"no such refusal: {code}")
        super().__init__(code)
        self.reason = Reason(code, details)
        self.headers: dict[str, str] = dict(headers or {})

    @property
    def code(self) -> Code:
        return self.reason.code

    @property
    def status(self) -> int:
        return self.reason.status

    @property
    def details(self) -> Mapping[str, object] | None:
        return self.reason.details

    def message(self, language: Language = "fr") -> str:
        """The sentence for people."""
        return self.reason.message(language)

    def __str__(self) -> str:
        return f"{self.code} {self.reason.told('en') or ''}".rstrip()


def invalid(field: str, french: str, english: str, code: Code = "INVALID_REQUEST") -> ApiError:
    """Return an error of one field; `details` has its name and the reason."""
    return ApiError(code, {"field": field, "reason": Words(french, english)})


def later(code: Code, seconds: int, details: Mapping[str, object] | None = None) -> ApiError:
    """Return a temporary error; `Retry-After` says when to retry, in seconds."""
    wait = max(1, seconds)
    return ApiError(code, {**(details or {}), "retry_after": wait}, {"Retry-After": str(wait)})
