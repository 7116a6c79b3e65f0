"""The AT interface of a modem: serial transport, commands, responses, unsolicited result codes."""
