"""GSM modems: alphabets, PDUs, error codes, AT commands, the driver, a simulator. Knows no message or client."""
