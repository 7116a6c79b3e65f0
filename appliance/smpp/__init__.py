"""Messages that come and go over SMPP: accounts, submissions, deliveries. Knows no PDU."""
