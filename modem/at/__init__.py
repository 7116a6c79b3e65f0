"""The AT dialogue with a modem: serial transport, commands, responses, unsolicited result codes."""
