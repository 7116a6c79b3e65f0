"""Example answers of the reference; a test validates each against its schema."""

from __future__ import annotations

from typing import Any

_MESSAGE: dict[str, Any] = {
    "message_id": "msg_1234567890abcdef",
    "status": "delivered",
    "to": "+33612345678",
    "message": "Bonjour, votre commande est en cours de livraison",
    "priority": "normal",
    "created_at": "2025-01-15T10:30:00Z",
    "queued_at": "2025-01-15T10:30:01Z",
    "scheduled_at": None,
    "sent_at": "2025-01-15T10:30:05Z",
    "delivered_at": "2025-01-15T10:30:08Z",
    "failed_at": None,
    "cancelled_at": None,
    "metadata": {"order_id": "order_12345", "user_id": "user_789"},
    "uncertain": False,
    "cancellable": False,
    "device_id": "device_1",
    "parts": 1,
    "attempts": 1,
    "error": None,
    "batch_id": None,
}

ANSWERS: dict[str, dict[str, Any]] = {
    "send": {
        "success": True,
        "message_id": "msg_1234567890abcdef",
        "status": "queued",
        "to": "+33612345678",
        "queued_at": "2025-01-15T10:30:01Z",
        "estimated_delivery": "2025-01-15T10:30:05Z",
        "scheduled_at": None,
        "priority": "normal",
        "device_id": "device_1",
        "parts": 1,
        "encoding": "GSM-7",
    },
    "send_bulk": {
        "success": True,
        "batch_id": "batch_1234567890ab",
        "total_recipients": 2,
        "total_messages": 2,
        "queued_messages": 1,
        "failed_messages": 1,
        "message_ids": ["msg_1234567890abcdef"],
        "messages": [
            {"message_id": "msg_1234567890abcdef", "to": "+33612345678", "status": "queued"},
            {
                "message_id": None,
                "to": "0612",
                "status": "failed",
                "error": {
                    "code": "INVALID_PHONE_NUMBER",
                    "message": "Le numéro de téléphone est invalide : il doit être au format "
                    "international, par exemple +33612345678.",
                },
            },
        ],
        "queued_at": "2025-01-15T10:30:01Z",
    },
    "resend": {"success": True, "message_id": "msg_1234567890abcdef", "status": "queued"},
    "status": {"success": True, **_MESSAGE},
    "history": {
        "success": True,
        "data": [_MESSAGE],
        "pagination": {
            "current_page": 1,
            "per_page": 20,
            "total_pages": 5,
            "total_items": 94,
            "total_exact": True,
        },
    },
    "stats": {
        "success": True,
        "period": {"from": "2025-01-01T00:00:00Z", "to": "2025-01-31T23:59:59Z"},
        "stats": {
            "total_sent": 1250,
            "delivered": 1198,
            "failed": 52,
            "pending": 15,
            "delivery_rate": 95.84,
            "by_day": [{"date": "2025-01-01", "sent": 45, "delivered": 43, "failed": 2}],
            "by_day_truncated": False,
        },
    },
    "cancel": {
        "success": True,
        "message": "SMS annulé avec succès",
        "message_id": "msg_1234567890abcdef",
        "status": "cancelled",
    },
    "send_otp": {
        "success": True,
        "otp_id": "otp_1234567890ab",
        "to": "+33612345678",
        "expires_at": "2025-01-15T10:35:01Z",
        "message_id": "msg_1234567890abcdef",
        "status": "queued",
        "phone_masked": "+336****5678",
        "code_length": 6,
    },
    "verify_otp": {
        "success": True,
        "valid": True,
        "message": "Code vérifié avec succès",
        "verified_at": "2025-01-15T10:31:00Z",
    },
    "configure": {
        "success": True,
        "webhook_id": "wh_1",
        "url": "https://example.com/sms",
        "events": ["sms.delivered", "sms.failed"],
        "secret": "whsec_4eC39HqLyjWDarjtT1zdp7dc",
        "status": "active",
        "created_at": "2025-01-15T10:30:00Z",
    },
    "auth_test": {
        "success": True,
        "message": "Authentification réussie",
        "client_id": "client_1",
        "device_id": "device_1",
        "device_status": "online",
    },
    "health": {
        "success": True,
        "status": "ok",
        "reason": None,
        "version": "0.1.0",
        "queued": 0,
        "devices": [
            {
                "device_id": "device_1",
                "status": "online",
                "state": "ready",
                "operator": "Orange F",
                "signal": -71,
            }
        ],
    },
}
