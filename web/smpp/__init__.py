"""SMPP 3.4 for engines: PDUs, sessions and the listening server. Imported only where SMPP is switched on."""
